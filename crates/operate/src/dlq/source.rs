//! The dead-letter queues.

use anyhow::{Context, bail};
use aws_sdk_sqs::{Client, types::QueueAttributeName as Attribute};
use serde::Serialize;
use tollgate_core::Queue;

use crate::{aws::Aws, queues};

/// A dead-letter queue of the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// That of a queue.
    Of(Queue),
    /// What EventBridge could not deliver.
    EventBridge,
    /// Payments that the fraud workflow failed on.
    Workflow,
    /// Asynchronous invocations of functions that failed.
    Functions,
}

impl Source {
    /// Every one, in the order in which a webhook passes them.
    pub fn all() -> Vec<Self> {
        let others = [Self::EventBridge, Self::Workflow, Self::Functions];
        Queue::ALL.iter().map(|queue| Self::Of(*queue)).chain(others).collect()
    }

    /// The whole name.
    pub fn name(self, aws: &Aws) -> String {
        match self {
            Self::Of(queue) => aws.names.dead_letters(queue),
            Self::EventBridge => aws.names.eventbridge_dead_letters(),
            Self::Workflow => aws.names.workflow_dead_letters(),
            Self::Functions => aws.names.functions_dead_letters(),
        }
    }

    /// The name without the environment's suffix.
    pub fn stem(self) -> String {
        match self {
            Self::Of(queue) => format!("{}-dlq", queue.stem()),
            Self::EventBridge => "eventbridge-dlq".to_owned(),
            Self::Workflow => "transaction-workflow-dlq".to_owned(),
            Self::Functions => "asynchronous-invocations-dlq".to_owned(),
        }
    }

    /// The dead-letter queue of this name, with or without the suffix and `.fifo`.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn named(aws: &Aws, given: &str) -> anyhow::Result<Self> {
        let is = |source: &Self| {
            let (name, stem) = (source.name(aws), source.stem());
            [name.as_str(), &stem, &format!("{stem}.fifo"), name.trim_end_matches(".fifo")].contains(&given)
        };
        let all = Self::all();
        match all.iter().find(|source| is(source)) {
            Some(source) => Ok(*source),
            None => {
                let known: Vec<String> = all.into_iter().map(Self::stem).collect();
                bail!(
                    "{given} is no dead-letter queue of {}: there are {}",
                    aws.names.suffix(),
                    known.join(", ")
                )
            }
        }
    }

    /// Whether its messages are webhooks that were accepted.
    pub fn is_intake(self) -> bool {
        matches!(self, Self::Of(Queue::Intake | Queue::IntakeOrdered))
    }
}

impl Serialize for Source {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.stem())
    }
}

/// A dead-letter queue that is looked through.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Which.
    pub source: Source,
    /// Its whole name.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// How long it keeps a message, in seconds.
    pub retention_seconds: i64,
    /// How many wait, approximately.
    pub waiting: u64,
}

impl Opened {
    /// Whether more wait than the `looked_at` that were looked at, of `most` at most: of a FIFO group SQS hands out the first ten alone, until
    /// they are deleted or given back ("FIFO delivery logic in Amazon SQS", developer guide).
    pub(super) fn has_more(&self, looked_at: u64, most: u64) -> bool {
        let is_ordered = self.source == Source::Of(Queue::IntakeOrdered);
        (is_ordered || looked_at >= most) && self.waiting > looked_at
    }

    /// Asks for the queue.
    ///
    /// # Errors
    ///
    /// When it is missing or AWS does not answer.
    pub async fn of(aws: &Aws, sqs: &Client, source: Source) -> anyhow::Result<Self> {
        let name = source.name(aws);
        let url = queues::url(sqs, &name).await?;
        let asked = [Attribute::MessageRetentionPeriod, Attribute::ApproximateNumberOfMessages];
        let answer =
            sqs.get_queue_attributes().queue_url(&url).set_attribute_names(Some(asked.to_vec())).send().await;
        let answer = answer.map_err(aws_sdk_sqs::Error::from).with_context(|| format!("queue {name}"))?;
        let of = |attribute: &Attribute| answer.attributes().and_then(|all| all.get(attribute)?.parse().ok());
        let [retention, waiting] = &asked;
        let retention_seconds =
            of(retention).with_context(|| format!("queue {name} does not say its retention"))?;
        let waiting = of(waiting).with_context(|| format!("queue {name} does not say how many wait"))?;
        let waiting = u64::try_from(waiting).unwrap_or(0);
        Ok(Self { source, name, url, retention_seconds, waiting })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqs_does_not_hand_out_is_not_taken_for_nothing() {
        for (queue, waiting, looked_at, has_more) in [
            (Queue::IntakeOrdered, 500, 10, true),
            (Queue::IntakeOrdered, 10, 10, false),
            (Queue::Intake, 500, 100, true),
            (Queue::Intake, 100, 100, false),
            // SQS counts approximately, and somebody else may have taken some.
            (Queue::Intake, 11, 10, false),
        ] {
            let (name, url) = (String::new(), String::new());
            let opened = Opened { source: Source::Of(queue), name, url, retention_seconds: 1, waiting };
            assert_eq!(opened.has_more(looked_at, 100), has_more, "{queue:?} {waiting} {looked_at}");
        }
    }
}
