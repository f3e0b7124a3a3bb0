//! The messages of a stride, their events, and how far each has come.

use std::{
    marker::PhantomData,
    mem,
    ops::{Index, IndexMut, Range},
};

use tollgate_batch::Outcome;
use tollgate_core::{EffectId, EventId, LedgerKey, PaymentEvent, WebhookId, event::Position};
use tracing::warn;

use super::{
    record::{DEADLINE, Ended, retry},
    refusal::Refusal,
};
use crate::{
    archive,
    intake::{ClaimCheck, QueuedMessage},
    ports::{Document, PortError},
};

/// A list whose items are found by an index that only [`push`](Self::push) makes.
///
/// A wrong index panics. The invocation then fails and SQS delivers the batch again, which loses nothing. Any value in
/// place of the missing one could make a record a success that it is not.
#[derive(Debug)]
pub(super) struct Arena<T>(Vec<T>);

/// An index into an [`Arena`] of `T`.
#[derive(Debug)]
pub(super) struct Ix<T>(usize, PhantomData<fn() -> T>);

/// The index of an event of the stride.
pub(super) type EventIx<'a> = Ix<Event<'a>>;

/// The events of a stride that are not repeats of one another.
pub(super) type Events<'a> = Arena<Event<'a>>;

impl<T> Arena<T> {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    pub(super) fn push(&mut self, item: T) -> Ix<T> {
        let index = Ix(self.0.len(), PhantomData);
        self.0.push(item);
        index
    }

    /// Every index, in order.
    pub(super) fn indices(&self) -> impl Iterator<Item = Ix<T>> + use<T> {
        (0..self.0.len()).map(|index| Ix(index, PhantomData))
    }
}

#[expect(clippy::indexing_slicing, reason = "a wrong index must fail the invocation")]
impl<T> Index<Ix<T>> for Arena<T> {
    type Output = T;

    fn index(&self, Ix(index, _): Ix<T>) -> &T {
        &self.0[index]
    }
}

#[expect(clippy::indexing_slicing, reason = "a wrong index must fail the invocation")]
impl<T> IndexMut<Ix<T>> for Arena<T> {
    fn index_mut(&mut self, Ix(index, _): Ix<T>) -> &mut T {
        &mut self.0[index]
    }
}

impl<T> Clone for Ix<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ix<T> {}

impl<T> PartialEq for Ix<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// An event of the stride.
#[derive(Debug)]
pub(super) struct Event<'a> {
    pub(super) payment: PaymentEvent<'a>,
    /// Whether its provider says when it happened.
    pub(super) is_dated: bool,
    /// The claim that its delivery's validator made, where that read another id. It is marked too.
    pub(super) claimed_as: Option<LedgerKey>,
    /// The other delivery of the event that works on it.
    pub(super) at_work: Option<WebhookId>,
    /// It is the latest known state of its transaction.
    pub(super) is_latest: bool,
    /// Its JSON, once it is final.
    pub(super) json: String,
    pub(super) progress: Progress,
}

/// How far an event has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// To be done.
    Pending,
    /// Not now, or never.
    Failed(Outcome),
    /// The ledger says that it is processed.
    Done,
}

impl Event<'_> {
    pub(super) fn is_pending(&self) -> bool {
        self.progress == Progress::Pending
    }

    pub(super) fn position(&self) -> Position {
        self.payment.position(self.is_dated)
    }

    pub(super) fn document(&self) -> Document<'_> {
        Document { event: &self.payment, json: &self.json }
    }

    /// Takes a port's failure: `permanent` names it where trying again cannot help.
    pub(super) fn fail(&mut self, problem: &PortError, retryable: &'static str, permanent: &'static str) {
        let outcome = match problem {
            PortError::Retryable { .. } => retry(retryable, problem),
            PortError::Permanent { .. } => {
                warn!(error = %problem, webhook_id = %self.payment.webhook_id, reason = permanent, "event refused");
                Outcome::Poison(permanent)
            }
        };
        self.progress = Progress::Failed(outcome);
    }
}

impl<'a> Events<'a> {
    /// The events that are still to be done, in order.
    pub(super) fn pending(&self) -> Vec<EventIx<'a>> {
        self.indices().filter(|&event| self[event].is_pending()).collect()
    }
}

