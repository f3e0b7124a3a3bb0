//! Dead letters back to where they were to go.
//!
//! SQS's own move task takes a dead-letter queue of a queue alone ("StartMessageMoveTask", API reference), and what EventBridge
//! could not deliver is in none: its messages say their targets in attributes ("Using dead-letter queues", EventBridge user
//! guide). So each message is received, sent and then deleted here, whichever queue it is in.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, bail};
use aws_sdk_sqs::{
    Client,
    types::{Message, MessageSystemAttributeName as System, QueueAttributeName as Attribute},
};
use serde::Deserialize;
use tollgate_core::{Category, Queue};

use crate::{aws::Aws, dead_letters::DeadLetters, queues};

/// Messages a second, at most: as many as SQS's own move task allows.
pub const FASTEST: u32 = 500;

/// Bounds of a redrive.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Messages that are looked at.
    pub most: u64,
    /// Messages that are sent in a second, from 1.
    pub rate: u32,
}

/// What became of the messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// Sent and deleted, by the URL of the queue that they were sent to.
    pub sent: BTreeMap<String, u64>,
    /// Left where they are, by the reason.
    pub left: BTreeMap<String, u64>,
}

/// Where a message goes, or why it stays.
pub type Destination = Result<Onward, String>;

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onward {
    /// The queue's URL.
    pub url: String,
    /// Whether the message's attributes go along: not those that say why it is a dead letter.
    pub with_attributes: bool,
}

/// The whole name of a dead-letter queue, and the queue whose dead letters it has. `None` where each message says it.
///
/// # Errors
///
/// When it is none, or its messages were in no queue.
pub fn source(aws: &Aws, given: &str) -> anyhow::Result<(String, Option<Queue>)> {
    let suffix = format!("-{}", aws.names.suffix());
    let is = |name: &str| {
        let short = name.replacen(&suffix, "", 1);
        [name, &short, short.trim_end_matches(".fifo")].contains(&given)
    };
    let mut known = Vec::new();
    for &queue in Queue::ALL {
        let name = aws.names.dead_letters(queue);
        if is(&name) {
            return Ok((name, Some(queue)));
        }
        known.push(name);
    }
    let name = aws.names.eventbridge_dead_letters();
    if is(&name) {
        return Ok((name, None));
    }
    known.push(name);
    for (name, instead) in [
        (
            aws.names.workflow_dead_letters(),
            "start the workflow again with each (docs/runbook.md, Dead letters workflow)",
        ),
        (
            aws.names.functions_dead_letters(),
            "nothing of the platform put them there (docs/runbook.md, Dead letters functions)",
        ),
    ] {
        if is(&name) {
            bail!("the messages of {name} were in no queue: {instead}");
        }
    }
    bail!("{given} is no dead-letter queue of {}: there are {}", aws.names.suffix(), known.join(", "))
}

/// Where the messages of a dead-letter queue go.
#[derive(Debug, Clone)]
pub enum Routes {
    /// All to the queue with this URL.
    One(String),
    /// Each to where its attributes say.
    Targets(Vec<ConsumersQueue>),
}

impl Routes {
    /// Asks for the queues that messages of `source` may go to.
    ///
    /// # Errors
    ///
    /// When a queue is missing or AWS does not answer.
    pub async fn find(aws: &Aws, sqs: &Client, source: Option<Queue>) -> anyhow::Result<Self> {
        Ok(match source {
            Some(queue) => Self::One(queues::url(sqs, &aws.names.queue(queue)).await?),
            None => Self::Targets(consumers_queues(aws, sqs).await?),
        })
    }

    /// Where a message goes, or why it stays.
    pub fn of(&self, message: &Message) -> Destination {
        match self {
            Self::One(url) => Ok(Onward { url: url.clone(), with_attributes: true }),
            Self::Targets(queues) => target(queues, message),
        }
    }
}

/// A queue that a rule has as its target.
#[derive(Debug, Clone)]
pub struct ConsumersQueue {
    queue: Queue,
    arn: String,
    url: String,
}

async fn consumers_queues(aws: &Aws, sqs: &Client) -> anyhow::Result<Vec<ConsumersQueue>> {
    let mut queues = Vec::new();
    for &queue in Queue::ALL.iter().filter(|queue| queue.is_for_consumers()) {
        let name = aws.names.queue(queue);
        let url = queues::url(sqs, &name).await?;
        let answer =
            sqs.get_queue_attributes().queue_url(&url).attribute_names(Attribute::QueueArn).send().await;
        let answer = answer.map_err(aws_sdk_sqs::Error::from).with_context(|| format!("queue {name}"))?;
        let arn = answer.attributes().and_then(|all| all.get(&Attribute::QueueArn)).cloned();
        let arn = arn.with_context(|| format!("queue {name} does not say its ARN"))?;
        queues.push(ConsumersQueue { queue, arn, url });
    }
    Ok(queues)
}

