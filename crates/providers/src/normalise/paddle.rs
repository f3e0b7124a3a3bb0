//! Paddle Billing. <https://developer.paddle.com/webhooks/overview>
//!
//! Event id: `event_id` (the notification id differs per destination). Transaction: the transaction, which is the
//! object itself or the one that an adjustment names; a subscription or payout is its own. Movement: the object's own
//! id. Which attempt failed is in `payments`, the latest first.
//!
//! Money: texts of integers in the lowest denomination, as ISO 4217 counts. A transaction's amount is
//! `details.totals.grand_total`, which is the total less the credits that were used for it, a failed attempt's its own,
//! an adjustment's `totals.total`, a payout's `amount`. A transaction in which nothing was due, and a credit to a
//! customer's balance, move nothing.
//!
//! Signed: the time of sending and the whole body. Time: `occurred_at`.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{First, Number, Object, Pairs, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "paddle", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    event_id: Text<'a>,
    event_type: Text<'a>,
    occurred_at: Text<'a>,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    transaction_id: Text<'a>,
    status: Text<'a>,
    action: Text<'a>,
    currency_code: Text<'a>,
    amount: Number<'a>,
    details: Object<Details<'a>>,
    totals: Object<Totals<'a>>,
    payments: First<Payment<'a>>,
    customer_id: Text<'a>,
    custom_data: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details<'a> {
    #[serde(borrow)]
    totals: Object<Totals<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Totals<'a> {
    #[serde(borrow)]
    total: Number<'a>,
    grand_total: Number<'a>,
}

/// The latest attempt is first.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Payment<'a> {
    #[serde(borrow)]
    payment_attempt_id: Text<'a>,
    amount: Number<'a>,
    method_details: Object<Method<'a>>,
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
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_id = required(event.event_id, "event_id")?;
    let event_type = event.event_type.some().unwrap_or_default();
    let occurred_at = event.occurred_at.moment();
    let data = event.data.or_default();
    let (id, family) = (data.id.some(), event_type.split('.').next().unwrap_or_default());
    let transaction_id = match family {
        "adjustment" => data.transaction_id.some().or_else(|| id.clone()),
        _ => id.clone(),
    };
    let was_tried = data.payments.count > 0;
    let Some(kind) = kind(&event_type, data.status.as_str(), data.action.as_str(), was_tried) else {
        // Its object may be a customer or a price.
        let is_money = matches!(family, "transaction" | "adjustment" | "payout" | "subscription");
        let transaction_id = transaction_id.filter(|_| is_money);
        return Ok(Facts { transaction_id, occurred_at, ..unknown(event_id, event_type) });
    };
    let attempt = data.payments.value.unwrap_or_default();
    let units = match family {
        "transaction" if kind == EventType::PaymentFailed && !attempt.amount.is_absent() => attempt.amount,
        "transaction" => {
            let totals = data.details.or_default().totals.or_default();
            if totals.grand_total.is_absent() { totals.total } else { totals.grand_total }
        }
        "adjustment" => data.totals.or_default().total,
        "payout" => data.amount,
        _ => Number::Absent,
    };
    let kind = match kind {
        EventType::PaymentSucceeded if units.text() == Some("0") => EventType::PaymentUpdated,
        kind => kind,
    };
    let amount = money::minor(units, &data.currency_code, money::iso);
    let occurrence = match kind {
        EventType::PaymentFailed => attempt.payment_attempt_id.some(),
        _ => None,
    };
    let method = attempt.method_details.or_default();
    let facts = Facts {
        transaction_id,
        movement_id: id,
        occurrence,
        occurred_at,
        customer: Customer { id: data.customer_id.some(), country: None },
        method: PaymentMethod {
            kind: method.kind.some(),
            brand: method.card.or_default().kind.some(),
            country: None,
        },
        metadata: data.custom_data.into_vec(),
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(event_type: &str, status: &str, action: &str, was_tried: bool) -> Option<EventType> {
    use EventType::*;
    Some(match event_type {
        "transaction.created" | "transaction.ready" => PaymentCreated,
        "transaction.billed" => PaymentPending,
        "transaction.paid" | "transaction.completed" => PaymentSucceeded,
        "transaction.payment_failed" => PaymentFailed,
        // An invoice may be past its day without an attempt to collect it.
        "transaction.past_due" if was_tried => PaymentFailed,
        "transaction.canceled" => PaymentCanceled,
        "transaction.past_due" | "transaction.updated" | "transaction.revised" => PaymentUpdated,
        "adjustment.created" | "adjustment.updated" => match (action, status) {
            ("refund", "pending_approval") => RefundPending,
            ("refund", "approved") => RefundSucceeded,
            ("refund", "rejected") => RefundFailed,
            ("refund", "reversed") => RefundCanceled,
            ("chargeback_warning", _) => DisputeWarning,
            ("chargeback_reverse" | "chargeback_warning_reverse", _) => DisputeWon,
            ("chargeback", "reversed") => DisputeWon,
            ("chargeback", _) if event_type == "adjustment.created" => DisputeOpened,
            ("chargeback", _) => DisputeUpdated,
            // A credit goes to the customer's balance; a refund in another state has moved nothing.
            _ => RefundUpdated,
        },
        "payout.created" => PayoutPending,
        "payout.paid" => PayoutSucceeded,
        "subscription.created" | "subscription.imported" => SubscriptionCreated,
        "subscription.activated"
        | "subscription.past_due"
        | "subscription.paused"
        | "subscription.resumed"
        | "subscription.trialing"
        | "subscription.updated" => SubscriptionUpdated,
        "subscription.canceled" => SubscriptionCanceled,
        _ => return None,
    })
}
