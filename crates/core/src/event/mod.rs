//! The canonical payment event: what a webhook says, in one form for every provider.
//!
//! The form is versioned by [`SCHEMA`] and documented in `infra/schema/payment-event.json` and `docs/events.md`.

mod facts;
mod metadata;
mod payment_event;

pub use self::{
    facts::{Customer, Facts, PaymentMethod},
    payment_event::{Arrival, MAX_METADATA_BYTES, PaymentEvent, Position, RiskTier, SCHEMA, nine_decimals},
};
