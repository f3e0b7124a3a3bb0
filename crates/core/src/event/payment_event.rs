//! The event that is published: what a webhook says, where it arrived, and how it is routed.

use std::{borrow::Cow, fmt::Write, mem};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    facts::{Customer, Facts, PaymentMethod},
    metadata,
};
use crate::{
    endpoint::{EndpointId, ProviderId},
    event_type::{Category, EventType},
    id::{EffectId, EventId, LedgerKey, NO_CHARACTERS, WebhookId, bounded, is_kept, is_of_characters},
    money::Money,
    receipt::Authenticity,
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

/// Where and how an event's webhook arrived.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The delivery.
    pub webhook_id: &'a WebhookId,
    /// Where it arrived.
    pub endpoint: &'a EndpointId,
    /// The endpoint's provider.
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
    /// Decides where it is routed.
    pub category: Category,
    /// The endpoint it arrived at.
    pub endpoint: EndpointId,
    /// The provider whose event it is.
    pub provider: ProviderId,
    /// The provider's id of it.
    pub provider_event_id: Cow<'a, str>,
    /// What the provider calls it.
    pub provider_event_type: Cow<'a, str>,
    /// The delivery that brought the event.
    pub webhook_id: WebhookId,
    /// What its signature proved.
    pub authenticity: Authenticity,
    /// The payment object; the event's own id where the provider names none.
    pub transaction_id: Cow<'a, str>,
    /// Other ids that the event names for the same transaction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transaction_aliases: Vec<Cow<'a, str>>,
    /// What moved or is to move: a payment, a capture, a refund, a dispute, a payout. The event's own id where the
    /// provider names none. Empty in events that were written before events had it: the archive queue may hold such.
    #[serde(default)]
    pub movement_id: Cow<'a, str>,
    /// The same on every event that tells the same effect. [`EffectId::default`] in events from before.
    #[serde(default)]
    pub effect_id: EffectId,
    /// The first event that told the effect; null on that event itself.
    pub restates: Option<EventId>,
    /// Exact; null where the provider sends none.
    pub amount: Option<Money>,
    /// Why the amount is null although the provider sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_problem: Option<Cow<'a, str>>,
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
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "metadata")]
    pub metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Why the type is `payment.unrecognized`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrecognized: Option<Cow<'a, str>>,
    /// Its webhook only named an object. What is said here of it was fetched from the provider's API.
    #[serde(default, skip_serializing_if = "is_false")]
    pub enriched: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(setting: &bool) -> bool {
    !setting
}

impl<'a> PaymentEvent<'a> {
    /// An event of the facts and of where and when the webhook arrived.
    ///
    /// Texts are the sender's and may be of any length, while table keys and bus entries are bounded: an id of more
    /// than [`MAX_PROVIDER_EVENT_ID_LEN`](crate::id::MAX_PROVIDER_EVENT_ID_LEN) bytes is replaced by its SHA-256 as in the ledger's key. So is any other text
    /// of that length, or with U+FFFE or U+FFFF, which no queue takes: of metadata such keys are left out, and of its values such characters are
    /// replaced. Metadata of more than [`MAX_METADATA_BYTES`] is left out. The archive keeps the webhook's exact bytes.
    pub fn new(mut facts: Facts<'a>, arrival: Arrival<'_>, risk_tier: RiskTier) -> Self {
        bound(&mut facts);
        let id = EventId::new(arrival.endpoint, &facts.event_id);
        let own_id = || Cow::Owned(id.as_str().to_owned());
        let category = facts.kind.category();
        let movement_id = match (facts.movement_id, category) {
            (Some(movement), _) => movement,
            (None, Category::Payment) => facts.transaction_id.clone().unwrap_or_else(own_id),
            (None, _) => own_id(),
        };
        let occurrence = match facts.occurrence {
            None if facts.kind.may_recur() => own_id(),
            occurrence => occurrence.unwrap_or_default(),
        };
        let effect_id = EffectId::new(arrival.endpoint, &movement_id, facts.kind, &occurrence);
        let transaction_id = facts.transaction_id.unwrap_or_else(own_id);
        Self {
            schema: Cow::Borrowed(SCHEMA),
            id,
            kind: facts.kind,
            category,
            endpoint: *arrival.endpoint,
            provider: *arrival.provider,
            provider_event_id: facts.event_id,
            provider_event_type: facts.event_type,
            webhook_id: *arrival.webhook_id,
            authenticity: if facts.is_unsigned { Authenticity::Authenticated } else { arrival.authenticity },
            transaction_id,
            transaction_aliases: facts.aliases,
            movement_id,
            effect_id,
            restates: None,
            amount: facts.amount,
            amount_problem: facts.amount_problem.map(Cow::Borrowed),
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
            enriched: false,
        }
    }

