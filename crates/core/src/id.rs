//! Identifiers: of a received webhook, of a payment event, of a ledger entry.

use std::{borrow::Cow, fmt, io::Write};

use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use crate::{
    EndpointId, Timestamp,
    inline::{Inline, inline_text},
};

/// One received webhook: `wh_` and a ULID, so that ids sort by the millisecond of arrival.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WebhookId(Inline<29>);

inline_text!(WebhookId, |text: &str| Self::parse(text).ok_or("not a webhook id"));

impl WebhookId {
    /// From the moment of arrival and 80 random bits (the low ones of `random` are used).
    pub fn new(at: Timestamp, random: u128) -> Self {
        let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        Self::of(Ulid::from_parts(millis, random))
    }

    /// Reads back an id that [`WebhookId::new`] made; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let id = Self::of(Ulid::from_string(text.strip_prefix("wh_")?).ok()?);
        (id.as_str() == text).then_some(id)
    }

    /// When it arrived, to the millisecond.
    pub fn arrived_at(&self) -> Timestamp {
        let ulid = self.as_str().get(3..).and_then(|ulid| Ulid::from_string(ulid).ok()).unwrap_or_default();
        let millis = i64::try_from(ulid.timestamp_ms()).unwrap_or(0);
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn of(ulid: Ulid) -> Self {
        let mut text = *b"wh_00000000000000000000000000";
        if let Some(digits) = text.last_chunk_mut::<{ ulid::ULID_LEN }>() {
            ulid.array_to_str(digits);
        }
        Self(Inline::ascii(text))
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
        Self([endpoint.as_str(), "#", &bounded(Cow::Borrowed(provider_event_id))].concat())
    }

    /// The text, `{endpoint}#{provider event id}`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The stable id that every published copy of the event carries.
    pub fn event_id(&self) -> EventId {
        EventId::of(sha256(self.0.as_bytes()))
    }
}

impl fmt::Display for LedgerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A payment event's id: `evt_` and 32 hex digits, a function of the [`LedgerKey`] alone, so that a repeat is
/// recognised wherever it turns up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Inline<36>);

inline_text!(EventId, |text: &str| Self::parse(text).ok_or("not an event id"));

impl EventId {
    /// The id of `provider_event_id` at `endpoint`: that of its [`LedgerKey`].
    pub fn new(endpoint: &EndpointId, provider_event_id: &str) -> Self {
        let id = bounded(Cow::Borrowed(provider_event_id));
        Self::of(sha256_of(format_args!("{endpoint}#{id}")))
    }

    /// Reads back the text of an id; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let digits = text.strip_prefix("evt_").filter(|digits| digits.len() == 32)?;
        digits.bytes().all(is_digit).then(|| Inline::new(text).map(Self))?
    }

    fn of(digest: [u8; 32]) -> Self {
        let mut text = *b"evt_00000000000000000000000000000000";
        let (half, _) = digest.split_at(16);
        if let Some(digits) = text.last_chunk_mut::<32>() {
            write_hex(half, digits);
        }
        Self(Inline::ascii(text))
    }
}

/// A digest of the facts that two deliveries of one event must share: 64 lower-case hex digits as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(text: fmt::Arguments<'_>) -> Self {
        Self(sha256_of(text))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        write_hex(&self.0, &mut digits);
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
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
    to_hex(&sha256(bytes))
}

/// Lower-case hex.
pub fn to_hex(bytes: &[u8]) -> String {
    let mut hex = vec![0; 2 * bytes.len()];
    write_hex(bytes, &mut hex);
    String::from_utf8(hex).unwrap_or_default()
}

fn write_hex(bytes: &[u8], hex: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    for (byte, pair) in bytes.iter().zip(hex.as_chunks_mut().0) {
        *pair = [digit(byte >> 4), digit(byte & 0x0f)];
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The SHA-256 of the text, which is put together on the stack unless it is unusually long.
fn sha256_of(text: fmt::Arguments<'_>) -> [u8; 32] {
    let mut buffer = [0; 512];
    let mut free = buffer.as_mut_slice();
    let fits = free.write_fmt(text).is_ok();
    let free = free.len();
    match buffer.get(..buffer.len() - free) {
        Some(text) if fits => sha256(text),
        _ => sha256(text.to_string().as_bytes()),
    }
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
