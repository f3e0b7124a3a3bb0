//! Adyen standard notifications: every item of the batch carries its own signature, of eight of its fields.
//!
//! Adyen/util.py (PyPI `Adyen`), hmacValidator (`@adyen/api-library`). Only those fields are signed: not the event's
//! date, the reason or the additional data. The fields are joined unescaped, so those that never hold a colon must
//! not, or they could be split in another place.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, de};
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
    refusal::Refusal,
    text::Encoding,
};

pub(super) const CODED: Coded = Coded { name: "adyen", parameters: &[], build: |_| Ok(Box::new(Adyen)) };

/// The most items in one notification. Adyen sends one by JSON and few by SOAP.
const MAX_ITEMS: usize = 100;

const ALGORITHM: Algorithm = Algorithm::HmacSha256;

#[derive(Deserialize)]
struct Notification<'a> {
    #[serde(borrow, rename = "notificationItems")]
    items: Vec<Envelope<'a>>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "NotificationRequestItem")]
    item: Item<'a>,
}

// serde refuses a repeated field, so that two readers cannot see two values.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    #[serde(borrow)]
    psp_reference: Cow<'a, str>,
    #[serde(borrow, default)]
    original_reference: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    merchant_account_code: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    merchant_reference: Option<Cow<'a, str>>,
    #[serde(borrow)]
    amount: Amount<'a>,
    #[serde(borrow)]
    event_code: Cow<'a, str>,
    #[serde(borrow)]
    success: Cow<'a, str>,
    #[serde(borrow, default)]
    additional_data: Option<AdditionalData<'a>>,
}

#[derive(Deserialize)]
struct Amount<'a> {
    value: Whole,
    #[serde(borrow)]
    currency: Cow<'a, str>,
}

#[derive(Deserialize)]
struct AdditionalData<'a> {
    #[serde(borrow, default, rename = "hmacSignature")]
    signature: Option<Cow<'a, str>>,
}

/// A whole number, as a number or as text.
struct Whole(String);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Whole, E> {
                Ok(Whole(value.to_string()))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Whole, E> {
                Ok(Whole(value.to_string()))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Whole, E> {
                let digits = value.strip_prefix('-').unwrap_or(value);
                if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
                    Ok(Whole(value.to_owned()))
                } else {
                    Err(E::custom("not a whole number"))
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

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
        let notification = read(request.received.body)?;
        let mut verified_by: Option<&'k NamedKey> = None;
        for (index, Envelope { item }) in notification.items.iter().enumerate() {
            let key = match verify_item(item, keys) {
                Err(Refusal::Mismatch) if notification.items.len() > 1 => return Err(Refusal::Item(index)),
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

    fn steps(&self, request: Request<'_>, _keys: &KeyRing) -> Steps {
        let contents = read(request.received.body).and_then(|notification| {
            let contents = notification.items.iter().map(|envelope| signed_content(&envelope.item));
            contents.collect::<Result<Vec<_>, _>>()
        });
        Steps {
            checks: Vec::new(),
            signature: None,
            content: contents.ok().map(|all| all.join("\n").into_bytes()),
            mismatch: Cow::Borrowed("another key signed it, or one of the signed fields was changed"),
        }
    }
}

fn read(body: &[u8]) -> Result<Notification<'_>, Refusal> {
    let notification: Notification<'_> =
        serde_json::from_slice(body).map_err(|_| Refusal::Malformed("body (not an Adyen notification)"))?;
    if notification.items.len() > MAX_ITEMS {
        return Err(Refusal::Malformed("body (too many notification items)"));
    }
    Ok(notification)
}

fn verify_item<'k>(item: &Item<'_>, keys: &'k KeyRing) -> Result<&'k NamedKey, Refusal> {
    let signature = item.additional_data.as_ref().and_then(|data| data.signature.as_deref());
    let signature = signature.filter(|text| !text.is_empty()).ok_or(Refusal::HeaderMissing)?;
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
    let text = |field: &Option<Cow<'_, str>>| field.as_deref().unwrap_or_default().to_owned();
    let Amount { value, currency } = &item.amount;
    let account = text(&item.merchant_account_code);
    let original = text(&item.original_reference);
    let never_a_colon = [&*item.psp_reference, &original, &account, currency, &item.event_code];
    if never_a_colon.iter().any(|field| field.contains(':')) {
        return Err(Refusal::Malformed("signed value (it holds the separator)"));
    }
    if !matches!(&*item.success, "true" | "false") {
        return Err(Refusal::Malformed("body (success is neither true nor false)"));
    }
    Ok([
        &*item.psp_reference,
        &original,
        &account,
        &text(&item.merchant_reference),
        &value.0,
        currency,
        &item.event_code,
        &item.success,
    ]
    .join(":"))
}
