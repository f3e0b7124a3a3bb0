//! Braintree: a form with a base64 payload and a list of `public key|signature` pairs.
//!
//! braintree webhook_notification_gateway.py and util/crypto.py (PyPI `braintree`). The key is the SHA-1 of the
//! private key; its id is the public key.

use std::borrow::Cow;

use tollgate_core::{Authenticity, Timestamp};
use zeroize::Zeroizing;

use super::{
    interface::{
        Coded, HandshakeReply, MAX_CANDIDATES, MAX_SIGNATURE_TEXT, Proof, Request, Scheme, SchemeInfo, Steps,
    },
    sign::{SignError, SignedWebhook, ToSign, Unsigned},
};
use crate::{
    key::{
        Algorithm, KeySpec,
        algorithm::Strength,
        decoded::{Digest, Key, Piece},
        ring::KeyRing,
        secret::Secret,
    },
    mac::Hash,
    refusal::Refusal,
    request::Received,
    text::{Encoding, form_field, to_form},
};

pub(super) const CODED: Coded =
    Coded { name: "braintree", parameters: &[], build: |_| Ok(Box::new(Braintree)) };

const ALGORITHM: Algorithm = Algorithm::HmacSha1;

/// Braintree's scheme.
#[derive(Debug)]
struct Braintree;

impl Scheme for Braintree {
    fn info(&self) -> SchemeInfo {
        SchemeInfo {
            location: "form field bt_signature".to_owned(),
            algorithm: ALGORITHM.as_str(),
            signed: "{form:bt_payload}".to_owned(),
            window: None,
            signs_time: false,
            signs_url: false,
            names_keys: true,
            authenticity: Authenticity::Verified,
            headers: Vec::new(),
            required_headers: Vec::new(),
            secret_headers: Vec::new(),
            query: Vec::new(),
            signed_headers: Vec::new(),
        }
    }

    fn decode_key(&self, secret: &Secret, strength: Strength) -> Result<Key, &'static str> {
        let text = secret.expose();
        // Checked as any other key, then hashed as Braintree does.
        Key::decode(text, &KeySpec::default(), ALGORITHM, strength)?;
        Key::hmac(Hash::Sha1, &Zeroizing::new(Hash::Sha1.digest([text.as_bytes()])))
    }

    fn verify<'k>(&self, request: Request<'_>, keys: &'k KeyRing) -> Result<Proof<'k>, Refusal> {
        let (signatures, payload) = read(request.received)?;
        let pairs = pairs(&signatures)?;
        let mut known_id = false;
        for key in keys.iter() {
            // The first pair with our public key decides, as in the SDK.
            let Some((_, signature)) = pairs.iter().find(|(public, _)| *public == key.named()) else {
                continue;
            };
            known_id = true;
            let Some(candidate) = Encoding::Hex.decode(signature) else { continue };
            if ["", "\n"].iter().any(|end| matches(&key.key, payload.as_bytes(), end.as_bytes(), &candidate))
            {
                return Ok(Proof { authenticity: Authenticity::Verified, key_id: &key.id, signed_at: None });
            }
        }
        Err(if known_id { Refusal::Mismatch } else { Refusal::UnknownKeyId })
    }

    fn form(&self) -> String {
        format!(
            "form field bt_payload (base64) and form field bt_signature: pairs joined by `&`, each `{{public key}}|{{signature}}`, where \
             {{signature}} is {}",
            Encoding::Hex.in_words(ALGORITHM.signature_len())
        )
    }

    fn steps(&self, request: Request<'_>, keys: &KeyRing) -> Steps {
        let mut steps = Steps {
            checks: Vec::new(),
            signature: None,
            content: None,
            mismatch: Cow::Borrowed(
                "the private key kept under this public key is not its own, or bt_payload was decoded and written anew",
            ),
        };
        let form = read(request.received);
        steps.content = form.as_ref().ok().map(|(_, payload)| payload.as_bytes().to_vec());
        let signatures = form.and_then(|(signatures, _)| {
            let found = pairs(&signatures)?.into_iter().map(|(public, _)| public.to_owned()).collect();
            Ok::<Vec<String>, Refusal>(found)
        });
        let count = signatures.as_ref().map(|found| format!("{} pair(s) of key and signature", found.len()));
        steps.checks.push(("form is whole and well-formed", count.map_err(Refusal::clone)));
        if let Ok(named) = signatures {
            let known = named.iter().find(|id| keys.iter().any(|key| key.named() == **id));
            let known = known.map(|id| format!("public key {id:?} is active")).ok_or(Refusal::UnknownKeyId);
            steps.checks.push(("public key is known", known));
        }
        steps
    }

    fn named_key_ids(&self, received: Received<'_>) -> Vec<String> {
        let signatures = read(received).map(|(signatures, _)| signatures).unwrap_or_default();
        pairs(&signatures).unwrap_or_default().into_iter().map(|(public, _)| public.to_owned()).collect()
    }

    /// Signs `to_sign.body`, which is the notification's XML.
    fn sign(&self, to_sign: ToSign<'_>, keys: &KeyRing, _at: Timestamp) -> Result<SignedWebhook, SignError> {
        let key = keys.iter().next().ok_or(SignError::NoPrivateKey)?;
        let payload = Encoding::Base64.encode(to_sign.body);
        let signature = mac(&key.key, &[payload.as_bytes()]).ok_or(SignError::NoPrivateKey)?;
        let signature = format!("{}|{}", key.named(), Encoding::Hex.encode(&signature));
        let mut out = Unsigned::new(to_sign);
        out.default_header("Content-Type", "application/x-www-form-urlencoded");
        out.set_body(to_form(&[("bt_signature", &signature), ("bt_payload", &payload)]).into_bytes());
        Ok(out.into_signed())
    }

    /// `GET ?bt_challenge=…`.
    fn challenge(
        &self,
        method: &str,
        query: &str,
        keys: &KeyRing,
    ) -> Result<Option<HandshakeReply>, Refusal> {
        if !method.eq_ignore_ascii_case("GET") {
            return Ok(None);
        }
        let body = answer_challenge(query, keys)?;
        Ok(Some(HandshakeReply { status: 200, content_type: "text/plain", body }))
    }

    /// The notification's XML as a form.
    fn wrap(&self, content: Vec<u8>) -> Vec<u8> {
        if !content.trim_ascii_start().starts_with(b"<") {
            return content;
        }
        to_form(&[("bt_payload", &Encoding::Base64.encode(&content))]).into_bytes()
    }
}

