//! The types that every other crate uses: exact money, the canonical payment event, ids, endpoint settings and the
//! verification receipt.
//!
//! Pure: no clock, no environment, no I/O. The time is always an argument.

pub mod endpoint;
pub mod event;
pub mod event_type;
pub mod id;
mod inline;
pub mod money;
mod queue;
pub mod receipt;
pub mod rule;
pub mod sensitive;

pub use endpoint::{Delivery, EndpointConfig, EndpointId, KeepRejected, OnDuplicate, ProviderId};
pub use event::{Customer, Facts, PaymentEvent, PaymentMethod, RiskTier};
pub use event_type::{Category, EventType};
pub use id::{EffectId, EventId, Fingerprint, LedgerKey, WebhookId};
pub use jiff::Timestamp;
pub use money::{Currency, Money, MoneyError};
pub use queue::{Queue, Reader};
pub use receipt::{Authenticity, Receipt};
pub use rule::{Rule, RuleTarget};
