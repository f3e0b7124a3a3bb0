//! The signature engine: schemes as data, and the few that data cannot say.

pub mod key;
pub mod spec;
pub mod text;
pub mod vectors;

pub(crate) mod adyen;
pub(crate) mod braintree;
pub(crate) mod declared;
mod entry;
pub(crate) mod explain;
mod json;
pub(crate) mod paypal;
pub(crate) mod plaid;
mod refusal;
mod sign;
mod template;
pub(crate) mod variant;

pub use explain::{Check, Explanation};
pub use key::{Algorithm, KeyForm, KeySpec};
pub use plaid::KeyRequest;
pub use refusal::Refusal;
pub use sign::{SignError, Signed, ToSign};
pub use spec::{OneOrMany, SchemeSpec, SignatureSpec, SpecError, TimestampSpec};
pub use text::{Encoding, Unit};

pub(crate) use sign::Unsigned;

use tollgate_core::{Authenticity, Timestamp};

use crate::{KeyRing, Material, MaterialRequest, Received, Secret};
use key::{Key, Strength};

/// The most candidate signatures that one webhook may carry. Providers send two while a key is rolled.
pub const MAX_CANDIDATES: usize = 16;

/// The longest text, in bytes, in which signatures are looked for: 16 RSA signatures fit.
pub const MAX_SIGNATURE_TEXT: usize = 16 * 1024;

/// How one endpoint's webhooks are checked.
#[derive(Debug, Clone)]
pub(crate) enum Scheme {
    Declared(Box<declared::Declared>),
    Adyen,
    Braintree,
    PayPal(Box<paypal::PayPal>),
    Plaid(plaid::Plaid),
}

/// A webhook and what its check depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) received: Received<'a>,
    pub(crate) material: Option<&'a Material>,
    pub(crate) now: Timestamp,
    /// Instead of the scheme's own window.
    pub(crate) window: Option<u32>,
    /// The notification URL.
    pub(crate) url: Option<&'a str>,
}

/// What a passed check has shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proof<'k> {
    pub(crate) authenticity: Authenticity,
    pub(crate) key_id: &'k str,
    pub(crate) signed_at: Option<Timestamp>,
}

impl Scheme {
    pub(crate) fn verify<'k>(&self, request: Request<'_>, keys: &'k KeyRing) -> Result<Proof<'k>, Refusal> {
        match self {
            Self::Declared(scheme) => scheme.verify(request, keys),
            Self::Adyen => adyen::verify(request, keys),
            Self::Braintree => braintree::verify(request, keys),
            Self::PayPal(scheme) => scheme.verify(request, keys),
            Self::Plaid(_) => plaid::verify(request, keys),
        }
    }

    pub(crate) fn sign(
        &self,
        to_sign: ToSign<'_>,
        keys: &KeyRing,
        at: Timestamp,
    ) -> Result<Signed, SignError> {
        match self {
            Self::Declared(scheme) => scheme.sign(to_sign, keys, at),
            Self::Adyen => adyen::sign(to_sign, keys),
            Self::Braintree => braintree::sign(to_sign, keys),
            Self::PayPal(_) => Err(SignError::NoPrivateKey),
            Self::Plaid(_) => plaid::sign(to_sign, keys, at),
        }
    }

    pub(crate) fn decode_key(&self, secret: &Secret, strength: Strength) -> Result<Key, &'static str> {
        match self {
            Self::Declared(scheme) => scheme.decode_key(secret, strength),
            Self::Adyen => adyen::decode_key(secret, strength),
            Self::Braintree => braintree::decode_key(secret, strength),
            Self::PayPal(_) => paypal::decode_key(secret),
            Self::Plaid(_) => plaid::decode_key(secret),
        }
    }

    pub(crate) fn material_for(
        &self,
        request: Request<'_>,
        keys: &KeyRing,
    ) -> Result<Option<MaterialRequest>, Refusal> {
        match self {
            Self::PayPal(scheme) => scheme.material_for(request),
            Self::Plaid(scheme) => scheme.material_for(request, keys),
            _ => Ok(None),
        }
    }

    pub(crate) fn headers(&self) -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        match self {
            Self::Declared(scheme) => scheme.headers(),
            Self::Adyen | Self::Braintree => Vec::new(),
            Self::PayPal(_) => owned(&paypal::HEADERS),
            Self::Plaid(_) => owned(&[plaid::HEADER]),
        }
    }

    pub(crate) fn authenticity(&self) -> Authenticity {
        match self {
            Self::Declared(scheme) => scheme.authenticity(),
            Self::Braintree | Self::Plaid(_) => Authenticity::Verified,
            Self::Adyen | Self::PayPal(_) => Authenticity::Authenticated,
        }
    }

    /// What a webhook of this scheme is signed as, where it is not the body.
    pub(crate) fn transmission_id<'a>(&self, received: Received<'a>) -> Option<&'a str> {
        match self {
            Self::PayPal(_) => received.headers.get(paypal::TRANSMISSION_ID),
            _ => None,
        }
    }

    /// Whether a webhook names the key that it is signed with, as the provider calls it.
    pub(crate) fn has_key_ids(&self) -> bool {
        match self {
            Self::Declared(scheme) => scheme.has_key_ids(),
            Self::Braintree => true,
            // A token of Plaid's names a key of Plaid's, which brings its own id.
            Self::Adyen | Self::PayPal(_) | Self::Plaid(_) => false,
        }
    }

    pub(crate) fn uses_url(&self) -> bool {
        matches!(self, Self::Declared(scheme) if scheme.uses_url())
    }

    /// Whether there is a signed timestamp whose window can be set.
    pub(crate) fn has_window(&self) -> bool {
        match self {
            Self::Declared(scheme) => scheme.spec().timestamp.is_some(),
            Self::Adyen | Self::Braintree => false,
            Self::PayPal(_) | Self::Plaid(_) => true,
        }
    }
}
