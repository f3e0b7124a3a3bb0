//! What became of one record, and of all of them.

use std::collections::BTreeMap;

/// Why a record failed or was quarantined: a short fixed code such as `"throttled"` or `"not_json"`. A `'static`
/// text cannot hold anything of the record, so it is safe as a log field or a metric's dimension.
pub type Reason = &'static str;

/// The reason of a record whose handler panicked.
pub const PANICKED: Reason = "panicked";

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Its effect has taken place.
    Ok,
    /// Its effect had taken place before. Done.
    Duplicate,
    /// Trying again may help: a throttle, a time-out, a 5xx. A failure.
    Retry(Reason),
    /// Trying again cannot help, and it could not be put into the quarantine either. A failure: the queue's own
    /// receive count takes it to the dead-letter queue.
    Poison(Reason),
    /// Trying again cannot help, and it is safely in the quarantine. Done: the queue may forget it, and a FIFO
    /// group goes on.
    Quarantined(Reason),
}

impl Outcome {
    /// Whether the queue must keep the record.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Retry(_) | Self::Poison(_))
    }

    /// The reason, for all but [`Ok`](Self::Ok) and [`Duplicate`](Self::Duplicate).
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Ok | Self::Duplicate => None,
            Self::Retry(reason) | Self::Poison(reason) | Self::Quarantined(reason) => Some(reason),
        }
    }
}

/// How many records ended in which way. The counts add up to [`records`](Self::records).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// All records of the batch.
    pub records: usize,
    /// [`Outcome::Ok`].
    pub ok: usize,
    /// [`Outcome::Duplicate`].
    pub duplicates: usize,
    /// [`Outcome::Quarantined`].
    pub quarantined: usize,
    /// [`Outcome::Retry`].
    pub retries: usize,
    /// [`Outcome::Poison`].
    pub poison: usize,
    /// FIFO: behind a failure in their message group. Reported without having been tried.
    pub blocked: usize,
    /// Never settled: the deadline came first. Reported.
    pub unprocessed: usize,
    /// Every reason given, with its number of records.
    pub reasons: BTreeMap<Reason, usize>,
}

impl Summary {
    /// Records that the queue may forget.
    pub fn done(&self) -> usize {
        self.ok + self.duplicates + self.quarantined
    }

    /// Records that the queue must keep.
    pub fn failed(&self) -> usize {
        self.retries + self.poison + self.blocked + self.unprocessed
    }

    /// Whether there were records and none is done. Returning the full list of failures and failing the whole
    /// invocation have the same effect on an SQS queue; the second also counts as a function error.
    pub fn all_failed(&self) -> bool {
        self.records > 0 && self.done() == 0
    }
}
