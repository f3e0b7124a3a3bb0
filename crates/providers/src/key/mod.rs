//! Keys: their texts, what verifies with them, and the ring of those that are active at once.

pub(crate) mod algorithm;
mod api;
pub(crate) mod decoded;
mod ed25519;
pub(crate) mod jwk;
pub(crate) mod ring;
pub(crate) mod secret;

pub use algorithm::{Algorithm, KeyForm, KeySpec};
pub use api::{ApiKey, ApiKeyError};
pub use ring::{KeyError, KeyMaterial, KeyRing};
pub use secret::Secret;
