//! Stripe. <https://docs.stripe.com/api/events/types>, <https://docs.stripe.com/currencies>
//!
//! Event id: `id`. Transaction: the object's `payment_intent`, else its `charge`, else its own id.
//!
//! Money: integers in Stripe's own minor units. A `charge.refunded` carries the charge, whose `amount_refunded`
//! is the sum of its refunds: what this event refunded is that sum less the one in `previous_attributes`, and unknown
//! without it, unless the sum is zero.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Flag, Number, Object, Pairs, Reference, Text},
    json,
    money::{self, Amount},
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "stripe", aliases: &[], headers: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    created: Number<'a>,
    livemode: Flag,
    #[serde(rename = "type")]
    kind: Text<'a>,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    object: Object<Subject<'a>>,
    previous_attributes: Object<Previous<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Previous<'a> {
    #[serde(borrow)]
    amount_refunded: Number<'a>,
    amount_reversed: Number<'a>,
}

/// The fields that are read of every kind of object. Which of them are there depends on the event's type.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Subject<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    payment_intent: Reference<'a>,
    charge: Reference<'a>,
    customer: Reference<'a>,
    status: Text<'a>,
    currency: Text<'a>,
    amount: Number<'a>,
    amount_capturable: Number<'a>,
    amount_captured: Number<'a>,
    amount_due: Number<'a>,
    amount_paid: Number<'a>,
    amount_received: Number<'a>,
    amount_refunded: Number<'a>,
    amount_reversed: Number<'a>,
    amount_total: Number<'a>,
    captured: Flag,
    mode: Text<'a>,
    payment_status: Text<'a>,
    payment_method_details: Object<MethodDetails<'a>>,
    outcome: Object<Outcome<'a>>,
    billing_details: Object<Billing<'a>>,
    customer_details: Object<Billing<'a>>,
    customer_address: Object<Address<'a>>,
    metadata: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MethodDetails<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    card: Object<Card<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Card<'a> {
    #[serde(borrow)]
    brand: Text<'a>,
    country: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Outcome<'a> {
    #[serde(borrow)]
    risk_score: Number<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Billing<'a> {
    #[serde(borrow)]
    address: Object<Address<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Address<'a> {
    #[serde(borrow)]
    country: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_id = required(event.id, "id")?;
    let Data { object, previous_attributes } = event.data.or_default();
    let (subject, previous) = (object.or_default(), previous_attributes.or_default());
    // Thin events (`v2.core.event`) write the time as RFC 3339 text.
    let occurred_at = match event.created {
        Number::Quoted(text) => text.parse().ok(),
        created => created.unix_seconds(),
    };
    let livemode = event.livemode.some();
    let Some(kind) = kind(event.kind.as_str(), &subject) else {
        let event_type = event.kind.some().unwrap_or_default();
        return Ok(Facts { occurred_at, livemode, ..unknown(event_id, event_type) });
    };
    let amount = amount(event.kind.as_str(), &subject, &previous);

    let details = subject.payment_method_details.or_default();
    let card = details.card.or_default();
    let country = [
        subject.billing_details.or_default().address,
        subject.customer_details.or_default().address,
        subject.customer_address,
    ]
    .into_iter()
    .find_map(|address| address.or_default().country.some());
    let transaction_id = subject.payment_intent.0.some();
    let transaction_id = transaction_id.or_else(|| subject.charge.0.some()).or_else(|| subject.id.some());
    let facts = Facts {
        transaction_id,
        occurred_at,
        customer: Customer { id: subject.customer.0.some(), country },
        method: PaymentMethod {
            kind: details.kind.some(),
            brand: card.brand.some(),
            country: card.country.some(),
        },
        provider_risk_score: subject.outcome.or_default().risk_score.integer(),
        livemode,
        metadata: subject.metadata.into_vec(),
        ..Facts::new(event_id, event.kind.some().unwrap_or_default(), kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(event_type: &str, subject: &Subject<'_>) -> Option<EventType> {
    use EventType::*;
    let status = subject.status.as_str();
    Some(match event_type {
        "payment_intent.created" => PaymentCreated,
        "payment_intent.processing" | "payment_intent.partially_funded" | "charge.pending" => PaymentPending,
        "payment_intent.requires_action" | "invoice.payment_action_required" => PaymentRequiresAction,
        "payment_intent.amount_capturable_updated" => PaymentAuthorized,
        "payment_intent.succeeded" | "charge.captured" | "checkout.session.async_payment_succeeded" => {
            PaymentSucceeded
        }
        "payment_intent.payment_failed" | "charge.failed" | "checkout.session.async_payment_failed" => {
            PaymentFailed
        }
        "payment_intent.canceled" => PaymentCanceled,
        "charge.expired" | "checkout.session.expired" => PaymentExpired,
        "charge.succeeded" if subject.captured.some() == Some(false) => PaymentAuthorized,
        "charge.succeeded" => PaymentSucceeded,
        // A session can end without a payment (`setup`), or before a delayed method has paid.
        "checkout.session.completed" => match (subject.mode.as_str(), subject.payment_status.as_str()) {
            ("setup", _) => return None,
            (_, "unpaid") => PaymentPending,
            _ => PaymentSucceeded,
        },
        "charge.refunded" => RefundSucceeded,
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => match status {
            "succeeded" => RefundSucceeded,
            "failed" => RefundFailed,
            "canceled" => RefundCanceled,
            _ if event_type == "refund.failed" => RefundFailed,
            _ => RefundPending,
        },
        "radar.early_fraud_warning.created" => DisputeWarning,
        // `warning_…` is an inquiry: no money has been withdrawn.
        "charge.dispute.created" if status.starts_with("warning_") => DisputeWarning,
        "charge.dispute.created" => DisputeOpened,
        "charge.dispute.updated"
        | "charge.dispute.funds_withdrawn"
        | "charge.dispute.funds_reinstated"
        | "radar.early_fraud_warning.updated" => DisputeUpdated,
        "charge.dispute.closed" => match status {
            "won" => DisputeWon,
            "lost" => DisputeLost,
            _ => DisputeClosed,
        },
        "payout.created" => PayoutPending,
        "payout.updated" => match status {
            "paid" => PayoutSucceeded,
            "failed" => PayoutFailed,
            "canceled" => PayoutCanceled,
            _ => PayoutPending,
        },
        "payout.paid" | "transfer.created" => PayoutSucceeded,
        "payout.failed" | "transfer.reversed" => PayoutFailed,
        "payout.canceled" => PayoutCanceled,
        "customer.subscription.created" => SubscriptionCreated,
        "customer.subscription.updated"
        | "customer.subscription.paused"
        | "customer.subscription.resumed" => SubscriptionUpdated,
        "customer.subscription.deleted" => SubscriptionCanceled,
        "invoice.paid" | "invoice.payment_succeeded" => InvoicePaid,
        "invoice.payment_failed" => InvoicePaymentFailed,
        _ => return None,
    })
}

fn amount(event_type: &str, subject: &Subject<'_>, previous: &Previous<'_>) -> Amount {
    let exact = |units| money::minor(units, &subject.currency, scale);
    match event_type {
        "payment_intent.succeeded" => exact(nonzero(subject.amount_received).unwrap_or(subject.amount)),
        "payment_intent.amount_capturable_updated" => {
            exact(nonzero(subject.amount_capturable).unwrap_or(subject.amount))
        }
        "charge.captured" => exact(nonzero(subject.amount_captured).unwrap_or(subject.amount)),
        "charge.refunded" => less(exact(subject.amount_refunded), exact(previous.amount_refunded)),
        "transfer.reversed" => less(exact(subject.amount_reversed), exact(previous.amount_reversed)),
        "invoice.paid" | "invoice.payment_succeeded" => exact(subject.amount_paid),
        "invoice.payment_failed" | "invoice.payment_action_required" => exact(subject.amount_due),
        name if name.starts_with("checkout.session.") => exact(subject.amount_total),
        name if name.starts_with("customer.subscription.") => Ok(None),
        _ => exact(subject.amount),
    }
}

/// Fields that older API versions leave at zero or out.
fn nonzero(units: Number<'_>) -> Option<Number<'_>> {
    (!matches!(units, Number::Absent | Number::Bare("0"))).then_some(units)
}

fn less(total: Amount, before: Amount) -> Amount {
    let (Some(total), before) = (total?, before?) else { return Ok(None) };
    let before = match before {
        Some(before) => before.minor_units(),
        None if total.minor_units() == 0 => 0,
        None => return Ok(None),
    };
    let units = total.minor_units() - before;
    tollgate_core::Money::from_minor(units, total.currency()).map(Some).map_err(|_| "amount is out of range")
}

/// Decimals by which Stripe counts, where ISO 4217 says otherwise: ISK and UGX have two, for old
/// integrations, MGA has none.
fn scale(currency: &str) -> Option<u8> {
    match currency {
        "ISK" | "UGX" => Some(2),
        "MGA" => Some(0),
        _ => None,
    }
}
