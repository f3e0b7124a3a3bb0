//! Klarna (Klarna Network webhooks).
//! <https://docs.klarna.com/api/kn/klarna-notifications-api/>
//!
//! Event id: `metadata.event_id`. Transaction: the payment transaction, else the payment request.
//!
//! Money: integers in minor units, as ISO 4217 counts, where the payload holds them at all.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Flag, Number, Object, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "klarna", aliases: &[], headers: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    metadata: Object<Metadata<'a>>,
    payload: Object<Payload<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata<'a> {
    #[serde(borrow)]
    event_id: Text<'a>,
    event_type: Text<'a>,
    occurred_at: Text<'a>,
    live: Flag,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload<'a> {
    #[serde(borrow)]
    payment_request_id: Text<'a>,
    payment_transaction_id: Text<'a>,
    payment_dispute_id: Text<'a>,
    dispute_id: Text<'a>,
    currency: Text<'a>,
    amount: Number<'a>,
    payment_amount: Number<'a>,
    refund_amount: Number<'a>,
    captured_amount: Number<'a>,
    disputed_amount: Number<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let metadata = event.metadata.or_default();
    let event_id = required(metadata.event_id, "metadata.event_id")?;
    let event_type = metadata.event_type.some().unwrap_or_default();
    let (occurred_at, livemode) = (metadata.occurred_at.moment(), metadata.live.some());
    let Some(kind) = kind(&event_type) else {
        return Ok(Facts { occurred_at, livemode, ..unknown(event_id, event_type) });
    };
    let payload = event.payload.or_default();
    let own = match kind {
        EventType::RefundSucceeded => payload.refund_amount,
        EventType::PaymentSucceeded => payload.captured_amount,
        _ => payload.disputed_amount,
    };
    let units = [own, payload.amount, payload.payment_amount].into_iter().find(|units| !units.is_absent());
    let amount = money::minor(units.unwrap_or_default(), &payload.currency, money::iso);
    let transaction_id = payload.payment_transaction_id.some();
    let facts = Facts {
        transaction_id: transaction_id
            .or_else(|| payload.payment_request_id.some())
            .or_else(|| payload.payment_dispute_id.some())
            .or_else(|| payload.dispute_id.some()),
        occurred_at,
        customer: Customer::default(),
        method: PaymentMethod { kind: Some("klarna".into()), ..PaymentMethod::default() },
        livemode,
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(event_type: &str) -> Option<EventType> {
    use EventType::*;
    Some(match event_type {
        "payment.request.state-change.submitted" => PaymentCreated,
        "payment.request.state-change.prepared" | "payment.request.state-change.in-progress" => {
            PaymentPending
        }
        "payment.request.state-change.pending-confirmation" => PaymentRequiresAction,
        "payment.request.state-change.authorized"
        | "payment.request.state-change.completed"
        | "payment.transaction.state-change.authorized" => PaymentAuthorized,
        "payment.transaction.state-change.captured" | "payment.transaction.captured" => PaymentSucceeded,
        "payment.request.state-change.declined" => PaymentFailed,
        "payment.request.state-change.canceled" | "payment.transaction.state-change.closed" => {
            PaymentCanceled
        }
        "payment.request.state-change.expired" | "payment.transaction.state-change.expired" => PaymentExpired,
        "payment.transaction.refunded" | "payment.refund.state-change.completed" => RefundSucceeded,
        "payment.refund.state-change.failed" => RefundFailed,
        "payment.dispute.state-change.pre-arbitration" => DisputeOpened,
        "payment.dispute.state-change.arbitration-pending"
        | "payment.dispute.state-change.merchant-evidence-pending"
        | "payment.dispute.updated" => DisputeUpdated,
        "payment.dispute.state-change.closed" => DisputeClosed,
        _ => return None,
    })
}
