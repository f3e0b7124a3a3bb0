//! Revolut Merchant and Business. <https://github.com/revolut-engineering/revolut-openapi>,
//! <https://developer.revolut.com/docs/guides/manage-accounts/webhooks/about-webhooks>
//!
//! Event id: `{event}:{movement}:{transaction, where another}:{old state}:{state}:{type}:{in, out, within or unknown}:{increment}:{time}:{amount}`,
//! the increment being the merchant's reference of an incremental authorisation. The time is the body's. Merchant bodies
//! have none, so that two failed attempts to pay an order are the same bytes: for events that an order may have several times, the
//! time is that of the delivery (`Revolut-Request-Timestamp`). A retry of such an event is therefore another event, and
//! tells no money.
//!
//! Transaction: Merchant's order, payout, dispute or subscription; Business' transaction or payout link. Movement: the same,
//! but the dispute in its own events. A refund is an order of its own, and nothing in the webhook says so.
//!
//! Money: Merchant's must be fetched. Business sends decimals in major units with `TransactionCreated`, signed by direction: the
//! amount is that of the transaction's only leg. One with two legs stays within the account. Money that comes in is a payment if it is a top-up or a transfer, and
//! else an update: a loan, or own spending that comes back. Money that goes out is a payout.
//!
//! `TransactionStateChanged` says neither direction nor type. One with a `request_id`, which who asks for a transaction gives it,
//! is taken for a payout. One without may be a top-up: it is an update, as a wrong direction is worse than a state that is not
//! told.
//!
//! Signed: the body and `Revolut-Request-Timestamp`.

use std::borrow::Cow;

use serde::Deserialize;
use tollgate_core::{EventType, EventType::*, Facts};

use super::{
    content::{ContentError, header, required, unknown},
    fields::{First, Number, Object, Text},
    identity::identified,
    json, money,
    normaliser::{Normaliser, Read},
};
use crate::request::Received;

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "revolut",
    aliases: &[],
    headers: &[DELIVERED_AT],
    query: &[],
    read: Read::Request(normalise),
};

/// When this try was delivered, in milliseconds since 1970.
const DELIVERED_AT: &str = "revolut-request-timestamp";

const INCREMENTED: &str = "ORDER_INCREMENTAL_AUTHORISATION_AUTHORISED";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    timestamp: Text<'a>,
    order_id: Text<'a>,
    payout_id: Text<'a>,
    dispute_id: Text<'a>,
    subscription_id: Text<'a>,
    incremental_authorisation_ext_reference: Text<'a>,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    old_state: Text<'a>,
    new_state: Text<'a>,
    state: Text<'a>,
    request_id: Text<'a>,
    legs: First<Leg<'a>>,
    amount: Number<'a>,
    currency: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Leg<'a> {
    #[serde(borrow)]
    amount: Number<'a>,
    currency: Text<'a>,
}

fn normalise<'a>(received: Received<'a>) -> Result<Facts<'a>, ContentError> {
    let event: Event<'a> = json::read(received.body)?;
    let event_type = required(event.event, "event")?;
    let data = event.data.or_default();
    let (old_state, of_kind) = (data.old_state.as_str(), data.kind.as_str());
    let state = match data.new_state.as_str() {
        "" => data.state.as_str(),
        state => state,
    };
    let is_within = data.legs.count > 1;
    let leg = data.legs.only().unwrap_or_default();
    let is_requested = !data.request_id.as_str().is_empty();
    let (units, direction) = match without_sign(leg.amount) {
        _ if is_within => (Number::Absent, "within"),
        (units, "") if event_type.starts_with("Transaction") && !is_requested => (units, "unknown"),
        told => told,
    };
    let kind = kind(&event_type, of_kind, direction, old_state, state);
    let amount = if event_type.starts_with("PayoutLink") {
        money::decimal(without_sign(data.amount).0, &data.currency)
    } else {
        money::decimal(units, &leg.currency)
    };

    let order = event.order_id.some();
    let (movement_id, transaction_id) = if event_type.starts_with("DISPUTE_") {
        let dispute = event.dispute_id.some();
        (dispute.clone(), order.or(dispute))
    } else {
        let id = order.or_else(|| event.payout_id.some()).or_else(|| event.subscription_id.some());
        let id = id.or_else(|| data.id.some());
        (id.clone(), id)
    };
    let increment = event.incremental_authorisation_ext_reference.some();
    let is_increment = event_type == INCREMENTED;
    let repeats = is_increment || kind.is_some_and(EventType::may_recur);
    let is_told = increment.is_some() || !event.timestamp.as_str().is_empty();
    let delivered = header(received, DELIVERED_AT).filter(|_| repeats && !is_told);
    let at = delivered.unwrap_or(event.timestamp.as_str());
    let facts = match kind {
        Some(kind) => Facts::new("", event_type, kind),
        None => unknown("", event_type),
    };
    let facts = Facts {
        transaction_id,
        movement_id,
        occurrence: increment.clone().or_else(|| is_increment.then(|| Cow::Owned(at.to_owned()))),
        occurred_at: event.timestamp.moment(),
        ..facts
    };
    let facts = money::with_amount(facts, amount);
    let increment = increment.unwrap_or_default();
    Ok(identified(facts, &[old_state, state, of_kind, direction, &increment, at], received.body))
}

