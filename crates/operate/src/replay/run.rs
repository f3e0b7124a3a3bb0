//! A run: webhooks are sent part by part, and after each it is noted how far it has come.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{sync::Mutex, time::MissedTickBehavior};
use tollgate_archive::read::ArchivedRow;
use tollgate_core::{Timestamp, WebhookId};

use super::{
    onward::Onward,
    webhook::{REFUSED, Webhook},
};
use crate::{
    archived::Archive,
    audit::Act,
    aws::Aws,
    known::Known,
    search::Query,
    walk::{Walk, second},
};

/// Webhooks a second, at most.
pub const FASTEST: u32 = 1_000;
/// Webhooks that are sent before it is noted how far it has come, at most.
const TOGETHER: usize = 200;
/// How long their sending takes at the run's rate, at most, in seconds: whoever stops it waits for so long.
const TOGETHER_SECONDS: u32 = 10;
/// Webhooks that are sent at once; those of one payment one after the other.
const LANES: u64 = 8;
/// Webhooks that are known to be sent: of one that has several rows, or that is archived twice, one is enough.
const KNOWN: usize = 100_000;
/// Refusals that are told in full.
const TOLD: usize = 20;

/// How far a run has come, and what came of it so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// What is worked on. What is before it is done.
    pub at: Option<At>,
    /// Objects that are done.
    pub objects: u64,
    /// Webhooks by endpoint and by what became of them.
    pub counts: BTreeMap<String, BTreeMap<String, u64>>,
    /// The first that were refused, and why.
    pub told: Vec<(String, String)>,
    /// What the destination has noted, as the length of a file.
    pub noted: u64,
}

/// The objects that begin in one second, whose rows are read as one, and how many of these are done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct At {
    /// Their keys, in order.
    pub objects: Vec<String>,
    /// Rows that are done, of those of all of them in the order of arrival.
    pub rows: usize,
}

impl At {
    /// How many rows of some objects that begin in one second are done; `None` where all are. An object that was archived meanwhile has
    /// rows between those of before, so that their number says nothing: they are sent from the first on, and what was sent has no
    /// effect again.
    fn done(this: Option<&Self>, objects: &[String]) -> Option<usize> {
        let first = |objects: &[String]| objects.first().map(|key| second(key).to_owned());
        match this {
            Some(at) if first(objects) < first(&at.objects) => None,
            Some(at) if at.objects == objects => Some(at.rows),
            _ => Some(0),
        }
    }
}

impl Progress {
    /// How many webhooks ended so, at all endpoints.
    pub fn of(&self, outcome: &str) -> u64 {
        self.counts.values().filter_map(|of| of.get(outcome)).sum()
    }

    /// How many were to be sent and were not.
    pub fn failed(&self) -> u64 {
        let failures = |of: &BTreeMap<String, u64>| -> u64 {
            of.iter().filter(|(outcome, _)| outcome.starts_with(REFUSED)).map(|(_, count)| count).sum()
        };
        self.counts.values().map(failures).sum()
    }

    fn add(&mut self, endpoint: &str, outcome: String, webhook_id: &str) {
        if outcome.starts_with(REFUSED) && self.told.len() < TOLD {
            self.told.push((webhook_id.to_owned(), outcome.clone()));
        }
        *self.counts.entry(endpoint.to_owned()).or_default().entry(outcome).or_default() += 1;
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// How far it came.
    pub progress: Progress,
    /// Whether it was stopped.
    pub stopped: bool,
    /// Why it ended before its end.
    pub error: Option<anyhow::Error>,
}

/// How many objects of the archive may have webhooks of the query, and their bytes.
///
/// # Errors
///
/// When AWS does not answer.
pub async fn extent(aws: &Aws, query: &Query) -> anyhow::Result<(u64, u64)> {
    let walk = Walk { archive: Archive::of(aws).await?, query };
    let (mut number, mut bytes) = (0, 0);
    for day in walk.days() {
        for object in walk.objects(&day).await? {
            number += 1;
            bytes += object.length;
        }
    }
    Ok((number, bytes))
}

/// A run: what is sent, where from, and where to.
#[derive(Debug)]
pub struct Run<'a, O> {
    /// Whose archive is read.
    pub source: &'a Aws,
    /// Which webhooks.
    pub query: &'a Query,
    /// Where they go.
    pub onward: O,
    /// Webhooks a second, at most; from 1 to [`FASTEST`].
    pub rate: u32,
    /// It ends once this says so.
    pub stop: &'a AtomicBool,
    /// The act, where something is done: before each part, its record has the ids of the part.
    pub acts: Vec<&'a mut Act>,
    /// The time of day.
    pub clock: fn() -> Timestamp,
}