/// What a message says, one event at a time.
#[derive(Debug)]
pub(super) enum Part<'a> {
    /// The message does this event.
    Owns(EventIx<'a>),
    /// Another message of the stride does this event. The message has its own copy, which its archive row holds.
    Repeats(EventIx<'a>, Box<PaymentEvent<'a>>),
    /// The event was processed before, by this delivery if that is known. The message has its own copy.
    Done(Box<PaymentEvent<'a>>, Option<WebhookId>),
    /// The event was set aside before and had no effect, by this delivery if that is known.
    Aside(Option<WebhookId>),
    /// No effect of the message's event. The event and its effect, where a try before this one may have claimed it.
    Refused(Refusal, Option<(EventId, EffectId)>),
    /// The ledger did not answer, or another version of ours is to read the message: nothing is decided. The event and
    /// its effect, where a try before this one may have claimed it.
    Undecided(Outcome, Option<(EventId, EffectId)>),
}

/// A message of the stride.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// Its record's index in the batch.
    pub(super) index: usize,
    pub(super) message: &'a QueuedMessage<'a>,
    /// A claim has its seal.
    pub(super) is_accepted: bool,
    /// How many of [`Stride::parts`] are its own.
    pub(super) parts: usize,
    pub(super) row: Row,
    pub(super) fit: Fit,
    /// What was fetched for its event.
    pub(super) object: Option<ClaimCheck>,
}

/// How a message's row fits the archive queue. It is decided before an event of the message is published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fit {
    /// Where the body is, as JSON, if the row would be too long with it.
    pub(super) claim_check: Option<String>,
    /// How many events each row but the last has, where one row would be too long for all.
    pub(super) splits: Vec<usize>,
}

/// A message's archive row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// The message does nothing that is not archived, or one of its events failed.
    NotDue,
    /// It cannot be written, so nothing of the message is published.
    Refused(Outcome),
    /// It is in the archive queue.
    Queued,
    /// It is not.
    Failed(Outcome),
}

/// Messages that go through the steps together.
#[derive(Debug)]
pub(super) struct Stride<'a> {
    pub(super) messages: Vec<Message<'a>>,
    /// Each message's parts side by side, in the order of `messages`.
    pub(super) parts: Vec<Part<'a>>,
    pub(super) events: Events<'a>,
}

impl<'a> Stride<'a> {
    /// Each message with its parts.
    pub(super) fn messages(&self) -> impl Iterator<Item = (&Message<'a>, &[Part<'a>])> {
        with_parts(&self.messages, &self.parts)
    }

    /// The copies of events that were processed before in messages that have one to do, whose rows will hold them; each with its
    /// message's place in the stride.
    pub(super) fn copies(&mut self) -> Vec<(usize, &mut PaymentEvent<'a>)> {
        let Self { messages, parts, events } = self;
        let (mut rest, mut copies) = (parts.as_mut_slice(), Vec::new());
        for (place, message) in messages.iter().enumerate() {
            let (own, after) = mem::take(&mut rest).split_at_mut(message.parts);
            rest = after;
            let is_to_do = |part: &Part<'a>| matches!(part, Part::Owns(event) if events[*event].is_pending());
            if own.iter().any(is_to_do) {
                copies.extend(own.iter_mut().filter_map(|part| match part {
                    Part::Done(payment, _) => Some((place, payment.as_mut())),
                    _ => None,
                }));
            }
        }
        copies
    }

    pub(super) fn conflicts(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Refused(Refusal::Conflict, _))).count()
    }

    /// How each message ends.
    pub(super) fn ended(&self) -> impl Iterator<Item = Ended> {
        self.messages().map(|(message, parts)| (message.index, self.events.outcome(message, parts)))
    }

    /// The stride in sections of up to `length` messages, in order.
    pub(super) fn sections(&self, length: usize) -> Vec<Section> {
        let mut parts = 0;
        let sections = self.messages.chunks(length).enumerate().map(|(number, messages)| {
            let begin = parts;
            parts += messages.iter().map(|message| message.parts).sum::<usize>();
            let first = number * length;
            Section { messages: first..first + messages.len(), parts: begin..parts }
        });
        sections.collect()
    }

    /// Each message of a section with its parts. A wrong section panics, as a wrong index does.
    #[expect(clippy::indexing_slicing, reason = "a wrong index must fail the invocation")]
    pub(super) fn section(&self, section: &Section) -> impl Iterator<Item = (&Message<'a>, &[Part<'a>])> {
        with_parts(&self.messages[section.messages.clone()], &self.parts[section.parts.clone()])
    }

    /// The messages of a section. A wrong section panics, as a wrong index does.
    #[expect(clippy::indexing_slicing, reason = "a wrong index must fail the invocation")]
    pub(super) fn section_messages(&mut self, section: &Section) -> &mut [Message<'a>] {
        &mut self.messages[section.messages.clone()]
    }

    /// Leaves a section's messages for later.
    pub(super) fn put_off(&mut self, section: &Section) {
        for message in self.section_messages(section) {
            message.row = Row::Refused(Outcome::Retry(DEADLINE));
        }
    }

    /// The events that a section's messages have still to do.
    pub(super) fn pending_in(&self, section: &Section) -> Vec<EventIx<'a>> {
        let may_be_published = |(message, _): &(&Message<'a>, _)| !matches!(message.row, Row::Refused(_));
        let parts = self.section(section).filter(may_be_published).flat_map(|(_, parts)| parts);
        let own = parts.filter_map(|part| match part {
            Part::Owns(event) if self.events[*event].is_pending() => Some(*event),
            _ => None,
        });
        own.collect()
    }
}

