//! The outcome of one record, and the counts of a batch.

use std::collections::BTreeMap;

/// Why a record failed or was quarantined: a short fixed code such as `"throttled"` or `"not_json"`. A `'static` text
/// cannot contain data of the record, so it is safe in logs and as a metric's dimension.
pub type Reason = &'static str;

/// The reason of a record whose handler panicked.
pub const PANICKED: Reason = "panicked";

/// How one record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Its effect is done.
    Ok,
    /// Its effect was done before. A success.
    Duplicate,
    /// Trying again may help: throttled, timed out, a 5xx. A failure.
    Retry(Reason),
    /// Trying again cannot help, and the record is not in the quarantine. A failure: SQS moves it to the dead-letter
    /// queue after too many receives.
    Poison(Reason),
    /// Trying again cannot help, and the record is stored in the quarantine. A success: the queue may delete it, and
    /// its FIFO group continues.
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
    /// FIFO: after a failure in their message group. Reported.
    pub blocked: usize,
    /// Never settled, for example because of the deadline. Reported.
    pub unprocessed: usize,
    /// Each reason with its number of records.
    pub reasons: BTreeMap<Reason, usize>,
}

impl Summary {
    /// Records that the queue may delete.
    pub fn done(&self) -> usize {
        self.ok + self.duplicates + self.quarantined
    }

    /// Records that the queue must keep.
    pub fn failed(&self) -> usize {
        self.retries + self.poison + self.blocked + self.unprocessed
    }

    /// Whether there were records and none is done. To return the full list of failures and to fail the invocation have
    /// the same effect on an SQS queue; the second also counts as a function error.
    pub fn all_failed(&self) -> bool {
        self.records > 0 && self.done() == 0
    }
}
