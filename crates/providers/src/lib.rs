//! Signature schemes, the provider catalogue and the normalisers.
//!
//! An [`Endpoint`] is built once, at start-up, from its configuration; it cannot exist without a usable scheme.
//! It then answers three questions about a webhook: is it genuine ([`Endpoint::verify`]), what does it say
//! ([`Endpoint::normalise`]), and which of its headers must be kept ([`Endpoint::kept_headers`]).
//!
//! Pure: keys, the clock and fetched certificates are handed in. The crate can be used without the rest of Tollgate;
//! its README and `examples/verify.rs` show how.

pub mod catalogue;
pub mod headers;
pub mod key;
pub mod normalise;
pub mod scheme;
pub mod vectors;

mod asymmetric;
mod endpoint;
mod mac;
mod material;
mod refusal;
mod request;
mod revision;
mod settings;
mod text;
mod trusted;

pub use endpoint::{ConfigError, Endpoint};
pub use headers::Headers;
pub use key::{ApiKey, ApiKeyError, KeyError, KeyMaterial, KeyRing, Secret};
pub use material::{KeyRequest, Material, MaterialRequest};
pub use normalise::{ContentError, NamedObject};
pub use refusal::Refusal;
pub use request::Received;
pub use revision::Revision;
pub use scheme::{Explanation, HandshakeReply, SignError, SignedWebhook, SpecError, ToSign};
pub use tollgate_core::{EndpointConfig, Timestamp};
pub use trusted::{Trusted, Verified};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
