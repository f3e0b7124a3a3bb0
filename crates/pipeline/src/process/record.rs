//! The records of a batch, and how each of them ends.

use std::{borrow::Cow, collections::HashSet, fmt::Display};

use tollgate_batch::{Kind, Outcome, Reason};
use tracing::warn;

use crate::{
    intake::{IntakeError, QueuedMessage},
    ports::PortError,
};

/// One SQS record of the batch.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// The id by which SQS is told of a failure.
    pub message_id: &'a str,
    /// The message group: on a FIFO queue messages of one are in order, on a standard queue it means nothing here.
    pub group: Option<&'a str>,
    /// How often the queue has handed it out, this time included; 0 where that is not known.
    pub receive_count: u32,
    /// The message body.
    pub body: &'a str,
    /// The body as it stands between quotes in the batch's JSON, if it is available. The archive takes it as it is.
    pub escaped_body: Option<&'a str>,
    /// The message attributes' texts.
    pub attributes: Cow<'a, [(&'a str, &'a str)]>,
}

impl<'a> Record<'a> {
    pub(super) fn read(&self) -> Result<QueuedMessage<'a>, IntakeError> {
        let message = QueuedMessage::read(self.body, &self.attributes)?;
        Ok(QueuedMessage { escaped_body: self.escaped_body, ..message })
    }
}

/// The reason of a message that there was no time for.
pub(super) const DEADLINE: Reason = "deadline";

/// The reason of a message for which a provider was not asked, since it could not answer others a moment ago, or refused the key.
pub(super) const PAUSED: Reason = "provider_paused";

/// The reason of a message for which a provider was asked and could not answer.
pub(super) const PROVIDER_UNAVAILABLE: Reason = "provider_unavailable";

/// They say nothing of the message: it comes back until the queue hands it out no more.
const NOT_CHARGED: [Reason; 3] = [DEADLINE, PAUSED, PROVIDER_UNAVAILABLE];

/// How often a message is received before it is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receives {
    /// A message that fails is set aside from this receive on. A receive may be in vain: none was tried where the function
    /// was throttled, where it had no time, and behind a failure in a FIFO group.
    pub tries: u32,
    /// The queue's `maxReceiveCount`, the last receive before SQS itself moves the message to the dead letters.
    pub last: u32,
}

/// Which failures of a batch are the last.
#[derive(Debug)]
pub(super) struct Tries<'r, 'b> {
    receives: Receives,
    records: &'r [Record<'b>],
    /// Those that stood behind another message of their FIFO group.
    waited: HashSet<usize>,
}

impl<'r, 'b> Tries<'r, 'b> {
    pub(super) fn new(receives: Receives, kind: Kind, records: &'r [Record<'b>]) -> Self {
        let mut groups = HashSet::new();
        let waits = |(index, record): (usize, &Record<'b>)| (!groups.insert(record.group)).then_some(index);
        let waited = match kind {
            Kind::Standard => HashSet::new(),
            Kind::Fifo => records.iter().enumerate().filter_map(waits).collect(),
        };
        Self { receives, records, waited }
    }

    /// Whether a failure of the record is its last. `was_tried`: there was time for it.
    fn is_last_where(&self, index: usize, was_tried: bool) -> bool {
        let count = self.records.get(index).map_or(0, |record| record.receive_count);
        let is_charged = was_tried && !self.waited.contains(&index);
        count >= self.receives.last || (count >= self.receives.tries && is_charged)
    }

    /// Whether the record was handed out before: a try before this one may have left something.
    pub(super) fn was_tried(&self, index: usize) -> bool {
        // Not known is 0.
        self.records.get(index).is_none_or(|record| record.receive_count != 1)
    }

    /// Whether a failure of the record, which is tried now, would be its last.
    pub(super) fn is_last(&self, index: usize) -> bool {
        self.is_last_where(index, true)
    }

    /// What becomes of a record that ended so: a failure of its last try is poison.
    ///
    /// A message that is not the first of its group in the batch was never tried before, since its group stops at a
    /// failure: it is not charged with the receives in which it waited.
    pub(super) fn judge(&self, index: usize, outcome: Outcome) -> Outcome {
        let Outcome::Retry(reason) = outcome else { return outcome };
        if self.is_last_where(index, !NOT_CHARGED.contains(&reason)) {
            Outcome::Poison(reason)
        } else {
            outcome
        }
    }
}

/// A record and its index in the batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Indexed<'r, 'b> {
    pub(super) index: usize,
    pub(super) record: &'r Record<'b>,
}

/// The index of a record in the batch, and how the record ended.
pub(super) type Ended = (usize, Outcome);

/// Returns the Ok values and adds the failures to `ended`.
pub(super) fn keep_ok<T>(results: impl Iterator<Item = Result<T, Ended>>, ended: &mut Vec<Ended>) -> Vec<T> {
    results.filter_map(|result| result.map_err(|failure| ended.push(failure)).ok()).collect()
}

pub(super) fn poison(reason: &'static str, problem: &dyn Display, message_id: &str) -> Outcome {
    warn!(error = %problem, message_id, reason, "message refused");
    Outcome::Poison(reason)
}

pub(super) fn retry(reason: &'static str, problem: &PortError) -> Outcome {
    warn!(error = %problem, reason, "record will be retried");
    Outcome::Retry(reason)
}

#[cfg(test)]
mod tests {
    use tollgate_batch::Outcome::{Ok, Poison, Retry};

    use super::*;

    #[test]
    fn a_failure_of_the_last_try_is_poison_and_followers_are_not_charged() {
        let record = |group, receive_count| Record {
            message_id: "m",
            group: Some(group),
            receive_count,
            body: "",
            escaped_body: None,
            attributes: Cow::Borrowed(&[]),
        };
        let down = Retry("down");
        let groups = [record("a", 3), record("a", 3), record("b", 2), record("b", 9), record("a", 10)];
        let cases = [
            (Kind::Fifo, 0, down, Poison("down")),
            (Kind::Fifo, 1, down, down),
            (Kind::Fifo, 2, down, down),
            (Kind::Fifo, 3, down, down),
            (Kind::Fifo, 4, down, Poison("down")),
            (Kind::Fifo, 9, down, down),
            (Kind::Standard, 1, down, Poison("down")),
            (Kind::Standard, 2, down, down),
            // Nothing was tried for want of time.
            (Kind::Standard, 3, Retry(DEADLINE), Retry(DEADLINE)),
            (Kind::Standard, 4, Retry(DEADLINE), Poison(DEADLINE)),
            (Kind::Standard, 3, Retry(PAUSED), Retry(PAUSED)),
            (Kind::Standard, 3, Retry(PROVIDER_UNAVAILABLE), Retry(PROVIDER_UNAVAILABLE)),
            (Kind::Standard, 4, Ok, Ok),
            (Kind::Standard, 0, Poison("bad"), Poison("bad")),
        ];
        for (kind, index, outcome, expected) in cases {
            let tries = Tries::new(Receives { tries: 3, last: 10 }, kind, &groups);
            assert_eq!(tries.judge(index, outcome), expected, "{kind:?} {index}");
        }
    }
}
