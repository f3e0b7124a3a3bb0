//! Adyen standard notifications: every item of the batch carries its own signature, of eight of its fields.
//!
//! Adyen/util.py (PyPI `Adyen`), hmacValidator (`@adyen/api-library`). Only those fields are signed: not the event's
//! date, the reason or the additional data. The fields are joined unescaped, so those that never hold a colon must
//! not, or they could be split in another place. The normaliser's reader reads them here too.

use std::borrow::Cow;

use tollgate_core::{Authenticity, Timestamp};

use super::{
    interface::{Coded, Proof, Request, Scheme, SchemeInfo, Steps},
    sign::{SignError, SignedWebhook, ToSign, Unsigned},
};
use crate::{
    key::{
        Algorithm, KeyForm, KeySpec,
        algorithm::Strength,
        decoded::{Digest, Key, Piece},
        ring::{KeyRing, NamedKey},
        secret::Secret,
    },
    normalise::adyen_items::{Item, MAX_ITEMS, Notification},
    refusal::Refusal,
    text::Encoding,
};

pub(super) const CODED: Coded = Coded { name: "adyen", parameters: &[], build: |_| Ok(Box::new(Adyen)) };

const ALGORITHM: Algorithm = Algorithm::HmacSha256;

/// Adyen's scheme.
#[derive(Debug)]
struct Adyen;

impl Scheme for Adyen {
    fn info(&self) -> SchemeInfo {
        SchemeInfo {
            location: "additionalData.hmacSignature of each item in the body".to_owned(),
            algorithm: ALGORITHM.as_str(),
            signed: "pspReference:originalReference:merchantAccountCode:merchantReference:amount.value:\
                     amount.currency:eventCode:success"
                .to_owned(),
            window: None,
            signs_time: false,
            signs_url: false,
            names_keys: false,
            authenticity: Authenticity::Authenticated,
            headers: Vec::new(),
            required_headers: Vec::new(),
            secret_headers: Vec::new(),
            query: Vec::new(),
            signed_headers: Vec::new(),
        }
    }

    fn decode_key(&self, secret: &Secret, strength: Strength) -> Result<Key, &'static str> {
        let spec = KeySpec { form: KeyForm::Hex, bytes: Some(32), ..KeySpec::default() };
        Key::decode(secret.expose(), &spec, ALGORITHM, strength)
    }

    fn verify<'k>(&self, request: Request<'_>, keys: &'k KeyRing) -> Result<Proof<'k>, Refusal> {
        let items = read(request.received.body)?;
        let mut verified_by: Option<&'k NamedKey> = None;
        for (index, item) in items.iter().enumerate() {
            let key = match verify_item(item, keys) {
                Err(Refusal::Mismatch) if items.len() > 1 => return Err(Refusal::Item(index)),
                outcome => outcome?,
            };
            // The first item's key is the one recorded; while a key is rolled the items of one batch may differ.
            verified_by.get_or_insert(key);
        }
        let key = verified_by.ok_or(Refusal::Malformed("body (no notification items)"))?;
        Ok(Proof { authenticity: Authenticity::Authenticated, key_id: &key.id, signed_at: None })
    }

    fn sign(&self, to_sign: ToSign<'_>, keys: &KeyRing, _at: Timestamp) -> Result<SignedWebhook, SignError> {
        let key = keys.iter().next().ok_or(SignError::NoPrivateKey)?;
        let mut body: serde_json::Value =
            serde_json::from_slice(to_sign.body).map_err(|_| SignError::Body)?;
        let items = body.get_mut("notificationItems").and_then(|items| items.as_array_mut());
        for item in items.ok_or(SignError::Body)? {
            let item = item.get_mut("NotificationRequestItem").ok_or(SignError::Body)?;
            let text = item.to_string();
            let fields: Item<'_> = serde_json::from_str(&text).map_err(|_| SignError::Body)?;
            let content = signed_content(&fields).map_err(SignError::Content)?;
            let digest = mac(&key.key, &content).ok_or(SignError::NoPrivateKey)?;
            let signature = Encoding::Base64.encode(&digest);
            let fields = item.as_object_mut().ok_or(SignError::Body)?;
            let additional = fields.entry("additionalData").or_insert_with(|| serde_json::json!({}));
            let additional = additional.as_object_mut().ok_or(SignError::Body)?;
            additional.insert("hmacSignature".to_owned(), signature.into());
        }
        let mut out = Unsigned::new(to_sign);
        out.set_body(body.to_string().into_bytes());
        Ok(out.into_signed())
    }

    fn form(&self) -> String {
        format!(
            "a JSON body with notificationItems; additionalData.hmacSignature of each item is {}",
            Encoding::Base64.in_words(ALGORITHM.signature_len())
        )
    }

    fn steps(&self, request: Request<'_>, _keys: &KeyRing) -> Steps {
        let contents = read(request.received.body)
            .and_then(|items| items.iter().map(signed_content).collect::<Result<Vec<_>, _>>());
        Steps {
            checks: Vec::new(),
            signature: None,
            content: contents.ok().map(|all| all.join("\n").into_bytes()),
            mismatch: Cow::Borrowed("another key signed it, or one of the signed fields was changed"),
        }
    }
}

fn read(body: &[u8]) -> Result<Vec<Item<'_>>, Refusal> {
    let notification = Notification::<Vec<Item<'_>>>::read(body);
    let items =
        notification.map_err(|_| Refusal::Malformed("body (not an Adyen notification)"))?.into_items();
    if items.len() > MAX_ITEMS {
        return Err(Refusal::Malformed("body (too many notification items)"));
    }
    Ok(items)
}

fn verify_item<'k>(item: &Item<'_>, keys: &'k KeyRing) -> Result<&'k NamedKey, Refusal> {
    let signature = item.signature().filter(|text| !text.is_empty()).ok_or(Refusal::HeaderMissing)?;
    if signature.len() != Encoding::Base64.encoded_len(32) {
        return Err(Refusal::Malformed("signature"));
    }
    let candidate = Encoding::Base64.decode(signature).ok_or(Refusal::Malformed("signature"))?;
    let content = signed_content(item)?;
    let pieces = [Piece::Bytes(Cow::Borrowed(content.as_bytes()))];
    let good = |key: &&NamedKey| {
        let expected = key.key.digest(ALGORITHM, &pieces);
        expected.is_some_and(|expected| Key::matches(ALGORITHM, &expected, &candidate))
    };
    keys.iter().find(good).ok_or(Refusal::Mismatch)
}

fn mac(key: &Key, content: &str) -> Option<Vec<u8>> {
    let pieces = [Piece::Bytes(Cow::Borrowed(content.as_bytes()))];
    key.digest(ALGORITHM, &pieces).map(Digest::into_bytes)
}

fn signed_content(item: &Item<'_>) -> Result<String, Refusal> {
    let fields =
        item.signed().ok_or(Refusal::Malformed("body (a signed field is missing or of another type)"))?;
    let [psp_reference, original, account, _, _, currency, event_code, _] = fields;
    let never_a_colon = [psp_reference, original, account, currency, event_code];
    if never_a_colon.iter().any(|field| field.contains(':')) {
        return Err(Refusal::Malformed("signed value (it holds the separator)"));
    }
    Ok(fields.join(":"))
}
