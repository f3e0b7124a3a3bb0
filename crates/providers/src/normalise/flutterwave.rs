//! Flutterwave, versions 3 and 4. <https://developer.flutterwave.com/v3.0/docs/webhooks>,
//! <https://developer.flutterwave.com/docs/webhooks>
//!
//! Event id: `{type}:{movement}:{transaction, where another}:{status}:{amount}`, in version 4 too, since its `webhook_id` is
//! not in every delivery.
//!
//! Webhooks of before version 3, which accounts may still have, stand at the top level and are named by `event.type`
//! (`CARD_TRANSACTION`, `Transfer`). The form is that of a public receiver's `application/controllers/dto/webhook.go`:
//! <https://github.com/KegoPay/polymer-backend-golang>.
//!
//! Transaction: the charge (`charge_id` in version 4, `tx_id` or `TransactionId` in version 3, where a refund or chargeback
//! names one), else the object itself. Movement: the object's `id`; of a bill its reference.
//!
//! Money: a decimal JSON number in major units. A refund has `amount_refunded` (or `AmountRefunded`), its own and not a sum, and
//! no currency: it is in the endpoint's `default_currency`. A transfer of version 4 may have an object, whose `value` is
//! in the currency that `applies_to` names. A subscription's price was not charged.
//!
//! Time: the `timestamp` of version 4. `created_at` is when the object was made, and so the time of a chargeback's creation
//! alone.
//!
//! Signed: the whole body in version 4, nothing in version 3, whose sender proves itself by a static token.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tollgate_core::{Customer, EndpointConfig, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, unknown},
    fields::{Id, Number, Object, Pairs, Text, first_moment},
    identity::identified,
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const V3: Normaliser = Normaliser {
    name: "flutterwave_v3",
    aliases: &[],
    headers: &[],
    query: &[],
    read: Read::BodyAndSettings(normalise),
};

pub(super) const V4: Normaliser = Normaliser {
    name: "flutterwave_v4",
    aliases: &["flutterwave"],
    headers: &[],
    query: &[],
    read: Read::BodyAndSettings(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    #[serde(rename = "event.type")]
    old_type: Text<'a>,
    timestamp: Number<'a>,
    data: Object<Data<'a>>,
    transfer: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    charge_id: Id<'a>,
    tx_id: Id<'a>,
    #[serde(rename = "TransactionId")]
    refunded_id: Id<'a>,
    tx_ref: Text<'a>,
    flw_ref: Text<'a>,
    amount_refunded: Number<'a>,
    #[serde(rename = "AmountRefunded")]
    refunded_amount: Number<'a>,
    amount: Amount<'a>,
    currency: Text<'a>,
    source_currency: Text<'a>,
    destination_currency: Text<'a>,
    status: Text<'a>,
    created_at: Text<'a>,
    created_datetime: Text<'a>,
    payment_type: Text<'a>,
    payment_method: Object<Method<'a>>,
    card: Object<Card<'a>>,
    customer: Object<Inner<'a>>,
    meta: Pairs<'a>,
}

/// A number; or an object that has it, and the currency that it is in.
#[derive(Default)]
struct Amount<'a>(Money<'a>);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Money<'a> {
    #[serde(borrow)]
    value: Number<'a>,
    applies_to: Text<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Amount<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let money = if raw.starts_with('{') {
            serde_json::from_str(raw).ok()
        } else {
            serde_json::from_str(raw).ok().map(|value| Money { value, ..Money::default() })
        };
        Ok(Self(money.unwrap_or(Money { value: Number::Wrong, ..Money::default() })))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner<'a> {
    #[serde(borrow)]
    id: Id<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Method<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    card: Object<Card<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Card<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    network: Text<'a>,
    country: Text<'a>,
}