/// By the attributes that EventBridge gives a message. A target that is no queue gets something else than the event, which
/// its rule makes: a replay to that rule. What the bus itself could not decrypt has reached no rule.
fn target(queues: &[ConsumersQueue], message: &Message) -> Destination {
    let attribute = |name: &str| message.message_attributes().and_then(|all| all.get(name)?.string_value());
    let found = match (attribute("TARGET_ARN"), attribute("RULE_ARN")) {
        (None, None) => of_the_bus(queues, message.body().unwrap_or_default())?,
        (Some(arn), rule) => queues.iter().find(|one| one.arn == arn).ok_or_else(|| {
            let rule = rule.unwrap_or("its rule");
            format!("the target {arn} is no queue of consumers: replay the time to {rule}, then delete")
        })?,
        (None, Some(_)) => return Err("no TARGET_ARN: not EventBridge's".to_owned()),
    };
    Ok(Onward { url: found.url.clone(), with_attributes: false })
}

/// The queue that the rule of the event's category would have sent it to.
fn of_the_bus<'a>(queues: &'a [ConsumersQueue], body: &str) -> Result<&'a ConsumersQueue, String> {
    #[derive(Deserialize)]
    struct Envelope {
        source: String,
        detail: Detail,
    }
    #[derive(Deserialize)]
    struct Detail {
        category: Category,
        #[serde(default)]
        restates: Option<serde::de::IgnoredAny>,
    }
    let envelope =
        serde_json::from_str::<Envelope>(body).ok().filter(|envelope| envelope.source == "tollgate");
    let detail = envelope.ok_or("no TARGET_ARN, and no event of ours: not the bus's")?.detail;
    if detail.restates.is_some() {
        return Err(
            "it restates another event and is routed nowhere, unless RouteRestatements is true: delete it"
                .to_owned(),
        );
    }
    let queue = Queue::of(detail.category).and_then(|queue| queues.iter().find(|one| one.queue == queue));
    queue.ok_or_else(|| "no queue is for its category: nothing was to take it but logs and alerts".to_owned())
}

/// Sends messages on, one after the other, and deletes each when it is sent. Whoever stops it loses nothing: at most one message
/// was sent and is still there. A message that comes back meanwhile is left for another run.
///
/// # Errors
///
/// When AWS does not answer or refuses. What was not sent is there again after two minutes.
pub async fn send_back(
    sqs: &Client,
    from: &str,
    bounds: Bounds,
    destination: impl Fn(&Message) -> Destination,
) -> anyhow::Result<Moved> {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / bounds.rate.max(1));
    let (mut moved, mut letters) = (Moved::default(), DeadLetters::new(sqs, from));
    let mut looked_at = 0;
    while looked_at < bounds.most {
        let batch = letters.receive(bounds.most - looked_at).await?;
        let received = batch.fresh.len() + batch.again;
        if received == 0 {
            break;
        }
        looked_at += u64::try_from(received)?;
        for (id, message) in batch.fresh {
            match destination(&message) {
                Ok(onward) => {
                    pace.tick().await;
                    send(sqs, &onward, &message).await?;
                    letters.delete(&id).await?;
                    *moved.sent.entry(onward.url).or_default() += 1;
                }
                Err(reason) => *moved.left.entry(reason).or_default() += 1,
            }
        }
    }
    letters.give_back().await?;
    Ok(moved)
}

async fn send(sqs: &Client, onward: &Onward, message: &Message) -> anyhow::Result<()> {
    let known = |name: &System| message.attributes().and_then(|all| all.get(name)).cloned();
    let group = known(&System::MessageGroupId).filter(|_| onward.url.ends_with(".fifo"));
    // Within five minutes the queue would swallow a message with the id that it had before. Sent twice, it is one.
    let id = message.message_id().context("SQS gives a message no id")?;
    let deduplication = group.as_ref().map(|_| format!("redrive-{id}"));
    let attributes = message.message_attributes().filter(|_| onward.with_attributes).cloned();
    let sent = sqs
        .send_message()
        .queue_url(&onward.url)
        .message_body(message.body().context("SQS gives a message no body")?)
        .set_message_attributes(attributes)
        .set_message_group_id(group)
        .set_message_deduplication_id(deduplication)
        .send()
        .await;
    sent.map_err(aws_sdk_sqs::Error::from).context("sending a dead letter back")?;
    Ok(())
}
