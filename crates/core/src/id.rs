//! Identifiers: of a received webhook, of a payment event, of a ledger entry.

use std::{borrow::Cow, fmt, io::Write};

use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use crate::{
    EndpointId, EventType, Timestamp,
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

    /// The key of a transmission, which no event has: an endpoint's name holds no colon. The id, a header's text that may
    /// hold anything, is there as its SHA-256.
    pub fn of_transmission(endpoint: &EndpointId, transmission_id: &str) -> Self {
        Self(["transmission:", endpoint.as_str(), "#", &hex_sha256(transmission_id.as_bytes())].concat())
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

    /// The id of what we make of an event ourselves. No sender can make an event of that id: what is hashed for the
    /// events of senders begins with an endpoint's name, which holds no colon.
    pub fn derived(&self, what: &'static str) -> Self {
        Self::of(sha256_of(format_args!("{what}:{self}")))
    }

    /// Reads back the text of an id; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        is_hex_id("evt_", text).then(|| Inline::new(text).map(Self))?
    }

    fn of(digest: [u8; 32]) -> Self {
        Self(hex_id(*b"evt_00000000000000000000000000000000", digest))
    }
}

/// An effect's id: `eff_` and 32 hex digits. Every telling of one effect has it: it is a function of the endpoint, of
/// what moved, of the state that it reached, and of the occurrence where it may reach that state more than once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EffectId(Inline<36>);

inline_text!(EffectId, |text: &str| Self::parse(text).ok_or("not an effect id"));

/// No effect's id.
impl Default for EffectId {
    fn default() -> Self {
        Self(hex_id(*b"eff_00000000000000000000000000000000", [0; 32]))
    }
}

impl EffectId {
    /// The effect "`movement_id` at `endpoint` reached `state`". `occurrence` is empty where that happens once.
    pub fn new(endpoint: &EndpointId, movement_id: &str, state: EventType, occurrence: &str) -> Self {
        let (movement, occurrence) = (bounded(movement_id.into()), bounded(occurrence.into()));
        let length = movement.len();
        // With its length, so that no text of one part can be read as another part's.
        Self(hex_id(
            *b"eff_00000000000000000000000000000000",
            sha256_of(format_args!("{endpoint}#{}#{length}:{movement}#{occurrence}", state.as_str())),
        ))
    }

    /// Reads back the text of an id; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        is_hex_id("eff_", text).then(|| Inline::new(text).map(Self))?
    }
}

/// `template` with its last 32 bytes replaced by the digits of the digest's first half.
fn hex_id(mut template: [u8; 36], digest: [u8; 32]) -> Inline<36> {
    let (half, _) = digest.split_at(16);
    if let Some(digits) = template.last_chunk_mut::<32>() {
        write_hex(half, digits);
    }
    Inline::ascii(template)
}

fn is_hex_id(prefix: &str, text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.strip_prefix(prefix).is_some_and(|digits| digits.len() == 32 && digits.bytes().all(is_digit))
}

/// The version of what a [`Fingerprint`] is made of. Version 1 was written without it and had no movement.
const FINGERPRINT_VERSION: &str = "2:";

/// A digest of the facts that two deliveries of one event must share: as text its version and 64 lower-case
/// hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(text: fmt::Arguments<'_>) -> Self {
        Self(sha256_of(text))
    }

    /// Whether two written fingerprints say that their facts differ. Those of different versions say nothing: a claim
    /// from before an update must not turn the provider's next try into a conflict.
    pub fn contradict(one: &str, other: &str) -> bool {
        fn version(text: &str) -> Option<&str> {
            text.split_once(':').map(|(version, _)| version)
        }
        one != other && version(one) == version(other)
    }
}

impl Fingerprint {
    /// Whether `written` is this fingerprint's text.
    pub fn is(&self, written: &str) -> bool {
        written.strip_prefix(FINGERPRINT_VERSION).is_some_and(|digits| digits.as_bytes() == self.digits())
    }

