//! Flutterwave, versions 3 and 4. <https://developer.flutterwave.com/v3.0/docs/webhooks>,
//! <https://developer.flutterwave.com/docs/webhooks>
//!
//! Event id: `{type}:{movement}:{transaction, where another}:{status}:{amount}`, in version 4 too, since its `webhook_id` is
//! not in every delivery.
//!
//! Transaction: the charge (`charge_id` in version 4, `tx_id` in version 3, where a refund or chargeback names one), else
//! the object itself. Movement: the object's `id`; of a bill its reference.
//!
//! Money: a decimal JSON number in major units. A refund has `amount_refunded`, its own and not a sum, and no currency: it is in
//! the endpoint's `default_currency`. A subscription's price was not charged.
//!
//! Time: the `timestamp` of version 4. `created_at` is when the object was made, and so the time of a chargeback's creation
//! alone.
//!
//! Signed: the whole body in version 4, nothing in version 3, whose sender proves itself by a static token.

use serde::Deserialize;
use tollgate_core::{Customer, EndpointConfig, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, unknown},
    fields::{Id, Number, Object, Pairs, Text, first_moment},
    identity::identified,
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const V3: Normaliser =
    Normaliser { name: "flutterwave_v3", aliases: &[], headers: &[], read: Read::BodyAndSettings(normalise) };

pub(super) const V4: Normaliser = Normaliser {
    name: "flutterwave_v4",
    aliases: &["flutterwave"],
    headers: &[],
    read: Read::BodyAndSettings(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    timestamp: Number<'a>,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    charge_id: Id<'a>,
    tx_id: Id<'a>,
    tx_ref: Text<'a>,
    flw_ref: Text<'a>,
    amount_refunded: Number<'a>,
    amount: Number<'a>,
    currency: Text<'a>,
    source_currency: Text<'a>,
    status: Text<'a>,
    created_at: Text<'a>,
    created_datetime: Text<'a>,
    payment_type: Text<'a>,
    payment_method: Object<Method<'a>>,
    card: Object<Card<'a>>,
    customer: Object<Inner<'a>>,
    meta: Pairs<'a>,
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
    let event_type = event_type.ok_or(ContentError::MissingField("event"))?;
    let data = event.data.or_default();
    let (family, step) = event_type.split_once('.').unwrap_or((&event_type, ""));
    let created = [&data.created_at, &data.created_datetime];
    let made_at = if step == "created" { first_moment(created) } else { None };
    let status = data.status;
    let kind = kind(family, step, status.as_str());
    let units = match family {
        "subscription" => Number::Absent,
        "refund" if !data.amount_refunded.is_absent() => data.amount_refunded,
        _ => data.amount,
    };
    let currency = if data.currency == Text::Absent { data.source_currency } else { data.currency };
    let amount = money::decimal_in(units, || money::currency_or_default(&currency, config));
    let id = data.id.some().or_else(|| match family {
        "singlebillpayment" => data.flw_ref.some().or_else(|| data.tx_ref.some()),
        _ => None,
    });
    let charge = match family {
        "refund" | "chargeback" => data.charge_id.some().or_else(|| data.tx_id.some()),
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
