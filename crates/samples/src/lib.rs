//! Webhooks as providers send them, before they are signed: realistic in shape, made up in content. [`Payment`] is
//! what one event says; [`body`](Payment::body) writes it as a provider would. [`Sample`] makes a whole [`Draft`] of a
//! seed, for senders that need many. No function links this crate.

mod body;
mod choices;
mod draft;
mod payment;

pub use body::{BUILT_IN, adyen, adyen_event_id, razorpay_event_id};
pub use choices::Choices;
pub use draft::{Draft, Sample, headers, id};
pub use payment::{Kind, Payment, UnknownKind};
