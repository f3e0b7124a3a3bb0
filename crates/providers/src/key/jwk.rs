//! JSON Web Keys for ES256 (RFC 7517, RFC 7518 section 6.2), and the account with which a provider hands them out.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, de::IgnoredAny};
use zeroize::Zeroizing;

use super::secret::Secret;
use crate::{
    asymmetric::{self, PrivateKey, PublicKey},
    text::Encoding,
};

/// A key, or the credentials with which keys are fetched.
#[derive(Clone)]
pub(crate) enum Jwk {
    Pinned(Arc<PinnedKey>),
    Account(Account),
}

/// An account's credentials.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) client_id: String,
    pub(crate) secret: Secret,
}

/// One key.
pub(crate) struct PinnedKey {
    pub(crate) key_id: String,
    /// Whether its provider has retired it, or says when it will: a key that serves has no such time.
    pub(crate) is_retired: bool,
    public: PublicKey,
    private: Option<PrivateKey>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    kid: Cow<'a, str>,
    #[serde(borrow)]
    kty: Cow<'a, str>,
    #[serde(borrow)]
    crv: Cow<'a, str>,
    #[serde(borrow, default)]
    alg: Option<Cow<'a, str>>,
    #[serde(borrow)]
    x: Cow<'a, str>,
    #[serde(borrow)]
    y: Cow<'a, str>,
    #[serde(borrow, default)]
    d: Option<Cow<'a, str>>,
    #[serde(default)]
    expired_at: Option<IgnoredAny>,
}

/// An API's answer wraps the key.
#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    key: Wire<'a>,
}

impl PinnedKey {
    /// Reads a key, or an answer that holds one; `None` for anything but a key for ES256.
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        let wire: Wire<'_> = match serde_json::from_slice::<Wrapped<'_>>(json) {
            Ok(wrapped) => wrapped.key,
            Err(_) => serde_json::from_slice(json).ok()?,
        };
        if wire.kty != "EC" || wire.crv != "P-256" || wire.alg.is_some_and(|alg| alg != "ES256") {
            return None;
        }
        let coordinate = |text: &str| Encoding::Base64Url.decode(text).filter(|bytes| bytes.len() == 32);
        let point = [vec![4], coordinate(&wire.x)?, coordinate(&wire.y)?].concat();
        let public = PublicKey::new(asymmetric::Algorithm::EcdsaP256Sha256Fixed, &point)?;
        let private = match wire.d.as_deref() {
            Some(d) => {
                let d = Zeroizing::new(coordinate(d)?);
                Some(PrivateKey::from_p256_scalar(&d, &point)?)
            }
            None => None,
        };
        Some(Self { key_id: wire.kid.into_owned(), public, private, is_retired: wire.expired_at.is_some() })
    }

    /// Whether `signature` is this key's, of `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verifies(message, signature)
    }

    /// A signature of `message`, where the private half is there.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.private.as_ref()?.sign(message)
    }
}
