//! Signature schemes: one that reads its rules from the catalogue, and those that must be code.
//!
//! [`interface`] is what each of them does.

pub(crate) mod coded;
pub(crate) mod declared;
pub(crate) mod explain;
pub(crate) mod interface;
pub(crate) mod sign;

mod adyen;
mod braintree;
mod paypal;
mod plaid;

pub use declared::spec::{OneOrMany, SchemeSpec, SignatureSpec, SpecError, TimestampSpec};
pub use explain::{Check, Explanation};
pub use interface::{HandshakeReply, MAX_CANDIDATES, MAX_SIGNATURE_TEXT, SchemeInfo};
pub use sign::{SignError, SignedWebhook, ToSign};

pub use crate::{
    key::{Algorithm, KeyForm, KeySpec},
    text::{Encoding, Unit},
};
