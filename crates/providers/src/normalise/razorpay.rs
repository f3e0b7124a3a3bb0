//! Razorpay and RazorpayX. <https://razorpay.com/docs/webhooks/payloads/>
//!
//! Event id: the `x-razorpay-event-id` header; where it is missing,
//! `{event}:{entity id}:{created_at}`. Transaction: the payment, which is the entity itself or its
//! `payment_id`; a payout, settlement or subscription is its own.
//!
//! Money: integers in the smallest unit (paise), as ISO 4217 counts. A settlement names no currency: it is in
//! INR.
//!
//! Signed: the whole body, not the header with the event id.

use std::borrow::Cow;

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, composite, header, required, unknown},
    fields::{Number, Object, Pairs, Text},
    json, money,
    normaliser::{Normaliser, Read},
};
use crate::request::Received;

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "razorpay",
    aliases: &[],
    headers: &["x-razorpay-event-id"],
    read: Read::Request(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    created_at: Number<'a>,
    payload: Object<Payload<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload<'a> {
    #[serde(borrow)]
    payment: Object<Wrapper<'a>>,
    refund: Object<Wrapper<'a>>,
    dispute: Object<Wrapper<'a>>,
    payout: Object<Wrapper<'a>>,
    settlement: Object<Wrapper<'a>>,
    subscription: Object<Wrapper<'a>>,
    invoice: Object<Wrapper<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wrapper<'a> {
    #[serde(borrow)]
    entity: Object<Entity<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entity<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    payment_id: Text<'a>,
    amount: Number<'a>,
    amount_paid: Number<'a>,
    currency: Text<'a>,
    status: Text<'a>,
    phase: Text<'a>,
    method: Text<'a>,
    card: Object<Card<'a>>,
    customer_id: Text<'a>,
    notes: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Card<'a> {
    #[serde(borrow)]
    network: Text<'a>,
    country: Text<'a>,
}

fn normalise<'a>(received: Received<'a>) -> Result<Facts<'a>, ContentError> {
    let event: Event<'a> = json::read(received.body)?;
    let event_type = required(event.event, "event")?;
    let occurred_at = event.created_at.unix_seconds();
    let payload = event.payload.or_default();
    let entity = |wrapper: Object<Wrapper<'a>>| wrapper.or_default().entity.some();
    let (family, rest) = event_type.split_once('.').unwrap_or((&event_type, ""));
    let payment = entity(payload.payment);
    let (own, payment) = match family {
        "payment" if rest.starts_with("dispute.") => (entity(payload.dispute), payment),
        "payment" | "order" | "payment_link" => (payment, None),
        "refund" => (entity(payload.refund), payment),
        "payout" => (entity(payload.payout), None),
        "settlement" => (entity(payload.settlement), None),
        "subscription" => (entity(payload.subscription), payment),
        "invoice" => (entity(payload.invoice), payment),
        _ => (None, None),
    };
    let known = own.and_then(|own| Some((kind(&event_type, &own)?, own)));
    let header_id = header(received, "x-razorpay-event-id");
    let event_id = match (header_id, &known) {
        (Some(id), _) => Cow::Borrowed(id),
        (None, Some((_, entity))) if !entity.id.as_str().is_empty() => {
            let created_at = event.created_at.text().unwrap_or_default();
            Cow::Owned(composite(&[&event_type, entity.id.as_str(), created_at]))
        }
        (None, _) => return Err(ContentError::MissingField("x-razorpay-event-id")),
    };
    let Some((kind, own)) = known else {
        return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
    };
    // A subscription has no amount of its own: a charge of it is its payment's.
    let payment = payment.unwrap_or_default();
    let (units, currency) = match family {
        "subscription" => (payment.amount, payment.currency),
        "invoice" if !own.amount_paid.is_absent() => (own.amount_paid, own.currency),
        "settlement" => (own.amount, Text::Value(Cow::Borrowed("INR"))),
        _ => (own.amount, own.currency),
    };
    let amount = money::minor(units, &currency, money::iso);
    let card = match own.card {
        Object::Value(card) => card,
        _ => payment.card.or_default(),
    };
    let facts = Facts {
        transaction_id: own.payment_id.some().or_else(|| own.id.some()),
        occurred_at,
        customer: Customer {
            id: own.customer_id.some().or_else(|| payment.customer_id.some()),
            country: None,
        },
        method: PaymentMethod {
            kind: own.method.some().or_else(|| payment.method.some()),
            brand: card.network.some(),
            country: card.country.some(),
        },
        metadata: own.notes.into_vec(),
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(event_type: &str, entity: &Entity<'_>) -> Option<EventType> {
    use EventType::*;
    let status = entity.status.as_str();
    Some(match event_type {
        "payment.authorized" => PaymentAuthorized,
        "payment.captured" | "order.paid" | "payment_link.paid" | "payment_link.partially_paid" => {
            PaymentSucceeded
        }
        "payment.pending" => PaymentPending,
        "payment.failed" => PaymentFailed,
        "refund.created" | "refund.processed" | "refund.failed" => match status {
            "processed" => RefundSucceeded,
            "failed" => RefundFailed,
            _ if event_type == "refund.processed" => RefundSucceeded,
            _ if event_type == "refund.failed" => RefundFailed,
            _ => RefundPending,
        },
        "payment.dispute.created" if matches!(entity.phase.as_str(), "retrieval" | "fraud") => DisputeWarning,
        "payment.dispute.created" => DisputeOpened,
        "payment.dispute.under_review" | "payment.dispute.action_required" => DisputeUpdated,
        "payment.dispute.won" => DisputeWon,
        "payment.dispute.lost" => DisputeLost,
        "payment.dispute.closed" => DisputeClosed,
        "payout.pending" | "payout.queued" | "payout.initiated" | "payout.updated" => PayoutPending,
        "payout.processed" | "settlement.processed" => PayoutSucceeded,
        "payout.failed" | "payout.reversed" => PayoutFailed,
        "payout.rejected" => PayoutCanceled,
        "subscription.authenticated" | "subscription.activated" => SubscriptionCreated,
        "subscription.charged" => InvoicePaid,
        "subscription.pending"
        | "subscription.halted"
        | "subscription.paused"
        | "subscription.resumed"
        | "subscription.updated" => SubscriptionUpdated,
        "subscription.cancelled" | "subscription.completed" => SubscriptionCanceled,
        "invoice.paid" | "invoice.partially_paid" => InvoicePaid,
        _ => return None,
    })
}
