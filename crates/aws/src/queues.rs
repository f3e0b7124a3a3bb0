//! The queues on SQS: intake, archive and quarantine.

use std::collections::HashMap;

use aws_sdk_sqs::{
    Client,
    types::{
        MessageAttributeValue, MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
        QueueAttributeName, SendMessageBatchRequestEntry,
    },
};
use tollgate_core::Delivery;
use tollgate_pipeline::{
    intake::{IntakeMessage, MAX_MESSAGE_BYTES},
    ports::{Answers, ArchiveQueue, IntakeQueue, Poison, PortError, PortResult, Quarantine},
};

use crate::{
    batch::{Budget, Item, Limits, batched},
    error::{build_error, port_error},
    prepared::PreparedItems,
};

const SERVICE: &str = "sqs";
static BUDGET: Budget = Budget::full();
/// SendMessageBatch: 10 messages and 1 MiB a call.
static LIMITS: Limits = Limits { service: SERVICE, items: 10, bytes: MAX_MESSAGE_BYTES, budget: &BUDGET };

/// Both intake queues, as the validator sends to them.
#[derive(Debug, Clone)]
pub struct SqsIntake {
    client: Client,
    fast_url: String,
    ordered_url: String,
}

impl SqsIntake {
    /// The standard queue at `fast_url` and the FIFO queue at `ordered_url`.
    pub fn new(client: Client, fast_url: impl Into<String>, ordered_url: impl Into<String>) -> Self {
        Self { client, fast_url: fast_url.into(), ordered_url: ordered_url.into() }
    }
}

impl IntakeQueue for SqsIntake {
    async fn send(&self, message: &IntakeMessage) -> PortResult<()> {
        let request = self
            .client
            .send_message()
            .message_body(&message.body)
            .set_message_attributes(Some(attributes(message.attributes())?));
        let request = match message.delivery {
            // The group of a fair queue: where one endpoint has a backlog, SQS hands out the others' messages first
            // ("Amazon SQS fair queues", SQS developer guide).
            Delivery::Fast => request.queue_url(&self.fast_url).message_group_id(message.endpoint.as_str()),
            Delivery::Ordered => request
                .queue_url(&self.ordered_url)
                .message_group_id(fifo_text(&message.group))
                .message_deduplication_id(&message.deduplication_id),
        };
        let request = match &message.trace {
            Some(trace) => request.message_system_attributes(
                MessageSystemAttributeNameForSends::AwsTraceHeader,
                MessageSystemAttributeValue::builder()
                    .data_type("String")
                    .string_value(trace)
                    .build()
                    .map_err(|_| build_error(SERVICE))?,
            ),
            None => request,
        };
        request.send().await.map(|_| ()).map_err(|problem| port_error(SERVICE, &problem))
    }
}

impl Answers for SqsIntake {
    async fn answers(&self) -> PortResult<()> {
        for url in [&self.fast_url, &self.ordered_url] {
            let asked = self.client.get_queue_attributes().queue_url(url);
            let asked = asked.attribute_names(QueueAttributeName::QueueArn).send().await;
            asked.map_err(|problem| port_error(SERVICE, &problem))?;
        }
        Ok(())
    }
}

/// A FIFO group is 1–128 ASCII letters, digits and punctuation; anything else goes by its hash.
fn fifo_text(group: &str) -> String {
    if (1..=128).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_graphic()) {
        group.to_owned()
    } else {
        tollgate_core::id::hex_sha256(group.as_bytes())
    }
}

/// The archive queue, as the processor sends to it.
#[derive(Debug, Clone)]
pub struct SqsArchiveQueue {
    client: Client,
    url: String,
}

impl SqsArchiveQueue {
    /// The queue at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }
}

impl ArchiveQueue for SqsArchiveQueue {
    async fn send(&self, messages: Vec<String>) -> Vec<PortResult<()>> {
        let sizes: Vec<usize> = messages.iter().map(String::len).collect();
        let bodies = PreparedItems::new(&messages, false, String::clone);
        batched(LIMITS, &sizes, async |chunk| self.send_batch(bodies.take(chunk)).await).await
    }
}

impl SqsArchiveQueue {
    async fn send_batch(&self, bodies: Vec<String>) -> Vec<Item<()>> {
        let count = bodies.len();
        let fill = |problem: PortError| (0..count).map(|_| Item::Done(Err(problem.clone()))).collect();
        let entries: Result<Vec<_>, _> = bodies
            .into_iter()
            .enumerate()
            .map(|(index, body)| {
                SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body).build()
            })
            .collect();
        let Ok(entries) = entries else { return fill(build_error(SERVICE)) };
        let sent =
            self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(problem) => return fill(port_error(SERVICE, &problem)),
        };
        (0..count)
            .map(|index| {
                let id = index.to_string();
                if answer.successful().iter().any(|entry| entry.id() == id) {
                    return Item::Done(Ok(()));
                }
                match answer.failed().iter().find(|entry| entry.id() == id) {
                    Some(failed) if failed.sender_fault() => {
                        Item::Done(Err(PortError::permanent(SERVICE, failed.code())))
                    }
                    Some(failed) => Item::LeftOver(PortError::retryable(SERVICE, failed.code())),
                    None => Item::LeftOver(PortError::retryable(SERVICE, "no answer for an entry")),
                }
            })
            .collect()
    }
}

/// The quarantine: each intake's dead-letter queue. A message there keeps everything that a redrive needs.
#[derive(Debug, Clone)]
pub struct SqsQuarantine {
    client: Client,
    fast_url: String,
    ordered_url: String,
}

impl SqsQuarantine {
    /// The standard queue at `fast_url` and the FIFO queue at `ordered_url`.
    pub fn new(client: Client, fast_url: impl Into<String>, ordered_url: impl Into<String>) -> Self {
        Self { client, fast_url: fast_url.into(), ordered_url: ordered_url.into() }
    }
}

impl Quarantine for SqsQuarantine {
    async fn send(&self, poison: Poison<'_>) -> PortResult<()> {
        let all = poison.kept_attributes().map(|(name, value)| (name, value.to_owned()));
        let request = self
            .client
            .send_message()
            .message_body(poison.body)
            .set_message_attributes(Some(attributes(all)?));
        let request = request.set_message_group_id(poison.group.map(str::to_owned));
        let request = match poison.delivery {
            Delivery::Fast => request.queue_url(&self.fast_url),
            // Deduplicated by its message id, since two messages of a group may have the same body.
            Delivery::Ordered => {
                request.queue_url(&self.ordered_url).message_deduplication_id(poison.message_id)
            }
        };
        request.send().await.map(|_| ()).map_err(|problem| port_error(SERVICE, &problem))
    }
}

fn attributes(
    attributes: impl IntoIterator<Item = (impl Into<String>, String)>,
) -> PortResult<HashMap<String, MessageAttributeValue>> {
    attributes
        .into_iter()
        .map(|(name, value)| {
            // SQS takes no empty value; readers know a dash for one.
            let value = if value.is_empty() { "-".to_owned() } else { value };
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            Ok((name.into(), value.map_err(|_| build_error(SERVICE))?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_what_fifo_takes() {
        assert_eq!(fifo_text("pi_123"), "pi_123");
        for odd in ["", "a b", "zahlung-ü", &"x".repeat(129)] {
            assert_eq!(fifo_text(odd).len(), 64, "{odd}");
        }
    }
}
