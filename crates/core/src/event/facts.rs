//! What a webhook says about one event, free of where and when it arrived.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{event_type::EventType, id::Fingerprint, money::Money};

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
    /// What the provider calls the kind: `card`, `ideal`, `bank_transfer`, …
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Cow<'a, str>>,
    /// Card scheme or wallet: `visa`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<Cow<'a, str>>,
    /// Country that issued the card, as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Cow<'a, str>>,
}

/// What one event in a webhook says: the normalisers' output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts<'a> {
    /// The provider's event id, or the documented composite where it has none. Unique per endpoint.
    pub event_id: Cow<'a, str>,
    /// What the provider calls the event.
    pub event_type: Cow<'a, str>,
    /// Our type of it.
    pub kind: EventType,
    /// The payment object that the event is about; events with the same one are ordered.
    pub transaction_id: Option<Cow<'a, str>>,
    /// Other ids that the event names for the same transaction, by which other events of it are known.
    pub aliases: Vec<Cow<'a, str>>,
    /// What moved or is to move: the payment's own id, the capture's, the refund's, the dispute's, the payout's. Where a
    /// provider names none, that of a payment is its transaction, and any other event is a movement of its own.
    pub movement_id: Option<Cow<'a, str>>,
    /// Which time the movement reached the state, where it may reach it more than once: the attempt's id, the amount
    /// that is authorised now. Where it is absent and the state may recur ([`EventType::may_recur`]), each event is an
    /// occurrence of its own.
    pub occurrence: Option<Cow<'a, str>>,
    /// Absent where the provider sends none.
    pub amount: Option<Money>,
    /// Why `amount` is absent although the provider sent one, as a short fixed phrase: it names no currency.
    pub amount_problem: Option<&'static str>,
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
    /// Something that the provider does not sign decides the event's id, type, amount, transaction or movement. Such an
    /// event is `authenticated`, never `verified`.
    pub is_unsigned: bool,
}

impl<'a> Facts<'a> {
    /// Facts with only the ids and the type; the others are set with struct update syntax.
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
            aliases: Vec::new(),
            movement_id: None,
            occurrence: None,
            amount: None,
            amount_problem: None,
            occurred_at: None,
            customer: Customer::default(),
            method: PaymentMethod::default(),
            provider_risk_score: None,
            livemode: None,
            metadata: Vec::new(),
            unrecognized: None,
            is_unsigned: false,
        }
    }

    /// An event that could not be understood, for the fixed reason `why`.
    pub fn unrecognized(
        event_id: impl Into<Cow<'a, str>>,
        event_type: impl Into<Cow<'a, str>>,
        why: &'static str,
    ) -> Self {
        Self { unrecognized: Some(why), ..Self::new(event_id, event_type, EventType::PaymentUnrecognized) }
    }

    /// The facts that two deliveries of one event must share: type, transaction, movement and exact amount, in one
    /// line. Retries may differ in everything else (Stripe's `pending_webhooks`).
    pub fn fingerprint(&self) -> Fingerprint {
        let (kind, transaction) = (self.kind.as_str(), self.transaction_id.as_deref().unwrap_or_default());
        let movement = self.movement_id.as_deref().unwrap_or_default();
        let Some(money) = &self.amount else {
            return Fingerprint::of(format_args!("{kind}\n\n\n\n{transaction}\n{movement}"));
        };
        let (units, currency) = (money.minor_units(), money.currency());
        match money.exponent() {
            Some(exponent) => Fingerprint::of(format_args!(
                "{kind}\n{units}\n{currency}\n{exponent}\n{transaction}\n{movement}"
            )),
            None => Fingerprint::of(format_args!("{kind}\n{units}\n{currency}\n\n{transaction}\n{movement}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Currency;

    #[test]
    fn the_fingerprint_holds_the_payment_facts_and_no_more() {
        let facts = Facts::new("evt_1", "x", EventType::PaymentSucceeded);
        let money = Money::from_minor(1099, Currency::new("usd").unwrap()).unwrap();
        let other_word = Facts { event_type: "y".into(), livemode: Some(true), ..facts.clone() };
        let other_amount = Facts { amount: Some(money), ..facts.clone() };
        let other_transaction = Facts { transaction_id: Some("t".into()), ..facts.clone() };
        assert_eq!(facts.fingerprint(), other_word.fingerprint());
        assert_ne!(facts.fingerprint(), other_amount.fingerprint());
        assert_ne!(facts.fingerprint(), other_transaction.fingerprint());
        let other_movement = Facts { movement_id: Some("m".into()), ..facts.clone() };
        assert_ne!(facts.fingerprint(), other_movement.fingerprint());
    }
}
