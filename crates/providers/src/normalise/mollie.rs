//! Mollie, the signed webhooks. <https://docs.mollie.com/reference/webhooks-new>
//!
//! Event id: `id` (`whe_…`). Transaction: the entity.
//!
//! Money: the embedded entity's amount, a decimal text in major units; a simple payload embeds nothing and has
//! none. The classic webhooks (a form with an id alone) are not signed and not read here.

use serde::Deserialize;
use tollgate_core::{EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Number, Object, Pairs, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "mollie", aliases: &[], headers: &[], read: Read::Body(normalise) };

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
    let Some(kind) = kind(&event_type) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
    };
    let entity = event.embedded.or_default().entity.or_default();
    let amount = entity.amount.or_default();
    let amount = money::decimal(amount.value, &amount.currency);
    let transaction_id = entity.payment_id.some();
    let facts = Facts {
        transaction_id: transaction_id.or_else(|| event.entity_id.some()).or_else(|| entity.id.some()),
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

fn kind(event_type: &str) -> Option<EventType> {
    use EventType::*;
    Some(match event_type {
        "payment.created" | "payment.open" => PaymentCreated,
        "payment.pending" => PaymentPending,
        "payment.authorized" => PaymentAuthorized,
        "payment.paid" | "payment-link.paid" | "sales-invoice.paid" => PaymentSucceeded,
        "payment.failed" => PaymentFailed,
        "payment.canceled" => PaymentCanceled,
        "payment.expired" => PaymentExpired,
        "refund.queued" | "refund.pending" | "refund.processing" => RefundPending,
        "refund.refunded" => RefundSucceeded,
        "refund.failed" => RefundFailed,
        "refund.canceled" => RefundCanceled,
        "chargeback.received" | "chargeback.created" => DisputeOpened,
        "chargeback.reversed" => DisputeWon,
        "payout.paid" | "business-account-transfer.processed" => PayoutSucceeded,
        "payout.failed" | "business-account-transfer.failed" | "business-account-transfer.returned" => {
            PayoutFailed
        }
        "payout.canceled" => PayoutCanceled,
        "payout.created" | "payout.initiated" | "business-account-transfer.initiated" => PayoutPending,
        _ => return None,
    })
}
