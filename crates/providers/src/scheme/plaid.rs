//! Plaid: a JSON Web Token (ES256) whose claim is the SHA-256 of the body.
//!
//! <https://plaid.com/docs/api/webhooks/webhook-verification/>. Keys are handed out by id to those who have an
//! account: the endpoint's secret is the account's credentials, `client_id:secret`, or one such key (a JWK).

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use serde::{Deserialize, de::IgnoredAny};
use tollgate_core::{Authenticity, Timestamp, id::hex_sha256};
use zeroize::Zeroizing;

use super::{
    Encoding, Proof, Refusal, Request, SignError, Signed, SpecError, ToSign, Unit, Unsigned, explain::Steps,
    key::Key, template::one_header,
};
use crate::{
    KeyRing, MaterialRequest, Received, Secret,
    asymmetric::{self, PrivateKey, PublicKey},
    mac::are_equal,
    secret::NamedKey,
};

/// The header that carries the token.
pub(crate) const HEADER: &str = "Plaid-Verification";

/// Half-width of the issue time's window, in seconds: Plaid asks to refuse tokens older than five minutes.
pub(crate) const WINDOW: u32 = 300;

/// The longest token, in bytes. Plaid's have about 350.
const MAX_TOKEN: usize = 4096;

/// Where Plaid hands out keys, by the environment that an endpoint's parameter `environment` names.
const KEY_URLS: [(&str, &str); 2] = [
    ("production", "https://production.plaid.com/webhook_verification_key/get"),
    ("sandbox", "https://sandbox.plaid.com/webhook_verification_key/get"),
];

/// Plaid's scheme in one of its environments.
#[derive(Debug, Clone)]
pub(crate) struct Plaid {
    key_url: &'static str,
}

/// A request for one of Plaid's keys: a POST of [`body`](Self::body) to [`url`](Self::url). Printed without the
/// secret.
#[derive(Clone)]
pub struct KeyRequest {
    url: &'static str,
    key_id: String,
    account: Account,
}

/// An account's credentials.
#[derive(Clone)]
pub(crate) struct Account {
    client_id: String,
    secret: Secret,
}

/// One of Plaid's keys, or the credentials with which they are fetched.
#[derive(Clone)]
pub(crate) enum Jwk {
    Pinned(Arc<Pinned>),
    Account(Account),
}

pub(crate) struct Pinned {
    key_id: String,
    public: PublicKey,
    private: Option<PrivateKey>,
    /// Whether Plaid has retired it, or says when it will: a key that serves has no such time.
    is_retired: bool,
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

/// The API's answer wraps the key.
#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    key: Wire<'a>,
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    kid: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Claims<'a> {
    iat: i64,
    #[serde(borrow)]
    request_body_sha256: Cow<'a, str>,
}

struct Token<'a> {
    signed: &'a str,
    key_id: String,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

pub(crate) fn decode_key(secret: &Secret) -> Result<Key, &'static str> {
    asymmetric::is_built()?;
    let text = secret.expose();
    if text.trim().is_empty() {
        return Err("it is empty");
    }
    if text.trim_start().starts_with('{') {
        let pinned = Pinned::read(text.as_bytes()).ok_or("it is not a JSON Web Key for ES256")?;
        return Ok(Key::Jwk(Jwk::Pinned(Arc::new(pinned))));
    }
    let plain = |text: &str| !text.is_empty() && text.bytes().all(is_plain);
    let account = text.split_once(':').filter(|(client_id, secret)| plain(client_id) && plain(secret));
    let (client_id, secret) = account.ok_or("it is neither client_id:secret nor a JSON Web Key")?;
    let account = Account { client_id: client_id.to_owned(), secret: Secret::new(secret) };
    Ok(Key::Jwk(Jwk::Account(account)))
}

impl Plaid {
    /// The setting that `parameters` may hold: `environment`, `production` (the default) or `sandbox`.
    pub(crate) const PARAMETERS: [&str; 1] = ["environment"];

    /// # Errors
    ///
    /// An environment that Plaid does not have.
    pub(crate) fn new(parameters: &BTreeMap<String, String>) -> Result<Self, SpecError> {
        let wanted = parameters.get("environment").map_or("production", String::as_str);
        let known = KEY_URLS.iter().find(|(name, _)| *name == wanted);
        let (_, key_url) = known
            .ok_or_else(|| SpecError::new("parameters.environment", "production or sandbox is wanted"))?;
        Ok(Self { key_url })
    }

    /// The key to fetch, after everything that can be checked without it: a token that is too old, or of another
    /// body, is worth no request to Plaid.
    pub(crate) fn material_for(
        &self,
        request: Request<'_>,
        keys: &KeyRing,
    ) -> Result<Option<MaterialRequest>, Refusal> {
        let token = Token::read(request.received)?;
        token.check_claims(request)?;
        if keys.iter().filter_map(NamedKey::pinned).any(|key| key.key_id == token.key_id) {
            return Ok(None);
        }
        let account = keys.iter().find_map(NamedKey::account).ok_or(Refusal::UnknownKeyId)?;
        let request = KeyRequest { url: self.key_url, key_id: token.key_id, account: account.clone() };
        Ok(Some(MaterialRequest::JsonWebKey(request)))
    }
}

