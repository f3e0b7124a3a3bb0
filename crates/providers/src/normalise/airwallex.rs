//! Airwallex. <https://www.airwallex.com/docs/developer-tools__listen-for-webhook-events>
//!
//! Event id: `id`. Provider's type: `name`. The object is `data.object`, of older products `data` itself.
//!
//! Transaction: the payment intent, which is the object itself or the one that it names; a payout, a deposit, a
//! subscription or an invoice without an intent is its own. Movement: the intent for the states of a payment, its
//! attempts included; the attempt for one that was cancelled or expired, since the intent may still be paid; else the
//! object's own id. A failure's occurrence is its attempt, which the intent names as the latest.
//!
//! Money: a decimal JSON number in major units. A successful intent's is `captured_amount`, a transfer's what its
//! recipient gets (`transfer_amount`), an invoice's `total_amount`, anything else's `amount`.
//!
//! Ignored: what the account's own cards and employees spend (`issuing`, `spend`), currency conversions.
//!
//! Signed: the time of sending and the whole body. Time: `created_at`, the event's own.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Number, Object, Pairs, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "airwallex", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

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

/// The form in which `data` is the object.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Plain<'a> {
    #[serde(borrow)]
    data: Object<Subject<'a>>,
}

/// The fields that are read of every kind of object. Which of them are there depends on the event's type.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Subject<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    payment_intent_id: Text<'a>,
    latest_successful_payment_intent_id: Text<'a>,
    latest_payment_attempt: Object<Attempt<'a>>,
    status: Text<'a>,
    stage: Text<'a>,
    amount: Number<'a>,
    captured_amount: Number<'a>,
    currency: Text<'a>,
    transfer_amount: Number<'a>,
    transfer_currency: Text<'a>,
    total_amount: Number<'a>,
    customer_id: Text<'a>,
    payment_method: Object<Method<'a>>,
    metadata: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attempt<'a> {
    #[serde(borrow)]
    id: Text<'a>,
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
    let subject = match event.data.or_default().object {
        Object::Value(subject) => subject,
        Object::Absent | Object::Wrong => json::read::<Plain<'_>>(body)?.data.or_default(),
    };
    let id = subject.id.some();
    let intent = subject.payment_intent_id.some();
    let intent = intent.or_else(|| subject.latest_successful_payment_intent_id.some());
    let names_intent = intent.is_some();
    let transaction_id = intent.or_else(|| id.clone());
    let Some(kind) = kind(&event_type, subject.status.as_str(), subject.stage.as_str(), names_intent) else {
        // Its object may be a customer or a card.
        let transaction_id = transaction_id.filter(|_| names_intent);
        return Ok(Facts { transaction_id, occurred_at, ..unknown(event_id, event_type) });
    };
    let family = event_type.split('.').next().unwrap_or_default();
    let (units, currency) = match (family, kind) {
        ("payment_intent", EventType::PaymentSucceeded) if !subject.captured_amount.is_absent() => {
            (subject.captured_amount, subject.currency)
        }
        ("payout", _) if !subject.transfer_amount.is_absent() => {
            (subject.transfer_amount, subject.transfer_currency)
        }
        ("invoice", _) if subject.amount.is_absent() => (subject.total_amount, subject.currency),
        ("subscription", _) => (Number::Absent, Text::Absent),
        _ => (subject.amount, subject.currency),
    };
    let amount = money::decimal(units, &currency);
    let attempt = match family {
        "payment_attempt" => id.clone(),
        _ => subject.latest_payment_attempt.or_default().id.some(),
    };
    let movement_id = match (family, kind) {
        ("payment_attempt", EventType::PaymentCanceled | EventType::PaymentExpired) => id,
        ("payment_intent" | "payment_attempt" | "payment_link", _) => transaction_id.clone(),
        _ => id,
    };
    let occurrence = match kind {
        EventType::PaymentFailed | EventType::PaymentRequiresAction | EventType::PaymentCaptureFailed => {
            attempt
        }
        _ => None,
    };
    let method = subject.payment_method.or_default();
    let card = method.card.or_default();
    let facts = Facts {
        transaction_id,
        movement_id,
        occurrence,
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

fn kind(name: &str, status: &str, stage: &str, names_intent: bool) -> Option<EventType> {
    use EventType::*;
    Some(match name {
        "payment_intent.created" => PaymentCreated,
        "payment_intent.pending"
        | "payment_intent.pending_review"
        | "payment_attempt.received"
        | "payment_attempt.pending_authorization" => PaymentPending,
        "payment_intent.requires_customer_action" | "payment_attempt.authentication_redirected" => {
            PaymentRequiresAction
        }
        "payment_intent.requires_capture"
        | "payment_intent.capture_required"
        | "payment_attempt.authorized" => PaymentAuthorized,
        "payment_intent.succeeded" => PaymentSucceeded,
        "payment_intent.payment_failed"
        | "payment_attempt.failed_to_process"
        | "payment_attempt.authentication_failed"
        | "payment_attempt.authorization_failed"
        | "payment_attempt.risk_declined" => PaymentFailed,
        "payment_attempt.capture_failed" => PaymentCaptureFailed,
        "payment_intent.cancelled" | "payment_attempt.cancelled" => PaymentCanceled,
        "payment_attempt.expired" => PaymentExpired,
        // The intent itself tells its success; these are steps before and after it.
        "payment_intent.requires_payment_method"
        | "payment_intent.updated"
        | "payment_intent.capture_requested"
        | "payment_intent.requested_capture"
        | "payment_attempt.capture_requested"
        | "payment_attempt.settled"
        | "payment_attempt.paid"
        | "payment_link.created" => PaymentUpdated,
        // Many payments may be made through one link.
        "payment_link.paid" if names_intent => PaymentSucceeded,
        "payment_link.paid" => PaymentUpdated,
        "refund.received" | "refund.accepted" | "refund.processing" => RefundPending,
        "refund.succeeded" | "refund.settled" => RefundSucceeded,
        "refund.failed" => RefundFailed,
        "fraud.merchant_notified"
        | "payment_dispute.rfi_responded_by_merchant"
        | "payment_dispute.requires_rfi_response" => DisputeWarning,
        // No money has moved yet in these stages.
        "payment_dispute.requires_response" if matches!(stage, "RFI" | "PRE_CHARGEBACK") => DisputeWarning,
        "payment_dispute.requires_response" => DisputeOpened,
        "payment_dispute.challenged"
        | "payment_dispute.pending_closure"
        | "payment_dispute.pending_decision" => DisputeUpdated,
        "payment_dispute.won" | "payment_dispute.reversed" => DisputeWon,
        "payment_dispute.lost" | "payment_dispute.accepted" => DisputeLost,
        "payment_dispute.expired" => DisputeClosed,
        "deposit.pending" | "charge.new" | "charge.pending" | "charge.suspended" => PaymentPending,
        "deposit.settled" | "charge.settled" => PaymentSucceeded,
        "deposit.rejected" | "charge.failed" => PaymentFailed,
        // The payer's bank took the money back.
        "deposit.reversed" => RefundSucceeded,
        // `deposit.…` tells the same.
        "balance.ga.top_up" | "balance.va.top_up" => PaymentUpdated,
        "payout.transfer.scheduled"
        | "payout.transfer.processing"
        | "payout.transfer.sent"
        | "payout.transfer.in_approval"
        | "wallet_transfer.created"
        | "wallet_transfer.processing"
        | "wallet_transfer.sent"
        | "connected_account_transfer.new"
        | "connected_account_transfer.pending"
        | "connected_account_transfer.suspended"
        | "funds_split.created" => PayoutPending,
        "payout.transfer.paid"
        | "wallet_transfer.settled"
        | "connected_account_transfer.settled"
        | "funds_split.settled" => PayoutSucceeded,
        "payout.transfer.failed"
        | "payout.transfer.approval_rejected"
        | "wallet_transfer.failed"
        | "connected_account_transfer.failed"
        | "funds_split.failed" => PayoutFailed,
        "payout.transfer.cancelled" => PayoutCanceled,
        // Each transfer of a batch has events of its own.
        name if name.starts_with("payout.") || name.starts_with("batch_transfers.") => PayoutUpdated,
        "funds_split.released" => PayoutUpdated,
        "subscription.created" if status == "PENDING" => SubscriptionUpdated,
        "subscription.created" | "subscription.in_trial" | "subscription.active" => SubscriptionCreated,
        "subscription.modified" | "subscription.updated" | "subscription.unpaid" => SubscriptionUpdated,
        "subscription.cancelled" => SubscriptionCanceled,
        "invoice.paid" => InvoicePaid,
        "invoice.payment_failed" | "invoice.payment_attempt_failed" => InvoicePaymentFailed,
        // The payment intent has events of its own.
        name if name.starts_with("invoice.")
            || name.starts_with("billing_checkout.")
            || name.starts_with("billing_transaction.") =>
        {
            PaymentUpdated
        }
        "credit_note.created" | "credit_note.finalized" | "credit_note.voided" => RefundUpdated,
        _ => return None,
    })
}
