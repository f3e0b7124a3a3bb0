//! Shopify. <https://shopify.dev/docs/api/webhooks>
//!
//! Event id: the `X-Shopify-Webhook-Id` header, which every retry repeats.
//! (`X-Shopify-Event-Id` is shared by the webhooks of different topics, so that it would drop all but one.)
//! Provider's type: `X-Shopify-Topic`. Transaction: the order. Time: `X-Shopify-Triggered-At`, else the
//! object's own.
//!
//! Money: decimal texts in major units (`total_price`, `amount`) of the shop's currency.
//!
//! Signed: the whole body, not the headers. Event id, topic and time are thus not signed.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, unknown},
    fields::{First, Flag, Id, Number, Object, Text, first_moment},
    json, money,
    normaliser::{Normaliser, Read},
};
use crate::{headers::Headers, request::Received};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "shopify",
    aliases: &[],
    headers: &[
        "x-shopify-webhook-id",
        "x-shopify-topic",
        "x-shopify-triggered-at",
        "shopify-webhook-id",
        "shopify-topic",
        "shopify-triggered-at",
    ],
    read: Read::Request(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    order_id: Id<'a>,
    kind: Text<'a>,
    #[serde(rename = "type")]
    dispute_type: Text<'a>,
    status: Text<'a>,
    total_price: Number<'a>,
    amount: Number<'a>,
    currency: Text<'a>,
    transactions: First<Transaction<'a>>,
    customer: Object<Inner<'a>>,
    billing_address: Object<Address<'a>>,
    gateway: Text<'a>,
    test: Flag,
    updated_at: Text<'a>,
    processed_at: Text<'a>,
    created_at: Text<'a>,
}

/// What a refund paid back, and how.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Transaction<'a> {
    #[serde(borrow)]
    amount: Number<'a>,
    currency: Text<'a>,
    status: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner<'a> {
    #[serde(borrow)]
    id: Id<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Address<'a> {
    #[serde(borrow)]
    country_code: Text<'a>,
}

fn normalise<'a>(received: Received<'a>) -> Result<Facts<'a>, ContentError> {
    let event_id = header(received.headers, "x-shopify-webhook-id", "shopify-webhook-id")
        .ok_or(ContentError::MissingField("x-shopify-webhook-id"))?;
    let topic = header(received.headers, "x-shopify-topic", "shopify-topic").unwrap_or_default();
    let body: Body<'a> = json::read(received.body)?;
    let triggered = header(received.headers, "x-shopify-triggered-at", "shopify-triggered-at");
    let occurred_at = triggered
        .and_then(|text| text.parse().ok())
        .or_else(|| first_moment([&body.updated_at, &body.processed_at, &body.created_at]));
    let refund = body.transactions.count;
    let transaction = body.transactions.only().unwrap_or_default();
    let kind = match topic {
        "orders/create" => Some(EventType::PaymentCreated),
        "orders/paid" => Some(EventType::PaymentSucceeded),
        "orders/cancelled" => Some(EventType::PaymentCanceled),
        "order_transactions/create" => transaction_kind(body.kind.as_str(), body.status.as_str()),
        "refunds/create" => Some(refund_kind(transaction.status.as_str())),
        "disputes/create" if body.dispute_type.as_str() == "inquiry" => Some(EventType::DisputeWarning),
        "disputes/create" => Some(EventType::DisputeOpened),
        "disputes/update" => Some(dispute_kind(body.status.as_str())),
        "subscription_contracts/create" => Some(EventType::SubscriptionCreated),
        "subscription_contracts/update" => Some(EventType::SubscriptionUpdated),
        "subscription_contracts/cancel" => Some(EventType::SubscriptionCanceled),
        "subscription_billing_attempts/success" => Some(EventType::InvoicePaid),
        "subscription_billing_attempts/failure" => Some(EventType::InvoicePaymentFailed),
        _ => None,
    };
    let Some(kind) = kind else {
        return Ok(Facts { occurred_at, ..unknown(event_id, topic) });
    };
    let amount = match topic {
        "refunds/create" if refund > 1 => Err("refund of more than one transaction"),
        "refunds/create" => money::decimal(transaction.amount, &transaction.currency),
        _ if body.amount.is_absent() => money::decimal(body.total_price, &body.currency),
        _ => money::decimal(body.amount, &body.currency),
    };
    let facts = Facts {
        transaction_id: body.order_id.some().or_else(|| body.id.some()),
        occurred_at,
        customer: Customer {
            id: body.customer.or_default().id.some(),
            country: body.billing_address.or_default().country_code.some(),
        },
        method: PaymentMethod { kind: body.gateway.some(), ..PaymentMethod::default() },
        livemode: body.test.some().map(|test| !test),
        ..Facts::new(event_id, topic, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn header<'a>(headers: &'a Headers, name: &str, newer: &str) -> Option<&'a str> {
    headers.get(name).or_else(|| headers.get(newer)).filter(|value| !value.is_empty())
}

fn transaction_kind(kind: &str, status: &str) -> Option<EventType> {
    use EventType::*;
    Some(match (kind, status) {
        ("authorization", "success") => PaymentAuthorized,
        ("sale" | "capture", "success") => PaymentSucceeded,
        ("authorization" | "sale" | "capture", "pending") => PaymentPending,
        ("authorization" | "sale", "failure" | "error") => PaymentFailed,
        ("capture", "failure" | "error") => PaymentCaptureFailed,
        ("void", "success") => PaymentCanceled,
        ("refund", status) => refund_kind(status),
        _ => return None,
    })
}

fn refund_kind(status: &str) -> EventType {
    match status {
        "pending" => EventType::RefundPending,
        "failure" | "error" => EventType::RefundFailed,
        _ => EventType::RefundSucceeded,
    }
}

fn dispute_kind(status: &str) -> EventType {
    match status {
        "won" => EventType::DisputeWon,
        "lost" | "accepted" => EventType::DisputeLost,
        "charge_refunded" => EventType::DisputeClosed,
        _ => EventType::DisputeUpdated,
    }
}
