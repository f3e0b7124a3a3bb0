//! The canonical payment event: what a webhook says, in one form for every provider.
//!
//! The schema is versioned by [`SCHEMA`] and documented in `infra/schema/payment-event.json`.

use std::{borrow::Cow, fmt::Write, mem};

use serde::{Deserialize, Serialize};

use crate::{
    Authenticity, Category, EndpointId, EventId, EventType, Fingerprint, LedgerKey, Money, ProviderId,
    Timestamp, WebhookId,
    id::{MAX_PROVIDER_EVENT_ID_LEN, bounded},
};

/// The schema's name and version. A field is only ever added under one version.
pub const SCHEMA: &str = "tollgate.payment-event/1";

/// The size of an amount against its currency's thresholds; decides the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskTier {
    /// The event has no amount.
    Unrated,
    /// Below the medium threshold: metrics only.
    Low,
    /// From the medium to the high threshold, both included: an alert.
    Medium,
    /// Above the high threshold: the fraud workflow.
    High,
}

/// Who pays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Customer<'a> {
    /// The provider's customer or payer id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    /// Billing country, as sent (ISO 3166 alpha-2 at most providers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Cow<'a, str>>,
}

/// What was paid with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PaymentMethod<'a> {
    /// The provider's word: `card`, `ideal`, `bank_transfer`, …
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Cow<'a, str>>,
    /// Card scheme or wallet: `visa`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<Cow<'a, str>>,
    /// Country that issued the card, as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Cow<'a, str>>,
}

/// What one event in a webhook says: the normalisers' output, free of where and when it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts<'a> {
    /// The provider's event id, or the documented composite where it has none. Unique per endpoint.
    pub event_id: Cow<'a, str>,
    /// The provider's own word for what happened.
    pub event_type: Cow<'a, str>,
    /// Ours.
    pub kind: EventType,
    /// The payment object that the event is about; events with the same one are ordered.
    pub transaction_id: Option<Cow<'a, str>>,
    /// Absent where the provider sends none.
    pub amount: Option<Money>,
    /// When it happened, by the provider's clock.
    pub occurred_at: Option<Timestamp>,
    /// Who pays.
    pub customer: Customer<'a>,
    /// What was paid with.
    pub method: PaymentMethod<'a>,
    /// The provider's own fraud score, on its own scale (Stripe 0–100, Adyen 0–100 and above).
    pub provider_risk_score: Option<u16>,
    /// False for the provider's test mode; absent where it does not say.
    pub livemode: Option<bool>,
    /// The merchant's own key-value pairs, text values only.
    pub metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Why `kind` is [`EventType::PaymentUnrecognized`], as a short fixed phrase.
    pub unrecognized: Option<&'static str>,
}

impl<'a> Facts<'a> {
    /// Facts with nothing known but what happened; the rest is filled in with struct update syntax.
    pub fn new(
        event_id: impl Into<Cow<'a, str>>,
        event_type: impl Into<Cow<'a, str>>,
        kind: EventType,
    ) -> Self {
        Self {
            event_id: event_id.into(),
            event_type: event_type.into(),
            kind,
            transaction_id: None,
            amount: None,
            occurred_at: None,
            customer: Customer::default(),
            method: PaymentMethod::default(),
            provider_risk_score: None,
            livemode: None,
            metadata: Vec::new(),
            unrecognized: None,
        }
    }

    /// A webhook that could not be understood, for the fixed reason `why`.
    pub fn unrecognized(
        event_id: impl Into<Cow<'a, str>>,
        event_type: impl Into<Cow<'a, str>>,
        why: &'static str,
    ) -> Self {
        Self { unrecognized: Some(why), ..Self::new(event_id, event_type, EventType::PaymentUnrecognized) }
    }

    /// The facts that two deliveries of one event must share: type, transaction and exact amount, in one line.
    /// Retries may differ in everything else (Stripe's `pending_webhooks`).
    pub fn fingerprint(&self) -> Fingerprint {
        let (kind, transaction) = (self.kind.as_str(), self.transaction_id.as_deref().unwrap_or_default());
        let Some(money) = &self.amount else {
            return Fingerprint::of(format_args!("{kind}\n\n\n\n{transaction}"));
        };
        let (units, currency) = (money.minor_units(), money.currency());
        match money.exponent() {
            Some(exponent) => {
                Fingerprint::of(format_args!("{kind}\n{units}\n{currency}\n{exponent}\n{transaction}"))
            }
            None => Fingerprint::of(format_args!("{kind}\n{units}\n{currency}\n\n{transaction}")),
        }
    }
}

/// Where and how an event's webhook arrived.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The delivery.
    pub webhook_id: &'a WebhookId,
    /// Where it arrived.
    pub endpoint: &'a EndpointId,
    /// Whose it is.
    pub provider: &'a ProviderId,
    /// What its signature proved.
    pub authenticity: Authenticity,
    /// When it arrived, by our clock.
    pub received_at: Timestamp,
}

