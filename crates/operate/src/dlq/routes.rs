//! Dead letters back to where they were to go.
//!
//! SQS's own move task takes a dead-letter queue of a queue alone ("StartMessageMoveTask", API reference), and what EventBridge
//! could not deliver is in none: its messages say their targets in attributes ("Using dead-letter queues", EventBridge user
//! guide). So each message is received, sent and then deleted here, whichever queue it is in.

use anyhow::Context;
use aws_sdk_sqs::{
    Client,
    types::{Message, MessageSystemAttributeName as System, QueueAttributeName as Attribute},
};
use serde::Deserialize;
use tollgate_core::{Category, Queue};

use super::Source;
use crate::{aws::Aws, queues};

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

/// Where the messages of a dead-letter queue go.
#[derive(Debug, Clone)]
pub enum Routes {
    /// All to the queue with this URL.
    One(String),
    /// Each to where its attributes say.
    Targets(Vec<ConsumersQueue>),
}

impl Routes {
    /// Asks for the queues that messages of `source` may go to. `None`: they were in no queue.
    ///
    /// # Errors
    ///
    /// When a queue is missing or AWS does not answer.
    pub async fn find(aws: &Aws, sqs: &Client, source: Source) -> anyhow::Result<Option<Self>> {
        Ok(match source {
            Source::Of(queue) => Some(Self::One(queues::url(sqs, &aws.names.queue(queue)).await?)),
            Source::EventBridge => Some(Self::Targets(consumers_queues(aws, sqs).await?)),
            Source::Workflow | Source::Functions => None,
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

/// Sends a message on. Whether it is deleted is the caller's to do.
///
/// # Errors
///
/// When AWS does not answer or refuses.
pub(super) async fn send(sqs: &Client, onward: &Onward, message: &Message) -> anyhow::Result<()> {
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
