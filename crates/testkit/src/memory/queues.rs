//! The queues in memory, as the use cases send to them.

use std::sync::Arc;

use tollgate_core::{Delivery, id::hex_sha256};
use tollgate_pipeline::{
    intake::{IntakeMessage, attribute},
    ports::{Answers, ArchiveQueue, IntakeQueue, Poison, PortResult, Quarantine},
};

use super::clock::HandClock;

pub use super::sqs::{Draft, Message, Queue};

/// The intakes' `maxReceiveCount`, as `infra/tollgate.yaml` has it.
pub const MAX_RECEIVES: u32 = 20;

/// Both intake queues.
#[derive(Debug)]
pub struct MemoryIntake {
    fast: Queue,
    ordered: Queue,
}

impl MemoryIntake {
    /// Empty queues whose times are those of `clock`.
    pub fn new(clock: &HandClock) -> Self {
        let queue = |is_fifo| Queue::with_dead_letters(clock, is_fifo).with_receives(MAX_RECEIVES);
        Self { fast: queue(false), ordered: queue(true) }
    }

    /// One of them.
    pub fn queue(&self, delivery: Delivery) -> &Queue {
        match delivery {
            Delivery::Fast => &self.fast,
            Delivery::Ordered => &self.ordered,
        }
    }

    /// [`Queue::receive`].
    pub fn receive(&self, delivery: Delivery, most: usize) -> Vec<Message> {
        self.queue(delivery).receive(most)
    }

    /// [`Queue::settle`].
    pub fn settle(&self, delivery: Delivery, batch: &[Message], failed: &[String]) {
        self.queue(delivery).settle(batch, failed);
    }

    /// [`Queue::repeat`], of the standard queue.
    pub fn repeat(&self, message: &Message) {
        self.fast.repeat(message);
    }

    /// Everything that is in a queue, in flight or not.
    pub fn messages(&self, delivery: Delivery) -> Vec<Message> {
        self.queue(delivery).messages()
    }

    /// The quarantine: the dead letters of both.
    pub fn quarantine(&self) -> MemoryQuarantine {
        MemoryQuarantine {
            fast: Arc::clone(self.fast.dead_letters()),
            ordered: Arc::clone(self.ordered.dead_letters()),
        }
    }
}

impl IntakeQueue for &MemoryIntake {
    async fn send(&self, message: &IntakeMessage) -> PortResult<()> {
        let attributes = message.attributes().into_iter();
        let (group, deduplication_id) = match message.delivery {
            Delivery::Fast => (message.endpoint.to_string(), None),
            Delivery::Ordered => (fifo_text(&message.group), Some(message.deduplication_id.clone())),
        };
        self.queue(message.delivery).send(Draft {
            body: message.body.clone(),
            attributes: attributes.map(|(name, value)| (name.to_owned(), text(value))).collect(),
            group: Some(group),
            deduplication_id,
        })
    }
}

impl Answers for &MemoryIntake {
    async fn answers(&self) -> PortResult<()> {
        Ok(())
    }
}

/// What the adapter makes of a value: SQS takes no empty one.
fn text(value: String) -> String {
    if value.is_empty() { "-".to_owned() } else { value }
}

/// What the adapter makes of a group: SQS takes no long one, and few characters.
fn fifo_text(group: &str) -> String {
    let is_taken = (1..=128).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_graphic());
    if is_taken { group.to_owned() } else { hex_sha256(group.as_bytes()) }
}

/// The archive queue.
#[derive(Debug)]
pub struct MemoryArchiveQueue(Queue);

impl MemoryArchiveQueue {
    /// An empty queue whose times are those of `clock`.
    pub fn new(clock: &HandClock) -> Self {
        Self(Queue::with_dead_letters(clock, false))
    }

    /// The queue.
    pub fn queue(&self) -> &Queue {
        &self.0
    }

    /// Every message body, in order.
    pub fn messages(&self) -> Vec<String> {
        self.0.messages().into_iter().map(|message| message.body).collect()
    }
}

impl ArchiveQueue for &MemoryArchiveQueue {
    async fn send(&self, messages: Vec<String>) -> Vec<PortResult<()>> {
        messages.into_iter().map(|body| self.0.send(Draft { body, ..Draft::default() })).collect()
    }
}

/// A quarantined message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its message group.
    pub group: Option<String>,
    /// As it was received.
    pub body: String,
    /// As they were received, but for those that the reason replaces.
    pub attributes: Vec<(String, String)>,
    /// Why; empty where SQS itself moved it there.
    pub reason: String,
}

/// The quarantine.
#[derive(Debug)]
pub struct MemoryQuarantine {
    fast: Arc<Queue>,
    ordered: Arc<Queue>,
}

impl MemoryQuarantine {
    /// Every message, in order, with those that SQS moved there.
    pub fn messages(&self) -> Vec<Quarantined> {
        let quarantined = |message: Message| {
            let (reasons, attributes): (Vec<_>, Vec<_>) =
                message.attributes.into_iter().partition(|(name, _)| name == attribute::REASON);
            let reason = reasons.into_iter().map(|(_, value)| value).next().unwrap_or_default();
            Quarantined { group: message.group, body: message.body, attributes, reason }
        };
        self.fast.messages().into_iter().chain(self.ordered.messages()).map(quarantined).collect()
    }
}

impl Quarantine for &MemoryQuarantine {
    async fn send(&self, poison: Poison<'_>) -> PortResult<()> {
        let own = |(name, value): (&str, &str)| (name.to_owned(), text(value.to_owned()));
        let (queue, deduplication_id) = match poison.delivery {
            Delivery::Fast => (&self.fast, None),
            Delivery::Ordered => (&self.ordered, Some(poison.message_id.to_owned())),
        };
        queue.send(Draft {
            body: poison.body.to_owned(),
            attributes: poison.kept_attributes().map(own).collect(),
            group: poison.group.map(str::to_owned),
            deduplication_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{self, Seen};

    fn clock() -> HandClock {
        HandClock::at("2026-01-02T12:00:00Z".parse().unwrap())
    }

    /// Takes everything out of a queue.
    fn drained(queue: &Queue) -> Vec<Seen> {
        let mut seen = Vec::new();
        loop {
            let batch = queue.receive(usize::MAX);
            if batch.is_empty() {
                return seen;
            }
            queue.settle(&batch, &[]);
            seen.extend(batch.into_iter().map(|message| Seen {
                group: message.group,
                body: message.body,
                attributes: message.attributes.into_iter().collect(),
            }));
        }
    }

    #[tokio::test]
    async fn the_queues_keep_their_contract() {
        let intake = MemoryIntake::new(&clock());
        contract::intake(&intake, async |delivery| drained(intake.queue(delivery))).await;
        let archive = MemoryArchiveQueue::new(&clock());
        let bodies = async || drained(archive.queue()).into_iter().map(|seen| seen.body).collect();
        contract::archive_queue(&archive, bodies).await;
        let quarantine = intake.quarantine();
        contract::quarantine(&quarantine, async |delivery| drained(intake.queue(delivery).dead_letters()))
            .await;
    }
}
