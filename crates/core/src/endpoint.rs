//! Endpoints: named instances of a provider's scheme, configured without a new image.

use serde::{Deserialize, Serialize};

use crate::inline::{Inline, inline_text};

/// The name in `/webhook/{endpoint}`: 1–64 of `a-z`, `0-9`, `-` and `_`, beginning with a letter or digit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(Inline<MAX_NAME_LEN>);

/// Whose rules apply: the name of a catalogue row (`stripe`) or of a custom scheme. Same alphabet as
/// [`EndpointId`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderId(Inline<MAX_NAME_LEN>);

/// A name outside its alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 64 of a-z, 0-9, '-' and '_', beginning with a letter or digit")]
pub struct NameError;

/// The longest name, in bytes.
pub const MAX_NAME_LEN: usize = 64;

macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            ///
            /// [`NameError`] when the text is not such a name.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let text = Some(text.as_ref()).filter(|text| is_name(text));
                text.and_then(Inline::new).map(Self).ok_or(NameError)
            }
        }

        inline_text!($name, |text: &str| Self::new(text));
    };
}

name!(EndpointId);
name!(ProviderId);

fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=MAX_NAME_LEN).contains(&text.len())
        && text.bytes().all(allowed)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// The most that `quiet_after_hours` can be: the twelve weeks that are looked at.
pub const MAX_QUIET_HOURS: u32 = 12 * 7 * 24;

/// The most refused webhooks that an endpoint may keep a day, and their bytes: each costs the validator one call.
pub const MAX_KEPT: KeepRejected = KeepRejected { count: 10_000, bytes: 1_073_741_824 };

/// How many refused webhooks an endpoint keeps in a day of UTC, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepRejected {
    /// Webhooks, 1 to 10,000.
    pub count: u32,
    /// Their bodies together, in bytes, 1 to 1,073,741,824.
    pub bytes: u64,
}

/// Which intake queue an endpoint's webhooks take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The standard queue: batches to 10,000, no order.
    #[default]
    Fast,
    /// The FIFO queue: order per payment, batches to 10.
    Ordered,
}

/// How a repeat of an accepted event is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDuplicate {
    /// 200: providers retry on any non-2xx.
    #[default]
    Acknowledge,
    /// 409, for senders that want to know.
    Conflict,
}

/// One endpoint as it stands in the configuration. `scheme` is whatever the providers crate reads there: the
/// name of a catalogue row or a table that describes a custom scheme.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// The name in the path.
    pub id: EndpointId,
    /// A catalogue row's name (`"stripe"`) or a custom scheme (a table).
    pub scheme: serde_json::Value,
    /// Where the keys are: `secretsmanager:NAME` or `ssm:NAME`. Never a key itself.
    pub secret: String,
    /// Which intake queue. Default fast.
    #[serde(default)]
    pub delivery: Delivery,
    /// How repeats are answered. Default acknowledge; the generic endpoint's default is conflict.
    #[serde(default)]
    pub on_duplicate: Option<OnDuplicate>,
    /// Half-width of the signed timestamp's window, in seconds (1 to 604,800), instead of the scheme's own.
    #[serde(default)]
    pub tolerance_seconds: Option<u32>,
    /// The metadata keys that events keep, exactly as they are sent. Without it all are kept, and e-mail addresses in their
    /// values are hidden. Keys that name card verification data are never kept, and card numbers are always masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Vec<String>>,
    /// The sender's ids (of events, payments, movements, customers) never hold card numbers: they stay as they are. Without
    /// it an id in which a card number is found is none.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ids_hold_no_cards: bool,
    /// A webhook without a signed time is refused. Without a time, one that somebody has kept is good for ever: the
    /// ledger forgets it after 30 days. For schemes that can sign one, within a window.
    #[serde(default, skip_serializing_if = "is_false")]
    pub require_signed_time: bool,
    /// After so many full hours without a genuine webhook the endpoint counts as silent, whatever it usually hears (1 to
    /// [`MAX_QUIET_HOURS`]); 0: never. Without it that is learned from its past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_after_hours: Option<u32>,
    /// Webhooks that are refused are kept for seven days, to be looked at and taken in once their cause is mended (`tollgate
    /// rejected`). Not for schemes whose signature is as good as the key. Without it none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_rejected: Option<KeepRejected>,
    /// What a webhook only names is fetched from its provider's API, with the endpoint's key of that API (`tollgate endpoints
    /// api-key`): for Stripe's thin events and Mercado Pago's payments. Without it, or without such a key, an event says what
    /// its webhook says.
    #[serde(default, skip_serializing_if = "is_false")]
    pub enrich: bool,
    /// Whose bodies are read: `generic` for our own schema, or a provider's name. Default the scheme's own; a custom scheme has
    /// none, and without it each webhook becomes `payment.unrecognized`.
    #[serde(default)]
    pub normaliser: Option<String>,
    /// The URL that the provider calls, where the scheme signs it (Square), exactly as registered there.
    #[serde(default)]
    pub notification_url: Option<String>,
    /// What only some schemes and normalisers read, by name: `default_currency` and `amount_unit` (`major` or `minor`) for
    /// senders that name none, and what a provider's set-up names.
    #[serde(default)]
    pub parameters: std::collections::BTreeMap<String, String>,
}

/// A setting that is off is not written: functions of a version that does not know it read the endpoint still.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(setting: &bool) -> bool {
    !setting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_plain() {
        for good in ["stripe", "stripe-eu", "a", "0_9", &"x".repeat(64)] {
            assert!(EndpointId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "Stripe", "a#b", "a/b", "ä", &"x".repeat(65)] {
            assert!(EndpointId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_misspelt_setting_is_an_error() {
        let good = r#"{"id":"stripe","scheme":"stripe","secret":"secretsmanager:x"}"#;
        assert!(serde_json::from_str::<EndpointConfig>(good).is_ok());
        let bad = r#"{"id":"stripe","scheme":"stripe","secret":"x","on_duplcate":"conflict"}"#;
        assert!(serde_json::from_str::<EndpointConfig>(bad).is_err());
        let unset = serde_json::to_string(&serde_json::from_str::<EndpointConfig>(good).unwrap()).unwrap();
        assert!(!unset.contains("metadata") && !unset.contains("ids_hold_no_cards"), "{unset}");
        assert!(!unset.contains("quiet_after_hours"), "{unset}");
        assert!(!unset.contains("keep_rejected") && !unset.contains("enrich"), "{unset}");
    }
}