/// One payment event, as the bus, the transactions table and the archive carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentEvent<'a> {
    /// [`SCHEMA`].
    pub schema: Cow<'a, str>,
    /// Stable: the same on every copy and every retry.
    pub id: EventId,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Which way it is routed.
    pub category: Category,
    /// The endpoint it arrived at.
    pub endpoint: EndpointId,
    /// Whose event it is.
    pub provider: ProviderId,
    /// The provider's id of it.
    pub provider_event_id: Cow<'a, str>,
    /// The provider's word for it.
    pub provider_event_type: Cow<'a, str>,
    /// The delivery that brought it.
    pub webhook_id: WebhookId,
    /// What its signature proved.
    pub authenticity: Authenticity,
    /// The payment object; the event's own id where the provider names none.
    pub transaction_id: Cow<'a, str>,
    /// Exact; null where the provider sends none.
    pub amount: Option<Money>,
    /// When it happened by the provider's clock; when it arrived, where the provider does not say.
    pub occurred_at: Timestamp,
    /// When it arrived.
    pub received_at: Timestamp,
    /// A later state of this transaction was already known when this was published.
    pub superseded: bool,
    /// The tier that decided its route.
    pub risk_tier: RiskTier,
    /// The provider's own fraud score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_risk_score: Option<u16>,
    /// Who pays.
    #[serde(default)]
    pub customer: Customer<'a>,
    /// What was paid with.
    #[serde(default)]
    pub method: PaymentMethod<'a>,
    /// False in the provider's test mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub livemode: Option<bool>,
    /// The merchant's own key-value pairs.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "pairs")]
    pub metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Why the type is `payment.unrecognized`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrecognized: Option<Cow<'a, str>>,
}

impl<'a> PaymentEvent<'a> {
    /// Joins what a webhook says with where and when it arrived.
    ///
    /// Texts are the sender's and may be of any length, while table keys and bus entries are bounded: an id of more
    /// than [`MAX_PROVIDER_EVENT_ID_LEN`] bytes is replaced by its SHA-256 as in the ledger's key, as is any other text
    /// so long, and metadata of more than [`MAX_METADATA_BYTES`] is left out. The archive has the bytes.
    pub fn new(mut facts: Facts<'a>, arrival: Arrival<'_>, risk_tier: RiskTier) -> Self {
        bound(&mut facts);
        let id = EventId::new(arrival.endpoint, &facts.event_id);
        let transaction_id = facts.transaction_id.unwrap_or_else(|| Cow::Owned(id.as_str().to_owned()));
        Self {
            schema: Cow::Borrowed(SCHEMA),
            id,
            kind: facts.kind,
            category: facts.kind.category(),
            endpoint: *arrival.endpoint,
            provider: *arrival.provider,
            provider_event_id: facts.event_id,
            provider_event_type: facts.event_type,
            webhook_id: *arrival.webhook_id,
            authenticity: arrival.authenticity,
            transaction_id,
            amount: facts.amount,
            occurred_at: facts.occurred_at.unwrap_or(arrival.received_at),
            received_at: arrival.received_at,
            superseded: false,
            risk_tier,
            provider_risk_score: facts.provider_risk_score,
            customer: facts.customer,
            method: facts.method,
            livemode: facts.livemode,
            metadata: facts.metadata,
            unrecognized: facts.unrecognized.map(Cow::Borrowed),
        }
    }

    /// The key that the ledger knows it by.
    pub fn ledger_key(&self) -> LedgerKey {
        LedgerKey::new(&self.endpoint, &self.provider_event_id)
    }

    /// The transaction's partition key: providers number their payments each for itself, and two merchants must
    /// not share a history.
    pub fn transaction_key(&self) -> String {
        [self.endpoint.as_str(), "#", &self.transaction_id].concat()
    }

    /// The customer's partition key; `None` where the provider names no customer.
    pub fn customer_key(&self) -> Option<String> {
        self.customer.id.as_ref().map(|id| [self.endpoint.as_str(), "#", id].concat())
    }

    /// `occurred_at#event id`, with nine decimals, so that text order is time order.
    pub fn sort_key(&self) -> String {
        [&nine_decimals(self.occurred_at), "#", self.id.as_str()].concat()
    }
}

/// A time whose text order is time order.
pub fn nine_decimals(at: Timestamp) -> String {
    let mut text = String::with_capacity("-009999-01-01T00:00:00.000000000Z".len());
    // A text takes whatever is written.
    let _ = write!(text, "{at:.9}");
    text
}

/// The most metadata that an event carries, in bytes of keys and values: a tenth of what PutEvents and DynamoDB leave
/// room for, so that no event is too long for either.
pub const MAX_METADATA_BYTES: usize = 16_384;

