//! What an event says.

use std::str::FromStr;

use tollgate_core::{Category, Timestamp};

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Money was taken.
    Payment,
    /// Money was given back.
    Refund,
    /// The payer objects.
    Dispute,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Payment, Self::Refund, Self::Dispute];

    /// Where an event that says this is routed.
    pub fn category(self) -> Category {
        match self {
            Self::Payment => Category::Payment,
            Self::Refund => Category::Refund,
            Self::Dispute => Category::Dispute,
        }
    }

    /// Its name, as the generic endpoint's schema has it.
    pub fn as_str(self) -> &'static str {
        self.category().as_str()
    }
}

/// A name that is none of [`Kind::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of event")]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or(UnknownKind)
    }
}

/// What one event says of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The provider's id of the event. At Adyen the `pspReference`, which is a part of it.
    pub event_id: String,
    /// The payment object.
    pub transaction_id: String,
    /// What happened to it.
    pub kind: Kind,
    /// As the provider writes it: decimal text at the generic endpoint and at Standard Webhooks, integers of minor
    /// units elsewhere.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
    /// When it happened; whole seconds.
    pub at: Timestamp,
    /// The provider's customer id.
    pub customer: Option<String>,
}

impl Payment {
    /// A payment of 10.99 US dollars.
    pub fn new(event_id: impl Into<String>, transaction_id: impl Into<String>, at: Timestamp) -> Self {
        Self {
            event_id: event_id.into(),
            transaction_id: transaction_id.into(),
            kind: Kind::Payment,
            amount: "1099".to_owned(),
            currency: "USD".to_owned(),
            at: Timestamp::from_second(at.as_second()).unwrap_or(at),
            customer: None,
        }
    }

    /// The same of another amount.
    pub fn of(self, amount: &str, currency: &str) -> Self {
        Self { amount: amount.to_owned(), currency: currency.to_owned(), ..self }
    }
}
