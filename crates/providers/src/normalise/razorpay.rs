//! Razorpay and RazorpayX. <https://razorpay.com/docs/webhooks/payloads/>
//!
//! Event id: `{event}:{movement}:{transaction, where another}:{status}:{phase}:{created_at}:{amount}`. The header
//! `x-razorpay-event-id` is the event's id at Razorpay and is not signed, so that it is not read.
//!
//! Transaction: the payment. Events of orders, payment links, QR codes, virtual accounts, invoices and subscription
//! charges have it beside their own object, and say the same as `payment.captured`. What has no payment (a payout, a
//! settlement, a transfer, a link that expires) is its own transaction. A payout link and the payouts that it leads to share no id
//! in these webhooks: the payouts tell what was paid.
//!
//! Movement: the payment's id; the refund's, the dispute's, the payout's, the payout link's or the subscription's in their
//! own events. `transaction.created` is a line of the RazorpayX account: its source is what moved.
//!
//! Money: integers in the smallest unit (paise), as ISO 4217 counts. A settlement names no currency: it is in INR. The
//! amounts of invoices, orders and links (`amount_paid`) are running sums: the amount is that of the payment beside them, of
//! a captured one `amount_captured`, where it is not null. A
//! subscription has none, except where it is charged. A refund of a payment that was never captured is a released
//! authorisation.
//!
//! Time: the event's `created_at`; that of a payment link or payout link is the link's own creation, and then the time is
//! when the link was last changed, else absent.
//!
//! Signed: the whole body.

use std::borrow::Cow;

use serde::Deserialize;
use tollgate_core::{Category, Customer, EventType, EventType::*, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Flag, Number, Object, Pairs, Text},
    identity::identified,
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "razorpay", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    created_at: Number<'a>,
    payload: Object<Payload<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload<'a> {
    #[serde(borrow)]
    payment: Object<Wrapper<'a>>,
    order: Object<Wrapper<'a>>,
    payment_link: Object<Wrapper<'a>>,
    refund: Object<Wrapper<'a>>,
    dispute: Object<Wrapper<'a>>,
    payout: Object<Wrapper<'a>>,
    payout_link: Object<Wrapper<'a>>,
    settlement: Object<Wrapper<'a>>,
    transfer: Object<Wrapper<'a>>,
    transaction: Object<Wrapper<'a>>,
    subscription: Object<Wrapper<'a>>,
    invoice: Object<Wrapper<'a>>,
}

impl<'a> Payload<'a> {
    /// The payment, and the object that an event of this type is named for, where that is another.
    fn entities(self, event_type: &str) -> (Entity<'a>, Entity<'a>) {
        let (family, rest) = event_type.split_once('.').unwrap_or((event_type, ""));
        let own = match family {
            "payment" if rest.starts_with("dispute.") => self.dispute,
            "payment" => return (Entity::default(), self.payment.or_default().entity.or_default()),
            "order" => self.order,
            "payment_link" => self.payment_link,
            "refund" => self.refund,
            "payout" => self.payout,
            "payout_link" => self.payout_link,
            "settlement" => self.settlement,
            "transfer" => self.transfer,
            "transaction" => self.transaction,
            "subscription" => self.subscription,
            "invoice" => self.invoice,
            _ => Object::Absent,
        };
        (self.payment.or_default().entity.or_default(), own.or_default().entity.or_default())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wrapper<'a> {
    #[serde(borrow)]
    entity: Object<Entity<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entity<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    payment_id: Text<'a>,
    amount: Number<'a>,
    amount_captured: Number<'a>,
    currency: Text<'a>,
    status: Text<'a>,
    captured: Flag,
    phase: Text<'a>,
    created_at: Number<'a>,
    updated_at: Number<'a>,
    cancelled_at: Number<'a>,
    expired_at: Number<'a>,
    method: Text<'a>,
    card: Object<Card<'a>>,
    customer_id: Text<'a>,
    notes: Pairs<'a>,
    source: Object<Source<'a>>,
}

/// What a line of the account is about.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Source<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    entity: Text<'a>,
    payout_id: Text<'a>,
    amount: Number<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Card<'a> {
    #[serde(borrow)]
    network: Text<'a>,
    country: Text<'a>,
}