    /// Its key in the ledger.
    pub fn ledger_key(&self) -> LedgerKey {
        LedgerKey::new(&self.endpoint, &self.provider_event_id)
    }

    /// The transaction's partition key: two providers or merchants may use the same payment id, and must not share a
    /// history.
    pub fn transaction_key(&self) -> String {
        Self::transaction_key_of(&self.endpoint, &self.transaction_id)
    }

    /// The partition key of the transaction `id` at `endpoint`. An endpoint's name holds no `#`.
    pub fn transaction_key_of(endpoint: &EndpointId, id: &str) -> String {
        [endpoint.as_str(), "#", id].concat()
    }

    /// The customer's partition key; `None` where the provider names no customer.
    pub fn customer_key(&self) -> Option<String> {
        self.customer.id.as_ref().map(|id| [self.endpoint.as_str(), "#", id].concat())
    }

    /// Its place in its transaction's history: `stage#occurred_at#rank#event id`, so that text order is the order of
    /// events. The stage is 1 for refunds and disputes and else 0: none sorts before its payment, whatever the clocks
    /// say. The time has nine decimals; events of one moment are in the order of their [ranks](EventType::rank).
    pub fn sort_key(&self) -> String {
        let stage = match self.category {
            Category::Refund | Category::Dispute => "1#",
            Category::Payment | Category::Payout | Category::Other => "0#",
        };
        let rank = self.kind.rank().to_string();
        [stage, &nine_decimals(self.occurred_at), "#", &rank, "#", self.id.as_str()].concat()
    }

    /// How far it says that its transaction is. `is_dated`: whether its provider says when it happened.
    pub fn position(&self, is_dated: bool) -> Position {
        Position { at: self.occurred_at, rank: self.kind.rank(), is_dated }
    }
}

/// How far an event says that its transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// When that was.
    pub at: Timestamp,
    /// The state's [rank](EventType::rank).
    pub rank: u8,
    /// Whether its provider says when it happened. If not, `at` is the time of arrival.
    pub is_dated: bool,
}

impl Position {
    /// Whether it is behind `other`: by time, then by rank; by rank alone where either has no time.
    pub fn is_behind(&self, other: &Self) -> bool {
        if self.is_dated && other.is_dated {
            (self.at, self.rank) < (other.at, other.rank)
        } else {
            self.rank < other.rank
        }
    }
}

/// A time as text with nine decimals, so that text order is time order.
pub fn nine_decimals(at: Timestamp) -> String {
    let mut text = String::with_capacity("-009999-01-01T00:00:00.000000000Z".len());
    // Writing into a `String` cannot fail.
    let _ = write!(text, "{at:.9}");
    text
}

/// The most metadata that an event carries, in bytes of keys and values: a tenth of what PutEvents and DynamoDB leave
/// room for, so that no event is too long for either.
pub const MAX_METADATA_BYTES: usize = 16_384;

/// The most aliases that an event carries. A provider's event names three ids of one payment at most.
const MAX_ALIASES: usize = 4;