/// A number without its minus, and which way the money goes.
fn without_sign(number: Number<'_>) -> (Number<'_>, &'static str) {
    match number {
        Number::Bare(text) => match text.strip_prefix('-') {
            Some(text) => (Number::Bare(text), "out"),
            None => (number, "in"),
        },
        number => (number, ""),
    }
}

fn kind(event_type: &str, of_kind: &str, direction: &str, old_state: &str, state: &str) -> Option<EventType> {
    match event_type {
        "TransactionCreated" | "TransactionStateChanged" => match (direction, of_kind) {
            _ if old_state == state => known(state).then_some(PayoutUpdated),
            ("in", "topup" | "transfer") => payment(state),
            // Between currencies of one's own.
            (_, "exchange") => known(state).then_some(PayoutUpdated),
            ("out" | "", _) => payout(state),
            // From no payer, between accounts of one's own, or nobody knows which way.
            _ => known(state).then_some(PayoutUpdated),
        },
        "PayoutLinkCreated" => Some(PayoutPending),
        "PayoutLinkStateChanged" => Some(match state {
            "created" | "awaiting" | "active" | "processing" => PayoutPending,
            "failed" => PayoutFailed,
            "expired" | "cancelled" => PayoutCanceled,
            // The transfer to whom claimed the link is a transaction of its own and has its own events.
            "processed" => PayoutUpdated,
            _ => return None,
        }),
        _ => merchant(event_type),
    }
}

fn known(state: &str) -> bool {
    payout(state).is_some()
}

fn payment(state: &str) -> Option<EventType> {
    Some(match state {
        "created" | "pending" => PaymentPending,
        "completed" => PaymentSucceeded,
        "declined" | "failed" | "reverted" => PaymentFailed,
        "cancelled" => PaymentCanceled,
        _ => return None,
    })
}

fn payout(state: &str) -> Option<EventType> {
    Some(match state {
        "created" | "pending" => PayoutPending,
        "completed" => PayoutSucceeded,
        "declined" | "failed" | "reverted" => PayoutFailed,
        "cancelled" => PayoutCanceled,
        _ => return None,
    })
}

fn merchant(event_type: &str) -> Option<EventType> {
    Some(match event_type {
        "ORDER_PAYMENT_AUTHENTICATION_CHALLENGED" => PaymentRequiresAction,
        "ORDER_PAYMENT_AUTHENTICATED" | "ORDER_PAYMENT_AUTHORISATION_STARTED" => PaymentPending,
        // An increment reserves more money for the same order.
        "ORDER_AUTHORISED" | INCREMENTED => PaymentAuthorized,
        // What was reserved before stays reserved.
        "ORDER_INCREMENTAL_AUTHORISATION_DECLINED" | "ORDER_INCREMENTAL_AUTHORISATION_FAILED" => {
            PaymentUpdated
        }
        "ORDER_COMPLETED" => PaymentSucceeded,
        "ORDER_FAILED" | "ORDER_PAYMENT_DECLINED" | "ORDER_PAYMENT_FAILED" => PaymentFailed,
        "ORDER_CANCELLED" => PaymentCanceled,
        "DISPUTE_ACTION_REQUIRED" => DisputeOpened,
        "DISPUTE_UNDER_REVIEW" => DisputeUpdated,
        "DISPUTE_WON" => DisputeWon,
        "DISPUTE_LOST" => DisputeLost,
        "PAYOUT_INITIATED" => PayoutPending,
        "PAYOUT_COMPLETED" => PayoutSucceeded,
        "PAYOUT_FAILED" => PayoutFailed,
        "SUBSCRIPTION_INITIATED" => SubscriptionCreated,
        "SUBSCRIPTION_OVERDUE" => SubscriptionUpdated,
        "SUBSCRIPTION_CANCELLED" | "SUBSCRIPTION_FINISHED" => SubscriptionCanceled,
        _ => return None,
    })
}