/// What an event is about.
struct Subject<'a> {
    movement: Option<Cow<'a, str>>,
    transaction: Option<Cow<'a, str>>,
    units: Number<'a>,
    currency: Text<'a>,
}

/// What was taken of a payment. `amount_captured` is null where that is the whole amount.
fn captured_amount<'a>(amount: Number<'a>, amount_captured: Number<'a>) -> Number<'a> {
    match amount_captured {
        Number::Absent | Number::Bare("0") => amount,
        part => part,
    }
}

impl<'a> Subject<'a> {
    /// A payment, or what is its own transaction.
    fn of(id: Option<Cow<'a, str>>, units: Number<'a>, currency: Text<'a>) -> Self {
        Self { movement: id.clone(), transaction: id, units, currency }
    }
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_type = required(event.event, "event")?;
    let created_at = event.created_at.text().unwrap_or_default();
    let (payment, own) = event.payload.or_default().entities(&event_type);
    let Entity { id, status, phase, source, .. } = own;
    let source = source.or_default();
    let captured = payment.captured.some();
    let kind = match kind(&event_type, status.as_str(), phase.as_str(), source.entity.as_str()) {
        Some(RefundPending | RefundSucceeded) if captured == Some(false) => Some(PaymentCanceled),
        kind => kind,
    };

    let mut occurred_at = event.created_at.unix_seconds();
    if event_type.contains("_link.") && occurred_at == own.created_at.unix_seconds() {
        let moments = [own.cancelled_at, own.expired_at, own.updated_at].map(Number::unix_seconds);
        occurred_at = moments.into_iter().flatten().find(|at| Some(*at) > occurred_at);
    }
    let beside = payment.id.some();
    let payment_id = beside.clone().or_else(|| own.payment_id.some());
    let subject = match kind.map(EventType::category) {
        Some(Category::Refund | Category::Dispute) => Subject {
            movement: id.some(),
            transaction: payment_id,
            units: own.amount,
            currency: own.currency,
        },
        _ if event_type == "transaction.created" => {
            Subject::of(source.payout_id.some().or_else(|| source.id.some()), source.amount, own.currency)
        }
        Some(_) if event_type.starts_with("refund.") => Subject::of(payment_id, own.amount, own.currency),
        _ if is_of_payment(&event_type) && beside.is_some() => {
            Subject::of(beside, captured_amount(payment.amount, payment.amount_captured), payment.currency)
        }
        _ if is_of_payment(&event_type) => Subject::of(id.some(), Number::Absent, Text::Absent),
        _ if event_type.starts_with("subscription.") => Subject::of(id.some(), Number::Absent, Text::Absent),
        _ if event_type.starts_with("settlement.") => {
            Subject::of(id.some(), own.amount, Text::Value("INR".into()))
        }
        Some(_) if event_type == "payment.captured" => {
            Subject::of(id.some(), captured_amount(own.amount, own.amount_captured), own.currency)
        }
        _ => Subject::of(id.some(), own.amount, own.currency),
    };
    let amount = money::minor(subject.units, &subject.currency, money::iso);
    let card = own.card.some().or_else(|| payment.card.some()).unwrap_or_default();
    let notes = if own.notes.is_empty() { payment.notes } else { own.notes };
    let facts = match kind {
        Some(kind) => Facts::new("", event_type, kind),
        None => unknown("", event_type),
    };
    let facts = Facts {
        // An attempt to pay has a payment of its own, which fails once.
        occurrence: (kind == Some(PaymentFailed)).then(|| subject.movement.clone()).flatten(),
        movement_id: subject.movement,
        transaction_id: subject.transaction,
        occurred_at,
        customer: Customer {
            id: own.customer_id.some().or_else(|| payment.customer_id.some()),
            country: None,
        },
        method: PaymentMethod {
            kind: own.method.some().or_else(|| payment.method.some()),
            brand: card.network.some(),
            country: card.country.some(),
        },
        metadata: notes.into_vec(),
        ..facts
    };
    let facts = money::with_amount(facts, amount);
    let captured = captured.map_or("", |captured| if captured { "captured" } else { "uncaptured" });
    let words = [status.as_str(), phase.as_str(), source.entity.as_str(), captured, created_at];
    Ok(identified(facts, &words, body))
}