fn normalise<'a>(body: &'a [u8], config: &EndpointConfig) -> Result<Facts<'a>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_type = event.event.some().or_else(|| event.kind.some());
    let (event_type, data) = match (event_type, event.old_type.some()) {
        (Some(event_type), _) => (event_type, event.data.or_default()),
        (None, Some(old)) if old == "Transfer" => (old, event.transfer.or_default()),
        (None, Some(old)) => (old, json::read(body)?),
        (None, None) => return Err(ContentError::MissingField("event")),
    };
    let (family, step) = match event_type.split_once('.') {
        Some(parts) => parts,
        None if event_type == "Transfer" => ("transfer", "completed"),
        None if event_type.ends_with("_TRANSACTION") => ("charge", "completed"),
        None => (&*event_type, ""),
    };
    let created = [&data.created_at, &data.created_datetime];
    let made_at = if step == "created" { first_moment(created) } else { None };
    let status = data.status;
    let kind = kind(family, step, status.as_str());
    let Amount(Money { value, applies_to }) = data.amount;
    let units = match family {
        "subscription" => Number::Absent,
        "refund" if !data.amount_refunded.is_absent() => data.amount_refunded,
        "refund" if !data.refunded_amount.is_absent() => data.refunded_amount,
        _ => value,
    };
    let currency = match (data.currency, applies_to.as_str()) {
        (_, "destination_currency") => data.destination_currency,
        (_, "source_currency") | (Text::Absent, _) => data.source_currency,
        (currency, _) => currency,
    };
    let amount = money::decimal_in(units, || money::currency_or_default(&currency, config));
    let id = data.id.some().or_else(|| match family {
        "singlebillpayment" => data.flw_ref.some().or_else(|| data.tx_ref.some()),
        _ => None,
    });
    let charge = match family {
        "refund" | "chargeback" => {
            let ids = [data.charge_id, data.tx_id, data.refunded_id];
            ids.into_iter().find_map(Id::some)
        }
        _ => None,
    };
    let facts = match kind {
        Some(kind) => Facts::new("", event_type, kind),
        None => unknown("", event_type),
    };
    let method = data.payment_method.or_default();
    let card = data.card.some().or(method.card.some()).unwrap_or_default();
    let facts = Facts {
        transaction_id: charge.or_else(|| id.clone()),
        // Each attempt to pay is a charge of its own.
        occurrence: (kind == Some(EventType::PaymentFailed)).then(|| id.clone()).flatten(),
        movement_id: id,
        occurred_at: event.timestamp.unix_millis().or(made_at),
        customer: Customer { id: data.customer.or_default().id.some(), country: None },
        method: PaymentMethod {
            kind: data.payment_type.some().or_else(|| method.kind.some()),
            brand: card.network.some().or_else(|| card.kind.some()),
            // Version 3 writes `NIGERIA NG`.
            country: card.country.some().filter(|country| country.len() == 2),
        },
        metadata: data.meta.into_vec(),
        ..facts
    };
    Ok(identified(money::with_amount(facts, amount), &[status.as_str()], body))
}

fn kind(family: &str, step: &str, status: &str) -> Option<EventType> {
    use EventType::*;
    // Version 3 writes some statuses in upper case.
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(status));
    let (by, _) = status.split_once('-').unwrap_or_default();
    let succeeded = is(&["successful", "succeeded", "completed", "success"]);
    let failed = is(&["failed", "fail", "error", "declined"]) || step == "failed" && !succeeded;
    let canceled = is(&["voided", "cancelled", "canceled"]);
    Some(match family {
        "charge" if succeeded => PaymentSucceeded,
        "charge" if failed => PaymentFailed,
        "charge" if canceled => PaymentCanceled,
        "charge" if is(&["refunded", "partially-refunded", "partially_refunded"]) => PaymentUpdated,
        "charge" => PaymentPending,
        "order" if succeeded => PaymentSucceeded,
        "order" if failed => PaymentFailed,
        "order" if canceled => PaymentCanceled,
        "order" if is(&["authorized"]) => PaymentAuthorized,
        "order" => PaymentPending,
        // Version 3 says by which way: `completed-mpgs`, `completed-bank-transfer`.
        "refund" if succeeded || by.eq_ignore_ascii_case("completed") => RefundSucceeded,
        "refund" if failed => RefundFailed,
        "refund" if canceled => RefundCanceled,
        "refund" => RefundPending,
        // The money of a transfer came back, or did not.
        "transfer" if step == "reversal" && succeeded => PayoutFailed,
        "transfer" if step == "reversal" => PayoutUpdated,
        "transfer" | "payout" | "singlebillpayment" if succeeded => PayoutSucceeded,
        "transfer" | "payout" | "singlebillpayment" if failed => PayoutFailed,
        "transfer" | "payout" | "singlebillpayment" if canceled => PayoutCanceled,
        "transfer" | "payout" | "singlebillpayment" => PayoutPending,
        "chargeback" if step == "created" => DisputeOpened,
        "chargeback" if is(&["won", "reversed"]) => DisputeWon,
        "chargeback" if is(&["lost", "accepted"]) => DisputeLost,
        "chargeback" => DisputeUpdated,
        "subscription" if step == "cancelled" => SubscriptionCanceled,
        _ => return None,
    })
}
