//! Checkout.com. <https://www.checkout.com/docs/developer-resources/event-notifications/event-types>,
//! <https://www.checkout.com/docs/payments/accept-payments/format-the-payment-amount>
//!
//! Event id: `id` (`evt_…`). Transaction: the payment, `data.payment_id` in disputes and `data.id` elsewhere. A payout is a
//! payment with a `destination`.
//!
//! Movement: each capture and each refund is an action of the payment with an id of its own (`data.action_id`), which its pending
//! and declined states share. A dispute (`data.id`), a transfer (`data.transfer_id`) and a settlement
//! (`data.settlement_details.payout_id`) are their own, everything else is the payment's. Each increment of an authorisation is an
//! occurrence of it.
//!
//! Money: integers in Checkout.com's own minor units, the amount of the action. `balances` has the running sums and is not
//! read, nor is a settlement's amount, which is in major units. A transfer names none. Its pages disagree about CLF, which is
//! therefore refused.
//!
//! Time: `created_on` or `timestamp`, of the event.

use serde::Deserialize;
use tollgate_core::{Category, Customer, EventType, EventType::*, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Number, Object, Pairs, Text, first_moment},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "checkout_com", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

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
    action_id: Text<'a>,
    transfer_id: Text<'a>,
    settlement_details: Object<Settlement<'a>>,
    status: Text<'a>,
    amount: Number<'a>,
    currency: Text<'a>,
    customer: Object<Inner<'a>>,
    source: Object<Source<'a>>,
    destination: Object<Source<'a>>,
    risk: Object<Risk<'a>>,
    metadata: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Settlement<'a> {
    #[serde(borrow)]
    payout_id: Text<'a>,
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
    let occurred_at = first_moment([&event.created_on, &event.timestamp]);
    let data = event.data.or_default();
    let amount = match data.currency.as_str() {
        "CLF" => Err("minor unit of this currency is not documented"),
        _ => money::minor(data.amount, &data.currency, scale),
    };
    let destination = data.destination.some();
    let kind = match kind(&event_type, data.status.as_str(), destination.is_some()) {
        // A card was verified.
        Some(PaymentAuthorized) if money::is_zero(&amount) => Some(PaymentUpdated),
        kind => kind,
    };
    let method = destination.or_else(|| data.source.some()).unwrap_or_default();
    let own = [data.id, data.transfer_id, data.settlement_details.or_default().payout_id];
    let (id, action) = (own.into_iter().find_map(Text::some), data.action_id.some());
    let transaction_id = data.payment_id.some().or_else(|| id.clone());
    let movement_id = match kind.map(EventType::category) {
        Some(Category::Payment) if is_of_capture(&event_type) => action.clone().or_else(|| id.clone()),
        Some(Category::Refund) => action.clone(),
        Some(_) => id,
        None => None,
    };
    let facts = match kind {
        Some(kind) => Facts::new(event_id, event_type, kind),
        None => unknown(event_id, event_type),
    };
    let facts = Facts {
        occurrence: action.filter(|_| facts.event_type.starts_with("payment_authorization_increment")),
        transaction_id,
        movement_id,
        occurred_at,
        customer: Customer {
            id: data.customer.or_default().id.some(),
            country: method.billing_address.or_default().country.some(),
        },
        method: PaymentMethod {
            kind: method.kind.some(),
            brand: method.scheme.some(),
            country: method.issuer_country.some(),
        },
        provider_risk_score: data.risk.or_default().score.integer(),
        metadata: data.metadata.into_vec(),
        ..facts
    };
    Ok(money::with_amount(facts, amount))
}

fn is_of_capture(event_type: &str) -> bool {
    matches!(event_type, "payment_captured" | "payment_capture_pending" | "payment_capture_declined")
}

fn kind(event_type: &str, status: &str, is_payout: bool) -> Option<EventType> {
    Some(match event_type {
        // Sent for payouts to cards too.
        "payment_pending" | "payment_approved" | "payment_compliance_review" if is_payout => PayoutPending,
        "payment_declined" | "payment_returned" | "payment_expired" if is_payout => PayoutFailed,
        "payment_canceled" | "payment_voided" if is_payout => PayoutCanceled,
        // Only payouts are paid.
        "payment_paid" | "payment_payout_paid" | "payment_paid_out" | "payout_paid" => PayoutSucceeded,
        "payout_declined" => PayoutFailed,
        // From one of the platform's accounts to another.
        "transfer_status_changed" => match &*status.to_ascii_lowercase() {
            "pending" => PayoutPending,
            "completed" => PayoutSucceeded,
            "rejected" => PayoutFailed,
            _ => PayoutUpdated,
        },
        "settlement_instructed" => PayoutPending,
        // It has left Checkout.com's bank, and not arrived.
        "settlement_debited" => PayoutUpdated,
        "payment_pending" | "payment_capture_pending" | "payment_compliance_review" => PaymentPending,
        "payment_approved" | "payment_authorized" | "payment_authorization_incremented" => PaymentAuthorized,
        "payment_captured" => PaymentSucceeded,
        // By the payer's bank, after the payment had succeeded.
        "payment_declined" | "payment_authentication_failed" | "payment_returned" => PaymentFailed,
        "payment_capture_declined" => PaymentCaptureFailed,
        "payment_voided" | "payment_canceled" => PaymentCanceled,
        "payment_expired" => PaymentExpired,
        // What was reserved before stays reserved.
        "payment_void_declined" | "payment_authorization_increment_declined" | "payment_retry_scheduled" => {
            PaymentUpdated
        }
        "payment_refund_pending" => RefundPending,
        "payment_refunded" => RefundSucceeded,
        "payment_refund_declined" => RefundFailed,
        "request_for_information_received" | "payment_retrieval" | "fraud_reported" => DisputeWarning,
        // The account is debited when evidence is asked for. Who is not told of disputes as they are received learns of it then.
        "dispute_received" | "dispute_evidence_required" | "payment_chargeback" => DisputeOpened,
        "dispute_evidence_submitted"
        | "dispute_evidence_acknowledged_by_scheme"
        | "dispute_arbitration_evidence_submitted"
        | "dispute_arbitration_sent_to_scheme" => DisputeUpdated,
        // The issuer canceled it: what was debited comes back.
        "dispute_won" | "dispute_arbitration_won" | "dispute_canceled" => DisputeWon,
        "dispute_lost" | "dispute_accepted" | "dispute_arbitration_lost" => DisputeLost,
        "dispute_expired" | "dispute_resolved" => DisputeClosed,
        _ => return None,
    })
}

/// Decimals by which Checkout.com counts, where ISO 4217 says otherwise: all that its page does not list have
/// two.
fn scale(currency: &str) -> Option<u8> {
    matches!(currency, "CLP" | "UYI" | "UYW").then_some(2)
}
