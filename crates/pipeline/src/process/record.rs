//! The records of a batch, and how each of them ends.

use std::{borrow::Cow, fmt::Display};

use tollgate_batch::Outcome;
use tracing::warn;

use crate::ports::PortError;

/// One SQS record of the batch.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// The id by which SQS is told of a failure.
    pub message_id: &'a str,
    /// The FIFO group; `None` on a standard queue.
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