fn bound(facts: &mut Facts<'_>) {
    let Facts { event_id, event_type, transaction_id, customer, method, metadata, .. } = facts;
    let optional = [
        transaction_id,
        &mut customer.id,
        &mut customer.country,
        &mut method.kind,
        &mut method.brand,
        &mut method.country,
    ];
    for text in [event_id, event_type].into_iter().chain(optional.into_iter().flatten()) {
        if text.len() > MAX_PROVIDER_EVENT_ID_LEN {
            *text = bounded(mem::take(text));
        }
    }
    if metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_METADATA_BYTES {
        metadata.clear();
    }
}

/// Metadata as a JSON object, in the order it came.
mod pairs {
    use std::{borrow::Cow, fmt};

    use serde::{Deserializer, Serializer, de};

    type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

    pub(super) fn serialize<S: Serializer>(pairs: &Pairs<'_>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
    }

    pub(super) fn deserialize<'de, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Pairs<'a>, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Pairs<'static>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    pairs.push((Cow::Owned(key), Cow::Owned(value)));
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Currency;

    fn event() -> PaymentEvent<'static> {
        let facts = Facts {
            transaction_id: Some("pi_1".into()),
            amount: Some(Money::from_minor(1099, Currency::new("usd").unwrap()).unwrap()),
            occurred_at: Some("2026-01-02T03:04:05Z".parse().unwrap()),
            metadata: vec![("order".into(), "7".into())],
            ..Facts::new("evt_1", "payment_intent.succeeded", EventType::PaymentSucceeded)
        };
        let arrival = Arrival {
            webhook_id: &WebhookId::new(Timestamp::UNIX_EPOCH, 1),
            endpoint: &EndpointId::new("stripe-eu").unwrap(),
            provider: &ProviderId::new("stripe").unwrap(),
            authenticity: Authenticity::Verified,
            received_at: Timestamp::UNIX_EPOCH,
        };
        PaymentEvent::new(facts, arrival, RiskTier::Low)
    }

    #[test]
    fn the_json_form_reads_back() {
        let event = event();
        let json = serde_json::to_string(&event).unwrap();
        assert!(
            json.contains(r#""amount":{"minor_units":1099,"currency":"USD","exponent":2,"value":"10.99"}"#)
        );
        assert!(json.contains(r#""metadata":{"order":"7"}"#));
        assert_eq!(serde_json::from_str::<PaymentEvent<'static>>(&json).unwrap(), event);
    }

    #[test]
    fn sort_keys_order_by_time_as_text() {
        let mut early = event();
        let mut late = event();
        early.occurred_at = "2026-01-02T03:04:05Z".parse().unwrap();
        late.occurred_at = "2026-01-02T03:04:05.000000001Z".parse().unwrap();
        assert!(early.sort_key() < late.sort_key());
        assert!(early.sort_key().starts_with("2026-01-02T03:04:05.000000000Z#evt_"));
    }

    #[test]
    fn the_fingerprint_holds_the_payment_facts_and_no_more() {
        let facts = Facts::new("evt_1", "x", EventType::PaymentSucceeded);
        let other_word = Facts { event_type: "y".into(), livemode: Some(true), ..facts.clone() };
        let other_amount = Facts { amount: event().amount, ..facts.clone() };
        let other_transaction = Facts { transaction_id: Some("t".into()), ..facts.clone() };
        assert_eq!(facts.fingerprint(), other_word.fingerprint());
        assert_ne!(facts.fingerprint(), other_amount.fingerprint());
        assert_ne!(facts.fingerprint(), other_transaction.fingerprint());
    }

    #[test]
    fn no_text_of_a_sender_is_too_long_for_a_key_or_an_entry() {
        let long = "x".repeat(100_000);
        let facts = Facts {
            transaction_id: Some(long.as_str().into()),
            customer: Customer { id: Some(long.as_str().into()), country: Some(long.as_str().into()) },
            metadata: vec![("k".into(), long.as_str().into())],
            ..Facts::new(long.as_str(), long.as_str(), EventType::PaymentSucceeded)
        };
        let arrival = Arrival {
            webhook_id: &WebhookId::new(Timestamp::UNIX_EPOCH, 1),
            endpoint: &EndpointId::new("stripe-eu").unwrap(),
            provider: &ProviderId::new("stripe").unwrap(),
            authenticity: Authenticity::Verified,
            received_at: Timestamp::UNIX_EPOCH,
        };
        let key = LedgerKey::new(arrival.endpoint, &facts.event_id);
        let event = PaymentEvent::new(facts, arrival, RiskTier::Low);
        assert_eq!(event.ledger_key(), key);
        assert_eq!(event.id, key.event_id());
        assert!(event.transaction_key().len() < 1_024 && event.customer_key().unwrap().len() < 1_024);
        assert!(serde_json::to_string(&event).unwrap().len() < 4_096);
    }
}