/// Whether what happened is what happened to the payment that the event has beside its own object.
fn is_of_payment(event_type: &str) -> bool {
    matches!(
        event_type,
        "order.paid"
            | "payment_link.paid"
            | "payment_link.partially_paid"
            | "qr_code.credited"
            | "virtual_account.credited"
            | "invoice.paid"
            | "invoice.partially_paid"
            | "subscription.charged"
    )
}

fn kind(event_type: &str, status: &str, phase: &str, source: &str) -> Option<EventType> {
    Some(match event_type {
        "payment.authorized" => PaymentAuthorized,
        "payment.captured"
        | "order.paid"
        | "payment_link.paid"
        | "payment_link.partially_paid"
        | "qr_code.credited"
        | "virtual_account.credited"
        | "invoice.partially_paid" => PaymentSucceeded,
        "payment.pending" => PaymentPending,
        "payment.failed" => PaymentFailed,
        "payment_link.cancelled" => PaymentCanceled,
        "payment_link.expired" | "invoice.expired" => PaymentExpired,
        "refund.created" => match status {
            "processed" => RefundSucceeded,
            "failed" => RefundFailed,
            _ => RefundPending,
        },
        "refund.processed" => RefundSucceeded,
        "refund.failed" => RefundFailed,
        "refund.speed_changed" => RefundUpdated,
        "payment.dispute.created" if matches!(phase, "retrieval" | "fraud") => DisputeWarning,
        "payment.dispute.created" => DisputeOpened,
        "payment.dispute.under_review" | "payment.dispute.action_required" => DisputeUpdated,
        "payment.dispute.won" => DisputeWon,
        "payment.dispute.lost" => DisputeLost,
        "payment.dispute.closed" => DisputeClosed,
        // Its bank reference is known now, or its state is another.
        "payout.updated" => match status {
            "processed" => PayoutSucceeded,
            "failed" | "reversed" => PayoutFailed,
            "rejected" | "cancelled" => PayoutCanceled,
            _ => PayoutPending,
        },
        "payout.pending"
        | "payout.queued"
        | "payout.initiated"
        | "payout_link.pending"
        | "payout_link.issued" => PayoutPending,
        "payout.processed" | "settlement.processed" | "transfer.processed" => PayoutSucceeded,
        "payout.failed" | "payout.reversed" | "transfer.failed" => PayoutFailed,
        "payout.rejected" | "payout_link.rejected" | "payout_link.cancelled" | "payout_link.expired" => {
            PayoutCanceled
        }
        // Each payout of a link has events of its own, which tell the same money. After `attempted` there is another one.
        "payout_link.processing" | "payout_link.processed" | "payout_link.attempted" => PayoutUpdated,
        "transaction.created" if source == "bank_transfer" => PaymentSucceeded,
        // The payout's own events say what became of it.
        "transaction.created" => PayoutUpdated,
        "subscription.authenticated" | "subscription.activated" => SubscriptionCreated,
        "subscription.pending"
        | "subscription.halted"
        | "subscription.paused"
        | "subscription.resumed"
        | "subscription.updated" => SubscriptionUpdated,
        "subscription.cancelled" | "subscription.completed" => SubscriptionCanceled,
        "subscription.charged" | "invoice.paid" => InvoicePaid,
        _ => return None,
    })
}
