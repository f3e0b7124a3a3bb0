//! The archive queue.

use std::{borrow::Cow, ops::RangeInclusive};

use tollgate_batch::{Deadline, Outcome};

use crate::{
    archive::{self, Ending, Packing, event_bytes, line, row_bytes_at_most, write_line},
    intake::{ClaimCheck, Content, Encoding, MAX_MESSAGE_BYTES, QueuedMessage},
    ports::{ArchiveQueue, PayloadStore, PortError, PortResult, ProcessPorts},
    process::{
        Process,
        answers::Answers,
        record::{DEADLINE, retry},
        stride::{Events, Fit, Message, Part, Row, Section, Stride},
    },
};

/// More than the JSON of any event: metadata of 16 KiB and texts of 512 bytes, each byte of which JSON writes as six at
/// most.
const EVENT_BYTES: usize = 131_072;

/// Where a message's row is.
enum Placed {
    NotDue,
    /// In the archive messages with these positions.
    In(RangeInclusive<usize>),
    Failed(Outcome),
}

impl Placed {
    /// Behind so many archive messages.
    fn moved(self, by: usize) -> Self {
        match self {
            Self::In(positions) => Self::In(positions.start() + by..=positions.end() + by),
            other => other,
        }
    }
}

impl<P: ProcessPorts> Process<P> {
    /// Decides how each row that will be due fits the archive queue: whether its body has to be in S3, and its events in
    /// several rows. A message whose row fits in no way is refused, before an event of it is published.
    pub(in crate::process) async fn fit_rows(&self, stride: &mut Stride<'_>, deadline: Deadline) {
        let events = &stride.events;
        let mut fits = Vec::new();
        for (position, (message, parts)) in stride.messages().enumerate() {
            let Some(outcome) = events.row_due(message, parts) else { continue };
            let at_most = row_bytes_at_most(message.message, events.bytes_at_most(parts, outcome));
            if at_most > MAX_MESSAGE_BYTES {
                fits.push((position, self.fit_row(events, message, parts, outcome, deadline).await));
            }
        }
        for (position, fit) in fits {
            let Some(message) = stride.messages.get_mut(position) else { continue };
            match fit {
                Ok(fit) => message.fit = fit,
                Err(outcome) => message.row = Row::Refused(outcome),
            }
        }
    }

    async fn fit_row<'a>(
        &self,
        events: &Events<'a>,
        message: &Message<'a>,
        parts: &[Part<'a>],
        outcome: archive::Outcome,
        deadline: Deadline,
    ) -> Result<Fit, Outcome> {
        let texts = events.texts(parts, outcome).map_err(|_| UNWRITABLE)?;
        let ending = Ending { part: u32::MAX, ..Ending::of(outcome, message.object.as_ref()) };
        let bytes = |message: &QueuedMessage<'_>, texts: &[Cow<'_, str>]| {
            line(|line| write_line(line, message, texts.iter().map(AsRef::as_ref), ending))
                .map(|line| line.len())
                .map_err(|_| UNWRITABLE)
        };
        if bytes(message.message, &texts)? <= MAX_MESSAGE_BYTES {
            return Ok(Fit::default());
        }
        let mut fit = Fit::default();
        if message.message.encoding != Encoding::ClaimCheck {
            if !deadline.has_time(self.now_ms()) {
                return Err(Outcome::Retry(DEADLINE));
            }
            fit.claim_check = Some(self.store_body(message.message).await?);
        }
        let message = fit.of(message.message);
        if bytes(&message, &texts)? > MAX_MESSAGE_BYTES {
            let room = MAX_MESSAGE_BYTES.saturating_sub(bytes(&message, &[])?);
            fit.splits = splits(texts.iter().map(|text| event_bytes(text) + 1), room)?;
        }
        Ok(fit)
    }

    /// Sends the rows of a section's messages: of each whose events are all published, and of each that had nothing to do.
    pub(in crate::process) async fn archive_rows(&self, stride: &mut Stride<'_>, section: &Section) {
        let (placed, packing) = self.place_rows(stride, section);
        let messages = packing.into_messages();
        let positions = (0..messages.len()).collect();
        let sent: Vec<PortResult<()>> = Answers::checked(positions, self.archive.send(messages).await)
            .into_iter()
            .map(|(_, answer)| answer)
            .collect();
        let unsent = Err(PortError::retryable("archive", "no such message"));
        for (message, placed) in stride.section_messages(section).iter_mut().zip(placed) {
            message.row = match placed {
                Placed::NotDue => message.row,
                Placed::In(mut positions) => {
                    match positions.try_for_each(|position| sent.get(position).unwrap_or(&unsent).clone()) {
                        Ok(()) => Row::Queued,
                        Err(problem) => Row::Failed(retry("archive_unavailable", &problem)),
                    }
                }
                Placed::Failed(outcome) => Row::Failed(outcome),
            };
        }
    }

    fn place_rows(&self, stride: &Stride<'_>, section: &Section) -> (Vec<Placed>, Packing) {
        let events = &stride.events;
        let rows: Vec<(&Message<'_>, &[Part<'_>])> = stride.section(section).collect();
        // One share for each thread: each begins archive messages of its own. Duplicates are in messages apart: an
        // archival function from before there were such rows reads no message with one.
        let shares = self.shares(&rows, 1, |rows| {
            let (mut packing, mut duplicates) = (Packing::default(), Packing::default());
            let place = |&(message, parts): &(&Message<'_>, &[Part<'_>])| {
                let Some(outcome) = events.row_due(message, parts) else { return (false, Placed::NotDue) };
                let is_apart = outcome == archive::Outcome::Duplicate;
                let packing = if is_apart { &mut duplicates } else { &mut packing };
                (is_apart, events.place(message, parts, outcome, packing))
            };
            let placed: Vec<(bool, Placed)> = rows.iter().map(place).collect();
            let moved = packing.append(duplicates);
            let placed = placed.into_iter();
            let placed = placed.map(|(is_apart, placed)| if is_apart { placed.moved(moved) } else { placed });
            (packing, placed.collect::<Vec<_>>())
        });
        let mut packing = Packing::default();
        let mut placed: Vec<Placed> = Vec::with_capacity(rows.len());
        for (share, places) in shares {
            let moved = packing.append(share);
            placed.extend(places.into_iter().map(|place| place.moved(moved)));
        }
        (placed, packing)
    }

    /// Stores a message's body, and returns its claim check's JSON.
    pub(in crate::process) async fn store_body(
        &self,
        message: &QueuedMessage<'_>,
    ) -> Result<String, Outcome> {
        let Ok(Content::Inline(bytes)) = message.content() else {
            return Err(Outcome::Poison("body_undecodable"));
        };
        let claim_check = ClaimCheck::of(&message.webhook_id, message.received_at, &bytes);
        let stored = self.payloads.put(&claim_check.key, bytes.to_vec()).await;
        stored.map_err(|problem| retry("payload_not_stored", &problem))?;
        serde_json::to_string(&claim_check).map_err(|_| UNWRITABLE)
    }
}

