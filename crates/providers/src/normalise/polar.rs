//! Polar. <https://polar.sh/docs/integrate/webhooks/events>,
//! <https://github.com/polarsource/polar-js> (`WebhookEventType` and the payloads)
//!
//! Event id: the `webhook-id` header, which is signed. Transaction: the order, which a refund names; the checkout that
//! led to an order is its alias; a subscription is its own. Movement: the object's own id, an order's is the order.
//!
//! Money: integers in minor units. An order's is `due_amount`, which is its total less what the customer's balance
//! paid, else `total_amount`; a refund's `amount` and `tax_amount` together; a checkout's `total_amount`. Subscriptions
//! have none. `refunded_amount` of an order is a sum of all its refunds: `order.refunded` has no amount, and is no
//! refund (`payment.updated`), since each refund has events of its own (`refund.created`, `refund.updated`).
//!
//! `….updated` is a snapshot: an order's success is told by `order.paid`.
//!
//! Signed: the id, the time of sending and the whole body. Time: `timestamp`.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts};

use super::{
    content::{ContentError, header, unknown},
    fields::{Flag, Number, Object, Pairs, Text},
    json,
    money::{self, Amount},
    normaliser::{Normaliser, Read},
};
use crate::request::Received;

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "polar",
    aliases: &[],
    headers: &["webhook-id"],
    query: &[],
    read: Read::Request(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    timestamp: Text<'a>,
    data: Object<Data<'a>>,
}

/// The fields that are read of every kind of object. Which of them are there depends on the event's type.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    order_id: Text<'a>,
    checkout_id: Text<'a>,
    customer_id: Text<'a>,
    status: Text<'a>,
    currency: Text<'a>,
    amount: Number<'a>,
    tax_amount: Number<'a>,
    total_amount: Number<'a>,
    due_amount: Number<'a>,
    cancel_at_period_end: Flag,
    metadata: Pairs<'a>,
}

fn normalise<'a>(received: Received<'a>) -> Result<Facts<'a>, ContentError> {
    let event_id = header(received, "webhook-id").ok_or(ContentError::MissingField("webhook-id"))?;
    let body: Body<'a> = json::read(received.body)?;
    let occurred_at = body.timestamp.moment();
    let event_type = body.kind.some().unwrap_or_default();
    let data = body.data.or_default();
    let id = data.id.some();
    let transaction_id = data.order_id.some().or_else(|| id.clone());
    let ends_later = data.cancel_at_period_end.some() == Some(true);
    let Some(kind) = kind(&event_type, data.status.as_str(), ends_later) else {
        // Its object may be a customer or a product.
        let family = event_type.split('.').next();
        let is_money = matches!(family, Some("order" | "refund" | "checkout" | "subscription"));
        let transaction_id = transaction_id.filter(|_| is_money);
        return Ok(Facts { transaction_id, occurred_at, ..unknown(event_id, event_type) });
    };
    let exact = |units| money::minor(units, &data.currency, money::iso);
    let amount = match event_type.split('.').next() {
        Some("order") if event_type != "order.refunded" => {
            exact(if data.due_amount.is_absent() { data.total_amount } else { data.due_amount })
        }
        Some("refund") => both(exact(data.amount), exact(data.tax_amount)),
        Some("checkout") => exact(data.total_amount),
        _ => Ok(None),
    };
    let kind = match &amount {
        Ok(Some(due)) if kind == EventType::PaymentSucceeded && due.minor_units() == 0 => {
            EventType::PaymentUpdated
        }
        _ => kind,
    };
    // A subscription is not the payment that its checkout led to.
    let is_order = event_type.starts_with("order.");
    let facts = Facts {
        transaction_id,
        aliases: data.checkout_id.some().filter(|_| is_order).into_iter().collect(),
        movement_id: id,
        occurred_at,
        customer: Customer { id: data.customer_id.some(), country: None },
        metadata: data.metadata.into_vec(),
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

/// An amount and its tax, if there is one.
fn both(amount: Amount, tax: Amount) -> Amount {
    match (amount?, tax?) {
        (Some(amount), Some(tax)) => Ok(money::sum(amount, tax)),
        (amount, _) => Ok(amount),
    }
}

fn kind(event_type: &str, status: &str, ends_later: bool) -> Option<EventType> {
    use EventType::*;
    Some(match event_type {
        "checkout.created" => PaymentCreated,
        "checkout.expired" => PaymentExpired,
        "checkout.updated" => match status {
            "confirmed" => PaymentPending,
            "expired" => PaymentExpired,
            "failed" => PaymentFailed,
            _ => PaymentUpdated,
        },
        "order.created" => match status {
            "pending" => PaymentCreated,
            "paid" => PaymentSucceeded,
            _ => PaymentUpdated,
        },
        "order.paid" => PaymentSucceeded,
        "order.updated" | "order.refunded" => PaymentUpdated,
        "refund.created" | "refund.updated" => match status {
            "succeeded" => RefundSucceeded,
            "failed" => RefundFailed,
            "canceled" => RefundCanceled,
            "pending" => RefundPending,
            _ => RefundUpdated,
        },
        // Its first payment is still to come.
        "subscription.created" if matches!(status, "incomplete" | "incomplete_expired") => {
            SubscriptionUpdated
        }
        "subscription.created" | "subscription.active" => SubscriptionCreated,
        "subscription.canceled" if ends_later => SubscriptionUpdated,
        "subscription.canceled" | "subscription.revoked" => SubscriptionCanceled,
        "subscription.updated" | "subscription.uncanceled" | "subscription.past_due" => SubscriptionUpdated,
        _ => return None,
    })
}