/// The answer to Braintree's `GET ?bt_challenge=…`, which asks whether the destination holds the key.
///
/// # Errors
///
/// A challenge that is missing or not 20 to 32 lower-case hex digits.
fn answer_challenge(query: &str, keys: &KeyRing) -> Result<String, Refusal> {
    let challenge = form_field(query.as_bytes(), "bt_challenge")?;
    let challenge = challenge.ok_or_else(|| Refusal::Missing("bt_challenge".to_owned()))?;
    if !is_challenge(&challenge) {
        return Err(Refusal::Malformed("challenge"));
    }
    let key = keys.iter().next().ok_or(Refusal::UnknownKeyId)?;
    let answer = mac(&key.key, &[challenge.as_bytes()]).ok_or(Refusal::UnknownKeyId)?;
    Ok(format!("{}|{}", key.named(), Encoding::Hex.encode(&answer)))
}

fn is_challenge(text: &str) -> bool {
    (20..=32).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn read(received: Received<'_>) -> Result<(Cow<'_, str>, Cow<'_, str>), Refusal> {
    let signatures = form_field(received.body, "bt_signature")?;
    let signatures = signatures.filter(|text| !text.is_empty()).ok_or(Refusal::HeaderMissing)?;
    let payload = form_field(received.body, "bt_payload")?;
    let payload = payload.filter(|text| !text.is_empty());
    let payload = payload.ok_or_else(|| Refusal::Missing("bt_payload".to_owned()))?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'=' | b'/' | b'\n');
    // Anyone is told the signature of a challenge.
    if !payload.bytes().all(allowed) || is_challenge(payload.trim_ascii_end()) {
        return Err(Refusal::Malformed("bt_payload"));
    }
    Ok((signatures, payload))
}

fn pairs(text: &str) -> Result<Vec<(&str, &str)>, Refusal> {
    if text.len() > MAX_SIGNATURE_TEXT {
        return Err(Refusal::Malformed("signature (too long)"));
    }
    let found: Vec<_> = text
        .split('&')
        .filter_map(|pair| pair.split_once('|').filter(|(_, rest)| !rest.contains('|')))
        .collect();
    match found.len() {
        0 => Err(Refusal::Malformed("signature")),
        1..=MAX_CANDIDATES => Ok(found),
        _ => Err(Refusal::TooManyCandidates),
    }
}

fn matches(key: &Key, payload: &[u8], end: &[u8], candidate: &[u8]) -> bool {
    let pieces = [Piece::Bytes(Cow::Borrowed(payload)), Piece::Bytes(Cow::Borrowed(end))];
    let expected = key.digest(ALGORITHM, &pieces);
    expected.is_some_and(|expected| Key::matches(ALGORITHM, &expected, candidate))
}

fn mac(key: &Key, parts: &[&[u8]]) -> Option<Vec<u8>> {
    let pieces: Vec<_> = parts.iter().map(|part| Piece::Bytes(Cow::Borrowed(*part))).collect();
    key.digest(ALGORITHM, &pieces).map(Digest::into_bytes)
}
