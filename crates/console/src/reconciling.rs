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
    aws::Aws,
    provider_api::{Client, Item},
    reconcile::{Asked, Finding, Plan, Summary, Verdict, extra::Listing},
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
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) days: BTreeMap<Date, BTreeMap<Verdict, u64>>,
    pub(crate) kept: Vec<Finding>,
    /// More that are not kept.
    pub(crate) left_out: u64,
    pub(crate) ended: Option<Result<Summary, String>>,
}

impl Run {
    pub(crate) fn new(plan: Plan, provider: String) -> anyhow::Result<Self> {
        let (began, cancel) = (plan.asked_at, guard::random()?);
        let (stop, found) = (AtomicBool::new(false), Mutex::default());
        Ok(Self { plan, provider, began, cancel, stop, found })
    }

    pub(crate) fn found(&self) -> MutexGuard<'_, Found> {
        held(&self.found)
    }

    /// Asks and compares until its end.
    pub(crate) async fn go(&self, aws: &Aws, asked: &Asked, mut client: Client) {
        let compared = async {
            let types = asked.types(&mut client, &self.plan).await?;
            let mut listing = Listing { types, listed: None };
            let each = async |_: &mut Client, page: Vec<(Finding, Item)>| {
                page.into_iter().for_each(|(finding, _)| self.add(finding));
                Ok(())
            };
            asked.compare(aws, &mut client, &self.plan, &mut listing, &self.stop, each).await
        };
        let compared: anyhow::Result<Summary> = compared.await;
        self.found().ended = Some(compared.map_err(|problem| format!("{problem:#}")));
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
