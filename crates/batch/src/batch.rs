//! The tracker of one batch.

use std::collections::HashMap;

use crate::{
    outcome::{Outcome, Summary},
    response::Response,
};

/// The two kinds of SQS queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No order. Message groups, which fair queues use to share capacity, mean nothing here.
    Standard,
    /// Strict order within a message group.
    Fifo,
}

impl Kind {
    /// By a queue's name, URL or ARN (an event's `eventSourceARN`): SQS requires the suffix `.fifo` of a FIFO
    /// queue's name and allows no other name a dot.
    pub fn of_queue(name_or_arn: &str) -> Self {
        if name_or_arn.ends_with(".fifo") { Self::Fifo } else { Self::Standard }
    }
}

/// One batch: returns the records that may begin ([`next_wave`](Self::next_wave)), takes their outcomes
/// ([`settle`](Self::settle)), and lists the message ids that the queue must keep ([`response`](Self::response)).
///
/// The caller names records by their index in the batch and never by their id. So the response holds only ids that came
/// with the batch.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    kind: Kind,
    slots: Vec<Slot<'a>>,
    /// For each lane the last record that was handed out, or the first one if none was. The next wave begins here.
    frontier: Vec<usize>,
}

/// Records that must not run at the same time share a lane: on a FIFO queue those of one message group, on a
/// standard queue the copies of one message.
#[derive(Debug, Clone, Copy)]
struct Slot<'a> {
    id: &'a str,
    /// The next record of the same lane.
    next: Option<usize>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Begun,
    Settled(Outcome),
    /// Comes after a failure in its message group. `begun`: it was handed out before that failure was settled.
    Blocked {
        begun: bool,
    },
}

impl State {
    fn is_done(self) -> bool {
        matches!(self, Self::Settled(outcome) if !outcome.is_failure())
    }
}

/// The record cannot be settled: the batch has no such index, or no wave has handed it out yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record {index} of the batch was not handed out")]
pub struct NotBegun {
    /// The index given.
    pub index: usize,
}

/// A failed record has no message id, so the response cannot name it. Return this as the function's error: then the
/// whole batch stays in the queue. Without an entry for the record Lambda deletes it. An entry with an empty id fails
/// the whole batch too, but no error shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record {index} of the batch failed and has no message id: the whole batch must be kept")]
pub struct Unreportable {
    /// Which record.
    pub index: usize,
}

