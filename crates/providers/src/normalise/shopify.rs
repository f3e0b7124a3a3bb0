//! Shopify. <https://shopify.dev/docs/api/webhooks>
//!
//! Signed: the whole body, not the headers. What an event is, is read from the body, where the body says it: an order by
//! its `financial_status`, a transaction by its `kind`, a refund by its transactions, a dispute by its `type`, a billing
//! attempt and a contract by their `admin_graphql_api_id`. Event id: the body's SHA-256, so that every subscription's
//! webhook of one event, and every retry, has one id; `X-Shopify-Webhook-Id` is each subscription's own
//! (<https://shopify.dev/docs/apps/build/webhooks/ignore-duplicates>). Where the topic alone says what happened, our type
//! is part of the id, and the event is not verified.
//!
//! Provider's type: `X-Shopify-Topic`. Transaction: the order. Time: the body's, of the object's change, or of its making where
//! that is what happened. The header `X-Shopify-Triggered-At` gives the time only of an event that is not verified and whose
//! body has none.
//!
//! Movement: of an order that is paid the order, of a sale or capture the transaction, of a refund its one transaction in
//! the state that is told, else the refund, of a dispute the dispute. An order that is paid and its sale tell the same money: subscribe to
//! one of them.
//!
//! Amount: decimal texts in major units. Of orders the price, of transactions their own, of refunds the sum of the
//! transactions that gave money back. A refund without any is an update, and a void releases an authorisation.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use tollgate_core::{Customer, EventType, Facts, PaymentMethod, id::hex_sha256};

use super::{
    content::{ContentError, unknown},
    fields::{Flag, Id, Number, Object, Text, each, first_moment},
    json,
    money::{self, Amount},
    normaliser::{Normaliser, Read},
};
use crate::{headers::Headers, request::Received};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "shopify",
    aliases: &[],
    headers: &["x-shopify-topic", "x-shopify-triggered-at", "shopify-topic", "shopify-triggered-at"],
    query: &[],
    read: Read::Request(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    admin_graphql_api_id: Text<'a>,
    order_id: Id<'a>,
    subscription_contract_id: Id<'a>,
    kind: Text<'a>,
    #[serde(rename = "type")]
    dispute_type: Text<'a>,
    status: Text<'a>,
    financial_status: Text<'a>,
    cancelled_at: Text<'a>,
    error_code: Text<'a>,
    total_price: Number<'a>,
    amount: Number<'a>,
    currency: Text<'a>,
    transactions: Transactions<'a>,
    app_subscription: Object<App<'a>>,
    app_purchase_one_time: Object<App<'a>>,
    customer: Object<Inner<'a>>,
    billing_address: Object<Address<'a>>,
    gateway: Text<'a>,
    test: Flag,
    updated_at: Text<'a>,
    finalized_on: Text<'a>,
    initiated_at: Text<'a>,
    processed_at: Text<'a>,
    created_at: Text<'a>,
}

/// What a refund paid back, by how each of its transactions ended.
#[derive(Default)]
struct Transactions<'a> {
    is_sent: bool,
    paid: Part<'a>,
    pending: Part<'a>,
    failed: Part<'a>,
    voided: Part<'a>,
}

/// Some transactions: their sum, and the one that they are, if they are one.
#[derive(Default)]
struct Part<'a> {
    sum: Option<Amount>,
    only: Option<Cow<'a, str>>,
}

