//! Identifiers: of a received webhook, of a payment event, of a ledger entry.

use std::{borrow::Cow, fmt};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{EndpointId, Timestamp};

/// One received webhook: `wh_` and a ULID, so that ids sort by the millisecond of arrival.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WebhookId(String);

impl WebhookId {
    /// From the moment of arrival and 80 random bits (the low ones of `random` are used).
    pub fn new(at: Timestamp, random: u128) -> Self {
        let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        Self(format!("wh_{}", Ulid::from_parts(millis, random)))
    }

    /// Reads back an id that [`WebhookId::new`] made; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let ulid = text.strip_prefix("wh_")?;
        let canonical = Ulid::from_string(ulid).ok()?.to_string() == ulid;
        canonical.then(|| Self(text.to_owned()))
    }

    /// When it arrived, to the millisecond.
    pub fn arrived_at(&self) -> Timestamp {
        let ulid = self.0.get(3..).and_then(|ulid| Ulid::from_string(ulid).ok()).unwrap_or_default();
        let millis = i64::try_from(ulid.timestamp_ms()).unwrap_or(0);
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WebhookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The longest provider event id that is kept as it is, in bytes; longer ones are replaced by their SHA-256.
/// A DynamoDB partition key holds 2,048 bytes, of which the endpoint takes up to 64.
pub const MAX_PROVIDER_EVENT_ID_LEN: usize = 512;

/// What makes an event the same event: its endpoint and the provider's event id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LedgerKey(String);

impl LedgerKey {
    /// The key of `provider_event_id` at `endpoint`.
    pub fn new(endpoint: &EndpointId, provider_event_id: &str) -> Self {
        // An endpoint id holds no '#', so the pair can be read in one way only.
        Self(format!("{endpoint}#{}", bounded(Cow::Borrowed(provider_event_id))))
    }

    /// The text, `{endpoint}#{provider event id}`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The stable id that every published copy of the event carries.
    pub fn event_id(&self) -> EventId {
        let mut hex = hex_sha256(self.0.as_bytes());
        hex.truncate(32);
        EventId(format!("evt_{hex}"))
    }
}

impl fmt::Display for LedgerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A payment event's id: `evt_` and 32 hex digits, a function of the [`LedgerKey`] alone, so that a repeat is
/// recognised wherever it turns up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(String);

impl EventId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text itself, or where it is longer than [`MAX_PROVIDER_EVENT_ID_LEN`] its SHA-256, so that a sender's text can be
/// part of a key.
pub fn bounded(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() > MAX_PROVIDER_EVENT_ID_LEN {
        Cow::Owned(format!("sha256:{}", hex_sha256(text.as_bytes())))
    } else {
        text
    }
}

/// Lower-case hex of the SHA-256 of `bytes`: 64 characters.
pub fn hex_sha256(bytes: &[u8]) -> String {
    to_hex(digest(&SHA256, bytes).as_ref())
}

/// Lower-case hex.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhook_ids_sort_by_arrival() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let early = WebhookId::new(at(1_760_000_000_000), u128::MAX);
        let late = WebhookId::new(at(1_760_000_000_001), 0);
        assert!(early < late);
        assert_eq!(late.arrived_at(), at(1_760_000_000_001));
        assert_eq!(WebhookId::parse(early.as_str()), Some(early));
        assert_eq!(WebhookId::parse("wh_"), None);
        assert_eq!(WebhookId::parse("wh_01arz3ndektsv4rrffq69g5fav"), None);
    }

    #[test]
    fn an_event_id_is_a_function_of_endpoint_and_provider_id() {
        let stripe = EndpointId::new("stripe").unwrap();
        let other = EndpointId::new("stripe-eu").unwrap();
        let id = LedgerKey::new(&stripe, "evt_1").event_id();
        assert_eq!(id, LedgerKey::new(&stripe, "evt_1").event_id());
        assert_ne!(id, LedgerKey::new(&other, "evt_1").event_id());
        assert_eq!(id.as_str().len(), 36);
        assert!(LedgerKey::new(&stripe, &"x".repeat(10_000)).as_str().len() < 200);
    }
}
