//! The archive queue.

use std::borrow::Cow;

use tollgate_batch::Outcome;

use crate::{
    archive::{self, Packing, write_line},
    intake::{ClaimCheck, Content, Encoding, QueuedMessage},
    ports::{ArchiveQueue, PayloadStore, PortError, PortResult, ProcessPorts},
    process::{
        Process,
        answers::Answers,
        record::retry,
        stride::{Events, Message, Part, Row, Stride},
    },
};

/// Where a message's row is.
enum Placed {
    NotDue,
    /// In the archive message with this position.
    In(usize),
    /// In none: it is longer than an archive message.
    TooLong,
    Failed(Outcome),
}

impl<P: ProcessPorts> Process<P> {
    /// Sends the row of each message whose events are all published.
    pub(in crate::process) async fn archive_rows(&self, stride: &mut Stride<'_>) {
        let (placed, packing) = self.place_rows(stride).await;
        let messages = packing.into_messages();
        let positions = (0..messages.len()).collect();
        let sent: Vec<PortResult<()>> = Answers::checked(positions, self.archive.send(messages).await)
            .into_iter()
            .map(|(_, answer)| answer)
            .collect();
        for (message, placed) in stride.messages.iter_mut().zip(placed) {
            message.row = match placed {
                Placed::NotDue => Row::NotDue,
                Placed::In(position) => match sent.get(position) {
                    Some(Ok(())) => Row::Queued,
                    Some(Err(problem)) => Row::Failed(retry("archive_unavailable", problem)),
                    None => {
                        let unsent = PortError::retryable("archive", "no such message");
                        Row::Failed(retry("archive_unavailable", &unsent))
                    }
                },
                Placed::TooLong => Row::Failed(Outcome::Poison("archive_row_too_large")),
                Placed::Failed(outcome) => Row::Failed(outcome),
            };
        }
    }

    async fn place_rows(&self, stride: &Stride<'_>) -> (Vec<Placed>, Packing) {
        let events = &stride.events;
        let rows: Vec<(&Message<'_>, &[Part<'_>])> = stride.messages().collect();
        // One share for each thread: each begins an archive message of its own.
        let shares = self.shares(&rows, 1, |rows| {
            let mut packing = Packing::default();
            let place = |&(message, parts): &(&Message<'_>, &[Part<'_>])| match events.row_is_due(parts) {
                true => events.place(parts, message.message, &mut packing),
                false => Placed::NotDue,
            };
            let placed: Vec<Placed> = rows.iter().map(place).collect();
            (packing, placed)
        });
        let mut packing = Packing::default();
        let mut placed: Vec<Placed> = Vec::with_capacity(rows.len());
        for (share, places) in shares {
            let moved = packing.append(share);
            placed.extend(places.into_iter().map(|place| match place {
                Placed::In(position) => Placed::In(position + moved),
                other => other,
            }));
        }
        for (place, (message, parts)) in placed.iter_mut().zip(rows) {
            // A body that makes its row too long for an archive message is stored in S3.
            if matches!(place, Placed::TooLong) && message.message.encoding != Encoding::ClaimCheck {
                *place = match self.store_body(message.message).await {
                    Ok(claim_check) => {
                        let message = QueuedMessage {
                            encoding: Encoding::ClaimCheck,
                            body: &claim_check,
                            escaped_body: None,
                            ..message.message.clone()
                        };
                        events.place(parts, &message, &mut packing)
                    }
                    Err(outcome) => Placed::Failed(outcome),
                };
            }
        }
        (placed, packing)
    }

    /// Stores a message's body, and returns its claim check's JSON.
    async fn store_body(&self, message: &QueuedMessage<'_>) -> Result<String, Outcome> {
        let Ok(Content::Inline(bytes)) = message.content() else {
            return Err(Outcome::Poison("body_undecodable"));
        };
        let claim_check = ClaimCheck::of(&message.webhook_id, message.received_at, &bytes);
        let stored = self.payloads.put(&claim_check.key, bytes.to_vec()).await;
        stored.map_err(|problem| retry("payload_not_stored", &problem))?;
        serde_json::to_string(&claim_check).map_err(|_| Outcome::Poison("archive_row_unwritable"))
    }
}

impl Events<'_> {
    /// Writes the row of a message with all its events, also those that another message does or that were processed
    /// before.
    fn place(&self, parts: &[Part<'_>], message: &QueuedMessage<'_>, packing: &mut Packing) -> Placed {
        let is_refused = parts.iter().any(|part| matches!(part, Part::Refused(..)));
        let outcome = if is_refused { archive::Outcome::Conflict } else { archive::Outcome::Processed };
        let texts = parts.iter().filter_map(|part| match part {
            Part::Owns(event) if self[*event].is_pending() => {
                Some(Ok(Cow::Borrowed(self[*event].json.as_str())))
            }
            Part::Owns(event) => Some(serde_json::to_string(&self[*event].payment).map(Cow::Owned)),
            Part::Repeats(_, payment) | Part::Done(payment) => {
                Some(serde_json::to_string(payment).map(Cow::Owned))
            }
            Part::Refused(..) | Part::Undecided(_) => None,
        });
        let added = texts.collect::<Result<Vec<_>, _>>().and_then(|texts| {
            packing.add(|line| write_line(line, message, texts.iter().map(AsRef::as_ref), outcome))
        });
        match added {
            Ok(Some(position)) => Placed::In(position),
            Ok(None) => Placed::TooLong,
            Err(_) => Placed::Failed(Outcome::Poison("archive_row_unwritable")),
        }
    }
}
