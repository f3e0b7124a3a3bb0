//! Dead letters and quarantined messages that are of what is looked for.

use std::collections::BTreeSet;

use anyhow::Context;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as System};
use tollgate_core::{EndpointId, EventId, LedgerKey, Queue, Timestamp, WebhookId};
use tollgate_pipeline::intake::{QueuedMessage, Seal, attribute};

use crate::{
    aws::Aws,
    dead_letters::DeadLetters,
    queues::{self, Depth},
};

/// The most dead letters of a queue that are looked at.
const MOST: usize = 1_000;
/// How long dead-letter queues keep a message (docs/SEMANTICS.md §4.4).
const KEPT_SECONDS: i64 = 14 * 24 * 60 * 60;

/// What letters are looked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) webhooks: BTreeSet<WebhookId>,
    pub(super) keys: BTreeSet<LedgerKey>,
    pub(super) events: BTreeSet<EventId>,
}

/// A dead letter.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    /// The dead-letter queue's whole name.
    pub(super) queue: String,
    /// Whose dead letters it has; none of the bus's and the workflow's.
    pub(super) of: Option<Queue>,
    /// Why it was set aside, or what EventBridge says.
    pub(super) reason: Option<String>,
    /// When it was sent there. One that SQS moved from a standard queue keeps the time of its first send.
    pub(super) sent_at: Timestamp,
    /// When SQS deletes it.
    pub(super) kept_until: Timestamp,
    /// Of an intake: the message.
    pub(super) intake: Option<Intake>,
    /// Of the others: the events of those asked for that are in it.
    pub(super) events: Vec<EventId>,
    /// Of the archive's: the webhooks of those asked for that are in it.
    pub(super) webhooks: Vec<WebhookId>,
}

/// An intake message, without its body.
#[derive(Debug, Clone)]
pub(super) struct Intake {
    pub(super) webhook_id: WebhookId,
    pub(super) endpoint: EndpointId,
    pub(super) seal: Seal,
    /// The events that it claims to be of.
    pub(super) claimed: Vec<LedgerKey>,
    /// Those that were claimed with other payment facts.
    pub(super) conflicts: Vec<EventId>,
}

/// The letters that are of what is asked, and what was not looked at.
#[derive(Debug, Default)]
pub(super) struct Letters {
    pub(super) found: Vec<Letter>,
    pub(super) notes: Vec<String>,
}

/// The dead-letter queues, each with the queue whose it is.
fn sources(aws: &Aws) -> Vec<(String, Option<Queue>)> {
    let of_queues = Queue::ALL.iter().map(|&queue| (aws.names.dead_letters(queue), Some(queue)));
    of_queues
        .chain([(aws.names.eventbridge_dead_letters(), None), (aws.names.workflow_dead_letters(), None)])
        .collect()
}

/// Looks through the dead-letter queues that have any. Each letter is received and given back: others do not see it meanwhile.
pub(super) async fn look(aws: &Aws, depths: &[Depth], asked: &Asked) -> anyhow::Result<Letters> {
    let mut letters = Letters::default();
    let sqs = aws_sdk_sqs::Client::new(&aws.config);
    for (name, of) in sources(aws) {
        if !depths.iter().any(|depth| depth.name == name && depth.visible > 0) {
            continue;
        }
        let url = queues::url(&sqs, &name).await?;
        let (mut open, mut seen) = (DeadLetters::new(&sqs, &url), 0_usize);
        let mut all = Ok(());
        while seen < MOST {
            match open.receive(u64::MAX).await {
                // None, or those that were seen already and are visible again.
                Ok(batch) if batch.fresh.is_empty() => break,
                Ok(batch) => {
                    seen += batch.fresh.len();
                    let fresh = batch.fresh.iter().filter_map(|(_, message)| read(&name, of, message, asked));
                    letters.found.extend(fresh);
                }
                Err(problem) => {
                    all = Err(problem);
                    break;
                }
            }
        }
        let given_back = open.give_back().await;
        all.and(given_back).with_context(|| format!("looking through {name}"))?;
        if seen >= MOST {
            letters.notes.push(format!("of {name}, {seen} dead letters were looked at; there may be more"));
        }
    }
    Ok(letters)
}

fn read(queue: &str, of: Option<Queue>, message: &Message, asked: &Asked) -> Option<Letter> {
    let body = message.body()?;
    let attributes: Vec<(&str, &str)> = message
        .message_attributes()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.as_str(), value.string_value()?)))
        .collect();
    let text = |name: &str| {
        let found = attributes.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| (*text).to_owned())
    };
    let sent = message.attributes().and_then(|all| all.get(&System::SentTimestamp));
    let sent_at = Timestamp::from_millisecond(sent?.parse().ok()?).ok()?;
    let kept_until = Timestamp::from_second(sent_at.as_second() + KEPT_SECONDS).ok()?;
    let intake = match of {
        Some(Queue::Intake | Queue::IntakeOrdered) => Some(intake(body, &attributes, asked)?),
        _ => None,
    };
    // The events are in these as JSON, whatever is around them.
    let is_other = intake.is_none();
    let in_body = |id: &str| is_other && body.contains(id);
    let events: Vec<EventId> = asked.events.iter().filter(|id| in_body(id.as_str())).copied().collect();
    let webhooks: Vec<WebhookId> = match of {
        Some(Queue::Archive) => asked.webhooks.iter().filter(|id| in_body(id.as_str())).copied().collect(),
        _ => Vec::new(),
    };
    if intake.is_none() && events.is_empty() && webhooks.is_empty() {
        return None;
    }
    let reason = text(attribute::REASON).or_else(|| text("ERROR_CODE"));
    Some(Letter { queue: queue.to_owned(), of, reason, sent_at, kept_until, intake, events, webhooks })
}

fn intake(body: &str, attributes: &[(&str, &str)], asked: &Asked) -> Option<Intake> {
    let queued = QueuedMessage::read(body, attributes).ok()?;
    let ids = queued.notes.claimed.split('\n').filter(|id| !id.is_empty());
    let claimed: Vec<LedgerKey> = ids.map(|id| LedgerKey::new(&queued.endpoint, id)).collect();
    let is_asked =
        asked.webhooks.contains(&queued.webhook_id) || claimed.iter().any(|key| asked.keys.contains(key));
    is_asked.then(|| Intake {
        webhook_id: queued.webhook_id,
        endpoint: queued.endpoint,
        seal: queued.seal(),
        claimed,
        conflicts: queued.notes.conflicts.clone(),
    })
}
