//! A webhook of an archive, sent again by an operator: taken in as a first delivery is, but for its time.
//!
//! It is the same delivery, later: it keeps its id and its time of arrival, so that its events are those that its first
//! arrival told. What depends on a clock is judged by that time, and what depends on the ledger's memory by now.

use std::borrow::Cow;

use tollgate_core::{Authenticity, Receipt, Timestamp, WebhookId};
use tollgate_providers::Verified;

use super::request::{Incoming, Rejection};
use crate::{
    intake::{MAX_ACT_BYTES, Notes},
    ports::REPLAY_SECONDS,
    replay::Mode,
};

/// From the moment in a webhook's id until it is received: the validator's own time, 30 seconds, and twice that.
const RECEIVED_WITHIN_SECONDS: i64 = 90;

/// How a webhook of an archive is sent again.
#[derive(Debug, Clone, Copy)]
pub struct Replay<'a> {
    /// The operator's act, as its record has it: 1 to [`MAX_ACT_BYTES`] of `a-z`, `0-9` and `-`.
    pub act: &'a str,
    /// What the archive has of the check that let the webhook in.
    pub receipt: &'a Receipt,
    /// What is to be done: but for [`Mode::Take`], nothing is claimed and nothing sent.
    pub mode: Mode,
    /// Now.
    pub now: Timestamp,
}

impl Replay<'_> {
    /// Whether the receipt is of this delivery, and the delivery of a time of which the ledger knows what it did.
    pub(super) fn is_of(&self, incoming: &Incoming<'_>) -> Result<(), Rejection> {
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !(1..=MAX_ACT_BYTES).contains(&self.act.len()) || !self.act.bytes().all(is_plain) {
            return Err(Rejection::Archived("no_act"));
        }
        // There is no signature to verify, and who has no key for it says of nothing that it was retrieved.
        if self.receipt.authenticity == Authenticity::Retrieved {
            return Err(Rejection::Archived("retrieved"));
        }
        let Incoming { webhook_id, received_at, .. } = *incoming;
        let is_its_own = self.receipt.is_of(incoming.body)
            && incoming.endpoint == Some(self.receipt.endpoint.as_str())
            && received_within(webhook_id, received_at);
        if !is_its_own {
            return Err(Rejection::Archived("receipt_differs"));
        }
        match self.now.as_second() - received_at.as_second() {
            ..0 => Err(Rejection::Archived("not_yet_received")),
            0..=REPLAY_SECONDS => Ok(()),
            _ if self.mode == Mode::Verify => Ok(()),
            _ => Err(Rejection::Archived("too_old_to_replay")),
        }
    }

    /// Whether verifying found the time that it found at first.
    pub(super) fn agrees(&self, verified: &Verified<'_>) -> Result<(), Rejection> {
        // The archive's columns hold microseconds.
        let micros = |at: Option<Timestamp>| at.map(Timestamp::as_microsecond);
        if micros(self.receipt.signed_at) == micros(verified.signed_at()) {
            Ok(())
        } else {
            Err(Rejection::Archived("receipt_differs"))
        }
    }

    /// Marks a message as sent again, at most as authentic as at first.
    pub(super) fn mark(&self, notes: &mut Notes<'static>) {
        notes.authenticity = notes.authenticity.weaker(self.receipt.authenticity);
        notes.replayed_by = Some(Cow::Owned(self.act.to_owned()));
    }
}

/// Whether a webhook of this id may have been received then: the id has the millisecond at which its invocation began.
fn received_within(webhook_id: &WebhookId, received_at: Timestamp) -> bool {
    let after = received_at.as_second() - webhook_id.arrived_at().as_second();
    (0..=RECEIVED_WITHIN_SECONDS).contains(&after)
}
