//! The messages of a stride, their events, and how far each has come.

use std::{
    fmt,
    marker::PhantomData,
    ops::{Index, IndexMut},
};

use tollgate_batch::Outcome;
use tollgate_core::{EffectId, EventId, PaymentEvent, WebhookId, event::Position};
use tracing::warn;

use super::{
    admit::Refusal,
    record::{Ended, retry},
};
use crate::{
    intake::QueuedMessage,
    ports::{Document, PortError},
};

/// A list whose items are found by an index that only [`push`](Self::push) makes.
///
/// A wrong index panics. The invocation then fails and SQS delivers the batch again, which loses nothing. Any value in
/// place of the missing one could make a record a success that it is not.
#[derive(Debug)]
pub(super) struct Arena<T>(Vec<T>);

/// An index into an [`Arena`] of `T`.
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

impl<T> fmt::Debug for Ix<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// An event of the stride.
#[derive(Debug)]
pub(super) struct Event<'a> {
    pub(super) payment: PaymentEvent<'a>,
    /// Whether its provider says when it happened.
    pub(super) is_dated: bool,
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
    /// The event was processed before: the message has its own copy.
    Done(Box<PaymentEvent<'a>>),
    /// No effect of the message's event. The event and its effect, where a try before this one may have claimed it.
    Refused(Refusal, Option<(EventId, EffectId)>),
    /// The ledger did not answer: nothing is decided.
    Undecided(Outcome),
}

/// A message of the stride.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// Its record's index in the batch.
    pub(super) index: usize,
    pub(super) message: &'a QueuedMessage<'a>,
    /// How many of [`Stride::parts`] are its own.
    pub(super) parts: usize,
    pub(super) row: Row,
}

/// A message's archive row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// The message does nothing, or one of its events failed.
    NotDue,
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

    pub(super) fn conflicts(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Refused(Refusal::Conflict, _))).count()
    }

    /// How each message ends.
    pub(super) fn ended(&self) -> impl Iterator<Item = Ended> {
        self.messages().map(|(message, parts)| (message.index, self.events.outcome(message, parts)))
    }
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
            Part::Undecided(outcome) => Some(*outcome),
            Part::Owns(event) | Part::Repeats(event, _) => match self[*event].progress {
                Progress::Failed(outcome) => Some(outcome),
                Progress::Pending | Progress::Done => None,
            },
            Part::Done(_) | Part::Refused(..) => None,
        }
    }

    fn is(&self, part: &Part<'a>, progress: Progress) -> bool {
        matches!(part, Part::Owns(event) | Part::Repeats(event, _) if self[*event].progress == progress)
    }

    /// Whether the message has an event of its own to do, and none of its events failed.
    pub(super) fn row_is_due(&self, parts: &[Part<'a>]) -> bool {
        let owns = |part: &Part<'a>| matches!(part, Part::Owns(_)) && self.is(part, Progress::Pending);
        parts.iter().any(owns) && !parts.iter().any(|part| self.failure(part).is_some())
    }

    /// How a message ends: by its own row and its own events, independent of other messages. `Ok` and
    /// `Duplicate` need every event done; anything that is not proven is a retry.
    pub(super) fn outcome(&self, message: &Message<'a>, parts: &[Part<'a>]) -> Outcome {
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
                Part::Done(_) => {}
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
    use crate::{
        intake::{Encoding, Notes},
        process::stride::Progress::{Done, Failed, Pending},
    };

    /// One part of a message: whether the message owns its event, and the event's progress.
    #[derive(Debug, Clone, Copy)]
    enum Told {
        Own(Progress),
        Repeat(Progress),
        Known,
        Refused(Refusal),
        Unanswered,
    }
    use Told::{Known, Own, Refused, Repeat, Unanswered};

    const CONFLICT: Told = Refused(Refusal::Conflict);

    const QUARANTINED: Progress = Failed(Poison("refused"));
    const THROTTLED: Progress = Failed(Retry("throttled"));

    fn payment() -> PaymentEvent<'static> {
        let arrival = Arrival {
            webhook_id: &WebhookId::new(Timestamp::UNIX_EPOCH, 1),
            endpoint: &EndpointId::new("acme").unwrap(),
            provider: &ProviderId::new("generic").unwrap(),
            authenticity: Authenticity::Verified,
            received_at: Timestamp::UNIX_EPOCH,
        };
        PaymentEvent::new(Facts::new("e", "paid", EventType::PaymentSucceeded), arrival, RiskTier::Unrated)
    }

    fn queued() -> QueuedMessage<'static> {
        QueuedMessage {
            webhook_id: WebhookId::new(Timestamp::UNIX_EPOCH, 1),
            endpoint: EndpointId::new("acme").unwrap(),
            provider: ProviderId::new("generic").unwrap(),
            received_at: Timestamp::UNIX_EPOCH,
            source_ip: "",
            key_id: "",
            notes: Notes {
                authenticity: Authenticity::Verified,
                body_sha256: "".into(),
                signed_at: None,
                conflicts: Vec::new(),
                only_transaction: None,
            },
            request: "{}",
            encoding: Encoding::Text,
            body: "",
            escaped_body: None,
        }
    }

    fn outcome(row: Row, told: &[Told]) -> (Outcome, bool) {
        let mut events = Events::with_capacity(told.len());
        let mut event = |progress| {
            events.push(Event {
                payment: payment(),
                is_dated: true,
                at_work: None,
                is_latest: false,
                json: String::new(),
                progress,
            })
        };
        let part = |told: &Told| match *told {
            Own(progress) => Part::Owns(event(progress)),
            Repeat(progress) => Part::Repeats(event(progress), Box::new(payment())),
            Known => Part::Done(Box::new(payment())),
            Refused(refusal) => Part::Refused(refusal, None),
            Unanswered => Part::Undecided(Retry("ledger_unavailable")),
        };
        let parts: Vec<Part<'_>> = told.iter().map(part).collect();
        let message = queued();
        let message = Message { index: 0, message: &message, parts: parts.len(), row };
        (events.outcome(&message, &parts), events.row_is_due(&parts))
    }

    #[test]
    fn a_message_ends_by_its_own_events_and_success_is_proven() {
        let unresolved = Retry("unresolved");
        let cases: [(Row, &[Told], Outcome); 20] = [
            (Row::Queued, &[Own(Done)], Ok),
            (Row::Queued, &[Own(Done), Repeat(Done), Known], Ok),
            (Row::NotDue, &[Known], Duplicate),
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
            (Row::Failed(Poison("archive_row_too_large")), &[Own(Pending)], Poison("archive_row_too_large")),
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
    fn a_row_is_due_when_the_message_does_something_and_nothing_failed() {
        let cases: [(&[Told], bool); 9] = [
            (&[Own(Pending)], true),
            (&[Own(Pending), Repeat(Pending), CONFLICT, Known], true),
            (&[], false),
            (&[Repeat(Pending)], false),
            (&[Known], false),
            (&[CONFLICT], false),
            (&[Own(Pending), Own(THROTTLED)], false),
            (&[Own(Pending), Repeat(QUARANTINED)], false),
            (&[Own(Pending), Unanswered], false),
        ];
        for (told, expected) in cases {
            assert_eq!(outcome(Row::NotDue, told).1, expected, "{told:?}");
        }
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
        let message = queued();
        let messages = [Message { index: 0, message: &message, parts: 2, row: Row::NotDue }];
        let _ = with_parts(&messages, &[Part::Refused(Refusal::Conflict, None)]).count();
    }
}
