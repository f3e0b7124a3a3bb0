//! Setting messages aside: poison, and what failed at its last try.
//!
//! A message that is set aside is sent to the quarantine afresh, so that the quarantine keeps it for its whole retention,
//! and its bytes go to the archive at once. It is done only when both have it; until then it comes back.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use tollgate_batch::{Deadline, Kind, Outcome, Reason};
use tollgate_core::{Delivery, Timestamp};
use tracing::warn;

use super::{Ended, Process, Record, answers::Answers};
use crate::{
    archive::{self, Ending, Packing, UnreadMessage, line, write_line},
    intake::{ClaimCheck, Encoding, MAX_MESSAGE_BYTES, QueuedMessage},
    ports::{ArchiveQueue, Clock, PayloadStore, Poison, PortError, PortResult, ProcessPorts, Quarantine},
};

/// Messages sent to the quarantine at once, and bodies stored at once.
const IN_FLIGHT: usize = 8;

impl<P: ProcessPorts> Process<P> {
    /// Sends poison to the archive queue and to the quarantine. Poison that cannot be sent to both stays poison, and its
    /// message comes back. `accepted` are the messages whose seal a claim has: the others are archived unread.
    pub(super) async fn set_aside(
        &self,
        kind: Kind,
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
        let archived = self.archive_poison(&poison, accepted, deadline).await;
        // Made before any is awaited: a closure that lives across an await would make the future not `Send`.
        let sends: Vec<_> = poison
            .into_iter()
            .zip(archived)
            .map(|((index, record, reason), archived)| async move {
                let sent = match archived {
                    Ok(()) => self.quarantine(kind, record, reason, deadline).await,
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

    async fn quarantine(
        &self,
        kind: Kind,
        record: &Record<'_>,
        reason: Reason,
        deadline: Deadline,
    ) -> PortResult<()> {
        if !deadline.has_time(self.now_ms()) {
            return Err(PortError::retryable("quarantine", "no time left"));
        }
        let Record { message_id, group, body, attributes, .. } = record;
        let delivery = match (kind, group) {
            (Kind::Fifo, Some(_)) => Delivery::Ordered,
            _ => Delivery::Fast,
        };
        let poison = Poison { message_id, delivery, group: *group, body, attributes, reason };
        self.quarantine.send(poison).await
    }

    /// Sends a row for each message to the archive queue.
    async fn archive_poison(
        &self,
        poison: &[(usize, &Record<'_>, Reason)],
        accepted: &HashSet<usize>,
        deadline: Deadline,
    ) -> Vec<PortResult<()>> {
        let now = self.clock.now();
        // Made before any is awaited, as above.
        let lines: Vec<_> = poison
            .iter()
            .map(|(index, record, reason)| {
                let webhook = accepted.contains(index).then(|| record.read().ok()).flatten();
                self.poison_line(record, webhook, reason, now, deadline)
            })
            .collect();
        let lines: Vec<PortResult<String>> = stream::iter(lines).buffered(IN_FLIGHT).collect().await;
        let mut packing = Packing::default();
        let mut place = |line: PortResult<String>| {
            let line = line?;
            let placed = packing.add(|message| {
                message.push_str(&line);
                Ok::<(), PortError>(())
            })?;
            placed.ok_or_else(|| PortError::permanent("archive", "row is too long"))
        };
        let places: Vec<PortResult<usize>> = lines.into_iter().map(&mut place).collect();
        let messages = packing.into_messages();
        let positions = (0..messages.len()).collect();
        let answers = Answers::checked(positions, self.archive.send(messages).await);
        let sent: Vec<PortResult<()>> = answers.into_iter().map(|(_, answer)| answer).collect();
        let unsent = || Err(PortError::retryable("archive", "no such message"));
        places.into_iter().map(|place| sent.get(place?).cloned().unwrap_or_else(unsent)).collect()
    }

    /// The row of a message that is set aside. A body that makes it too long is stored in S3.
    async fn poison_line(
        &self,
        record: &Record<'_>,
        webhook: Option<QueuedMessage<'_>>,
        reason: Reason,
        now: Timestamp,
        deadline: Deadline,
    ) -> PortResult<String> {
        let unwritable = |_| PortError::permanent("archive", "row cannot be written");
        let fits = |line: &String| line.len() <= MAX_MESSAGE_BYTES;
        let in_time = || match deadline.has_time(self.now_ms()) {
            true => Ok(()),
            false => Err(PortError::retryable("payloads", "no time left")),
        };
        let ending =
            Ending { outcome: archive::Outcome::SetAside, reason: Some(reason), part: 0, object: None };
        if let Some(message) = webhook {
            let whole = line(|line| write_line(line, &message, [], ending)).map_err(unwritable)?;
            if fits(&whole) {
                return Ok(whole);
            }
            in_time()?;
            let stored = self.store_body(&message).await;
            let claim_check = stored.map_err(|_| PortError::retryable("payloads", "body not stored"))?;
            let message = message.claim_checked(&claim_check);
            return line(|line| write_line(line, &message, [], ending)).map_err(unwritable);
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
        let written = |message: &UnreadMessage| {
            line(|line| serde_json::to_string(message).map(|json| line.push_str(&json)))
        };
        let whole = written(&message).map_err(unwritable)?;
        if fits(&whole) {
            return Ok(whole);
        }
        in_time()?;
        let claim_check = ClaimCheck::of_unread(now, record.body.as_bytes());
        self.payloads.put(&claim_check.key, record.body.as_bytes().to_vec()).await?;
        message.encoding = Encoding::ClaimCheck;
        message.body = serde_json::to_string(&claim_check).map_err(unwritable)?;
        written(&message).map_err(unwritable)
    }
}