impl<'a> Batch<'a> {
    /// A batch of (message id, message group id), in the order of the event.
    ///
    /// - An absent message id is the empty text. Such a record is handed out like any other. If it fails, the response
    ///   [cannot name it](Unreportable).
    /// - A message id that occurs twice is one message delivered twice. Every copy is handed out, because the bodies
    ///   are not compared. On a standard queue the copies run one after the other. The id is reported once, if any copy
    ///   failed.
    /// - On a FIFO queue, the records without a group are one group.
    pub fn new(kind: Kind, records: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Self {
        let records = records.into_iter();
        let expected = records.size_hint().0;
        let mut slots: Vec<Slot<'a>> = Vec::with_capacity(expected);
        let mut frontier = Vec::with_capacity(expected);
        let mut last_of_lane: HashMap<Option<&str>, usize> = HashMap::with_capacity(expected);
        for (index, (id, group)) in records.enumerate() {
            let lane = match kind {
                Kind::Standard => Some(id),
                Kind::Fifo => group,
            };
            // Records without an id are not copies of one another.
            let is_alone = kind == Kind::Standard && id.is_empty();
            let before = if is_alone { None } else { last_of_lane.insert(lane, index) };
            match before.and_then(|before| slots.get_mut(before)) {
                Some(before) => before.next = Some(index),
                None => frontier.push(index),
            }
            slots.push(Slot { id, next: None, state: State::Waiting });
        }
        Self { kind, slots, frontier }
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The indices of the records that may begin now, ascending, or `None` when there are none. They do not depend on
    /// each other and may run in parallel.
    ///
    /// On a standard queue the first wave is the whole batch, except for repeated copies of a message. On a FIFO queue
    /// a wave holds at most one record of each group: first the group's first record, later the one after a record that
    /// was settled as done. After a failure no record of the group is handed out. After a record that is not settled
    /// yet, the next one is handed out by the first call after it is settled, so no group waits for another.
    pub fn next_wave(&mut self) -> Option<Vec<usize>> {
        let mut wave = Vec::with_capacity(self.frontier.len());
        let mut in_flight = Vec::new();
        for head in std::mem::take(&mut self.frontier) {
            match self.slots.get(head).map(|slot| (slot.state, slot.next)) {
                Some((State::Waiting, _)) => wave.push(head),
                Some((State::Begun, Some(_))) => in_flight.push(head),
                Some((State::Settled(_), Some(next))) if self.may_follow(head) => wave.push(next),
                _ => {}
            }
        }
        wave.sort_unstable();
        for index in &wave {
            if let Some(slot) = self.slots.get_mut(*index) {
                slot.state = State::Begun;
            }
        }
        self.frontier = wave.iter().copied().filter(|index| self.has_next(*index)).collect();
        self.frontier.append(&mut in_flight);
        if wave.is_empty() { None } else { Some(wave) }
    }

    /// Sets a record's outcome. A record that is never settled is unprocessed and is reported.
    ///
    /// If a record is settled twice, the first outcome stays, unless only the second one is a failure. So a failure is
    /// never replaced, and a failure that is found later is still reported.
    ///
    /// # Errors
    ///
    /// [`NotBegun`] when no wave has handed the record out: its effect would be out of order.
    pub fn settle(&mut self, index: usize, outcome: Outcome) -> Result<(), NotBegun> {
        let slot = self.slots.get_mut(index).ok_or(NotBegun { index })?;
        match slot.state {
            State::Waiting | State::Blocked { begun: false } => return Err(NotBegun { index }),
            State::Blocked { begun: true } => return Ok(()),
            State::Settled(first) if first.is_failure() || !outcome.is_failure() => return Ok(()),
            State::Begun | State::Settled(_) => slot.state = State::Settled(outcome),
        }
        if outcome.is_failure() && self.kind == Kind::Fifo {
            self.block_after(index);
        }
        Ok(())
    }

    /// A record's outcome; `None` until it is settled.
    pub fn outcome(&self, index: usize) -> Option<Outcome> {
        match self.slots.get(index)?.state {
            State::Settled(outcome) => Some(outcome),
            State::Waiting | State::Begun | State::Blocked { .. } => None,
        }
    }

    /// Records that were handed out and not settled, ascending.
    pub fn in_flight(&self) -> impl Iterator<Item = usize> {
        let begun = |(index, slot): (usize, &Slot<'_>)| (slot.state == State::Begun).then_some(index);
        self.slots.iter().enumerate().filter_map(begun)
    }

    /// The message ids that the queue must keep, each once, in the order of the batch.
    ///
    /// # Errors
    ///
    /// [`Unreportable`].
    pub fn failures(&self) -> Result<Vec<&'a str>, Unreportable> {
        let mut failures = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (index, slot) in self.slots.iter().enumerate().filter(|(_, slot)| !slot.state.is_done()) {
            if slot.id.is_empty() {
                return Err(Unreportable { index });
            }
            if seen.insert(slot.id) {
                failures.push(slot.id);
            }
        }
        Ok(failures)
    }

    /// The function's response.
    ///
    /// # Errors
    ///
    /// [`Unreportable`]: the invocation itself must fail.
    pub fn response(&self) -> Result<Response, Unreportable> {
        self.failures().map(|failures| Response::new(&failures))
    }

    /// How many records ended in which way.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary { records: self.slots.len(), ..Summary::default() };
        for slot in &self.slots {
            let count = match slot.state {
                State::Waiting | State::Begun => &mut summary.unprocessed,
                State::Blocked { .. } => &mut summary.blocked,
                State::Settled(Outcome::Ok) => &mut summary.ok,
                State::Settled(Outcome::Duplicate) => &mut summary.duplicates,
                State::Settled(Outcome::Quarantined(_)) => &mut summary.quarantined,
                State::Settled(Outcome::Retry(_)) => &mut summary.retries,
                State::Settled(Outcome::Poison(_)) => &mut summary.poison,
            };
            *count += 1;
            if let State::Settled(outcome) = slot.state
                && let Some(reason) = outcome.reason()
            {
                *summary.reasons.entry(reason).or_default() += 1;
            }
        }
        summary
    }

    /// On a FIFO queue no record follows a failure. On a standard queue each copy of a message has its own outcome.
    fn may_follow(&self, index: usize) -> bool {
        self.kind == Kind::Standard || self.slots.get(index).is_some_and(|slot| slot.state.is_done())
    }

    fn has_next(&self, index: usize) -> bool {
        self.slots.get(index).is_some_and(|slot| slot.next.is_some())
    }

    /// Whatever their state: if a record of the group is delivered again, the later ones must be delivered again after
    /// it.
    fn block_after(&mut self, index: usize) {
        let mut next = self.slots.get(index).and_then(|slot| slot.next);
        while let Some(slot) = next.and_then(|index| self.slots.get_mut(index)) {
            let begun = !matches!(slot.state, State::Waiting | State::Blocked { begun: false });
            slot.state = State::Blocked { begun };
            next = slot.next;
        }
    }
}
