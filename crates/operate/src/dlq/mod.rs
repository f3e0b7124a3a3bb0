//! Dead letters: what waits in each of the platform's dead-letter queues, what would become of it, and sending it back or
//! deleting it.

pub mod forecast;
pub mod letter;
pub mod outlook;
pub mod purge;
pub mod redrive;
pub mod routes;
mod sorting;
pub mod source;

use std::collections::BTreeMap;

use anyhow::Context;
use aws_sdk_sqs::Client;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tollgate_core::Timestamp;

use crate::{
    aws::Aws,
    dead_letters::DeadLetters,
    queues::{self, Depth},
};

pub use self::{
    letter::{Alike, Dead, Filter, Letter},
    source::{Opened, Source},
};

/// The most dead letters of a queue that are looked at, where nothing else is said. SQS has 120,000 messages of a queue in
/// flight at most ("Amazon SQS message quotas").
pub const MOST: u64 = 10_000;
/// Queues that are looked through at once.
const AT_ONCE: usize = 4;
/// Receives after each other that bring nothing but what was seen before.
const NOTHING_NEW: u32 = 3;

/// How many dead letters are alike, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// What they have in common.
    #[serde(flatten)]
    pub alike: Alike,
    /// How many.
    pub count: u64,
    /// When the first one was sent.
    pub first: Timestamp,
    /// When the last one was sent.
    pub last: Timestamp,
    /// When SQS deletes the first one of them, at the earliest.
    pub expires_at: Timestamp,
}

/// What waits in the queues.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// By what they have in common.
    pub groups: Vec<Group>,
    /// Queues in which there is more than was looked at, or than SQS hands out.
    pub cut: Vec<String>,
}

/// The dead letters that the filter wants, grouped. They are looked at and given back: for as long as that takes, nobody else
/// receives them. Of a FIFO group those that come first are seen, ten at most, since SQS hands out no more of it.
///
/// # Errors
///
/// When AWS does not answer.
pub async fn waiting(aws: &Aws, filter: &Filter, most: u64) -> anyhow::Result<Waiting> {
    let sqs = Client::new(&aws.config);
    let of_queues = stream::iter(filter.sources()).map(|source| {
        let sqs = &sqs;
        async move {
            let opened = Opened::of(aws, sqs, source).await?;
            let mut groups = BTreeMap::new();
            let is_cut = look(sqs, &opened, most, |dead| {
                let letter = dead.letter(&opened)?;
                if filter.wants(&letter) {
                    add(&mut groups, &letter);
                }
                Ok(true)
            })
            .await?;
            anyhow::Ok((groups, is_cut.then_some(opened.name)))
        }
    });
    let found: Vec<(BTreeMap<Alike, Group>, Option<String>)> =
        of_queues.buffered(AT_ONCE).try_collect().await?;
    let mut waiting = Waiting::default();
    for (groups, cut) in found {
        waiting.groups.extend(groups.into_values());
        waiting.cut.extend(cut);
    }
    Ok(waiting)
}

/// How many dead letters of the filter's queues somebody else is looking at, approximately: until they are given back nobody sees them.
///
/// # Errors
///
/// When AWS does not answer.
pub async fn hidden(aws: &Aws, filter: &Filter) -> anyhow::Result<u64> {
    let sqs = Client::new(&aws.config);
    let names = stream::iter(filter.sources()).map(|source| queues::depth(&sqs, source.name(aws), true));
    let depths: Vec<Depth> = names.buffered(AT_ONCE).try_collect().await?;
    Ok(depths.iter().map(|depth| depth.in_flight).sum())
}

/// Looks through one queue and gives everything back. `each` says whether to go on. Whether there was more.
///
/// # Errors
///
/// When AWS does not answer, or `each` fails.
pub async fn look(
    sqs: &Client,
    opened: &Opened,
    most: u64,
    mut each: impl FnMut(&Dead) -> anyhow::Result<bool>,
) -> anyhow::Result<bool> {
    let mut letters = DeadLetters::new(sqs, &opened.url);
    let looked = async {
        let (mut count, mut nothing_new) = (0, 0);
        while count < most && nothing_new < NOTHING_NEW {
            let batch = letters.receive(most - count).await?;
            if batch.fresh.is_empty() && batch.again == 0 {
                break;
            }
            nothing_new = if batch.fresh.is_empty() { nothing_new + 1 } else { 0 };
            for (id, message) in batch.fresh {
                count += 1;
                if !each(&Dead { id, message })? {
                    return Ok(false);
                }
            }
        }
        Ok(opened.has_more(count, most))
    };
    let looked: anyhow::Result<bool> = looked.await;
    let given_back = letters.give_back().await;
    let is_cut = looked.with_context(|| format!("looking through {}", opened.name))?;
    given_back.with_context(|| format!("looking through {}", opened.name))?;
    Ok(is_cut)
}

/// Counts a dead letter.
pub(crate) fn add(groups: &mut BTreeMap<Alike, Group>, letter: &Letter) {
    let group = groups.entry(letter.alike.clone()).or_insert_with(|| Group {
        alike: letter.alike.clone(),
        count: 0,
        first: letter.sent_at,
        last: letter.sent_at,
        expires_at: letter.expires_at,
    });
    group.count += 1;
    group.first = group.first.min(letter.sent_at);
    group.last = group.last.max(letter.sent_at);
    group.expires_at = group.expires_at.min(letter.expires_at);
}
