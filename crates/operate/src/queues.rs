//! The platform's queues and how many messages each has.

use anyhow::Context;
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tollgate_core::Queue;

use crate::aws::Aws;

/// Calls at once.
const AT_ONCE: usize = 8;

/// How many messages a queue has. AWS counts them approximately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Depth {
    /// The whole name.
    pub name: String,
    /// Whether it is a dead-letter queue.
    pub dead_letters: bool,
    /// Waiting.
    pub visible: u64,
    /// Being worked on.
    pub in_flight: u64,
    /// Not to be received yet.
    pub delayed: u64,
}

impl Depth {
    /// All of its messages.
    pub fn all(&self) -> u64 {
        self.visible.saturating_add(self.in_flight).saturating_add(self.delayed)
    }
}

/// Asks for every queue's depth.
///
/// # Errors
///
/// When a queue is missing or AWS does not answer.
pub async fn depths(aws: &Aws) -> anyhow::Result<Vec<Depth>> {
    let mut queues: Vec<(String, bool)> = Vec::new();
    for queue in Queue::ALL {
        queues.push((aws.names.queue(*queue), false));
        queues.push((aws.names.dead_letters(*queue), true));
    }
    queues.push((aws.names.eventbridge_dead_letters(), true));
    queues.push((aws.names.workflow_dead_letters(), true));
    queues.push((aws.names.functions_dead_letters(), true));
    let sqs = aws_sdk_sqs::Client::new(&aws.config);
    stream::iter(queues)
        .map(|(name, dead_letters)| depth(&sqs, name, dead_letters))
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// The URL of a queue.
///
/// # Errors
///
/// When there is no queue of that name or AWS does not answer.
pub async fn url(sqs: &aws_sdk_sqs::Client, name: &str) -> anyhow::Result<String> {
    let answer = sqs.get_queue_url().queue_name(name).send().await.map_err(aws_sdk_sqs::Error::from);
    let answer = answer.with_context(|| format!("queue {name}"))?;
    answer.queue_url.with_context(|| format!("queue {name} has no URL"))
}

/// Asks for one queue's depth.
///
/// # Errors
///
/// When the queue is missing or AWS does not answer.
pub async fn depth(sqs: &aws_sdk_sqs::Client, name: String, dead_letters: bool) -> anyhow::Result<Depth> {
    let url = url(sqs, &name).await?;
    let asked = [
        Attribute::ApproximateNumberOfMessages,
        Attribute::ApproximateNumberOfMessagesNotVisible,
        Attribute::ApproximateNumberOfMessagesDelayed,
    ];
    let answer =
        sqs.get_queue_attributes().queue_url(url).set_attribute_names(Some(asked.to_vec())).send().await;
    let answer = answer.map_err(aws_sdk_sqs::Error::from).with_context(|| format!("queue {name}"))?;
    let of = |attribute: &Attribute| {
        answer
            .attributes()
            .and_then(|all| all.get(attribute)?.parse::<u64>().ok())
            .with_context(|| format!("queue {name} does not say its {attribute}"))
    };
    let [visible, in_flight, delayed] = &asked;
    let (visible, in_flight, delayed) = (of(visible)?, of(in_flight)?, of(delayed)?);
    Ok(Depth { name, dead_letters, visible, in_flight, delayed })
}
