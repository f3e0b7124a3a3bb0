//! PhonePe. <https://developer.phonepe.com/payment-gateway/webhook-handling>
//!
//! Event id: `{event}:{refund, order or transaction id}`, since PhonePe has none; an attempt's is its own
//! `transactionId`, since an order can have several. Transaction: the order,
//! `orderId` in payments and `originalMerchantOrderId` in refunds, which name no other.
//!
//! Money: integers of paise; the currency is INR.
//!
//! Signed: nothing. The sender proves itself by a hash of the credentials.

use serde::Deserialize;
use tollgate_core::{EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, composite, unknown},
    fields::{First, Number, Object, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "phonepe", aliases: &[], headers: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    payload: Object<Payload<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(borrow)]
    order_id: Text<'a>,
    transaction_id: Text<'a>,
    merchant_order_id: Text<'a>,
    refund_id: Text<'a>,
    merchant_refund_id: Text<'a>,
    original_merchant_order_id: Text<'a>,
    state: Text<'a>,
    amount: Number<'a>,
    timestamp: Number<'a>,
    payment_details: First<Detail<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Detail<'a> {
    #[serde(borrow)]
    transaction_id: Text<'a>,
    timestamp: Number<'a>,
    payment_mode: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_type = event.event.some().or_else(|| event.kind.some());
    let event_type = event_type.ok_or(ContentError::MissingField("event"))?;
    let payload = event.payload.or_default();
    let refund = payload.refund_id.some().or_else(|| payload.merchant_refund_id.some());
    let order = payload.order_id.some().or_else(|| payload.transaction_id.some());
    let order = order.or_else(|| payload.merchant_order_id.some());
    let detail = payload.payment_details.value.unwrap_or_default();
    let is_attempt = event_type.contains("attempt") || event_type.contains("ATTEMPT");
    let attempt = is_attempt.then_some(detail.transaction_id);
    let attempt = attempt.and_then(Text::some);
    let id = refund.as_deref().or(attempt.as_deref()).or(order.as_deref());
    let event_id = composite(&[&event_type, id.ok_or(ContentError::MissingField("payload.orderId"))?]);
    let occurred_at = payload.timestamp.unix_millis().or_else(|| detail.timestamp.unix_millis());
    let Some(kind) = kind(&event_type, payload.state.as_str()) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
    };
    let amount = money::minor(payload.amount, &Text::Value("INR".into()), money::iso);
    let facts = Facts {
        transaction_id: payload.original_merchant_order_id.some().or(order).or(refund),
        occurred_at,
        method: PaymentMethod { kind: detail.payment_mode.some(), ..PaymentMethod::default() },
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(event_type: &str, state: &str) -> Option<EventType> {
    use EventType::*;
    Some(match event_type {
        "checkout.order.completed"
        | "CHECKOUT_ORDER_COMPLETED"
        | "pg.order.completed"
        | "PG_ORDER_COMPLETED" => match state {
            "FAILED" => PaymentFailed,
            "PENDING" => PaymentPending,
            _ => PaymentSucceeded,
        },
        "checkout.order.failed"
        | "CHECKOUT_ORDER_FAILED"
        | "pg.order.failed"
        | "PG_ORDER_FAILED"
        | "checkout.transaction.attempt.failed"
        | "CHECKOUT_TRANSACTION_ATTEMPT_FAILED"
        | "pg.transaction.attempt.failed"
        | "PG_TRANSACTION_ATTEMPT_FAILED" => PaymentFailed,
        "pg.refund.accepted" | "PG_REFUND_ACCEPTED" => RefundPending,
        "pg.refund.completed" | "PG_REFUND_COMPLETED" => RefundSucceeded,
        "pg.refund.failed" | "PG_REFUND_FAILED" => RefundFailed,
        "subscription.setup.order.completed" | "SUBSCRIPTION_SETUP_ORDER_COMPLETED" => SubscriptionCreated,
        "subscription.paused" | "SUBSCRIPTION_PAUSED" | "subscription.unpaused" | "SUBSCRIPTION_UNPAUSED" => {
            SubscriptionUpdated
        }
        "subscription.cancelled"
        | "SUBSCRIPTION_CANCELLED"
        | "subscription.revoked"
        | "SUBSCRIPTION_REVOKED" => SubscriptionCanceled,
        "subscription.redemption.order.completed" | "SUBSCRIPTION_REDEMPTION_ORDER_COMPLETED" => InvoicePaid,
        "subscription.redemption.order.failed" | "SUBSCRIPTION_REDEMPTION_ORDER_FAILED" => {
            InvoicePaymentFailed
        }
        _ => return None,
    })
}
