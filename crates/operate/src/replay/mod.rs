//! Webhooks of the archive, sent again: to an environment's validator, which takes each in as it took it in first, or to a file or
//! an address. The archive is read object by object, and what is done is known by the object and the row, so that a run that was
//! stopped goes on there. What is sent twice has no effect twice.

mod onward;
mod shadow;
mod webhook;

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{ToSpan, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{sync::Mutex, time::MissedTickBehavior};
use tollgate_archive::read::ArchivedRow;
use tollgate_core::{Timestamp, WebhookId};

pub use self::{
    onward::{Genuine, Lines, Onward, Validator},
    shadow::{Difference, Shadow, shadow},
    webhook::{Unusable, Webhook},
};
use crate::{
    archived::{Archive, Object},
    audit::Act,
    aws::Aws,
    search::Query,
};

/// Webhooks a second, at most.
pub const FASTEST: u32 = 1_000;
/// Webhooks that are sent before it is noted how far it has come.
const TOGETHER: usize = 200;
/// Webhooks that are sent at once; those of one payment one after the other.
const LANES: u64 = 8;
/// Webhooks that are known to be sent: of one that has several rows, or that is archived twice, one is enough.
const KNOWN: usize = 100_000;
/// Refusals that are told in full.
const TOLD: usize = 20;
/// Objects of one listing.
const LISTED: usize = 1_000_000;

/// How far a run has come, and what came of it so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The object that is worked on, and how many of its rows are done. Those before it are done.
    pub at: Option<(String, usize)>,
    /// Objects that are done.
    pub objects: u64,
    /// Webhooks by endpoint and by what became of them.
    pub counts: BTreeMap<String, BTreeMap<String, u64>>,
    /// The first that were refused or left out, and why.
    pub told: Vec<(String, String)>,
    /// What the destination has noted, as the length of a file.
    pub noted: u64,
}

impl Progress {
    /// How many webhooks ended so, at all endpoints.
    pub fn of(&self, outcome: &str) -> u64 {
        self.counts.values().filter_map(|of| of.get(outcome)).sum()
    }

    /// How many were to be sent and were not.
    pub fn failed(&self) -> u64 {
        let is_failure = |outcome: &&String| outcome.starts_with(REFUSED) || outcome.starts_with(LEFT_OUT);
        let failures = |of: &BTreeMap<String, u64>| -> u64 {
            of.iter().filter(|(outcome, _)| is_failure(outcome)).map(|(_, count)| count).sum()
        };
        self.counts.values().map(failures).sum()
    }

    fn add(&mut self, endpoint: &str, outcome: String, webhook_id: &str) {
        if (outcome.starts_with(REFUSED) || outcome.starts_with(LEFT_OUT)) && self.told.len() < TOLD {
            self.told.push((webhook_id.to_owned(), outcome.clone()));
        }
        *self.counts.entry(endpoint.to_owned()).or_default().entry(outcome).or_default() += 1;
    }
}

/// What an outcome begins with where a webhook was refused; its reason follows.
pub const REFUSED: &str = "refused: ";
/// What an outcome begins with where a row is no webhook that can be sent.
pub const LEFT_OUT: &str = "left out: ";

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
        let mut known = Known::default();
        for day in walk.days() {
            for object in walk.objects(&day).await? {
                let done = match &progress.at {
                    Some((key, _)) if object.key < *key => continue,
                    Some((key, rows)) if object.key == *key => *rows,
                    _ => 0,
                };
                let key = object.key.clone();
                let rows = walk.rows(object).await?;
                let mut at = done;
                progress.at = Some((key.clone(), at));
                while at < rows.len() {
                    if self.stop.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    let part = rows.get(at..rows.len().min(at + TOGETHER)).unwrap_or_default();
                    at += part.len();
                    self.part(part, &mut known, &pace, progress).await.with_context(|| key.clone())?;
                    progress.at = Some((key.clone(), at));
                    note(progress)?;
                }
                progress.objects += 1;
                note(progress)?;
            }
        }
        Ok(())
    }

    /// Sends some rows, those of one payment one after the other, and notes what came of each.
    async fn part(
        &mut self,
        rows: &[ArchivedRow],
        known: &mut Known,
        pace: &Mutex<tokio::time::Interval>,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        let mut counted = progress.clone();
        let mut lanes: BTreeMap<u64, Vec<Webhook>> = BTreeMap::new();
        let mut ids = Vec::new();
        for row in rows {
            match Webhook::of(row) {
                Ok(webhook) if known.is_new(webhook.id()) => {
                    ids.push(row.webhook_id.clone());
                    lanes.entry(lane(row)).or_default().push(webhook);
                }
                Ok(_) => {}
                Err(why) => {
                    let endpoint = if row.endpoint.is_empty() { "-" } else { &row.endpoint };
                    counted.add(endpoint, format!("{LEFT_OUT}{why}"), &row.webhook_id);
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

/// Where the archive has a query's webhooks.
struct Walk<'a> {
    archive: Archive,
    query: &'a Query,
}

impl Walk<'_> {
    /// The folders of the days.
    fn days(&self) -> Vec<String> {
        self.query.days().iter().map(|day| format!("webhooks/date={day}/")).collect()
    }

    /// The objects of a day that begin before the query's end, in the order of their keys.
    async fn objects(&self, day: &str) -> anyhow::Result<Vec<Object>> {
        let mut found = crate::archived::Findings::default();
        let mut objects = self.archive.objects(day, LISTED, &mut found).await?;
        ensure!(found.notes.is_empty(), "{}", found.notes.join("; "));
        ensure!(objects.len() < LISTED, "{day} has more objects than are listed");
        let last = self.query.to().saturating_sub(1.nanosecond()).unwrap_or(self.query.to());
        let last = last.to_zoned(TimeZone::UTC);
        let end = format!("webhooks/date={}/{}-~", last.date(), last.strftime("%H%M%S"));
        objects.retain(|object| object.key < end);
        Ok(objects)
    }

    async fn rows(&self, object: Object) -> anyhow::Result<Vec<ArchivedRow>> {
        let mut rows = self.archive.of_object(object, self.query.from(), self.query.to()).await?;
        rows.retain(|row| self.query.finds(row));
        Ok(rows)
    }
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

/// The webhooks that were sent last.
#[derive(Debug, Default)]
struct Known {
    ids: HashSet<WebhookId>,
    in_order: VecDeque<WebhookId>,
}

impl Known {
    fn is_new(&mut self, id: &WebhookId) -> bool {
        let is_new = self.ids.insert(*id);
        if is_new {
            self.in_order.push_back(*id);
            if self.in_order.len() > KNOWN
                && let Some(oldest) = self.in_order.pop_front()
            {
                self.ids.remove(&oldest);
            }
        }
        is_new
    }
}
