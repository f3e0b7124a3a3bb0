//! Signature schemes, the provider catalogue and the normalisers.
//!
//! An [`Endpoint`] is built once, at start-up, from its configuration; it cannot exist without a usable scheme.
//! It then answers three questions about a webhook: is it genuine ([`Endpoint::verify`]), what does it say
//! ([`Endpoint::normalise`]), and which of its headers must be kept ([`Endpoint::kept_headers`]).
//!
//! Pure: keys, the clock and fetched certificates are handed in.

pub mod catalogue;
pub mod headers;
pub mod normalise;
pub mod scheme;
pub mod secret;

mod asymmetric;
mod endpoint;
mod mac;
mod trusted;

pub use endpoint::{ConfigError, Endpoint, HandshakeReply, Material, MaterialRequest, Verified};
pub use headers::Headers;
pub use normalise::ContentError;
pub use scheme::{Explanation, KeyRequest, Refusal, SignError, Signed, ToSign};
pub use secret::{KeyError, KeyMaterial, KeyRing, Secret};
pub use trusted::Trusted;

/// A webhook as it arrived: nothing of it is believed yet.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// Every header, in any letter case.
    pub headers: &'a Headers,
    /// The query string as sent, percent-encoded, without the `?`; empty when there was none.
    pub query: &'a str,
    /// The exact bytes.
    pub body: &'a [u8],
}
