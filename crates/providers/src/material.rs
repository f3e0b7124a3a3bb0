//! Certificates and public keys that are fetched before a webhook can be verified.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use zeroize::Zeroizing;

use crate::key::jwk::Account;

/// Something public that must be fetched before a webhook can be verified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MaterialRequest {
    /// A PEM certificate chain at this https URL, already checked to be on one of the provider's own hosts.
    Certificate {
        /// Where it is.
        url: String,
    },
    /// A JSON Web Key by its id, from the provider's API.
    JsonWebKey(KeyRequest),
}

impl MaterialRequest {
    /// What the webhook calls it: the certificate's URL, or the key's id.
    pub fn name(&self) -> &str {
        match self {
            Self::Certificate { url } => url,
            Self::JsonWebKey(request) => &request.key_id,
        }
    }
}

/// What was fetched: the certificate chain's PEM or the JWK's JSON, unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Material(pub Vec<u8>);

/// A request for one key: a POST of [`body`](Self::body) to [`url`](Self::url). Printed without the secret.
#[derive(Clone)]
pub struct KeyRequest {
    pub(crate) url: &'static str,
    pub(crate) key_id: String,
    pub(crate) account: Account,
}

impl KeyRequest {
    /// One of the provider's own addresses.
    pub fn url(&self) -> &'static str {
        self.url
    }

    /// JSON with the credentials.
    pub fn body(&self) -> Zeroizing<String> {
        let Self { key_id, account, .. } = self;
        // None of the three can hold what JSON escapes: their schemes let ASCII letters, digits, `-` and `_` in alone.
        let (client_id, secret) = (&account.client_id, account.secret.expose());
        Zeroizing::new(format!(r#"{{"client_id":"{client_id}","secret":"{secret}","key_id":"{key_id}"}}"#))
    }
}

impl PartialEq for KeyRequest {
    fn eq(&self, other: &Self) -> bool {
        let plain = |request: &Self| (request.url, request.key_id.clone(), request.account.client_id.clone());
        plain(self) == plain(other) && self.account.secret.is_same(&other.account.secret)
    }
}

impl Eq for KeyRequest {}

impl Hash for KeyRequest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.url, &self.key_id, &self.account.client_id).hash(state);
    }
}

impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRequest")
            .field("url", &self.url)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}
