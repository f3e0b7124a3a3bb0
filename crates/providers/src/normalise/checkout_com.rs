//! Checkout.com. <https://www.checkout.com/docs/developer-resources/webhooks/webhook-event-types>,
//! <https://www.checkout.com/docs/payments/accept-payments/format-the-payment-amount>
//!
//! Event id: `id` (`evt_…`). Transaction: the payment, `data.payment_id` in disputes and `data.id` elsewhere.
//!
//! Money: integers in Checkout.com's own minor units. Its pages disagree about CLF, which is therefore refused.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Number, Object, Pairs, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "checkout_com", aliases: &[], headers: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    created_on: Text<'a>,
    timestamp: Text<'a>,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    payment_id: Text<'a>,
    amount: Number<'a>,
    currency: Text<'a>,
    customer: Object<Inner<'a>>,
    source: Object<Source<'a>>,
    risk: Object<Risk<'a>>,
    metadata: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner<'a> {
    #[serde(borrow)]
    id: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    scheme: Text<'a>,
    issuer_country: Text<'a>,
    billing_address: Object<Address<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Address<'a> {
    #[serde(borrow)]
    country: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Risk<'a> {
    #[serde(borrow)]
    score: Number<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_id = required(event.id, "id")?;
    let event_type = event.kind.some().unwrap_or_default();
    let occurred_at = event.created_on.moment().or_else(|| event.timestamp.moment());
    let Some(kind) = kind(&event_type) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
    };
    let data = event.data.or_default();
    let amount = match data.currency.as_str() {
        "CLF" => Err("minor unit of this currency is not documented"),
        _ => money::minor(data.amount, &data.currency, scale),
    };
    let source = data.source.or_default();
    let facts = Facts {
        transaction_id: data.payment_id.some().or_else(|| data.id.some()),
        occurred_at,
        customer: Customer {
            id: data.customer.or_default().id.some(),
            country: source.billing_address.or_default().country.some(),
        },
        method: PaymentMethod {
            kind: source.kind.some(),
            brand: source.scheme.some(),
            country: source.issuer_country.some(),
        },
        provider_risk_score: data.risk.or_default().score.integer(),
        metadata: data.metadata.into_vec(),
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(event_type: &str) -> Option<EventType> {
    use EventType::*;
    Some(match event_type {
        "payment_pending" | "payment_capture_pending" => PaymentPending,
        "payment_approved" => PaymentAuthorized,
        "payment_captured" | "payment_paid" => PaymentSucceeded,
        "payment_declined" | "payment_authentication_failed" => PaymentFailed,
        "payment_capture_declined" => PaymentCaptureFailed,
        "payment_voided" | "payment_canceled" => PaymentCanceled,
        "payment_expired" => PaymentExpired,
        "payment_refund_pending" => RefundPending,
        "payment_refunded" => RefundSucceeded,
        "payment_refund_declined" => RefundFailed,
        "dispute_received" => DisputeOpened,
        "dispute_evidence_required"
        | "dispute_evidence_submitted"
        | "dispute_evidence_acknowledged_by_scheme"
        | "dispute_arbitration_sent_to_scheme" => DisputeUpdated,
        "dispute_won" | "dispute_arbitration_won" => DisputeWon,
        "dispute_lost" | "dispute_accepted" | "dispute_arbitration_lost" => DisputeLost,
        "dispute_canceled" | "dispute_expired" | "dispute_resolved" => DisputeClosed,
        "payment_payout_paid" | "payment_paid_out" => PayoutSucceeded,
        "payment_returned" => PayoutFailed,
        _ => return None,
    })
}

/// Decimals by which Checkout.com counts, where ISO 4217 says otherwise: all that its page does not list have
/// two.
fn scale(currency: &str) -> Option<u8> {
    matches!(currency, "CLP" | "UYI" | "UYW").then_some(2)
}
