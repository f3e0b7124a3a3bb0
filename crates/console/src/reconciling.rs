//! What a provider is asked from here: it goes on while nobody looks.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::{civil::Date, tz::TimeZone};
use tollgate_core::Timestamp;
use tollgate_operate::{
    audit::Reason,
    aws::Aws,
    dlq::forecast::Clock,
    provider_api::{Client, Item},
    reconcile::{Asked, Finding, Plan, Summary, Verdict, extra::Listing, ingestion::Ingestion},
};

use crate::{
    begun::{Begun, held},
    guard,
};

/// Findings of a run that are kept: those that are present are only counted.
pub(crate) const MOST_KEPT: usize = 1_000;

/// A run that was begun here. It changes nothing, and ends with the console.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) plan: Plan,
    pub(crate) provider: String,
    pub(crate) began: Timestamp,
    /// What a form must have that ends it.
    pub(crate) cancel: String,
    pub(crate) stop: AtomicBool,
    /// What is missing is taken in, for this reason.
    pub(crate) reason: Option<Reason>,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) days: BTreeMap<Date, BTreeMap<Verdict, u64>>,
    pub(crate) kept: Vec<Finding>,
    /// More that are not kept.
    pub(crate) left_out: u64,
    /// Of what was taken in: the act of its records and when it began, how many ended how, and those that were not taken in with why.
    pub(crate) act: Option<(String, Timestamp)>,
    pub(crate) handed: BTreeMap<&'static str, u64>,
    pub(crate) refused: Vec<(String, String)>,
    /// Those of them that are in the intake now.
    pub(crate) taken_in: u64,
    pub(crate) ended: Option<Result<Summary, String>>,
}

impl Run {
    pub(crate) fn new(plan: Plan, provider: String, reason: Option<Reason>) -> anyhow::Result<Self> {
        let (began, cancel) = (plan.asked_at, guard::random()?);
        let (stop, found) = (AtomicBool::new(false), Mutex::default());
        Ok(Self { plan, provider, began, cancel, stop, reason, found })
    }

    pub(crate) fn found(&self) -> MutexGuard<'_, Found> {
        held(&self.found)
    }

    /// Asks and compares until its end, and has taken in what is missing where that is wanted.
    pub(crate) async fn go(&self, aws: &Aws, clock: Clock, asked: &Asked, mut client: Client) {
        let compared = self.compare(aws, clock, asked, &mut client).await;
        self.found().ended = Some(compared.map_err(|problem| format!("{problem:#}")));
    }

    async fn compare(
        &self,
        aws: &Aws,
        clock: Clock,
        asked: &Asked,
        client: &mut Client,
    ) -> anyhow::Result<Summary> {
        let types = asked.types(client, &self.plan).await?;
        let mut ingestion = match self.reason.clone() {
            Some(reason) => {
                let base = client.base().to_owned();
                Some(Ingestion::begin(aws, clock, &self.plan, &types, &base, reason).await?)
            }
            None => None,
        };
        let act = |ingestion: &Ingestion| (ingestion.act().to_owned(), ingestion.began());
        self.found().act = ingestion.as_ref().map(act);
        let mut listing = Listing { types, listed: None };
        let each = async |client: &mut Client, page: Vec<(Finding, Item)>| {
            if let Some(ingestion) = &mut ingestion {
                let done = ingestion.page(asked, client, &page).await;
                let mut found = self.found();
                found.handed.clone_from(ingestion.handed());
                found.taken_in = ingestion.taken_in();
                found.refused.extend(ingestion.refused());
                found.refused.truncate(MOST_KEPT);
                done?;
            }
            page.into_iter().for_each(|(finding, _)| self.add(finding));
            Ok(())
        };
        let compared = asked.compare(aws, client, &self.plan, &mut listing, &self.stop, each).await;
        if let Some(ingestion) = &ingestion {
            ingestion.end(compared.as_ref()).await?;
        }
        compared
    }

    fn add(&self, finding: Finding) {
        let mut found = self.found();
        let day = finding.at.to_zoned(TimeZone::UTC).date();
        *found.days.entry(day).or_default().entry(finding.verdict).or_default() += 1;
        if finding.verdict == Verdict::Present {
            return;
        }
        if found.kept.len() < MOST_KEPT {
            found.kept.push(finding);
        } else {
            found.left_out += 1;
        }
    }
}

impl Begun for Run {
    fn is_under_way(&self) -> bool {
        self.found().ended.is_none()
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
