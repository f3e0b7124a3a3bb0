//! Why an event of a message has no effect.

/// A reason. Of several in one message the greatest is its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    /// Other facts than the event's id was claimed with.
    Conflict,
    /// It happened, or was signed, before the ledger's memory began when it was claimed: nobody can tell whether it was
    /// done before.
    TooOld,
    /// The ledger has no claim of the event: nobody accepted it, or it has been forgotten.
    Unclaimed,
    /// The message is not as it was accepted.
    Altered,
}

impl Refusal {
    /// The `reason` of a message that is set aside.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Conflict => "conflicting_facts",
            Self::TooOld => "too_old_to_tell",
            Self::Unclaimed => "unclaimed",
            Self::Altered => "altered",
        }
    }
}
