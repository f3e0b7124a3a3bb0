//! Plaid: a JSON Web Token (ES256) whose claim is the SHA-256 of the body.
//!
//! <https://plaid.com/docs/api/webhooks/webhook-verification/>. Keys are handed out by id to those who have an
//! account: the endpoint's secret is the account's credentials, `client_id:secret`, or one such key (a JWK).

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use tollgate_core::{Authenticity, Timestamp, id::hex_sha256};

use super::{
    declared::spec::SpecError,
    interface::{Coded, Proof, Request, Scheme, SchemeInfo, Steps},
    sign::{SignError, SignedWebhook, ToSign, Unsigned},
};
use crate::{
    asymmetric,
    key::{
        Algorithm,
        algorithm::Strength,
        decoded::Key,
        jwk::{Account, Jwk, PinnedKey},
        ring::{KeyRing, NamedKey},
        secret::Secret,
    },
    mac::are_equal,
    material::{KeyRequest, MaterialRequest},
    refusal::Refusal,
    request::Received,
    text::{Encoding, Unit},
};

/// Its parameter: `environment`, `production` (the default) or `sandbox`.
pub(super) const CODED: Coded = Coded {
    name: "plaid",
    parameters: &["environment"],
    build: |parameters| Ok(Box::new(Plaid::new(parameters)?)),
};

/// The token says nothing of whose item or payment it tells: Plaid's keys sign the webhooks of all its customers.
const AUTHENTICITY: Authenticity = Authenticity::Authenticated;

/// The header that carries the token.
const HEADER: &str = "Plaid-Verification";

/// Half-width of the issue time's window, in seconds: Plaid asks to refuse tokens older than five minutes.
const WINDOW: u32 = 300;

/// The longest token, in bytes. Plaid's have about 350.
const MAX_TOKEN: usize = 4096;

/// Where Plaid hands out keys, by the environment that an endpoint's parameter `environment` names.
const KEY_URLS: [(&str, &str); 2] = [
    ("production", "https://production.plaid.com/webhook_verification_key/get"),
    ("sandbox", "https://sandbox.plaid.com/webhook_verification_key/get"),
];

/// Plaid's scheme in one of its environments.
#[derive(Debug)]
struct Plaid {
    key_url: &'static str,
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

impl Plaid {
    /// # Errors
    ///
    /// An environment that Plaid does not have.
    fn new(parameters: &BTreeMap<String, String>) -> Result<Self, SpecError> {
        let wanted = parameters.get("environment").map_or("production", String::as_str);
        let known = KEY_URLS.iter().find(|(name, _)| *name == wanted);
        let (_, key_url) = known
            .ok_or_else(|| SpecError::new("parameters.environment", "production or sandbox is wanted"))?;
        Ok(Self { key_url })
    }
}

impl Scheme for Plaid {
    fn info(&self) -> SchemeInfo {
        SchemeInfo {
            location: HEADER.to_owned(),
            algorithm: Algorithm::EcdsaP256Sha256.as_str(),
            signed: "JWT whose claim request_body_sha256 is the body's".to_owned(),
            window: Some(WINDOW),
            signs_time: true,
            signs_url: false,
            // A token names a key of Plaid's, which brings its own id.
            names_keys: false,
            authenticity: AUTHENTICITY,
            headers: vec![HEADER.to_owned()],
            required_headers: Vec::new(),
            secret_headers: Vec::new(),
            query: Vec::new(),
            signed_headers: Vec::new(),
        }
    }

    /// The key to fetch, after everything that can be checked without it: a token that is too old, or of another
    /// body, is worth no request to Plaid.
    fn fetch(&self, request: Request<'_>, keys: &KeyRing) -> Result<Option<MaterialRequest>, Refusal> {
        let token = Token::read(request.received)?;
        token.check_claims(request)?;
        if keys.iter().filter_map(pinned).any(|key| key.key_id == token.key_id) {
            return Ok(None);
        }
        let account = keys.iter().find_map(account).ok_or(Refusal::UnknownKeyId)?;
        let request = KeyRequest { url: self.key_url, key_id: token.key_id, account: account.clone() };
        Ok(Some(MaterialRequest::JsonWebKey(request)))
    }

