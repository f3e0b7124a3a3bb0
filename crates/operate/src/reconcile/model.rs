//! What is compared, and what comes of it.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use tollgate_core::{EndpointId, Timestamp};

/// Which events are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Of whom.
    pub endpoint: EndpointId,
    /// Created from this moment on, by the provider's clock.
    pub from: Timestamp,
    /// Before this moment.
    pub to: Timestamp,
    /// The provider's types; empty: those that its webhook is sent.
    pub types: Vec<String>,
    /// Now.
    pub asked_at: Timestamp,
}

/// How an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It took effect, with the facts that the provider tells now.
    Present,
    /// Nothing of it is known.
    Missing,
    /// Nothing of it took effect, and a webhook that told it was refused and is kept.
    RefusedByUs,
    /// It was accepted, and has not taken effect: it waits, or is set aside.
    Unfinished,
    /// What is known under its id is another type, transaction or movement.
    Conflicting,
    /// What is known of it has another amount.
    AmountDiffers,
    /// It took effect, and the provider does not list it, nor know it by its id.
    Extra,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Present,
        Self::Missing,
        Self::RefusedByUs,
        Self::Unfinished,
        Self::Conflicting,
        Self::AmountDiffers,
        Self::Extra,
    ];

    /// Whether nothing of the event is in the ledger, so that it may be taken in.
    pub fn is_missing(self) -> bool {
        matches!(self, Self::Missing | Self::RefusedByUs)
    }

    /// Its text in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Missing => "missing",
            Self::RefusedByUs => "refused_by_us",
            Self::Unfinished => "unfinished",
            Self::Conflicting => "conflicting",
            Self::AmountDiffers => "amount_differs",
            Self::Extra => "extra",
        }
    }
}

/// An event that was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How it stands.
    pub verdict: Verdict,
    /// The provider's id of it.
    pub provider_event_id: String,
    /// What the provider calls it.
    pub provider_event_type: String,
    /// When it happened, by the provider's clock.
    pub at: Timestamp,
    /// Our type of it; `None` where the version cannot read it.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The payment.
    pub transaction_id: Option<String>,
    /// What the provider says was moved: exact decimals.
    pub amount: Option<String>,
    /// Its currency.
    pub currency: Option<String>,
    /// The amount that took effect, where it is another one.
    pub our_amount: Option<String>,
    /// The delivery that claimed it.
    pub webhook_id: Option<String>,
    /// More of it, for people.
    pub note: Option<String>,
}

/// How many events there were.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// By verdict.
    pub counts: BTreeMap<Verdict, u64>,
    /// That the provider lists and its webhook is not sent.
    pub not_subscribed: u64,
    /// What was not asked, and why.
    pub notes: Vec<String>,
    /// It was stopped: the counts are of a part.
    pub stopped: bool,
}

impl Summary {
    /// How many have this verdict.
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.counts.get(&verdict).copied().unwrap_or(0)
    }

    /// How many are in no ledger.
    pub fn missing(&self) -> u64 {
        self.count(Verdict::Missing) + self.count(Verdict::RefusedByUs)
    }

    /// Whether each event that the provider sent took effect as the provider tells it, or is among so many missing ones that
    /// were taken in meanwhile; and no other one did, where that was looked for.
    pub fn is_whole_but(&self, taken_in: u64) -> bool {
        let is_right = |one: Verdict| one == Verdict::Present || one.is_missing() || self.count(one) == 0;
        !self.stopped && self.missing() == taken_in && Verdict::ALL.into_iter().all(is_right)
    }
}

/// Which types count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Types {
    /// All.
    All,
    /// These.
    These(HashSet<String>),
    /// Nobody knows which of them the webhook is sent, for this reason: all count.
    Unknown(String),
}

impl Types {
    pub(super) fn has(&self, kind: &str) -> bool {
        match self {
            Self::These(types) => types.contains(kind),
            Self::All | Self::Unknown(_) => true,
        }
    }
}