impl<O: Onward> Run<'_, O> {
    /// Sends them, in the order of the archive's objects and in each in the order of arrival. `note` is told how far it has come,
    /// after each part: what it was told last is where another run goes on.
    pub async fn go(
        &mut self,
        mut progress: Progress,
        mut note: impl FnMut(&Progress) -> anyhow::Result<()>,
    ) -> Ended {
        let done = self.objects(&mut progress, &mut note).await;
        Ended { progress, stopped: self.stop.load(Ordering::Relaxed), error: done.err() }
    }

    async fn objects(
        &mut self,
        progress: &mut Progress,
        note: &mut impl FnMut(&Progress) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let query = self.query;
        let walk = Walk { archive: Archive::of(self.source).await?, query };
        let mut pace = tokio::time::interval(Duration::from_secs(1) / self.rate.clamp(1, FASTEST));
        // What took longer is not made up for.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let pace = Mutex::new(pace);
        let together = together(self.rate);
        let mut known = Known::new(KNOWN);
        for day in walk.days() {
            let objects = walk.objects(&day).await?;
            // Their names say the second of their first rows. Those of one second are read as one: which is first is not said.
            for objects in objects.chunk_by(|one, other| second(&one.key) == second(&other.key)) {
                let keys: Vec<String> = objects.iter().map(|object| object.key.clone()).collect();
                let Some(mut at) = At::done(progress.at.as_ref(), &keys) else { continue };
                let rows = walk.rows(objects).await?;
                progress.at = Some(At { objects: keys.clone(), rows: at });
                while at < rows.len() {
                    if self.stop.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    let part = rows.get(at..rows.len().min(at + together)).unwrap_or_default();
                    at += part.len();
                    let about = || keys.first().cloned().unwrap_or_default();
                    self.part(part, &mut known, &pace, progress).await.with_context(about)?;
                    progress.at = Some(At { objects: keys.clone(), rows: at });
                    note(progress)?;
                }
                progress.objects += objects.len() as u64;
                note(progress)?;
            }
        }
        Ok(())
    }

    /// Sends some rows, those of one payment one after the other, and notes what came of each.
    async fn part(
        &mut self,
        rows: &[ArchivedRow],
        known: &mut Known<WebhookId>,
        pace: &Mutex<tokio::time::Interval>,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        let mut counted = progress.clone();
        let mut lanes: BTreeMap<u64, Vec<Webhook>> = BTreeMap::new();
        let mut ids = Vec::new();
        for row in rows {
            match Webhook::of(row) {
                Ok(webhook) if known.is_new(*webhook.id()) => {
                    ids.push(row.webhook_id.clone());
                    lanes.entry(lane(row)).or_default().push(webhook);
                }
                Ok(_) => {}
                Err(why) => {
                    let endpoint = if row.endpoint.is_empty() { "-" } else { &row.endpoint };
                    counted.add(endpoint, why.to_string(), &row.webhook_id);
                }
            }
        }
        if ids.is_empty() {
            *progress = counted;
            return Ok(());
        }
        for act in &mut self.acts {
            act.part((self.clock)(), ids.clone(), json!({})).await?;
        }
        let onward = &self.onward;
        let lanes = lanes.into_values().map(|webhooks| async move {
            let mut outcomes = Vec::with_capacity(webhooks.len());
            for webhook in webhooks {
                pace.lock().await.tick().await;
                let outcome = onward.send(&webhook).await;
                let outcome = outcome.with_context(|| format!("sending {}", webhook.id()))?;
                outcomes.push((webhook.endpoint().to_owned(), outcome, webhook.id().to_string()));
            }
            Ok::<_, anyhow::Error>(outcomes)
        });
        let outcomes: Vec<Vec<_>> =
            stream::iter(lanes).buffer_unordered(LANES as usize).try_collect().await?;
        for (endpoint, outcome, id) in outcomes.into_iter().flatten() {
            counted.add(&endpoint, outcome, &id);
        }
        counted.noted = self.onward.noted().await?;
        *progress = counted;
        Ok(())
    }
}

/// How many are sent before it is noted.
fn together(rate: u32) -> usize {
    let most = rate.clamp(1, FASTEST).saturating_mul(TOGETHER_SECONDS);
    usize::try_from(most).unwrap_or(TOGETHER).min(TOGETHER)
}

/// Those of one payment are in one lane, as far as the archive says of which they are.
fn lane(row: &ArchivedRow) -> u64 {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        transaction_id: std::borrow::Cow<'a, str>,
    }
    let first = row.events.first().and_then(|json| serde_json::from_str::<Event<'_>>(json).ok());
    let payment = first.as_ref().map_or(row.webhook_id.as_str(), |event| &event.transaction_id);
    let mut hasher = DefaultHasher::new();
    (&row.endpoint, payment).hash(&mut hasher);
    hasher.finish() % LANES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_stops_a_run_waits_for_ten_seconds() {
        for (rate, count) in [(1, 10), (5, 50), (50, 200), (1_000, 200), (0, 10)] {
            assert_eq!(together(rate), count, "{rate} a second");
        }
    }

    #[test]
    fn a_second_is_begun_again_where_its_objects_are_others() {
        let of = |keys: &[&str]| -> Vec<String> {
            keys.iter().map(|key| format!("webhooks/date=2026-01-{key}.parquet")).collect()
        };
        let at = At { objects: of(&["02/030405-b", "02/030405-d"]), rows: 7 };
        for (objects, done) in [
            (["01/235959-a"].as_slice(), None),
            (&["02/030404-z"], None),
            (&["02/030405-b", "02/030405-d"], Some(7)),
            // One was archived meanwhile: before them, between them, after them.
            (&["02/030405-a", "02/030405-b", "02/030405-d"], Some(0)),
            (&["02/030405-b", "02/030405-c", "02/030405-d"], Some(0)),
            (&["02/030405-b", "02/030405-d", "02/030405-e"], Some(0)),
            (&["02/030405-b"], Some(0)),
            (&["02/030406-a"], Some(0)),
            (&["03/000000-a"], Some(0)),
        ] {
            assert_eq!(At::done(Some(&at), &of(objects)), done, "{objects:?}");
        }
        assert_eq!(At::done(None, &of(&["01/000000-a"])), Some(0));
    }
}