/// Messages that are published, archived and marked together, and their parts.
#[derive(Debug, Clone)]
pub(super) struct Section {
    messages: Range<usize>,
    parts: Range<usize>,
}

/// Each message with its parts. A wrong number of parts panics, as a wrong index does.
pub(super) fn with_parts<'s, 'a>(
    messages: &'s [Message<'a>],
    parts: &'s [Part<'a>],
) -> impl Iterator<Item = (&'s Message<'a>, &'s [Part<'a>])> {
    let mut rest = parts;
    messages.iter().map(move |message| {
        let (own, after) = rest.split_at(message.parts);
        rest = after;
        (message, own)
    })
}

impl<'a> Events<'a> {
    fn failure(&self, part: &Part<'a>) -> Option<Outcome> {
        match part {
            Part::Undecided(outcome, _) => Some(*outcome),
            Part::Owns(event) | Part::Repeats(event, _) => match self[*event].progress {
                Progress::Failed(outcome) => Some(outcome),
                Progress::Pending | Progress::Done => None,
            },
            Part::Done(..) | Part::Aside(_) | Part::Refused(..) => None,
        }
    }

    fn is(&self, part: &Part<'a>, progress: Progress) -> bool {
        matches!(part, Part::Owns(event) | Part::Repeats(event, _) if self[*event].progress == progress)
    }