/// A row that cannot be written as JSON.
const UNWRITABLE: Outcome = Outcome::Poison("archive_row_unwritable");

/// How many events each row but the last has, so that the events of none are longer than `room`.
fn splits(events: impl Iterator<Item = usize>, room: usize) -> Result<Vec<usize>, Outcome> {
    let (mut splits, mut count, mut used) = (Vec::new(), 0, 0);
    for bytes in events {
        if bytes > room {
            return Err(Outcome::Poison("archive_row_too_large"));
        }
        if used + bytes > room {
            splits.push(count);
            (count, used) = (0, 0);
        }
        count += 1;
        used += bytes;
    }
    Ok(splits)
}

impl Fit {
    /// The message as its row has it.
    fn of<'m>(&'m self, message: &'m QueuedMessage<'m>) -> Cow<'m, QueuedMessage<'m>> {
        match &self.claim_check {
            Some(claim_check) => Cow::Owned(message.clone().claim_checked(claim_check)),
            None => Cow::Borrowed(message),
        }
    }
}

impl<'a> Events<'a> {
    /// At least as long as the events in a message's row, in bytes.
    fn bytes_at_most(&self, parts: &[Part<'a>], outcome: archive::Outcome) -> usize {
        let bytes = |part: &Part<'a>| match part {
            Part::Owns(event) => self[*event].json.len() + 1,
            Part::Repeats(..) | Part::Done(..) => EVENT_BYTES,
            Part::Aside(_) | Part::Refused(..) | Part::Undecided(..) => 0,
        };
        if outcome == archive::Outcome::Duplicate { 0 } else { parts.iter().map(bytes).sum() }
    }

    /// The events in a message's row, as JSON: all of the message's, also those that another message does or that were
    /// processed before. None where the message does nothing itself.
    fn texts(
        &self,
        parts: &[Part<'a>],
        outcome: archive::Outcome,
    ) -> Result<Vec<Cow<'_, str>>, serde_json::Error> {
        if outcome == archive::Outcome::Duplicate {
            return Ok(Vec::new());
        }
        let texts = parts.iter().filter_map(|part| match part {
            Part::Owns(event) => Some(Ok(Cow::Borrowed(self[*event].json.as_str()))),
            Part::Repeats(_, payment) | Part::Done(payment, _) => {
                Some(serde_json::to_string(payment).map(Cow::Owned))
            }
            Part::Aside(_) | Part::Refused(..) | Part::Undecided(..) => None,
        });
        texts.collect()
    }

    /// Writes a message's row, as it was found to fit.
    fn place(
        &self,
        message: &Message<'a>,
        parts: &[Part<'a>],
        outcome: archive::Outcome,
        packing: &mut Packing,
    ) -> Placed {
        let Ok(texts) = self.texts(parts, outcome) else { return Placed::Failed(UNWRITABLE) };
        let queued = message.fit.of(message.message);
        let mut rest = texts.as_slice();
        let mut places: Option<RangeInclusive<usize>> = None;
        let lengths = message.fit.splits.iter().copied().chain([usize::MAX]);
        for (part, length) in (0..).zip(lengths) {
            let (events, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            let ending = Ending { part, ..Ending::of(outcome, message.object.as_ref()) };
            let events = events.iter().map(AsRef::as_ref);
            match packing.add(|line| write_line(line, &queued, events, ending)) {
                Ok(Some(place)) => {
                    places = Some(places.map_or(place, |places| *places.start())..=place);
                }
                // It was measured with the same texts.
                Ok(None) => return Placed::Failed(Outcome::Retry("unresolved")),
                Err(_) => return Placed::Failed(UNWRITABLE),
            }
        }
        places.map_or(Placed::NotDue, Placed::In)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_split_so_that_none_is_left_out() {
        let too_large = Err(Outcome::Poison("archive_row_too_large"));
        for (events, expected) in [
            (&[][..], Ok(vec![])),
            (&[10], Ok(vec![])),
            (&[4, 6], Ok(vec![])),
            (&[4, 7], Ok(vec![1])),
            (&[4, 6, 1, 9, 10], Ok(vec![2, 2])),
            (&[4, 11], too_large),
        ] {
            assert_eq!(splits(events.iter().copied(), 10), expected, "{events:?}");
        }
    }
}
