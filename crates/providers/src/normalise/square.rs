//! Square. <https://developer.squareup.com/reference/square/webhooks>
//!
//! Event id: `event_id`. Transaction: the payment, which is the object itself, or the one that a refund, dispute
//! or invoice names; a payout or subscription is its own.
//!
//! Money: integers in the smallest denomination, as ISO 4217 counts. Live or sandbox: the
//! `Square-Environment` header.
//!
//! Signed: the whole body and the URL, not the header with the mode.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{First, Number, Object, Text},
    json, money,
    normaliser::{Normaliser, Read},
};
use crate::request::Received;

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "square",
    aliases: &[],
    headers: &["square-environment"],
    read: Read::Request(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    event_id: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    created_at: Text<'a>,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    object: Object<Named<'a>>,
}

/// The object is in the field of its own kind.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named<'a> {
    #[serde(borrow)]
    payment: Object<Subject<'a>>,
    refund: Object<Subject<'a>>,
    dispute: Object<Subject<'a>>,
    payout: Object<Subject<'a>>,
    invoice: Object<Subject<'a>>,
    subscription: Object<Subject<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Subject<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    payment_id: Text<'a>,
    disputed_payment: Object<Disputed<'a>>,
    status: Text<'a>,
    state: Text<'a>,
    amount_money: Object<Amount<'a>>,
    payment_requests: First<PaymentRequest<'a>>,
    customer_id: Text<'a>,
    source_type: Text<'a>,
    card_details: Object<CardDetails<'a>>,
    billing_address: Object<Address<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Disputed<'a> {
    #[serde(borrow)]
    payment_id: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PaymentRequest<'a> {
    #[serde(borrow)]
    computed_amount_money: Object<Amount<'a>>,
    total_completed_amount_money: Object<Amount<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Amount<'a> {
    #[serde(borrow)]
    amount: Number<'a>,
    currency: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CardDetails<'a> {
    #[serde(borrow)]
    card: Object<Card<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Card<'a> {
    #[serde(borrow)]
    card_brand: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Address<'a> {
    #[serde(borrow)]
    country: Text<'a>,
}

fn normalise<'a>(received: Received<'a>) -> Result<Facts<'a>, ContentError> {
    let event: Event<'a> = json::read(received.body)?;
    let event_id = required(event.event_id, "event_id")?;
    let event_type = event.kind.some().unwrap_or_default();
    let occurred_at = event.created_at.moment();
    let livemode = match received.headers.get("square-environment") {
        Some("Production") => Some(true),
        Some("Sandbox") => Some(false),
        _ => None,
    };
    let object = event.data.or_default().object.or_default();
    let family = event_type.split('.').next().unwrap_or_default();
    let subject = match family {
        "payment" => object.payment,
        "refund" => object.refund,
        "dispute" => object.dispute,
        "payout" => object.payout,
        "invoice" => object.invoice,
        "subscription" => object.subscription,
        _ => Object::Absent,
    };
    let found = subject.some().and_then(|subject| Some((kind(&event_type, &subject)?, subject)));
    let Some((kind, subject)) = found else {
        return Ok(Facts { occurred_at, livemode, ..unknown(event_id, event_type) });
    };
    let amount = if family == "invoice" {
        let request = subject.payment_requests.only().unwrap_or_default();
        match kind {
            EventType::InvoicePaid => request.total_completed_amount_money,
            _ => request.computed_amount_money,
        }
    } else {
        subject.amount_money
    }
    .or_default();
    let amount = money::minor(amount.amount, &amount.currency, money::iso);

    let payment = subject.disputed_payment.or_default().payment_id.some();
    let payment = payment.or_else(|| subject.payment_id.some()).or_else(|| subject.id.some());
    let facts = Facts {
        transaction_id: payment,
        occurred_at,
        customer: Customer {
            id: subject.customer_id.some(),
            country: subject.billing_address.or_default().country.some(),
        },
        method: PaymentMethod {
            kind: subject.source_type.some(),
            brand: subject.card_details.or_default().card.or_default().card_brand.some(),
            country: None,
        },
        livemode,
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(event_type: &str, subject: &Subject<'_>) -> Option<EventType> {
    use EventType::*;
    let status = subject.status.as_str();
    Some(match event_type {
        "payment.created" | "payment.updated" => match status {
            "APPROVED" => PaymentAuthorized,
            "PENDING" => PaymentPending,
            "COMPLETED" => PaymentSucceeded,
            "CANCELED" => PaymentCanceled,
            "FAILED" => PaymentFailed,
            _ => return None,
        },
        "refund.created" | "refund.updated" => match status {
            "PENDING" => RefundPending,
            "COMPLETED" => RefundSucceeded,
            "REJECTED" | "FAILED" => RefundFailed,
            _ => return None,
        },
        name if name.starts_with("dispute.evidence.") => DisputeUpdated,
        "dispute.created" | "dispute.state.updated" | "dispute.state.changed" => match subject.state.as_str()
        {
            "INQUIRY_EVIDENCE_REQUIRED" | "INQUIRY_PROCESSING" => DisputeWarning,
            "INQUIRY_CLOSED" => DisputeClosed,
            "WON" => DisputeWon,
            "LOST" | "ACCEPTED" => DisputeLost,
            _ if event_type == "dispute.created" => DisputeOpened,
            _ => DisputeUpdated,
        },
        "payout.sent" => PayoutPending,
        "payout.paid" => PayoutSucceeded,
        "payout.failed" => PayoutFailed,
        "invoice.payment_made" => InvoicePaid,
        "invoice.scheduled_charge_failed" => InvoicePaymentFailed,
        "subscription.created" => SubscriptionCreated,
        "subscription.updated" if status == "CANCELED" => SubscriptionCanceled,
        "subscription.updated" => SubscriptionUpdated,
        _ => return None,
    })
}