    /// The outcome in the message's row, if a row is due: none of its events failed, and it has an event of its own to
    /// do, or another delivery has done or does one of its events. Where the message itself did them all before, its row
    /// is in the archive.
    pub(super) fn row_due(&self, message: &Message<'a>, parts: &[Part<'a>]) -> Option<archive::Outcome> {
        if matches!(message.row, Row::Refused(_)) || parts.iter().any(|part| self.failure(part).is_some()) {
            return None;
        }
        let owns = |part: &Part<'a>| matches!(part, Part::Owns(_)) && self.is(part, Progress::Pending);
        let is_refused = parts.iter().any(|part| matches!(part, Part::Refused(..)));
        if parts.iter().any(owns) {
            return Some(if is_refused { archive::Outcome::Conflict } else { archive::Outcome::Processed });
        }
        let own = message.message.webhook_id;
        let is_by_another = |part: &Part<'a>| match part {
            Part::Done(_, by) | Part::Aside(by) => *by != Some(own),
            Part::Repeats(event, _) => self[*event].payment.webhook_id != own,
            Part::Owns(_) | Part::Refused(..) | Part::Undecided(..) => false,
        };
        // What is refused is set aside, and archived so.
        (!is_refused && parts.iter().any(is_by_another)).then_some(archive::Outcome::Duplicate)
    }

    /// How a message ends: by its own row and its own events, independent of other messages. `Ok` and
    /// `Duplicate` need every event done; anything that is not proven is a retry.
    pub(super) fn outcome(&self, message: &Message<'a>, parts: &[Part<'a>]) -> Outcome {
        if let Row::Refused(outcome) = message.row {
            return outcome;
        }
        let failures = || parts.iter().filter_map(|part| self.failure(part));
        let is_retry = |outcome: &Outcome| matches!(outcome, Outcome::Retry(_));
        // A retry first: quarantined at once, the message would lose its other event's next try.
        if let Some(failure) = failures().find(is_retry).or_else(|| failures().next()) {
            return failure;
        }
        if let Row::Failed(outcome) = message.row {
            return outcome;
        }
        let mut does_something = false;
        let mut refused = None;
        for part in parts {
            match part {
                Part::Refused(refusal, _) => refused = refused.max(Some(*refusal)),
                Part::Owns(event) if self[*event].progress == Progress::Done => does_something = true,
                Part::Done(..) | Part::Aside(_) => {}
                part if self.is(part, Progress::Done) => {}
                _ => return Outcome::Retry("unresolved"),
            }
        }
        match (parts, refused) {
            ([], _) => Outcome::Retry("unresolved"),
            (_, Some(refusal)) => Outcome::Poison(refusal.reason()),
            _ if does_something => Outcome::Ok,
            _ => Outcome::Duplicate,
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_batch::Outcome::{self, Duplicate, Ok, Poison, Retry};
    use tollgate_core::{
        Authenticity, EndpointId, EventType, Facts, ProviderId, RiskTier, Timestamp, WebhookId,
        event::Arrival,
    };

    use super::*;
    use crate::process::stride::Progress::{Done, Failed, Pending};

    /// One part of a message: whether the message owns its event, and the event's progress.
    #[derive(Debug, Clone, Copy)]
    enum Told {
        Own(Progress),
        Repeat(Progress),
        /// Processed by the delivery of this number.
        Known(u128),
        Refused(Refusal),
        Unanswered,
    }
    use Told::{Known, Own, Refused, Repeat, Unanswered};

    const CONFLICT: Told = Refused(Refusal::Conflict);

    const QUARANTINED: Progress = Failed(Poison("refused"));
    const THROTTLED: Progress = Failed(Retry("throttled"));

    /// As the delivery of this number tells it; the message's own has the number 1.
    fn payment(by: u128) -> PaymentEvent<'static> {
        let arrival = Arrival {
            webhook_id: &WebhookId::new(Timestamp::UNIX_EPOCH, by),
            endpoint: &EndpointId::new("acme").unwrap(),
            provider: &ProviderId::new("generic").unwrap(),
            authenticity: Authenticity::Verified,
            received_at: Timestamp::UNIX_EPOCH,
        };
        PaymentEvent::new(Facts::new("e", "paid", EventType::PaymentSucceeded), arrival, RiskTier::Unrated)
    }

    fn outcome(row: Row, told: &[Told]) -> (Outcome, Option<archive::Outcome>) {
        let mut events = Events::with_capacity(told.len());
        let mut event = |progress, by| {
            events.push(Event {
                payment: payment(by),
                is_dated: true,
                claimed_as: None,
                at_work: None,
                is_latest: false,
                json: String::new(),
                progress,
            })
        };
        let part = |told: &Told| match *told {
            Own(progress) => Part::Owns(event(progress, 1)),
            Repeat(progress) => Part::Repeats(event(progress, 2), Box::new(payment(1))),
            Known(by) => Part::Done(Box::new(payment(1)), Some(WebhookId::new(Timestamp::UNIX_EPOCH, by))),
            Refused(refusal) => Part::Refused(refusal, None),
            Unanswered => Part::Undecided(Retry("ledger_unavailable"), None),
        };
        let parts: Vec<Part<'_>> = told.iter().map(part).collect();
        let message = QueuedMessage::example();
        let message = Message {
            index: 0,
            message: &message,
            is_accepted: true,
            parts: parts.len(),
            row,
            fit: Fit::default(),
            object: None,
        };
        (events.outcome(&message, &parts), events.row_due(&message, &parts))
    }

    #[test]
    fn a_message_ends_by_its_own_events_and_success_is_proven() {
        let unresolved = Retry("unresolved");
        let cases: [(Row, &[Told], Outcome); 22] = [
            (Row::Refused(Poison("archive_row_too_large")), &[Own(Pending)], Poison("archive_row_too_large")),
            (Row::Refused(Retry("deadline")), &[Own(Pending), CONFLICT], Retry("deadline")),
            (Row::Queued, &[Own(Done)], Ok),
            (Row::Queued, &[Own(Done), Repeat(Done), Known(1)], Ok),
            (Row::NotDue, &[Known(1)], Duplicate),
            (Row::NotDue, &[Repeat(Done)], Duplicate),
            (Row::NotDue, &[], unresolved),
            (Row::NotDue, &[Own(Pending)], unresolved),
            (Row::Queued, &[Own(Pending)], unresolved),
            (Row::Queued, &[Own(Done), Own(Pending)], unresolved),
            // The message that owns the event did not finish it.
            (Row::NotDue, &[Repeat(Pending)], unresolved),
            (Row::Queued, &[Own(Done), Repeat(Pending)], unresolved),
            (Row::NotDue, &[Unanswered], Retry("ledger_unavailable")),
            (Row::NotDue, &[Own(Pending), Own(QUARANTINED)], Poison("refused")),
            (Row::NotDue, &[Own(QUARANTINED), Own(THROTTLED)], Retry("throttled")),
            (Row::NotDue, &[Repeat(QUARANTINED)], Poison("refused")),
            (Row::Failed(Retry("archive_unavailable")), &[Own(Pending)], Retry("archive_unavailable")),
            (Row::Queued, &[Own(Done), CONFLICT], Poison("conflicting_facts")),
            (Row::NotDue, &[CONFLICT], Poison("conflicting_facts")),
            (Row::NotDue, &[CONFLICT, Own(Pending)], unresolved),
            (Row::Queued, &[Own(Done), Refused(Refusal::Unclaimed)], Poison("unclaimed")),
            (Row::NotDue, &[CONFLICT, Refused(Refusal::Altered)], Poison("altered")),
        ];
        for (row, told, expected) in cases {
            assert_eq!(outcome(row, told).0, expected, "{row:?} {told:?}");
        }
    }

    #[test]
    fn a_row_is_due_when_the_message_does_something_or_another_did_it_and_nothing_failed() {
        use archive::Outcome::{Conflict, Processed};
        let duplicate = Some(archive::Outcome::Duplicate);
        let cases: [(&[Told], Option<archive::Outcome>); 13] = [
            (&[Own(Pending)], Some(Processed)),
            (&[Own(Pending), Repeat(Pending), Known(1), Known(2)], Some(Processed)),
            (&[Own(Pending), CONFLICT], Some(Conflict)),
            (&[], None),
            // By another delivery, in this stride or before, and by this one.
            (&[Repeat(Pending)], duplicate),
            (&[Known(2)], duplicate),
            (&[Known(1)], None),
            (&[Known(1), Known(2)], duplicate),
            (&[CONFLICT], None),
            (&[CONFLICT, Known(2)], None),
            (&[Own(Pending), Own(THROTTLED)], None),
            (&[Own(Pending), Repeat(QUARANTINED)], None),
            (&[Own(Pending), Unanswered], None),
        ];
        for (told, expected) in cases {
            assert_eq!(outcome(Row::NotDue, told).1, expected, "{told:?}");
        }
        assert_eq!(outcome(Row::Refused(Retry("deadline")), &[Own(Pending)]).1, None);
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn a_wrong_index_fails_the_invocation() {
        let index = Arena::with_capacity(1).push("of another list");
        let _ = Arena::<&str>::with_capacity(0)[index];
    }

    #[test]
    #[should_panic(expected = "mid")]
    fn a_wrong_number_of_parts_fails_the_invocation() {
        let message = QueuedMessage::example();
        let messages = [Message {
            index: 0,
            message: &message,
            is_accepted: true,
            parts: 2,
            row: Row::NotDue,
            fit: Fit::default(),
            object: None,
        }];
        let _ = with_parts(&messages, &[Part::Refused(Refusal::Conflict, None)]).count();
    }
}
