//! Revolut Merchant and Business. <https://developer.revolut.com/docs/merchant/webhooks>,
//! <https://developer.revolut.com/docs/business/webhooks>
//!
//! Event id: Merchant `{event}:{order, payout, dispute or subscription id}`, with `:{timestamp}` where the body
//! has one; Business `{data.id}:{timestamp}`. Transaction: that id.
//!
//! Money: not in the webhooks; it must be fetched. Business transactions move the account's own money and are
//! payouts to us.

use serde::Deserialize;
use tollgate_core::{EventType, Facts};

use super::{
    content::{ContentError, composite, required, unknown},
    fields::{Object, Text},
    json,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "revolut", aliases: &[], headers: &[], read: Read::Body(normalise) };

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
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    new_state: Text<'a>,
    state: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_type = required(event.event, "event")?;
    let data = event.data.or_default();
    let timestamp = event.timestamp.as_str();
    let merchant = event.order_id.some().or_else(|| event.payout_id.some());
    let merchant = merchant.or_else(|| event.dispute_id.some()).or_else(|| event.subscription_id.some());
    let (id, event_id) = match (merchant, data.id.some()) {
        (Some(id), _) if timestamp.is_empty() => (Some(id.clone()), composite(&[&event_type, &id])),
        (Some(id), _) => (Some(id.clone()), composite(&[&event_type, &id, timestamp])),
        (None, Some(id)) => (Some(id.clone()), composite(&[&id, timestamp])),
        (None, None) if !timestamp.is_empty() => (None, composite(&[&event_type, timestamp])),
        (None, None) => return Err(ContentError::MissingField("order_id")),
    };
    let occurred_at = event.timestamp.moment();
    let state =
        if data.new_state.as_str().is_empty() { data.state.as_str() } else { data.new_state.as_str() };
    let facts = match kind(&event_type, state) {
        Some(kind) => Facts { transaction_id: id, ..Facts::new(event_id, event_type, kind) },
        None => unknown(event_id, event_type),
    };
    Ok(Facts { occurred_at, ..facts })
}

fn kind(event_type: &str, state: &str) -> Option<EventType> {
    use EventType::*;
    Some(match (event_type, state) {
        ("ORDER_PAYMENT_AUTHENTICATION_CHALLENGED", _) => PaymentRequiresAction,
        ("ORDER_PAYMENT_AUTHENTICATED", _) => PaymentPending,
        ("ORDER_AUTHORISED", _) => PaymentAuthorized,
        ("ORDER_COMPLETED", _) => PaymentSucceeded,
        ("ORDER_FAILED" | "ORDER_PAYMENT_DECLINED" | "ORDER_PAYMENT_FAILED", _) => PaymentFailed,
        ("ORDER_CANCELLED", _) => PaymentCanceled,
        ("DISPUTE_ACTION_REQUIRED", _) => DisputeOpened,
        ("DISPUTE_UNDER_REVIEW", _) => DisputeUpdated,
        ("DISPUTE_WON", _) => DisputeWon,
        ("DISPUTE_LOST", _) => DisputeLost,
        ("PAYOUT_INITIATED", _) => PayoutPending,
        ("PAYOUT_COMPLETED", _) => PayoutSucceeded,
        ("PAYOUT_FAILED", _) => PayoutFailed,
        ("SUBSCRIPTION_INITIATED", _) => SubscriptionCreated,
        ("SUBSCRIPTION_OVERDUE", _) => SubscriptionUpdated,
        ("SUBSCRIPTION_CANCELLED" | "SUBSCRIPTION_FINISHED", _) => SubscriptionCanceled,
        ("TransactionCreated" | "TransactionStateChanged", "created" | "pending") => PayoutPending,
        ("TransactionCreated" | "TransactionStateChanged", "completed") => PayoutSucceeded,
        ("TransactionCreated" | "TransactionStateChanged", "declined" | "failed" | "reverted") => {
            PayoutFailed
        }
        ("TransactionStateChanged", "cancelled") => PayoutCanceled,
        _ => return None,
    })
}
