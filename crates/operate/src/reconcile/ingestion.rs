//! Taking in what never came, page by page, recorded before and after.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tollgate_core::Timestamp;

use super::{
    Asked, Finding, Plan, Summary, Types,
    intake::{Handed, Intake},
};
use crate::{
    audit::{Act, Reason},
    aws::Aws,
    dlq::forecast::Clock,
    provider_api::{Client, Item},
};

/// Events that are in the intake now, and those that came meanwhile.
const TAKEN_IN: &str = "taken_in";
const KNOWN: &str = "known";

/// Has missing events taken in.
#[derive(Debug)]
pub struct Ingestion {
    act: Act,
    intake: Intake,
    clock: Clock,
    /// How many ended how.
    handed: BTreeMap<&'static str, u64>,
    /// Those that were not taken in since they were last asked for, and why.
    refused: Vec<(String, String)>,
}

impl Ingestion {
    /// Records that what is missing of the plan's time is taken in. Nothing is yet.
    ///
    /// # Errors
    ///
    /// When it is not known which types count, or AWS does not answer or take the record.
    pub async fn begin(
        aws: &Aws,
        clock: Clock,
        plan: &Plan,
        types: &Types,
        asked_at: &str,
        reason: Reason,
    ) -> anyhow::Result<Self> {
        if let Types::Unknown(why) = types {
            bail!("which events its webhook is sent is not known ({why}): say by --type which to take in");
        }
        let intake = Intake::of(aws).await?;
        let details = json!({ "plan": plan, "asked": asked_at });
        let act = Act::begin(aws, clock(), "reconcile ingest", reason, Vec::new(), details).await?;
        Ok(Self { act, intake, clock, handed: BTreeMap::new(), refused: Vec::new() })
    }

    /// The act of its records.
    pub fn act(&self) -> &str {
        self.act.name()
    }

    /// When that began.
    pub fn began(&self) -> Timestamp {
        self.act.began()
    }

    /// How many ended how.
    pub fn handed(&self) -> &BTreeMap<&'static str, u64> {
        &self.handed
    }

    /// How many are in the intake now.
    pub fn taken_in(&self) -> u64 {
        [TAKEN_IN, KNOWN].iter().filter_map(|name| self.handed.get(name)).sum()
    }

    /// Those that were not taken in since this was last asked, and why.
    pub fn refused(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.refused)
    }

    /// Records which events of a page are missing, and has each of them taken in.
    ///
    /// # Errors
    ///
    /// When the provider, the intake or AWS does not answer.
    pub async fn page(
        &mut self,
        asked: &Asked,
        client: &mut Client,
        page: &[(Finding, Item)],
    ) -> anyhow::Result<()> {
        let missing = page.iter().filter(|(finding, _)| finding.verdict.is_missing());
        let missing: Vec<&Item> = missing.map(|(_, item)| item).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let ids = missing.iter().map(|item| item.id.clone()).collect();
        self.act.part((self.clock)(), ids, Value::Null).await?;
        for item in missing {
            let handed = asked.ingest(client, &self.intake, item, (self.clock)()).await;
            let handed = handed.with_context(|| format!("taking {} in", item.id))?;
            let name = match handed {
                Handed::TakenIn { .. } => TAKEN_IN,
                Handed::Known { .. } => KNOWN,
                Handed::Resent => "resent",
                Handed::Refused { why } => {
                    self.refused.push((item.id.clone(), why));
                    "refused"
                }
            };
            *self.handed.entry(name).or_default() += 1;
        }
        Ok(())
    }

    /// Records what was done, whether it was stopped, and what ended it, where something did.
    ///
    /// # Errors
    ///
    /// When AWS does not take the record.
    pub async fn end(&self, compared: Result<&Summary, &anyhow::Error>) -> anyhow::Result<()> {
        let stopped = compared.is_ok_and(|summary| summary.stopped);
        let problem = compared.err().map(|problem| format!("{problem:#}"));
        let details = json!({ "handed": self.handed, "stopped": stopped, "error": problem });
        self.act.end((self.clock)(), Vec::new(), details).await
    }
}