impl<'a> Part<'a> {
    fn add(&mut self, id: Id<'a>, amount: Amount) {
        self.only = if self.sum.is_none() { id.some() } else { None };
        self.sum = Some(match (self.sum.take(), amount) {
            (None, amount) => amount,
            (Some(Ok(Some(sum))), Ok(Some(amount))) => Ok(money::sum(sum, amount)),
            (Some(Err(why)), _) | (_, Err(why)) => Err(why),
            _ => Ok(None),
        });
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Transactions<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Transaction<'a> {
            #[serde(borrow)]
            id: Id<'a>,
            kind: Text<'a>,
            amount: Number<'a>,
            currency: Text<'a>,
            status: Text<'a>,
        }
        let mut all = Self { is_sent: true, ..Self::default() };
        each(deserializer, |transaction: Object<Transaction<'de>>| {
            let transaction = transaction.or_default();
            let amount = money::decimal(transaction.amount, &transaction.currency);
            let part = match (transaction.kind.as_str(), transaction.status.as_str()) {
                ("void", "success") => &mut all.voided,
                ("refund" | "", _) if money::is_zero(&amount) => return,
                ("refund" | "", "pending" | "awaiting_response") => &mut all.pending,
                ("refund" | "", "failure" | "error") => &mut all.failed,
                ("refund" | "", "success" | "") => &mut all.paid,
                // Nothing is given back by a change, a sale or a capture.
                _ => return,
            };
            part.add(transaction.id, amount);
        })?;
        Ok(all)
    }
}

/// What a merchant buys of the app's developer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct App<'a> {
    #[serde(borrow)]
    admin_graphql_api_id: Text<'a>,
    status: Text<'a>,
    updated_at: Text<'a>,
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
    let topic = header(received.headers, "x-shopify-topic", "shopify-topic").unwrap_or_default();
    let body: Body<'a> = json::read(received.body)?;
    let triggered = header(received.headers, "x-shopify-triggered-at", "shopify-triggered-at");
    let signed = kind_of_body(&body);
    let by_topic = if signed.is_none() { kind_of_topic(topic, &body) } else { None };
    let kind = signed.or(by_topic);

    let order_price = money::decimal(body.total_price, &body.currency);
    let is_refund = body.transactions.is_sent && body.financial_status == Text::Absent;
    let Transactions { paid, pending, failed, voided, .. } = body.transactions;
    let told = match kind {
        Some(EventType::RefundSucceeded) => paid,
        Some(EventType::RefundPending) => pending,
        Some(EventType::RefundFailed) => failed,
        Some(EventType::PaymentCanceled) => voided,
        _ => Part::default(),
    };
    let amount = match kind {
        Some(EventType::RefundUpdated) => Ok(None),
        _ if is_refund => told.sum.unwrap_or(Ok(None)),
        _ if body.amount.is_absent() => order_price,
        _ => money::decimal(body.amount, &body.currency),
    };
    // Nothing was due.
    let is_free = money::is_zero(&amount);
    let kind = match kind {
        Some(EventType::PaymentSucceeded | EventType::PaymentAuthorized) if is_free => {
            Some(EventType::PaymentUpdated)
        }
        Some(EventType::RefundSucceeded | EventType::RefundPending) if is_free => {
            Some(EventType::RefundUpdated)
        }
        kind => kind,
    };

    let app = [body.app_subscription, body.app_purchase_one_time].into_iter().find_map(Object::some);
    let is_attempt = body.kind != Text::Absent;
    let is_creation = match signed {
        // A refund and a transaction are told when they are made, and so is a dispute when it waits for a response.
        Some(kind) => {
            is_refund || is_attempt || matches!(kind, EventType::DisputeOpened | EventType::DisputeWarning)
        }
        None => topic.ends_with("/create"),
    };
    let occurred_at = first_moment([&body.updated_at, &body.finalized_on, &body.processed_at])
        .or_else(|| first_moment([&body.created_at, &body.initiated_at]).filter(|_| is_creation))
        .or_else(|| app.as_ref().and_then(|app| app.updated_at.moment()))
        .or_else(|| triggered.filter(|_| signed.is_none()).and_then(|text| text.parse().ok()));

    let hash = hex_sha256(received.body);
    let event_id = match (signed, kind.unwrap_or(EventType::PaymentUnrecognized)) {
        (Some(_), _) => ["sha256-", &hash].concat(),
        // Two topics that say the same make one event.
        (None, kind) => ["sha256-", &hash, ":", kind.as_str()].concat(),
    };

    let id = body.id.some().or_else(|| app.and_then(|app| app.admin_graphql_api_id.some()));
    let order = body.order_id.some();
    let movement_id = match kind {
        Some(EventType::PaymentAuthorized | EventType::PaymentCanceled | EventType::PaymentExpired) => None,
        Some(_) if is_refund => told.only.or_else(|| id.clone()),
        Some(_) if is_attempt || order.is_some() => id.clone(),
        Some(kind) if kind.category() != tollgate_core::Category::Payment => id.clone(),
        _ => None,
    };
    let is_failed = matches!(kind, Some(EventType::PaymentFailed | EventType::PaymentCaptureFailed));
    let facts = Facts {
        transaction_id: order
            .or_else(|| body.subscription_contract_id.some())
            .or(id)
            .filter(|_| kind.is_some()),
        // A transaction is one attempt.
        occurrence: movement_id.clone().filter(|_| is_failed),
        movement_id,
        occurred_at,
        customer: Customer {
            id: body.customer.or_default().id.some(),
            country: body.billing_address.or_default().country_code.some(),
        },
        method: PaymentMethod { kind: body.gateway.some(), ..PaymentMethod::default() },
        livemode: body.test.some().map(|test| !test),
        is_unsigned: signed.is_none(),
        ..unknown(event_id, topic)
    };
    let Some(kind) = kind else { return Ok(facts) };
    Ok(money::with_amount(Facts { kind, unrecognized: None, ..facts }, amount))
}

