//! Deleting dead letters: what nobody will send back.
//!
//! Nothing that was accepted may vanish. So a webhook's message, and rows for the archive, are deleted only where the archive
//! has the webhook. What else is deleted (an event that a consumer never took, an invocation that failed) is kept elsewhere: in
//! the archive, the transactions and the archive of the bus.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use aws_sdk_sqs::Client;
use serde::Serialize;
use serde_json::json;
use tollgate_core::{Queue, WebhookId};
use tollgate_pipeline::{archive::Line, archive::unpack, intake::attribute};

use super::{Dead, Filter, Letter, NOTHING_NEW, Opened, Source, forecast::Clock, redrive::named};
use crate::{archived::Archive, audit::Act, aws::Aws, dead_letters::DeadLetters};

/// Messages that one record names before they are deleted.
const TOGETHER: usize = 100;

/// What is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Which.
    pub filter: Filter,
    /// So many of each queue are looked at, at most.
    pub most: u64,
}

/// A dead letter that is not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Which.
    #[serde(flatten)]
    pub letter: Letter,
    /// Why.
    pub why: String,
}

/// What was deleted, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// So many that are deleted, or would be.
    pub count: u64,
    /// Those that the filter wants and that stay; the first thousand of them.
    pub kept: Vec<Kept>,
    /// It was stopped: what was not deleted is where it was.
    pub stopped: bool,
    /// Why it ended before its end.
    pub error: Option<String>,
}

/// The most that [`Purged::kept`] names.
const MOST_KEPT: usize = 1_000;

/// Deletes dead letters, or only says which would be where there is no `act`. Before a part of them is deleted, a record has
/// their ids and the SHA-256 of their bodies. `tell` is told of each that the filter wants and that goes.
pub async fn purge(
    aws: &Aws,
    clock: Clock,
    plan: &Plan,
    mut act: Option<&mut Act>,
    stop: &AtomicBool,
    mut tell: impl FnMut(&Letter),
) -> Purged {
    let mut purged = Purged::default();
    for source in plan.filter.sources() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let done = queue(aws, clock, plan, &mut act, stop, source, &mut purged, &mut tell).await;
        if let Err(problem) = done {
            purged.error = Some(format!("{problem:#}"));
            break;
        }
    }
    purged.stopped = stop.load(Ordering::Relaxed);
    purged
}

#[expect(clippy::too_many_arguments, reason = "one call of one place")]
async fn queue(
    aws: &Aws,
    clock: Clock,
    plan: &Plan,
    act: &mut Option<&mut Act>,
    stop: &AtomicBool,
    source: Source,
    purged: &mut Purged,
    tell: &mut impl FnMut(&Letter),
) -> anyhow::Result<()> {
    let sqs = Client::new(&aws.config);
    let opened = Opened::of(aws, &sqs, source).await?;
    let archive = Archive::of(aws).await?;
    let mut letters = DeadLetters::new(&sqs, &opened.url);
    let looked = async {
        let (mut count, mut nothing_new) = (0, 0);
        let mut chosen: Vec<Letter> = Vec::new();
        loop {
            let batch = letters.receive(plan.most - count).await?;
            nothing_new = if batch.fresh.is_empty() { nothing_new + 1 } else { 0 };
            let is_last = (batch.fresh.is_empty() && batch.again == 0)
                || nothing_new >= NOTHING_NEW
                || stop.load(Ordering::Relaxed);
            for (id, message) in batch.fresh {
                count += 1;
                let dead = Dead { id, message };
                let letter = dead.letter(&opened)?;
                if !plan.filter.wants(&letter) {
                    continue;
                }
                match kept(&archive, source, &dead).await? {
                    None => chosen.push(letter),
                    Some(why) if purged.kept.len() < MOST_KEPT => purged.kept.push(Kept { letter, why }),
                    Some(_) => {}
                }
            }
            let is_done = is_last || count >= plan.most;
            if chosen.len() >= TOGETHER || (is_done && !chosen.is_empty()) {
                let all = std::mem::take(&mut chosen);
                if let Some(act) = act.as_deref_mut() {
                    let ids = all.iter().flat_map(named).collect();
                    let each = |letter: &Letter| json!({ "message_id": letter.message_id, "ids": letter.ids, "body_sha256": letter.body_sha256 });
                    let details =
                        json!({ "queue": opened.name, "messages": all.iter().map(each).collect::<Vec<_>>() });
                    act.part(clock(), ids, details).await?;
                }
                for letter in all {
                    if stop.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    if act.is_some() {
                        letters.delete(&letter.message_id).await?;
                    }
                    purged.count += 1;
                    tell(&letter);
                }
            }
            if is_done {
                return Ok(());
            }
        }
    };
    let looked: anyhow::Result<()> = looked.await;
    let given_back = letters.give_back().await;
    looked.and(given_back).with_context(|| format!("purging {}", opened.name))
}

/// Why a dead letter is not deleted.
async fn kept(archive: &Archive, source: Source, dead: &Dead) -> anyhow::Result<Option<String>> {
    let webhooks = match source {
        Source::Of(Queue::Intake | Queue::IntakeOrdered) => {
            let id = dead.attribute(attribute::WEBHOOK_ID).and_then(WebhookId::parse);
            // What the processor could not read: it has the archive keep it before it sets it aside with a reason.
            if id.is_none() && dead.attribute(attribute::REASON).is_some() {
                return Ok(None);
            }
            vec![id]
        }
        Source::Of(Queue::Archive) => {
            let id = |line| match line {
                Ok(Line::Webhook(row)) => Some(row.webhook_id),
                Ok(Line::Unread(_)) | Err(_) => None,
            };
            unpack(dead.body()).map(|(_, line)| id(line)).collect()
        }
        Source::Of(_) | Source::EventBridge | Source::Workflow | Source::Functions => return Ok(None),
    };
    for id in webhooks {
        let Some(id) = id else {
            return Ok(Some("it names no webhook that could be looked for in the archive".to_owned()));
        };
        if archive.of_webhook(&id).await.context("looking into the archive")?.rows.is_empty() {
            return Ok(Some(format!("{id} is not in the archive")));
        }
    }
    Ok(None)
}
