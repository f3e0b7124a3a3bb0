//! SQS in memory: visibility, FIFO order and group locks, the deduplication window.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use tollgate_core::{Delivery, Timestamp};
use tollgate_pipeline::{
    intake::{IntakeMessage, MAX_MESSAGE_BYTES, is_sqs_character},
    ports::{ArchiveQueue, Clock, IntakeQueue, Poison, PortError, PortResult, Quarantine},
};

use super::clock::HandClock;

/// SQS FIFO: how long a deduplication id is remembered.
const DEDUPLICATION_SECONDS: i64 = 300;

/// A message as a consumer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Unique in its queue.
    pub id: String,
    /// The FIFO group.
    pub group: Option<String>,
    /// How often it was received, this time included.
    pub receive_count: u32,
    /// The body.
    pub body: String,
    /// Message attributes.
    pub attributes: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct Queue {
    messages: Vec<Message>,
    in_flight: BTreeSet<String>,
    sent: HashMap<(String, String), Timestamp>,
    count: u64,
}

/// Both intake queues.
#[derive(Debug)]
pub struct MemoryIntake {
    clock: HandClock,
    fast: Mutex<Queue>,
    ordered: Mutex<Queue>,
}

impl MemoryIntake {
    /// Empty queues; `clock` runs the deduplication window.
    pub fn new(clock: HandClock) -> Self {
        Self { clock, fast: Mutex::default(), ordered: Mutex::default() }
    }

    fn queue(&self, delivery: Delivery) -> std::sync::MutexGuard<'_, Queue> {
        let queue = match delivery {
            Delivery::Fast => &self.fast,
            Delivery::Ordered => &self.ordered,
        };
        queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to `most` visible messages, which are invisible until [`settle`](Self::settle)d. A FIFO group with a
    /// message in flight gives none.
    pub fn receive(&self, delivery: Delivery, most: usize) -> Vec<Message> {
        let mut queue = self.queue(delivery);
        let locked: BTreeSet<Option<String>> = match delivery {
            Delivery::Fast => BTreeSet::new(),
            Delivery::Ordered => queue
                .messages
                .iter()
                .filter(|message| queue.in_flight.contains(&message.id))
                .map(|message| message.group.clone())
                .collect(),
        };
        let Queue { messages, in_flight, .. } = &mut *queue;
        let batch: Vec<Message> = messages
            .iter_mut()
            .filter(|message| !in_flight.contains(&message.id) && !locked.contains(&message.group))
            .take(most)
            .map(|message| {
                message.receive_count += 1;
                message.clone()
            })
            .collect();
        in_flight.extend(batch.iter().map(|message| message.id.clone()));
        batch
    }

    /// Ends a receipt: `failed` come back, the others are deleted.
    pub fn settle(&self, delivery: Delivery, batch: &[Message], failed: &[String]) {
        let mut queue = self.queue(delivery);
        for message in batch {
            queue.in_flight.remove(&message.id);
            if !failed.contains(&message.id) {
                queue.messages.retain(|known| known.id != message.id);
            }
        }
    }

    /// Delivers a message a second time, as a standard queue may.
    pub fn repeat(&self, message: &Message) {
        self.queue(Delivery::Fast).messages.push(message.clone());
    }

    /// Everything that is in a queue, in flight or not.
    pub fn messages(&self, delivery: Delivery) -> Vec<Message> {
        self.queue(delivery).messages.clone()
    }
}

impl IntakeQueue for &MemoryIntake {
    async fn send(&self, message: &IntakeMessage) -> PortResult<()> {
        let attributes: Vec<(String, String)> =
            message.attributes().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        check(&message.body, &attributes)?;
        if message.size() > MAX_MESSAGE_BYTES {
            return Err(PortError::permanent("sqs", "InvalidParameterValue"));
        }
        let mut queue = self.queue(message.delivery);
        let group = match message.delivery {
            Delivery::Fast => None,
            Delivery::Ordered => Some(message.group.clone()),
        };
        if let Some(group) = &group {
            let now = self.clock.now();
            let key = (group.clone(), message.deduplication_id.clone());
            let since = queue.sent.get(&key).map(|at| now.duration_since(*at).as_secs());
            if since.is_some_and(|seconds| seconds < DEDUPLICATION_SECONDS) {
                return Ok(());
            }
            queue.sent.insert(key, now);
        }
        queue.count += 1;
        let id = format!("m-{}", queue.count);
        queue.messages.push(Message { id, group, receive_count: 0, body: message.body.clone(), attributes });
        Ok(())
    }
}

/// What SQS refuses.
fn check(body: &str, attributes: &[(String, String)]) -> PortResult<()> {
    let is_bad = |text: &str| text.is_empty() || !text.chars().all(is_sqs_character);
    if is_bad(body) || attributes.iter().any(|(_, value)| is_bad(value)) {
        return Err(PortError::permanent("sqs", "InvalidMessageContents"));
    }
    if attributes.len() > 10 {
        return Err(PortError::permanent("sqs", "InvalidParameterValue"));
    }
    Ok(())
}

/// The archive queue.
#[derive(Debug, Default)]
pub struct MemoryArchiveQueue(Mutex<Vec<String>>);

impl MemoryArchiveQueue {
    /// Every message body, in order.
    pub fn messages(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ArchiveQueue for &MemoryArchiveQueue {
    async fn send(&self, messages: Vec<String>) -> Vec<PortResult<()>> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut send = |message: String| {
            check(&message, &[])?;
            if message.len() > MAX_MESSAGE_BYTES {
                return Err(PortError::permanent("sqs", "InvalidParameterValue"));
            }
            queue.push(message);
            Ok(())
        };
        messages.into_iter().map(&mut send).collect()
    }
}

/// A quarantined message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its FIFO group; `None` from a standard queue.
    pub group: Option<String>,
    /// As it was received.
    pub body: String,
    /// As they were received.
    pub attributes: Vec<(String, String)>,
    /// Why.
    pub reason: String,
}

/// The quarantine.
#[derive(Debug, Default)]
pub struct MemoryQuarantine(Mutex<Vec<Quarantined>>);

impl MemoryQuarantine {
    /// Every message, in order.
    pub fn messages(&self) -> Vec<Quarantined> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Quarantine for &MemoryQuarantine {
    async fn send(&self, poison: Poison<'_>) -> PortResult<()> {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let message = Quarantined {
            group: poison.group.map(str::to_owned),
            body: poison.body.to_owned(),
            attributes: poison.attributes.iter().map(text).collect(),
            reason: poison.reason.to_owned(),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        Ok(())
    }
}