fn header<'a>(headers: &'a Headers, name: &str, newer: &str) -> Option<&'a str> {
    headers.get(name).or_else(|| headers.get(newer)).filter(|value| !value.is_empty())
}

/// What the signed body says by itself.
fn kind_of_body(body: &Body<'_>) -> Option<EventType> {
    use EventType::*;
    let status = body.status.as_str();
    let object = body.admin_graphql_api_id.as_str();
    match (body.financial_status.as_str(), body.dispute_type.as_str()) {
        ("", "") => {}
        ("", kind @ ("inquiry" | "chargeback")) => return Some(dispute_kind(kind, status)),
        ("", _) => {}
        (financial_status, _) => return order_kind(financial_status, body.cancelled_at.moment().is_some()),
    }
    if body.kind != Text::Absent {
        return transaction_kind(body.kind.as_str(), status);
    }
    if body.transactions.is_sent {
        let Transactions { paid, pending, failed, voided, .. } = &body.transactions;
        return Some(match (&paid.sum, &pending.sum, &voided.sum, &failed.sum) {
            (Some(_), ..) => RefundSucceeded,
            (_, Some(_), ..) => RefundPending,
            (_, _, Some(_), _) => PaymentCanceled,
            (.., Some(_)) => RefundFailed,
            // Goods were taken back, and no money was given.
            _ => RefundUpdated,
        });
    }
    if let Object::Value(app) = &body.app_subscription {
        return Some(match app.status.as_str() {
            "CANCELLED" | "DECLINED" | "EXPIRED" => SubscriptionCanceled,
            _ => SubscriptionUpdated,
        });
    }
    if let Object::Value(app) = &body.app_purchase_one_time {
        return Some(match app.status.as_str() {
            "ACTIVE" => PaymentSucceeded,
            "DECLINED" | "EXPIRED" => PaymentCanceled,
            _ => PaymentPending,
        });
    }
    if object.contains("/SubscriptionBillingAttempt/") {
        return match (&body.error_code, body.order_id.is_some()) {
            (Text::Value(_), _) => Some(InvoicePaymentFailed),
            (_, true) => Some(InvoicePaid),
            (_, false) => None,
        };
    }
    let has_ended = matches!(status, "cancelled" | "expired" | "failed");
    (object.contains("/SubscriptionContract/") && has_ended).then_some(SubscriptionCanceled)
}

