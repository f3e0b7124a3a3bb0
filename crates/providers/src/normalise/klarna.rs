//! Klarna (Klarna Network webhooks). <https://docs.klarna.com/api/kn/klarna-notifications-api/>,
//! <https://docs.klarna.com/klarna-network-distribution/after-payments/manage-payment-transactions/>
//!
//! Event id: `metadata.event_id`. Transaction: the payment transaction, else the payment request. Where both are named, the
//! request is an alias.
//!
//! Movement: a payment transaction may be captured and refunded many times. Each capture has its own event, and is a movement of
//! its own: `payment_capture_id`, else the event's id. A refund is its `payment_refund_id`, a dispute its `payment_dispute_id`.
//! That a transaction is completed or closed moves nothing: every capture was told before. Closed before any capture, the
//! authorisation is released.
//!
//! Money: integers in minor units, as ISO 4217 counts, where the payload holds them at all. `captured_amount` and
//! `refunded_amount` of a transaction are running sums, and its `amount` is the whole payment's: of a capture they are read
//! only where it has an id, of a refunded transaction `refund_amount` alone.
//!
//! Time: `metadata.occurred_at`.

use std::borrow::Cow;

use serde::Deserialize;
use tollgate_core::{Category, Customer, EventType, EventType::*, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, transaction, unknown},
    fields::{Flag, Number, Object, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "klarna", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    metadata: Object<Metadata<'a>>,
    payload: Object<Payload<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata<'a> {
    #[serde(borrow)]
    event_id: Text<'a>,
    event_type: Text<'a>,
    occurred_at: Text<'a>,
    live: Flag,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload<'a> {
    #[serde(borrow)]
    payment_request_id: Text<'a>,
    payment_transaction_id: Text<'a>,
    payment_capture_id: Text<'a>,
    payment_refund_id: Text<'a>,
    refund_id: Text<'a>,
    payment_dispute_id: Text<'a>,
    dispute_id: Text<'a>,
    previous_state: Text<'a>,
    dispute_outcome: Text<'a>,
    currency: Text<'a>,
    amount: Number<'a>,
    payment_amount: Number<'a>,
    refund_amount: Number<'a>,
    captured_amount: Number<'a>,
    disputed_amount: Number<'a>,
    dispute_details: Object<DisputeDetails<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DisputeDetails<'a> {
    #[serde(borrow)]
    dispute_amount: Number<'a>,
    currency: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let metadata = event.metadata.or_default();
    let event_id = required(metadata.event_id, "metadata.event_id")?;
    let event_type = metadata.event_type.some().unwrap_or_default();
    let payload = event.payload.or_default();
    let kind = kind(&event_type, payload.previous_state.as_str(), payload.dispute_outcome.as_str());
    let is_capture = is_capture(&event_type);

    let capture = payload.payment_capture_id.some();
    let refund = payload.payment_refund_id.some().or_else(|| payload.refund_id.some());
    let dispute = payload.payment_dispute_id.some().or_else(|| payload.dispute_id.some());
    let details = payload.dispute_details.or_default();
    let (units, currency) = match kind.map(EventType::category) {
        Some(Category::Dispute) => {
            let units = first([details.dispute_amount, payload.disputed_amount, payload.amount]);
            (units, if details.currency == Text::Absent { payload.currency } else { details.currency })
        }
        // The amount of a transaction's event is the whole transaction's.
        Some(Category::Refund) if event_type == "payment.transaction.refunded" => {
            (payload.refund_amount, payload.currency)
        }
        Some(Category::Refund) => (first([payload.refund_amount, payload.amount]), payload.currency),
        // Without a capture of its own these are the transaction's amounts.
        Some(_) if is_capture && capture.is_some() => {
            (first([payload.captured_amount, payload.amount]), payload.currency)
        }
        Some(_) if is_capture => (Number::Absent, payload.currency),
        _ => (first([payload.amount, payload.payment_amount]), payload.currency),
    };
    let amount = money::minor(units, &currency, money::iso);

    let (transaction_id, aliases) =
        transaction([payload.payment_transaction_id.some(), payload.payment_request_id.some()]);
    let movement_id: Option<Cow<'_, str>> = match kind.map(EventType::category) {
        Some(Category::Payment) if is_capture => capture.or_else(|| Some(event_id.clone())),
        Some(Category::Payment) => transaction_id.clone(),
        Some(Category::Refund) => refund,
        Some(_) => dispute.clone(),
        None => None,
    };
    let facts = match kind {
        Some(kind) => Facts::new(event_id, event_type, kind),
        None => unknown(event_id, event_type),
    };
    // What has expired may be authorised again.
    let is_again = kind == Some(PaymentAuthorized) && payload.previous_state.as_str() == "EXPIRED";
    let facts = Facts {
        occurrence: is_again.then(|| facts.event_id.clone()),
        transaction_id: transaction_id.or(dispute),
        aliases,
        movement_id,
        occurred_at: metadata.occurred_at.moment(),
        customer: Customer::default(),
        method: PaymentMethod { kind: kind.map(|_| "klarna".into()), ..PaymentMethod::default() },
        livemode: metadata.live.some(),
        ..facts
    };
    Ok(money::with_amount(facts, amount))
}

/// The first number that was sent.
fn first<const N: usize>(numbers: [Number<'_>; N]) -> Number<'_> {
    numbers.into_iter().find(|number| !number.is_absent()).unwrap_or_default()
}

fn is_capture(event_type: &str) -> bool {
    matches!(event_type, "payment.transaction.captured" | "payment.transaction.state-change.captured")
}

fn kind(event_type: &str, previous_state: &str, outcome: &str) -> Option<EventType> {
    Some(match event_type {
        "payment.request.state-change.submitted" => PaymentCreated,
        "payment.request.state-change.prepared" | "payment.request.state-change.in-progress" => {
            PaymentPending
        }
        "payment.request.state-change.pending-confirmation" => PaymentRequiresAction,
        "payment.request.state-change.authorized"
        | "payment.request.state-change.completed"
        | "payment.transaction.state-change.authorized" => PaymentAuthorized,
        _ if is_capture(event_type) => PaymentSucceeded,
        "payment.request.state-change.declined" => PaymentFailed,
        "payment.request.state-change.canceled" | "payment.transaction.voided" => PaymentCanceled,
        "payment.transaction.state-change.closed" => match previous_state {
            "AUTHORIZED" | "EXPIRED" => PaymentCanceled,
            _ => PaymentUpdated,
        },
        "payment.transaction.state-change.completed" | "payment.transaction.updated" => PaymentUpdated,
        "payment.request.state-change.expired" | "payment.transaction.state-change.expired" => PaymentExpired,
        "payment.transaction.refunded" | "payment.refund.state-change.completed" => RefundSucceeded,
        "payment.refund.state-change.failed" => RefundFailed,
        "payment.dispute.state-change.initiated" => DisputeOpened,
        // The first state until the lifecycle began with `initiated`; since then Klarna's preliminary decision.
        "payment.dispute.state-change.pre-arbitration" if previous_state.is_empty() => DisputeOpened,
        "payment.dispute.state-change.pre-arbitration"
        | "payment.dispute.state-change.representment"
        | "payment.dispute.state-change.arbitration"
        | "payment.dispute.state-change.arbitration-pending"
        | "payment.dispute.state-change.merchant-evidence-pending"
        | "payment.dispute.updated" => DisputeUpdated,
        "payment.dispute.state-change.closed" => match outcome {
            "WON" => DisputeWon,
            "LOST" => DisputeLost,
            _ => DisputeClosed,
        },
        _ => return None,
    })
}