    fn digits(&self) -> [u8; 64] {
        let mut digits = [0; 64];
        write_hex(&self.0, &mut digits);
        digits
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FINGERPRINT_VERSION)?;
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

/// U+FFFE and U+FFFF. A message body of SQS may not have them (SendMessage, API reference), and JSON has no need to escape them.
pub(crate) const NO_CHARACTERS: [char; 2] = ['\u{fffe}', '\u{ffff}'];

/// The text itself, or its SHA-256 where it is longer than [`MAX_PROVIDER_EVENT_ID_LEN`] or has a character that no queue takes, so
/// that a sender's text can be part of a key.
pub fn bounded(text: Cow<'_, str>) -> Cow<'_, str> {
    if !is_kept(&text) { Cow::Owned(format!("sha256:{}", hex_sha256(text.as_bytes()))) } else { text }
}

/// Whether [`bounded`] leaves the text as it is.
pub(crate) fn is_kept(text: &str) -> bool {
    text.len() <= MAX_PROVIDER_EVENT_ID_LEN && is_of_characters(text)
}

/// Whether none of [`NO_CHARACTERS`] is in it.
pub(crate) fn is_of_characters(text: &str) -> bool {
    // Both begin with EF in UTF-8: a byte is found faster than a character, and hardly any text has that one.
    !(text.as_bytes().contains(&0xef) && text.contains(NO_CHARACTERS))
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
    use proptest::prelude::*;

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
    fn an_effect_id_is_a_function_of_what_moved_and_the_state_it_reached() {
        let stripe = EndpointId::new("stripe").unwrap();
        let paid =
            |movement, occurrence| EffectId::new(&stripe, movement, EventType::PaymentSucceeded, occurrence);
        assert_eq!(paid("pi_1", ""), paid("pi_1", ""));
        let others = [
            paid("pi_2", ""),
            paid("pi_1", "1"),
            paid("pi_1#", "1"),
            EffectId::new(&stripe, "pi_1", EventType::PaymentFailed, ""),
            EffectId::new(&EndpointId::new("stripe-eu").unwrap(), "pi_1", EventType::PaymentSucceeded, ""),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(*other, paid("pi_1", ""));
            assert!(!others[..index].contains(other));
        }
        assert_eq!(EffectId::parse(paid("pi_1", "").as_str()), Some(paid("pi_1", "")));
        assert_eq!(EffectId::parse("evt_00000000000000000000000000000000"), None);
    }

    #[test]
    fn fingerprints_of_one_version_contradict_where_they_differ() {
        let of = |text: &str| Fingerprint::of(format_args!("{text}")).to_string();
        assert!(Fingerprint::of(format_args!("a")).is(&of("a")));
        assert!(!Fingerprint::of(format_args!("a")).is(&of("b")));
        assert!(Fingerprint::contradict(&of("a"), &of("b")));
        assert!(!Fingerprint::contradict(&of("a"), &of("a")));
        assert!(!Fingerprint::contradict(&of("a"), &"0".repeat(64)), "written by version 1");
        assert!(Fingerprint::contradict(&"1".repeat(64), &"0".repeat(64)));
    }

    proptest! {
        /// Whatever text a sender gives as its event's id, at whatever endpoint.
        #[test]
        fn no_sender_makes_an_id_or_a_key_of_ours(
            endpoint in "[a-z0-9][a-z0-9_-]{0,12}|transmission|flagged",
            base in "[a-z0-9:#]{0,8}",
            sent in prop_oneof!["(flagged|transmission|p1|evt)?[:#]?[a-z0-9:#]{0,12}", any::<String>()],
        ) {
            let endpoint = EndpointId::new(endpoint).unwrap();
            let sent = LedgerKey::new(&endpoint, &sent);
            prop_assert_ne!(&sent, &LedgerKey::of_transmission(&endpoint, &base));
            let assessed = LedgerKey::new(&endpoint, &base).event_id();
            let flagged = assessed.derived("flagged");
            prop_assert_ne!(sent.event_id(), flagged);
            let written = [&base, ":flagged"].concat();
            prop_assert_ne!(LedgerKey::new(&endpoint, &written).event_id(), flagged);
            let looks_so = ["flagged:", assessed.as_str()].concat();
            prop_assert_ne!(LedgerKey::new(&endpoint, &looks_so).event_id(), flagged);
        }
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

    #[test]
    fn the_key_of_a_transmission_holds_nothing_of_its_id_and_tells_any_two_apart() {
        let paypal = EndpointId::new("paypal").unwrap();
        // Masked, they are one.
        let [one, other] = ["4111111111111111", "4111112222221111"];
        let key = LedgerKey::of_transmission(&paypal, one);
        assert_ne!(key, LedgerKey::of_transmission(&paypal, other));
        assert_eq!(key.as_str(), format!("transmission:paypal#{}", hex_sha256(one.as_bytes())));
    }
}
