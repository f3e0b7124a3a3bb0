//! Dead letters and quarantined messages that are of what is looked for.

use std::collections::BTreeSet;

use tollgate_core::{EndpointId, EventId, LedgerKey, Queue, Timestamp, WebhookId};
use tollgate_pipeline::intake::{QueuedMessage, Seal};

use crate::{
    aws::Aws,
    dlq::{self, Dead, Opened, Source, letter::UNREAD},
    queues::Depth,
};

/// The most dead letters of a queue that are looked at.
const MOST: u64 = 1_000;

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
    /// Which one it is.
    pub(super) source: Source,
    /// Why it was set aside, or what EventBridge says.
    pub(super) reason: Option<String>,
    /// When it was sent there. One that SQS moved from a standard queue keeps the time of its first send.
    pub(super) sent_at: Timestamp,
    /// When SQS deletes it, at the earliest.
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

/// Looks through the dead-letter queues that have any. Each letter is received and given back: others do not see it meanwhile.
pub(super) async fn look(aws: &Aws, depths: &[Depth], asked: &Asked) -> anyhow::Result<Letters> {
    let mut letters = Letters::default();
    let sqs = aws_sdk_sqs::Client::new(&aws.config);
    // An invocation that failed is of no webhook.
    for source in Source::all().into_iter().filter(|source| *source != Source::Functions) {
        let name = source.name(aws);
        if !depths.iter().any(|depth| depth.name == name && depth.visible > 0) {
            continue;
        }
        let opened = Opened::of(aws, &sqs, source).await?;
        let is_cut = dlq::look(&sqs, &opened, MOST, |dead| {
            letters.found.extend(read(&opened, dead, asked)?);
            Ok(true)
        });
        if is_cut.await? {
            letters.notes.push(format!(
                "of {name}, {MOST} dead letters were looked at, and of a payment's the first ten; there are more"
            ));
        }
    }
    Ok(letters)
}

fn read(opened: &Opened, dead: &Dead, asked: &Asked) -> anyhow::Result<Option<Letter>> {
    let source = opened.source;
    let (mut events, mut webhooks, mut of_intake) = (Vec::new(), Vec::new(), None);
    if source.is_intake() {
        of_intake = intake(dead.body(), &dead.attributes(), asked);
    } else {
        // The events are in these as JSON, whatever is around them.
        let in_body = |id: &str| dead.body().contains(id);
        events.extend(asked.events.iter().filter(|id| in_body(id.as_str())).copied());
        if source == Source::Of(Queue::Archive) {
            webhooks.extend(asked.webhooks.iter().filter(|id| in_body(id.as_str())).copied());
        }
    }
    if of_intake.is_none() && events.is_empty() && webhooks.is_empty() {
        return Ok(None);
    }
    let letter = dead.letter(opened)?;
    Ok(Some(Letter {
        queue: opened.name.clone(),
        source,
        reason: Some(letter.alike.reason).filter(|reason| reason != UNREAD),
        sent_at: letter.sent_at,
        kept_until: letter.expires_at,
        intake: of_intake,
        events,
        webhooks,
    }))
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
