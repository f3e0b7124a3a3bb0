//! What every scheme does, whether data or code says how.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use tollgate_core::{Authenticity, Timestamp};

use super::{
    declared::spec::SpecError,
    sign::{SignError, SignedWebhook, ToSign},
};
use crate::{
    key::{algorithm::Strength, decoded::Key, ring::KeyRing, secret::Secret},
    material::{Material, MaterialRequest},
    refusal::Refusal,
    request::Received,
};

/// The most candidate signatures that one webhook may carry. Providers send two while a key is rolled.
pub const MAX_CANDIDATES: usize = 16;

/// The longest text, in bytes, in which signatures are looked for: 16 RSA signatures fit.
pub const MAX_SIGNATURE_TEXT: usize = 16 * 1024;

/// How one endpoint's webhooks are checked.
pub(crate) trait Scheme: fmt::Debug + Send + Sync {
    /// What does not depend on a webhook.
    fn info(&self) -> SchemeInfo;

    /// Whether the webhook is genuine.
    fn verify<'k>(&self, request: Request<'_>, keys: &'k KeyRing) -> Result<Proof<'k>, Refusal>;

    /// Signs as the provider would at `at`, with the first key.
    fn sign(&self, to_sign: ToSign<'_>, keys: &KeyRing, at: Timestamp) -> Result<SignedWebhook, SignError>;

    /// Makes a key of its text.
    fn decode_key(&self, secret: &Secret, strength: Strength) -> Result<Key, &'static str>;

    /// How the signature, and what else the scheme reads beside the body, is written: for a person whose webhook is not so.
    fn form(&self) -> String;

    /// The checks of [`verify`](Self::verify) one by one, for a person to look at.
    fn steps(&self, request: Request<'_>, keys: &KeyRing) -> Steps;

    /// What must be fetched before [`verify`](Self::verify) can decide, after everything that can be checked without
    /// it.
    fn fetch(&self, _request: Request<'_>, _keys: &KeyRing) -> Result<Option<MaterialRequest>, Refusal> {
        Ok(None)
    }

    /// The answer to a request by which the provider asks whether the endpoint is there and holds the key; `None` for
    /// any other request.
    fn challenge(
        &self,
        _method: &str,
        _query: &str,
        _keys: &KeyRing,
    ) -> Result<Option<HandshakeReply>, Refusal> {
        Ok(None)
    }

    /// The signed id under which one body may come, where the signature does not cover the body.
    fn transmission_id<'a>(&self, _received: Received<'a>) -> Option<&'a str> {
        None
    }

    /// The ids of the keys that the webhook names, as the provider calls them.
    fn named_key_ids(&self, _received: Received<'_>) -> Vec<String> {
        Vec::new()
    }

    /// The body of a delivery whose content is `content`, not signed: for schemes whose content is wrapped.
    fn wrap(&self, content: Vec<u8>) -> Vec<u8> {
        content
    }
}

/// What is known of a scheme without a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemeInfo {
    /// Where the signature is: a header or a field of the body.
    pub location: String,
    /// The algorithm, as the catalogue writes it.
    pub algorithm: &'static str,
    /// What is signed, in the words of the catalogue.
    pub signed: String,
    /// How old the signed timestamp may be, in seconds, where there is a window. It may be as far ahead, but for PayPal's.
    pub window: Option<u32>,
    /// Whether there is a signed timestamp whose window can be set.
    pub signs_time: bool,
    /// Whether the notification URL is signed.
    pub signs_url: bool,
    /// Whether a webhook names the key that it is signed with, as the provider calls it.
    pub names_keys: bool,
    /// What a good signature proves.
    pub authenticity: Authenticity,
    /// Every header whose value verifying reads, but for [`secret_headers`](Self::secret_headers).
    pub headers: Vec<String>,
    /// Every header that must be there, whatever its value, but for [`secret_headers`](Self::secret_headers).
    pub required_headers: Vec<String>,
    /// The headers that hold the key, or a signature that is good for any other webhook too. They are never kept.
    pub secret_headers: Vec<String>,
    /// Every field of the query that is signed.
    pub query: Vec<String>,
    /// The headers whose values are signed, besides the timestamp's.
    pub signed_headers: Vec<String>,
}

/// A scheme that is code: its name in the catalogue and how it is made.
pub(crate) struct Coded {
    pub(crate) name: &'static str,
    /// The settings that an endpoint's `parameters` may hold for it.
    pub(crate) parameters: &'static [&'static str],
    pub(crate) build: Build,
}

/// Makes a scheme for an endpoint with these parameters.
type Build = fn(&BTreeMap<String, String>) -> Result<Box<dyn Scheme>, SpecError>;

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

/// What a scheme checks, for a person to look at.
#[derive(Debug)]
pub(crate) struct Steps {
    /// The checks before the signature's, up to the last that could be made.
    pub(crate) checks: Vec<(&'static str, Result<String, Refusal>)>,
    /// Whether the signature is good, where that is known although a check before it failed: the key's id.
    pub(crate) signature: Option<Result<String, Refusal>>,
    /// What should have been signed, as far as it is known. A secret within it stands as `{secret}`.
    pub(crate) content: Option<Vec<u8>>,
    /// What most likely happened when the signature is of something else.
    pub(crate) mismatch: Cow<'static, str>,
}

/// The answer to a provider that asks whether an endpoint is there and holds the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeReply {
    /// Always 200; a handshake that cannot be answered is a [`Refusal`].
    pub status: u16,
    /// `text/plain` or `application/json`.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}