/// What the topic says, which is not signed.
fn kind_of_topic(topic: &str, body: &Body<'_>) -> Option<EventType> {
    use EventType::*;
    let status = body.status.as_str();
    Some(match topic {
        "orders/create" => PaymentCreated,
        "orders/paid" => PaymentSucceeded,
        "orders/cancelled" => PaymentCanceled,
        "orders/edited" | "orders/updated" | "orders/fulfilled" | "orders/partially_fulfilled" => {
            PaymentUpdated
        }
        "order_transactions/create" | "tender_transactions/create" => PaymentUpdated,
        "refunds/create" => RefundUpdated,
        "disputes/create" => DisputeOpened,
        "disputes/update" => dispute_kind("", status),
        "subscription_contracts/create" => SubscriptionCreated,
        "subscription_contracts/update" | "subscription_contracts/activate" => SubscriptionUpdated,
        "subscription_contracts/pause" => SubscriptionUpdated,
        "subscription_contracts/cancel" | "subscription_contracts/expire" => SubscriptionCanceled,
        "subscription_contracts/fail" => SubscriptionCanceled,
        "subscription_billing_attempts/success" => InvoicePaid,
        "subscription_billing_attempts/failure" => InvoicePaymentFailed,
        "subscription_billing_attempts/challenged" => PaymentRequiresAction,
        "app_subscriptions/update" | "app_subscriptions/approaching_capped_amount" => SubscriptionUpdated,
        "app_purchases_one_time/update" => PaymentUpdated,
        _ => return None,
    })
}

/// <https://shopify.dev/docs/api/admin-rest/latest/resources/order>: a refund has an event of its own.
fn order_kind(financial_status: &str, is_cancelled: bool) -> Option<EventType> {
    use EventType::*;
    Some(match financial_status {
        "paid" if !is_cancelled => PaymentSucceeded,
        "paid" | "partially_paid" | "partially_refunded" | "refunded" => PaymentUpdated,
        "authorized" if !is_cancelled => PaymentAuthorized,
        "pending" if !is_cancelled => PaymentPending,
        "expired" => PaymentExpired,
        "authorized" | "pending" | "voided" => PaymentCanceled,
        _ => return None,
    })
}

fn transaction_kind(kind: &str, status: &str) -> Option<EventType> {
    use EventType::*;
    Some(match (kind, status) {
        ("authorization" | "emv_authorization", "success") => PaymentAuthorized,
        ("sale" | "capture", "success") => PaymentSucceeded,
        ("authorization" | "emv_authorization" | "sale" | "capture", "pending" | "awaiting_response") => {
            PaymentPending
        }
        ("authorization" | "emv_authorization" | "sale", "failure" | "error") => PaymentFailed,
        ("capture", "failure" | "error") => PaymentCaptureFailed,
        ("void", "success") => PaymentCanceled,
        ("void", _) => PaymentUpdated,
        ("refund", "pending" | "awaiting_response") => RefundPending,
        ("refund", "failure" | "error") => RefundFailed,
        ("refund", "success" | "") => RefundSucceeded,
        ("refund", _) => RefundUpdated,
        // Cash that was given out for too much cash.
        ("change", _) => PaymentUpdated,
        _ => return None,
    })
}

/// A dispute that waits for a response has been opened, whichever event says so.
fn dispute_kind(dispute_type: &str, status: &str) -> EventType {
    match (dispute_type, status) {
        (_, "won") => EventType::DisputeWon,
        (_, "lost" | "accepted") => EventType::DisputeLost,
        (_, "charge_refunded") => EventType::DisputeClosed,
        ("inquiry", "needs_response") => EventType::DisputeWarning,
        ("chargeback", "needs_response") => EventType::DisputeOpened,
        _ => EventType::DisputeUpdated,
    }
}
