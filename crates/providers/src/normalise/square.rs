//! Square. <https://developer.squareup.com/reference/square/webhooks>
//!
//! Event id: `event_id`. Time: the event's `created_at`. Live or sandbox: the `Square-Environment` header.
//!
//! Transaction: the payment, which is the object itself, or the one that a refund or dispute names; an invoice, payout
//! or subscription is its own. Movement: the object that the event is about. A payment that is told again after a refund
//! is an update. A dispute in either state in which it is open is told as opened: the first event opens it, the others
//! restate that.
//!
//! Amount, integers in the smallest denomination, as ISO 4217 counts: of a payment its total with the tip
//! (`total_money`), of refunds, disputes and payouts their own. An invoice tells only how much was paid of it in all,
//! so that its events have no amount: each of its payments has events of its own.
//!
//! Signed: the whole body and the URL, not the header with the mode.

use serde::{Deserialize, Deserializer};
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Number, Object, Text, each},
    json, money,
    normaliser::{Normaliser, Read},
};
use crate::request::Received;

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "square",
    aliases: &[],
    headers: &["square-environment"],
    query: &[],
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
    checkout: Object<Subject<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Subject<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    dispute_id: Text<'a>,
    refund_id: Text<'a>,
    payment_id: Text<'a>,
    payment_ids: Ids<'a>,
    refund_ids: Ids<'a>,
    refunded_money: Object<Amount<'a>>,
    disputed_payment: Object<Disputed<'a>>,
    status: Text<'a>,
    state: Text<'a>,
    amount_money: Object<Amount<'a>>,
    tip_money: Object<Amount<'a>>,
    total_money: Object<Amount<'a>>,
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

/// A list of ids: the first, and how many there are.
#[derive(Default)]
struct Ids<'a> {
    first: Text<'a>,
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Ids<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut ids = Self::default();
        each(deserializer, |id: Text<'de>| {
            if ids.count == 0 {
                ids.first = id;
            }
            ids.count += 1;
        })?;
        Ok(ids)
    }
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
        "terminal" if event_type.starts_with("terminal.refund.") => object.refund,
        "terminal" => object.checkout,
        _ => Object::Absent,
    };
    let Some(subject) = subject.some() else {
        return Ok(Facts { occurred_at, livemode, ..unknown(event_id, event_type) });
    };
    let amount = amount(family, &subject);
    let kind = match kind(&event_type, &subject) {
        // Nothing was due.
        Some(EventType::PaymentSucceeded | EventType::PaymentAuthorized) if money::is_zero(&amount) => {
            Some(EventType::PaymentUpdated)
        }
        kind => kind,
    };

    let id = subject.id.some();
    let movement_id = match family {
        "dispute" => id.clone().or_else(|| subject.dispute_id.some()),
        "terminal" => subject.refund_id.some().or_else(|| id.clone()),
        _ => id.clone(),
    };
    let payment = subject.disputed_payment.or_default().payment_id.some();
    let payment = payment.or_else(|| subject.payment_id.some());
    let payment =
        payment.or_else(|| subject.payment_ids.first.some().filter(|_| subject.payment_ids.count == 1));
    let facts = Facts {
        transaction_id: payment.or(id),
        movement_id,
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
        ..unknown(event_id, event_type)
    };
    let Some(kind) = kind else {
        return Ok(Facts { amount: amount.ok().flatten(), movement_id: None, ..facts });
    };
    // A payment is one attempt.
    let occurrence = facts.movement_id.clone().filter(|_| kind == EventType::PaymentFailed);
    Ok(money::with_amount(Facts { kind, unrecognized: None, occurrence, ..facts }, amount))
}

fn amount(family: &str, subject: &Subject<'_>) -> money::Amount {
    let exact = |amount: &Object<Amount<'_>>| match amount {
        Object::Value(amount) => money::minor(amount.amount, &amount.currency, money::iso),
        Object::Absent | Object::Wrong => Ok(None),
    };
    match (family, &subject.total_money) {
        ("payment", Object::Absent | Object::Wrong) => {
            let (amount, tip) = (exact(&subject.amount_money)?, exact(&subject.tip_money)?);
            match (amount, tip) {
                (Some(amount), Some(tip)) => Ok(money::sum(amount, tip)),
                (amount, _) => Ok(amount),
            }
        }
        ("payment", total) => exact(total),
        // What is due next, not what was paid.
        ("invoice", _) => Ok(None),
        _ => exact(&subject.amount_money),
    }
}

fn kind(event_type: &str, subject: &Subject<'_>) -> Option<EventType> {
    use EventType::*;
    let status = subject.status.as_str();
    Some(match event_type {
        "payment.created" | "payment.updated" => match status {
            "APPROVED" => PaymentAuthorized,
            "PENDING" => PaymentPending,
            "COMPLETED" if is_refunded(subject) => PaymentUpdated,
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
        // The payments and refunds of a terminal have events of their own.
        "terminal.checkout.created" | "terminal.checkout.updated" => PaymentUpdated,
        "terminal.refund.created" | "terminal.refund.updated" => RefundUpdated,
        name if name.starts_with("dispute.evidence.") => DisputeUpdated,
        "dispute.created" | "dispute.state.updated" | "dispute.state.changed" => match subject.state.as_str()
        {
            "INQUIRY_EVIDENCE_REQUIRED" | "INQUIRY_PROCESSING" => DisputeWarning,
            "INQUIRY_CLOSED" => DisputeClosed,
            "WON" => DisputeWon,
            "LOST" | "ACCEPTED" => DisputeLost,
            // An inquiry may become a dispute, and be processed at once. Of one that was opened this restates it.
            "EVIDENCE_REQUIRED" | "PROCESSING" => DisputeOpened,
            _ if event_type == "dispute.created" => DisputeOpened,
            _ => DisputeUpdated,
        },
        "payout.sent" => PayoutPending,
        "payout.paid" => PayoutSucceeded,
        "payout.failed" => PayoutFailed,
        "invoice.payment_made" => match status {
            "PARTIALLY_PAID" | "PAYMENT_PENDING" | "PARTIALLY_REFUNDED" | "REFUNDED" => PaymentUpdated,
            _ => InvoicePaid,
        },
        "invoice.scheduled_charge_failed" => InvoicePaymentFailed,
        "invoice.canceled" => PaymentCanceled,
        // Each refund has events of its own.
        "invoice.refunded" => RefundUpdated,
        // It begins later.
        "subscription.created" if status == "PENDING" => SubscriptionUpdated,
        "subscription.created" => SubscriptionCreated,
        "subscription.updated" if matches!(status, "CANCELED" | "DEACTIVATED" | "COMPLETED") => {
            SubscriptionCanceled
        }
        "subscription.updated" => SubscriptionUpdated,
        _ => return None,
    })
}

/// Whether something of the payment was refunded before: then the payment itself is not what changed.
fn is_refunded(subject: &Subject<'_>) -> bool {
    let sum = match &subject.refunded_money {
        Object::Value(money) => money.amount.integer::<i128>().unwrap_or_default(),
        Object::Absent | Object::Wrong => 0,
    };
    subject.refund_ids.count > 0 || sum != 0
}
