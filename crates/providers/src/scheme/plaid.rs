//! Plaid: a JSON Web Token (ES256) whose claim is the SHA-256 of the body.
//!
//! <https://plaid.com/docs/api/webhooks/webhook-verification/>. Keys are published by id; the endpoint's secret
//! is either such a key (a JWK) or the credentials with which keys are fetched.

use std::{borrow::Cow, sync::Arc};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, ParsedPublicKey},
};
use serde::Deserialize;
use tollgate_core::{Authenticity, Timestamp, id::hex_sha256};

use super::{
    Encoding, Proof, Refusal, Request, SignError, Signed, ToSign, Unit, Unsigned, key::Key,
    template::one_header,
};
use crate::{KeyRing, MaterialRequest, Received, Secret, secret::NamedKey};

/// The header that carries the token.
pub(crate) const HEADER: &str = "Plaid-Verification";

/// Half-width of the issue time's window, in seconds: Plaid asks to refuse tokens older than five minutes.
pub(crate) const WINDOW: u32 = 300;

/// The longest token, in bytes. Plaid's have about 350.
const MAX_TOKEN: usize = 4096;

/// One of Plaid's keys, or nothing but the means to fetch them.
#[derive(Clone)]
pub(crate) struct Jwk(Option<Arc<Pinned>>);

struct Pinned {
    key_id: String,
    public: ParsedPublicKey,
    private: Option<EcdsaKeyPair>,
    /// Unix seconds, where the key has been retired.
    expired_at: Option<i64>,
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
    expired_at: Option<i64>,
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
    let text = secret.expose();
    if text.trim().is_empty() {
        return Err("it is empty");
    }
    if !text.trim_start().starts_with('{') {
        return Ok(Key::Jwk(Jwk(None)));
    }
    let pinned = Pinned::read(text.as_bytes()).ok_or("it is not a JSON Web Key for ES256")?;
    Ok(Key::Jwk(Jwk(Some(Arc::new(pinned)))))
}

pub(crate) fn material(received: Received<'_>) -> Result<MaterialRequest, Refusal> {
    let token = Token::read(received)?;
    Ok(MaterialRequest::JsonWebKey { key_id: token.key_id })
}

/// The same, after everything that can be checked without the key: a token that is too old, or of another body,
/// is worth no request to Plaid.
pub(crate) fn material_for(request: Request<'_>, keys: &KeyRing) -> Result<Option<MaterialRequest>, Refusal> {
    let token = Token::read(request.received)?;
    token.check_claims(request)?;
    if keys.iter().filter_map(NamedKey::pinned).any(|(_, key)| key.key_id == token.key_id) {
        return Ok(None);
    }
    if keys.iter().all(|named| named.pinned().is_some()) {
        return Err(Refusal::UnknownKeyId);
    }
    Ok(Some(MaterialRequest::JsonWebKey { key_id: token.key_id }))
}

pub(crate) fn verify<'k>(request: Request<'_>, keys: &'k KeyRing) -> Result<Proof<'k>, Refusal> {
    let token = Token::read(request.received)?;
    let pinned = keys.iter().find_map(|named| named.pinned().filter(|(_, key)| key.key_id == token.key_id));
    let fetched;
    let (key_id, key): (&'k str, &Pinned) = match (pinned, request.material, keys.iter().next()) {
        (Some((named, key)), _, _) => (&named.id, key),
        (None, Some(material), Some(first)) => {
            fetched = Pinned::read(&material.0).ok_or(Refusal::MaterialUntrusted("it is no ES256 key"))?;
            if fetched.key_id != token.key_id {
                return Err(Refusal::MaterialUntrusted("it has another key id"));
            }
            (&first.id, &fetched)
        }
        _ if keys.iter().all(|named| named.pinned().is_some()) => return Err(Refusal::UnknownKeyId),
        _ => return Err(Refusal::MaterialMissing),
    };
    if key.expired_at.is_some_and(|at| at <= request.now.as_second()) {
        return Err(Refusal::MaterialUntrusted("it has expired"));
    }
    // The signature first, so that what is said of the claims is known to be true.
    key.public.verify_sig(token.signed.as_bytes(), &token.signature).map_err(|_| Refusal::Mismatch)?;
    let issued = token.check_claims(request)?;
    Ok(Proof { authenticity: Authenticity::Verified, key_id, signed_at: Some(issued) })
}

pub(crate) fn sign(to_sign: ToSign<'_>, keys: &KeyRing, at: Timestamp) -> Result<Signed, SignError> {
    let pinned = keys.iter().find_map(NamedKey::pinned).map(|(_, key)| key);
    let (pair, key_id) = pinned
        .and_then(|key| key.private.as_ref().map(|pair| (pair, &key.key_id)))
        .ok_or(SignError::NoPrivateKey)?;
    let part = |value: serde_json::Value| Encoding::Base64Url.encode(value.to_string().as_bytes());
    let header = part(serde_json::json!({ "alg": "ES256", "kid": key_id, "typ": "JWT" }));
    let hash = hex_sha256(to_sign.body);
    let claims = part(serde_json::json!({ "iat": at.as_second(), "request_body_sha256": hash }));
    let signed = format!("{header}.{claims}");
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes());
    let signature = signature.map_err(|_| SignError::NoPrivateKey)?;
    let mut out = Unsigned::new(to_sign);
    out.set_header(HEADER, &format!("{signed}.{}", Encoding::Base64Url.encode(signature.as_ref())));
    Ok(out.into_signed())
}

impl NamedKey {
    fn pinned(&self) -> Option<(&Self, &Pinned)> {
        match &self.key {
            Key::Jwk(Jwk(Some(pinned))) => Some((self, pinned)),
            _ => None,
        }
    }
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
        let plain = key_id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if key_id.is_empty() || key_id.len() > 128 || !plain {
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
        verify_slices_are_equal(hash.as_bytes(), claims.request_body_sha256.as_bytes())
            .map_err(|_| Refusal::BodyAltered)?;
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
        let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).ok()?;
        let private = match wire.d.as_deref() {
            Some(d) => {
                let d = zeroize::Zeroizing::new(coordinate(d)?);
                let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
                Some(EcdsaKeyPair::from_private_key_and_public_key(algorithm, &d, &point).ok()?)
            }
            None => None,
        };
        Some(Self { key_id: wire.kid.into_owned(), public, private, expired_at: wire.expired_at })
    }
}
