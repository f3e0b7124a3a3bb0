//! Setting messages aside: poison, and what failed at its last try.
//!
//! A message that is set aside is sent to the quarantine afresh, so that the quarantine keeps it for its whole retention,
//! and its bytes go to the archive at once. It is done only when both have it; until then it comes back.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use tollgate_batch::{Deadline, Outcome, Reason};
use tollgate_core::Timestamp;
use tracing::warn;

use super::{Ended, Process, Record, answers::Answers};
use crate::{
    archive::{self, Ending, Packing, UnreadMessage, write_line},
    intake::{ClaimCheck, Content, Encoding, QueuedMessage},
    ports::{ArchiveQueue, Clock, PayloadStore, Poison, PortError, PortResult, ProcessPorts, Quarantine},
};

/// Messages sent to the quarantine at once.
const IN_FLIGHT: usize = 8;

impl<P: ProcessPorts> Process<P> {
    /// Sends poison to the archive queue and to the quarantine. Poison that cannot be sent to both stays poison, and its
    /// message comes back. `accepted` are the messages whose seal a claim has: the others are archived unread.
    pub(super) async fn set_aside(
        &self,
        mut ended: Vec<Ended>,
        accepted: &HashSet<usize>,
        records: &[Record<'_>],
        deadline: Deadline,
    ) -> Vec<Ended> {
        if !deadline.has_time(self.now_ms()) {
            return ended;
        }
        let poison = |(index, outcome): &Ended| match outcome {
            Outcome::Poison(reason) => records.get(*index).map(|record| (*index, record, *reason)),
            _ => None,
        };
        let poison: Vec<(usize, &Record<'_>, Reason)> = ended.iter().filter_map(poison).collect();
        if poison.is_empty() {
            return ended;
        }
        ended.retain(|(index, outcome)| !matches!(outcome, Outcome::Poison(_)) || *index >= records.len());
        let archived = self.archive_poison(&poison, accepted).await;
        // Made before any is awaited: a closure that lives across an await would make the future not `Send`.
        let sends: Vec<_> = poison
            .into_iter()
            .zip(archived)
            .map(|((index, record, reason), archived)| async move {
                let sent = match archived {
                    Ok(()) => self.quarantine(record, reason, deadline).await,
                    Err(problem) => Err(problem),
                };
                let message_id = record.message_id;
                match sent {
                    Ok(()) => {
                        warn!(message_id, reason, "message set aside");
                        (index, Outcome::Quarantined(reason))
                    }
                    Err(problem) => {
                        warn!(error = %problem, message_id, reason, "message not set aside");
                        (index, Outcome::Poison(reason))
                    }
                }
            })
            .collect();
        ended.extend(stream::iter(sends).buffer_unordered(IN_FLIGHT).collect::<Vec<_>>().await);
        ended
    }

    async fn quarantine(&self, record: &Record<'_>, reason: Reason, deadline: Deadline) -> PortResult<()> {
        if !deadline.has_time(self.now_ms()) {
            return Err(PortError::retryable("quarantine", "no time left"));
        }
        let Record { message_id, group, body, attributes, .. } = record;
        self.quarantine.send(Poison { message_id, group: *group, body, attributes, reason }).await
    }

    /// Sends a row for each message to the archive queue.
    async fn archive_poison(
        &self,
        poison: &[(usize, &Record<'_>, Reason)],
        accepted: &HashSet<usize>,
    ) -> Vec<PortResult<()>> {
        let now = self.clock.now();
        let mut packing = Packing::default();
        let mut places = Vec::with_capacity(poison.len());
        for (index, record, reason) in poison {
            let webhook = accepted.contains(index).then(|| webhook(record)).flatten();
            places.push(self.place_poison(record, webhook, reason, now, &mut packing).await);
        }
        let messages = packing.into_messages();
        let positions = (0..messages.len()).collect();
        let answers = Answers::checked(positions, self.archive.send(messages).await);
        let sent: Vec<PortResult<()>> = answers.into_iter().map(|(_, answer)| answer).collect();
        let unsent = || Err(PortError::retryable("archive", "no such message"));
        places.into_iter().map(|place| sent.get(place?).cloned().unwrap_or_else(unsent)).collect()
    }

    /// Writes the row of a message that is set aside; which archive message holds it. A body that makes the row too long
    /// is stored in S3.
    async fn place_poison(
        &self,
        record: &Record<'_>,
        webhook: Option<QueuedMessage<'_>>,
        reason: Reason,
        now: Timestamp,
        packing: &mut Packing,
    ) -> PortResult<usize> {
        let unwritable = |_| PortError::permanent("archive", "row cannot be written");
        let too_long = || PortError::permanent("archive", "row is too long");
        let ending = Ending { outcome: archive::Outcome::SetAside, reason: Some(reason), part: 0 };
        if let Some(message) = webhook {
            let placed = packing.add(|line| write_line(line, &message, [], ending)).map_err(unwritable)?;
            if let Some(place) = placed {
                return Ok(place);
            }
            let stored = self.store_body(&message).await;
            let claim_check = stored.map_err(|_| PortError::retryable("payloads", "body not stored"))?;
            let (encoding, body) = (Encoding::ClaimCheck, claim_check.as_str());
            let message = QueuedMessage { encoding, body, escaped_body: None, ..message };
            let placed = packing.add(|line| write_line(line, &message, [], ending)).map_err(unwritable)?;
            return placed.ok_or_else(too_long);
        }
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut message = UnreadMessage {
            message_id: record.message_id.to_owned(),
            set_aside_at: now,
            attributes: record.attributes.iter().map(own).collect(),
            encoding: Encoding::Text,
            body: record.body.to_owned(),
            reason: reason.to_owned(),
        };
        let mut add = |message: &UnreadMessage| {
            packing.add(|line| {
                line.push_str(&serde_json::to_string(message)?);
                Ok::<(), serde_json::Error>(())
            })
        };
        if let Some(place) = add(&message).map_err(unwritable)? {
            return Ok(place);
        }
        let claim_check = ClaimCheck::of_unread(now, record.body.as_bytes());
        self.payloads.put(&claim_check.key, record.body.as_bytes().to_vec()).await?;
        message.encoding = Encoding::ClaimCheck;
        message.body = serde_json::to_string(&claim_check).map_err(unwritable)?;
        add(&message).map_err(unwritable)?.ok_or_else(too_long)
    }
}

/// The webhook in a message that was accepted.
fn webhook<'r>(record: &Record<'r>) -> Option<QueuedMessage<'r>> {
    let message = QueuedMessage::read(record.body, &record.attributes).ok()?;
    let message = QueuedMessage { escaped_body: record.escaped_body, ..message };
    // It compares the body with the receipt, as the archive will.
    let is_its_body = match message.content().ok()? {
        Content::Inline(_) => true,
        Content::ClaimCheck(claim_check) => claim_check.sha256 == message.notes.body_sha256,
    };
    is_its_body.then_some(message)
}