    fn verify<'k>(&self, request: Request<'_>, keys: &'k KeyRing) -> Result<Proof<'k>, Refusal> {
        let token = Token::read(request.received)?;
        let of_token = |named: &&'k NamedKey| pinned(named).is_some_and(|key| key.key_id == token.key_id);
        let fetched;
        let (named, key): (&'k NamedKey, &PinnedKey) = match keys.iter().find(of_token) {
            Some(named) => (named, pinned(named).ok_or(Refusal::UnknownKeyId)?),
            None => {
                let with_account = keys.iter().find(|named| account(named).is_some());
                let named = with_account.ok_or(Refusal::UnknownKeyId)?;
                let material = request.material.ok_or(Refusal::MaterialMissing)?;
                fetched =
                    PinnedKey::read(&material.0).ok_or(Refusal::MaterialUntrusted("it is no ES256 key"))?;
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
        if !key.verifies(token.signed.as_bytes(), &token.signature) {
            return Err(Refusal::Mismatch);
        }
        let issued = token.check_claims(request)?;
        Ok(Proof { authenticity: AUTHENTICITY, key_id: &named.id, signed_at: Some(issued) })
    }

    fn form(&self) -> String {
        format!(
            "header {HEADER}: a JSON Web Token with alg ES256, a kid, and the claims iat and request_body_sha256"
        )
    }

    fn steps(&self, request: Request<'_>, _keys: &KeyRing) -> Steps {
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
            signature: None,
            content,
            mismatch: Cow::Borrowed(
                "another key signed the token: Plaid's other environment's, or not Plaid's",
            ),
        }
    }

    fn sign(&self, to_sign: ToSign<'_>, keys: &KeyRing, at: Timestamp) -> Result<SignedWebhook, SignError> {
        let key = keys.iter().find_map(pinned).ok_or(SignError::NoPrivateKey)?;
        let part = |value: serde_json::Value| Encoding::Base64Url.encode(value.to_string().as_bytes());
        let header = part(serde_json::json!({ "alg": "ES256", "kid": key.key_id, "typ": "JWT" }));
        let hash = hex_sha256(to_sign.body);
        let claims = part(serde_json::json!({ "iat": at.as_second(), "request_body_sha256": hash }));
        let signed = format!("{header}.{claims}");
        let signature = key.sign(signed.as_bytes()).ok_or(SignError::NoPrivateKey)?;
        let mut out = Unsigned::new(to_sign);
        out.set_header(HEADER, &format!("{signed}.{}", Encoding::Base64Url.encode(&signature)));
        Ok(out.into_signed())
    }

    fn decode_key(&self, secret: &Secret, _strength: Strength) -> Result<Key, &'static str> {
        asymmetric::is_built()?;
        let text = secret.expose();
        if text.trim().is_empty() {
            return Err("it is empty");
        }
        if text.trim_start().starts_with('{') {
            let pinned = PinnedKey::read(text.as_bytes()).ok_or("it is not a JSON Web Key for ES256")?;
            return Ok(Key::Jwk(Jwk::Pinned(Arc::new(pinned))));
        }
        let plain = |text: &str| !text.is_empty() && text.bytes().all(is_plain);
        let account = text.split_once(':').filter(|(client_id, secret)| plain(client_id) && plain(secret));
        let (client_id, secret) = account.ok_or("it is neither client_id:secret nor a JSON Web Key")?;
        let account = Account { client_id: client_id.to_owned(), secret: Secret::new(secret) };
        Ok(Key::Jwk(Jwk::Account(account)))
    }
}

fn pinned(named: &NamedKey) -> Option<&PinnedKey> {
    match &named.key {
        Key::Jwk(Jwk::Pinned(pinned)) => Some(pinned),
        _ => None,
    }
}

fn account(named: &NamedKey) -> Option<&Account> {
    match &named.key {
        Key::Jwk(Jwk::Account(account)) => Some(account),
        _ => None,
    }
}

/// The characters of Plaid's key ids, client ids and secrets.
fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
}

impl<'a> Token<'a> {
    fn read(received: Received<'a>) -> Result<Self, Refusal> {
        let text = received.one_header(HEADER)?.ok_or(Refusal::HeaderMissing)?;
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
