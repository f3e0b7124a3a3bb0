//! Mollie, the signed webhooks. <https://docs.mollie.com/reference/webhooks-new>
//!
//! Event id: `id` (`whe_…`). Transaction: the payment that a capture, refund, chargeback or dispute names, else the entity.
//! Movement: the entity. Through a reusable payment link many payments are made: each event is a movement of its own.
//!
//! Money: the embedded entity's amount, a decimal text in major units; a simple payload embeds nothing and has
//! none. A paid payment's is `amountCaptured`, if it was authorised first, an invoice's `totalAmount`. A capture's own
//! success is an update, since its money is in the payment's. The classic webhooks (a form with an id alone) are not signed
//! and not read here.
//!
//! A paid payment link or invoice and the payment that paid it share no id in these webhooks. The link's event is
//! a payment, as not everybody has the payment's; the invoice's is `invoice.paid`.
//!
//! Signed: the whole body. Time: the event's `createdAt`.

use serde::Deserialize;
use tollgate_core::{EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Flag, Number, Object, Pairs, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "mollie", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    #[serde(rename = "entityId")]
    entity_id: Text<'a>,
    #[serde(rename = "createdAt")]
    created_at: Text<'a>,
    #[serde(rename = "_embedded")]
    embedded: Object<Embedded<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Embedded<'a> {
    #[serde(borrow)]
    entity: Object<Entity<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entity<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(rename = "paymentId")]
    payment_id: Text<'a>,
    amount: Object<Amount<'a>>,
    #[serde(rename = "amountCaptured")]
    amount_captured: Object<Amount<'a>>,
    #[serde(rename = "totalAmount")]
    total_amount: Object<Amount<'a>>,
    status: Text<'a>,
    reusable: Flag,
    method: Text<'a>,
    mode: Text<'a>,
    #[serde(rename = "customerId")]
    customer_id: Text<'a>,
    #[serde(rename = "countryCode")]
    country_code: Text<'a>,
    metadata: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Amount<'a> {
    #[serde(borrow)]
    value: Number<'a>,
    currency: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_id = required(event.id, "id")?;
    let event_type = event.kind.some().unwrap_or_default();
    let occurred_at = event.created_at.moment();
    let entity = event.embedded.or_default().entity.or_default();
    let id = event.entity_id.some().or_else(|| entity.id.some());
    let payment = entity.payment_id.some();
    let names_payment = payment.is_some();
    let transaction_id = payment.or_else(|| id.clone());
    let Some(kind) = kind(&event_type, entity.status.as_str()) else {
        // Its entity may be a profile or a file.
        let transaction_id = transaction_id.filter(|_| names_payment);
        return Ok(Facts { transaction_id, occurred_at, ..unknown(event_id, event_type) });
    };
    let amount = match entity.amount_captured {
        Object::Value(captured) if kind == EventType::PaymentSucceeded => captured,
        _ => entity.amount.some().unwrap_or_else(|| entity.total_amount.or_default()),
    };
    let amount = money::decimal(amount.value, &amount.currency);
    // The first payment of a mandate may be of nothing.
    let is_nothing = amount.is_ok_and(|amount| amount.is_some_and(|amount| amount.minor_units() == 0));
    let kind = match kind {
        EventType::PaymentSucceeded if is_nothing => EventType::PaymentUpdated,
        kind => kind,
    };
    let is_reusable = entity.reusable.some() == Some(true);
    let movement_id = if is_reusable { Some(event_id.clone()) } else { id };
    let facts = Facts {
        transaction_id,
        movement_id,
        occurred_at,
        customer: tollgate_core::Customer {
            id: entity.customer_id.some(),
            country: entity.country_code.some(),
        },
        method: PaymentMethod { kind: entity.method.some(), ..PaymentMethod::default() },
        livemode: entity.mode.is_live("live", "test"),
        metadata: entity.metadata.into_vec(),
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(event_type: &str, status: &str) -> Option<EventType> {
    use EventType::*;
    Some(match event_type {
        "payment.created" | "payment.open" => PaymentCreated,
        "payment.pending" | "unmatched-credit-transfer.received" => PaymentPending,
        "payment.authorized" => PaymentAuthorized,
        "payment.paid" | "payment-link.paid" => PaymentSucceeded,
        "payment.failed" => PaymentFailed,
        "capture.failed" => PaymentCaptureFailed,
        "payment.canceled" | "sales-invoice.canceled" | "unmatched-credit-transfer.returned" => {
            PaymentCanceled
        }
        "payment.expired" => PaymentExpired,
        // A transfer that is matched becomes a payment with events of its own. Entries of the balance tell what the
        // payments, refunds and payouts have told.
        "sales-invoice.created"
        | "sales-invoice.issued"
        | "unmatched-credit-transfer.matched"
        | "unmatched-credit-transfer.expired"
        | "balance-transaction.created"
        // `payment.paid` has all that was captured.
        | "capture.succeeded" => PaymentUpdated,
        "sales-invoice.paid" => InvoicePaid,
        "refund.queued" | "refund.pending" | "refund.processing" => RefundPending,
        "refund.refunded" => RefundSucceeded,
        "refund.failed" => RefundFailed,
        "refund.canceled" => RefundCanceled,
        "chargeback.received" | "chargeback.created" | "dispute.created" => DisputeOpened,
        "dispute.updated" => DisputeUpdated,
        "dispute.resolved" => match status {
            "won" => DisputeWon,
            "lost" | "accepted" => DisputeLost,
            _ => DisputeClosed,
        },
        "chargeback.reversed" => DisputeWon,
        "payout.completed"
        | "payout.paid"
        | "business-account-transfer.processed"
        | "connect-balance-transfer.succeeded" => PayoutSucceeded,
        "payout.failed"
        | "business-account-transfer.failed"
        | "business-account-transfer.blocked"
        | "business-account-transfer.returned"
        | "connect-balance-transfer.failed" => PayoutFailed,
        "payout.canceled" => PayoutCanceled,
        "payout.created"
        | "payout.initiated"
        | "payout.processing-at-bank"
        | "business-account-transfer.requested"
        | "business-account-transfer.pending-review"
        | "business-account-transfer.initiated" => PayoutPending,
        _ => return None,
    })
}