pub(crate) fn verify<'k>(request: Request<'_>, keys: &'k KeyRing) -> Result<Proof<'k>, Refusal> {
    let token = Token::read(request.received)?;
    let of_token = |named: &&'k NamedKey| named.pinned().is_some_and(|key| key.key_id == token.key_id);
    let fetched;
    let (named, key): (&'k NamedKey, &Pinned) = match keys.iter().find(of_token) {
        Some(named) => (named, named.pinned().ok_or(Refusal::UnknownKeyId)?),
        None => {
            let with_account = keys.iter().find(|named| named.account().is_some());
            let named = with_account.ok_or(Refusal::UnknownKeyId)?;
            let material = request.material.ok_or(Refusal::MaterialMissing)?;
            fetched = Pinned::read(&material.0).ok_or(Refusal::MaterialUntrusted("it is no ES256 key"))?;
            if fetched.key_id != token.key_id {
                return Err(Refusal::MaterialUntrusted("it has another key id"));
            }
            (named, &fetched)
        }
    };
    if key.is_retired {
        return Err(Refusal::MaterialUntrusted("it has expired"));
    }
    // The signature first, so that what is said of the claims is known to be true.
    if !key.public.verifies(token.signed.as_bytes(), &token.signature) {
        return Err(Refusal::Mismatch);
    }
    let issued = token.check_claims(request)?;
    Ok(Proof { authenticity: Authenticity::Verified, key_id: &named.id, signed_at: Some(issued) })
}

/// The checks before the signature's, for a person to look at.
pub(crate) fn steps(request: Request<'_>) -> Steps {
    let token = Token::read(request.received);
    let content = token.as_ref().ok().map(|token| token.signed.as_bytes().to_vec());
    let claims = token.as_ref().ok().map(|token| token.check_claims(request));
    let mut checks = vec![(
        "token is there and well-formed",
        token.map(|token| format!("signed with key {:?}", token.key_id)),
    )];
    let claims = claims.map(|claims| claims.map(|at| format!("issued at {at}, of this body")));
    checks.extend(claims.map(|outcome| ("token is recent and of this body", outcome)));
    Steps {
        checks,
        content,
        mismatch: "another key signed the token: Plaid's other environment's, or not Plaid's",
    }
}

pub(crate) fn sign(to_sign: ToSign<'_>, keys: &KeyRing, at: Timestamp) -> Result<Signed, SignError> {
    let pinned = keys.iter().find_map(NamedKey::pinned);
    let (private, key_id) = pinned
        .and_then(|key| key.private.as_ref().map(|private| (private, &key.key_id)))
        .ok_or(SignError::NoPrivateKey)?;
    let part = |value: serde_json::Value| Encoding::Base64Url.encode(value.to_string().as_bytes());
    let header = part(serde_json::json!({ "alg": "ES256", "kid": key_id, "typ": "JWT" }));
    let hash = hex_sha256(to_sign.body);
    let claims = part(serde_json::json!({ "iat": at.as_second(), "request_body_sha256": hash }));
    let signed = format!("{header}.{claims}");
    let signature = private.sign(signed.as_bytes()).ok_or(SignError::NoPrivateKey)?;
    let mut out = Unsigned::new(to_sign);
    out.set_header(HEADER, &format!("{signed}.{}", Encoding::Base64Url.encode(&signature)));
    Ok(out.into_signed())
}

impl KeyRequest {
    /// One of Plaid's own addresses.
    pub fn url(&self) -> &'static str {
        self.url
    }

    /// JSON with the credentials.
    pub fn body(&self) -> Zeroizing<String> {
        let Self { key_id, account, .. } = self;
        // None of the three can hold what JSON escapes.
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

impl NamedKey {
    fn pinned(&self) -> Option<&Pinned> {
        match &self.key {
            Key::Jwk(Jwk::Pinned(pinned)) => Some(pinned),
            _ => None,
        }
    }

    fn account(&self) -> Option<&Account> {
        match &self.key {
            Key::Jwk(Jwk::Account(account)) => Some(account),
            _ => None,
        }
    }
}

/// The characters of Plaid's key ids, client ids and secrets.
fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
}

impl<'a> Token<'a> {
    fn read(received: Received<'a>) -> Result<Self, Refusal> {
        let text = one_header(received, HEADER)?.ok_or(Refusal::HeaderMissing)?;
        let malformed = || Refusal::Malformed("token");
        if text.len() > MAX_TOKEN {
            return Err(malformed());
        }
        let (signed, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let decode = |text| Encoding::Base64Url.decode(text).ok_or_else(malformed);
        let header = decode(header)?;
        let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| malformed())?;
        if header.alg != "ES256" {
            return Err(Refusal::Malformed("token's algorithm"));
        }
        let key_id = header.kid.into_owned();
        if key_id.is_empty() || key_id.len() > 128 || !key_id.bytes().all(is_plain) {
            return Err(Refusal::Malformed("token's key id"));
        }
        Ok(Self { signed, key_id, claims: decode(claims)?, signature: decode(signature)? })
    }

    /// The moment of issue, within its window, of a token for this body.
    fn check_claims(&self, request: Request<'_>) -> Result<Timestamp, Refusal> {
        let claims: Claims<'_> =
            serde_json::from_slice(&self.claims).map_err(|_| Refusal::Malformed("token's claims"))?;
        let issued = Timestamp::from_second(claims.iat).map_err(|_| Refusal::Malformed("timestamp"))?;
        Unit::Seconds.check(issued, request.now, request.window.unwrap_or(WINDOW))?;
        // The text is compared as it is: lower-case hex only.
        let hash = hex_sha256(request.received.body);
        if !are_equal(hash.as_bytes(), claims.request_body_sha256.as_bytes()) {
            return Err(Refusal::BodyAltered);
        }
        Ok(issued)
    }
}

impl Pinned {
    fn read(json: &[u8]) -> Option<Self> {
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
}
