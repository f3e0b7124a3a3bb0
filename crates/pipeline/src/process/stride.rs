//! The messages of a stride, their events, and how far each has come.

use std::{
    fmt,
    marker::PhantomData,
    ops::{Index, IndexMut},
};

use tollgate_batch::Outcome;
use tollgate_core::{Fingerprint, PaymentEvent};
use tracing::warn;

use super::{Ended, retry};
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

impl<T> fmt::Debug for Ix<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// An event of the stride.
#[derive(Debug)]
pub(super) struct Event<'a> {
    pub(super) payment: PaymentEvent<'a>,
    pub(super) fingerprint: Fingerprint,
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
    /// The ledger said so before anything was begun.
    AlreadyProcessed,
    /// Not now, or never.
    Failed(Outcome),
    /// The ledger says that it is processed.
    Done,
}

impl Event<'_> {
    pub(super) fn is_pending(&self) -> bool {
        self.progress == Progress::Pending
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
    /// Other facts than the event's id was claimed with: no effect.
    Conflicts,
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
        self.parts.iter().filter(|part| matches!(part, Part::Conflicts)).count()
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
                Progress::Pending | Progress::AlreadyProcessed | Progress::Done => None,
            },
            Part::Conflicts => None,
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

    /// How a message ends: by its own row and its own events, whatever became of the messages beside it. `Ok` and
    /// `Duplicate` need every event done; anything that is not proven is a retry.
    fn outcome(&self, message: &Message<'a>, parts: &[Part<'a>]) -> Outcome {
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
        let mut conflicts = false;
        for part in parts {
            match part {
                Part::Conflicts => conflicts = true,
                Part::Owns(event) if self[*event].progress == Progress::Done => does_something = true,
                part if self.is(part, Progress::Done) || self.is(part, Progress::AlreadyProcessed) => {}
                _ => return Outcome::Retry("unresolved"),
            }
        }
        match parts {
            [] => Outcome::Retry("unresolved"),
            _ if conflicts => Outcome::Poison("conflicting_facts"),
            _ if does_something => Outcome::Ok,
            _ => Outcome::Duplicate,
        }
    }
}
