//! Whether a message may tell an event: only as its claim has it.

use tollgate_core::{Authenticity, EffectId, EventId};

use super::{
    decode::{DecodedEvent, DecodedMessage},
    refusal::Refusal,
};
use crate::ports::{Known, LedgerState, TOO_OLD_SECONDS, Terms};

/// What a message may do of one of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its effect, on the claim's terms.
    Admitted,
    /// Nothing: a message of it is set aside as too old, where operators look. This one was not accepted for it.
    Settled,
    /// Nothing: it is done. Whether the claim has this message's seal.
    Processed { is_sealed: bool },
    /// Nothing, for ever. Whether the claim has this message's seal.
    Refused { refusal: Refusal, is_sealed: bool },
}

impl Verdict {
    /// Why nothing is done, where another version of ours may find otherwise: it may read the event that was claimed.
    pub(super) fn refusal_of_reading(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal: refusal @ (Refusal::Unclaimed | Refusal::Altered), .. } => {
                Some(*refusal)
            }
            Self::Refused { .. } | Self::Admitted | Self::Settled | Self::Processed { .. } => None,
        }
    }

    /// Whether the event needs no message any more: it is done, or set aside.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self, Self::Processed { .. } | Self::Settled)
    }

    /// Whether the event's claim proves that the message was accepted.
    pub(super) fn is_sealed(self) -> bool {
        match self {
            Self::Admitted => true,
            Self::Settled => false,
            Self::Processed { is_sealed } | Self::Refused { is_sealed, .. } => is_sealed,
        }
    }
}

/// Holds a message's event against its claim.
pub(super) fn admit(
    message: &DecodedMessage<'_>,
    event: &DecodedEvent<'_>,
    known: Option<&Known>,
) -> Verdict {
    let refuse = |refusal, is_sealed| Verdict::Refused { refusal, is_sealed };
    // Ingest found other facts under this id. That is true for ever, whatever the ledger has forgotten.
    if message.message.notes.conflicts.contains(&event.payment.id) {
        return refuse(Refusal::Conflict, false);
    }
    let Some(known) = known else { return refuse(Refusal::Unclaimed, false) };
    let has_its_facts = event.fingerprint.is(&known.fingerprint);
    let (is_sealed, is_comparable) = match &known.terms {
        Some(terms) => (terms.seals.contains(&message.seal), terms.revision == message.revision),
        // Claimed by a version that knew no seals: the facts stand in for them, or where we read others the delivery.
        None => (has_its_facts || known.webhook_id == Some(message.message.webhook_id), false),
    };
    match known.state {
        LedgerState::Processed => Verdict::Processed { is_sealed },
        // The validator adds no further seal then; the delivery may tell other events.
        LedgerState::Received if !is_sealed && known.is_aside => Verdict::Settled,
        LedgerState::Received if !is_sealed => refuse(Refusal::Altered, false),
        LedgerState::Received if is_comparable && !has_its_facts => refuse(Refusal::Conflict, true),
        LedgerState::Received if is_too_old(message, event, known) => refuse(Refusal::TooOld, true),
        LedgerState::Received => Verdict::Admitted,
    }
}

/// Whether the event may have been done before the ledger's memory began, when it was claimed. An event without any time is
/// new.
pub(super) fn is_too_old(message: &DecodedMessage<'_>, event: &DecodedEvent<'_>, known: &Known) -> bool {
    let occurred_at = match &known.terms {
        Some(terms) => terms.occurred_at,
        None => event.is_dated.then_some(event.payment.occurred_at),
    };
    let begins = known.received_at.as_second() - TOO_OLD_SECONDS;
    [occurred_at, message.message.notes.signed_at].into_iter().flatten().any(|at| at.as_second() < begins)
}

impl DecodedEvent<'_> {
    /// The event and its effect, which a try before this one may have claimed.
    pub(super) fn claimed(&self) -> (EventId, EffectId) {
        (self.payment.id, self.payment.effect_id)
    }

    /// Takes from the claim what every copy must share: the time, or there would be a record for each, and the
    /// authenticity, at most.
    pub(super) fn take_terms(&mut self, known: &Known) {
        match &known.terms {
            Some(Terms { occurred_at, authenticity, .. }) => {
                self.is_dated = occurred_at.is_some();
                self.payment.occurred_at = occurred_at.unwrap_or(known.received_at);
                self.payment.authenticity = self.payment.authenticity.weaker(*authenticity);
            }
            None => {
                if !self.is_dated {
                    self.payment.occurred_at = known.received_at;
                }
                // A webhook's id is no secret: its sender is told it, and operators read it.
                if !self.fingerprint.is(&known.fingerprint) {
                    self.payment.authenticity = self.payment.authenticity.weaker(Authenticity::Authenticated);
                }
            }
        }
    }
}