fn bound(facts: &mut Facts<'_>) {
    let Facts {
        event_id, event_type, transaction_id, aliases, movement_id, customer, method, metadata, ..
    } = facts;
    aliases.truncate(MAX_ALIASES);
    let optional = [
        transaction_id,
        movement_id,
        &mut customer.id,
        &mut customer.country,
        &mut method.kind,
        &mut method.brand,
        &mut method.country,
    ];
    for text in [event_id, event_type].into_iter().chain(optional.into_iter().flatten()).chain(aliases) {
        if !is_kept(text) {
            *text = bounded(mem::take(text));
        }
    }
    metadata.retain(|(key, _)| is_of_characters(key));
    for (_, value) in metadata.iter_mut().filter(|(_, value)| !is_of_characters(value)) {
        *value = value.replace(NO_CHARACTERS, "\u{fffd}").into();
    }
    if metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_METADATA_BYTES {
        metadata.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Currency, Money};

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

    /// EventBridge hands an event to queues, and dead letters are in queues, too.
    #[test]
    fn an_event_has_no_character_that_no_queue_takes() {
        let arrival = Arrival {
            webhook_id: &WebhookId::new(Timestamp::UNIX_EPOCH, 1),
            endpoint: &EndpointId::new("acme").unwrap(),
            provider: &ProviderId::new("stripe").unwrap(),
            authenticity: Authenticity::Verified,
            received_at: Timestamp::UNIX_EPOCH,
        };
        let event = |mark: char| {
            let text = |name: &str| Cow::Owned(format!("{name}{mark}"));
            let facts = Facts {
                transaction_id: Some(text("pi")),
                aliases: vec![text("ch")],
                movement_id: Some(text("re")),
                customer: Customer { id: Some(text("cus")), country: Some(text("US")) },
                metadata: vec![("note".into(), text("thanks")), (text("key"), "value".into())],
                ..Facts::new(text("evt"), text("paid"), EventType::PaymentSucceeded)
            };
            PaymentEvent::new(facts, arrival, RiskTier::Low)
        };
        let (one, other) = (event('\u{fffe}'), event('\u{ffff}'));
        for event in [&one, &other] {
            assert!(!serde_json::to_string(event).unwrap().contains(NO_CHARACTERS));
            assert_eq!(event.metadata, [("note".into(), "thanks\u{fffd}".into())]);
        }
        assert_ne!(one.id, other.id);
        assert_ne!(one.transaction_id, other.transaction_id);
        assert_ne!(one.ledger_key(), other.ledger_key());
        assert_eq!(event('\u{fffd}').transaction_id, "pi\u{fffd}", "what queues take stays");
    }

    #[test]
    fn an_event_from_before_it_had_a_movement_is_read() {
        let event = event();
        let json = serde_json::to_string(&event).unwrap();
        let old = json
            .replace(&format!(r#""movement_id":"{}","#, event.movement_id), "")
            .replace(&format!(r#""effect_id":"{}","restates":null,"#, event.effect_id), "");
        assert!(!old.contains("movement_id") && !old.contains("effect_id") && !old.contains("restates"));
        let read: PaymentEvent<'_> = serde_json::from_str(&old).unwrap();
        let before = PaymentEvent { movement_id: "".into(), effect_id: EffectId::default(), ..event };
        assert_eq!(read, before);
    }

    #[test]
    fn sort_keys_order_by_time_as_text() {
        let mut early = event();
        let mut late = event();
        early.occurred_at = "2026-01-02T03:04:05Z".parse().unwrap();
        late.occurred_at = "2026-01-02T03:04:05.000000001Z".parse().unwrap();
        assert!(early.sort_key() < late.sort_key());
        assert!(early.sort_key().starts_with("0#2026-01-02T03:04:05.000000000Z#16#evt_"));
    }

    #[test]
    fn a_refund_sorts_behind_its_payment_whatever_the_clocks_say() {
        let of = |kind: EventType, at: &str| {
            let mut event = event();
            event.kind = kind;
            event.category = kind.category();
            event.occurred_at = at.parse().unwrap();
            event
        };
        let refund = of(EventType::RefundSucceeded, "2026-01-02T03:04:05Z");
        let payment = of(EventType::PaymentSucceeded, "2026-01-02T03:04:06Z");
        assert!(payment.sort_key() < refund.sort_key());
        // At one moment.
        let authorized = of(EventType::PaymentAuthorized, "2026-01-02T03:04:06Z");
        assert!(authorized.sort_key() < payment.sort_key());
    }

    #[test]
    fn without_a_time_the_rank_decides() {
        let at = |second: i64, rank, is_dated| Position {
            at: Timestamp::from_second(second).unwrap(),
            rank,
            is_dated,
        };
        assert!(at(1, 32, true).is_behind(&at(2, 16, true)), "both have a time");
        assert!(at(1, 14, true).is_behind(&at(1, 16, true)), "of one moment");
        assert!(at(9, 16, false).is_behind(&at(1, 32, true)) && at(9, 16, true).is_behind(&at(1, 32, false)));
        assert!(!at(1, 32, false).is_behind(&at(9, 16, false)));
        assert!(!at(1, 16, false).is_behind(&at(9, 16, true)), "neither is behind");
    }

    #[test]
    fn long_texts_of_a_sender_fit_keys_and_bus_entries() {
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
        assert!(event.metadata.is_empty(), "metadata of more than 16 KiB is left out");
    }
}
