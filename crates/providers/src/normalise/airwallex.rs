//! Airwallex. <https://www.airwallex.com/docs/developer-tools__listen-for-webhook-events>
//!
//! Event id: `id`. Provider's type: `name`. Transaction: the payment intent, which is the object itself or the
//! one that it names; a payout or subscription is its own.
//!
//! Money: a decimal JSON number in major units.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Number, Object, Pairs, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "airwallex", aliases: &[], headers: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    name: Text<'a>,
    created_at: Text<'a>,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    object: Object<Subject<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Subject<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    payment_intent_id: Text<'a>,
    amount: Number<'a>,
    currency: Text<'a>,
    customer_id: Text<'a>,
    payment_method: Object<Method<'a>>,
    metadata: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Method<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    card: Object<Card<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Card<'a> {
    #[serde(borrow)]
    brand: Text<'a>,
    issuer_country_code: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_id = required(event.id, "id")?;
    let event_type = event.name.some().unwrap_or_default();
    let occurred_at = event.created_at.moment();
    let Some(kind) = kind(&event_type) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
    };
    let subject = event.data.or_default().object.or_default();
    let amount = money::decimal(subject.amount, &subject.currency);
    let method = subject.payment_method.or_default();
    let card = method.card.or_default();
    let facts = Facts {
        transaction_id: subject.payment_intent_id.some().or_else(|| subject.id.some()),
        occurred_at,
        customer: Customer { id: subject.customer_id.some(), country: None },
        method: PaymentMethod {
            kind: method.kind.some(),
            brand: card.brand.some(),
            country: card.issuer_country_code.some(),
        },
        metadata: subject.metadata.into_vec(),
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(name: &str) -> Option<EventType> {
    use EventType::*;
    Some(match name {
        "payment_intent.created" => PaymentCreated,
        "payment_intent.pending" | "payment_intent.pending_review" => PaymentPending,
        "payment_intent.requires_customer_action" => PaymentRequiresAction,
        "payment_intent.requires_capture" | "payment_attempt.authorized" => PaymentAuthorized,
        "payment_intent.succeeded" => PaymentSucceeded,
        "payment_attempt.failed_to_process" | "payment_attempt.authorization_failed" => PaymentFailed,
        "payment_attempt.capture_failed" => PaymentCaptureFailed,
        "payment_intent.cancelled" | "payment_attempt.cancelled" => PaymentCanceled,
        "payment_attempt.expired" => PaymentExpired,
        "refund.received" | "refund.accepted" | "refund.processing" => RefundPending,
        "refund.succeeded" | "refund.settled" => RefundSucceeded,
        "refund.failed" => RefundFailed,
        "payment_dispute.rfi_responded_by_merchant" | "payment_dispute.requires_rfi_response" => {
            DisputeWarning
        }
        "payment_dispute.requires_response" => DisputeOpened,
        "payment_dispute.challenged"
        | "payment_dispute.pending_closure"
        | "payment_dispute.pending_decision" => DisputeUpdated,
        "payment_dispute.won" | "payment_dispute.reversed" => DisputeWon,
        "payment_dispute.lost" | "payment_dispute.accepted" => DisputeLost,
        "payment_dispute.expired" => DisputeClosed,
        "payout.transfer.scheduled"
        | "payout.transfer.processing"
        | "payout.transfer.sent"
        | "payout.transfer.in_approval" => PayoutPending,
        "payout.transfer.paid" => PayoutSucceeded,
        "payout.transfer.failed" | "payout.transfer.overdue" => PayoutFailed,
        "payout.transfer.cancelled" => PayoutCanceled,
        "subscription.created" | "subscription.in_trial" | "subscription.active" => SubscriptionCreated,
        "subscription.modified" | "subscription.unpaid" => SubscriptionUpdated,
        "subscription.cancelled" => SubscriptionCanceled,
        "invoice.paid" => InvoicePaid,
        "invoice.payment_failed" | "invoice.payment_attempt_failed" => InvoicePaymentFailed,
        _ => return None,
    })
}
