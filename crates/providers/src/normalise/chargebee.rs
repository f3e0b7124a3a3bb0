//! Chargebee. <https://apidocs.chargebee.com/docs/api/events>,
//! <https://apidocs.chargebee.com/docs/api/currencies>
//!
//! Event id: `id` (`ev_…`). Transaction: the one that a refund acts on, else the transaction, else the invoice,
//! else the subscription.
//!
//! Money: integers in cents: whole units of currencies without decimals, hundredths of all others, also of those
//! with three decimals. A payment's is its transaction's amount, else its invoice's total.
//!
//! Signed: nothing. The sender proves itself by a static password.

use serde::Deserialize;
use tollgate_core::{Currency, Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Number, Object, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "chargebee", aliases: &[], headers: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    event_type: Text<'a>,
    occurred_at: Number<'a>,
    content: Object<Content<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Content<'a> {
    #[serde(borrow)]
    transaction: Object<Transaction<'a>>,
    invoice: Object<Invoice<'a>>,
    subscription: Object<Inner<'a>>,
    customer: Object<Buyer<'a>>,
    card: Object<Card<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Transaction<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    reference_transaction_id: Text<'a>,
    amount: Number<'a>,
    currency_code: Text<'a>,
    payment_method: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Invoice<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    total: Number<'a>,
    currency_code: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner<'a> {
    #[serde(borrow)]
    id: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Buyer<'a> {
    #[serde(borrow)]
    id: Text<'a>,
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
struct Card<'a> {
    #[serde(borrow)]
    card_type: Text<'a>,
    issuing_country: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_id = required(event.id, "id")?;
    let event_type = event.event_type.some().unwrap_or_default();
    let occurred_at = event.occurred_at.unix_seconds();
    let Some(kind) = kind(&event_type) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
    };
    let content = event.content.or_default();
    let (transaction, invoice) = (content.transaction.or_default(), content.invoice.or_default());
    let amount = match &*event_type {
        // A subscription's first invoice may be in the event without having been paid.
        name if name.starts_with("subscription_") => Ok(None),
        _ if transaction.amount.is_absent() => money::minor(invoice.total, &invoice.currency_code, scale),
        _ => money::minor(transaction.amount, &transaction.currency_code, scale),
    };
    let transaction_id = match kind.category() {
        tollgate_core::Category::Refund => transaction.reference_transaction_id.some(),
        _ => None,
    };
    let subscription = content.subscription.or_default().id.some();
    let customer = content.customer.or_default();
    let card = content.card.or_default();
    let facts = Facts {
        transaction_id: match kind {
            EventType::SubscriptionCreated
            | EventType::SubscriptionUpdated
            | EventType::SubscriptionCanceled => subscription,
            _ => transaction_id.or_else(|| transaction.id.some()).or_else(|| invoice.id.some()),
        },
        occurred_at,
        customer: Customer {
            id: customer.id.some(),
            country: customer.billing_address.or_default().country.some(),
        },
        method: PaymentMethod {
            kind: transaction.payment_method.some(),
            brand: card.card_type.some(),
            country: card.issuing_country.some(),
        },
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(event_type: &str) -> Option<EventType> {
    use EventType::*;
    Some(match event_type {
        "payment_initiated" => PaymentPending,
        "authorization_succeeded" => PaymentAuthorized,
        "authorization_voided" => PaymentCanceled,
        "payment_succeeded" => PaymentSucceeded,
        "payment_failed" => PaymentFailed,
        "refund_initiated" => RefundPending,
        "payment_refunded" => RefundSucceeded,
        "subscription_created" | "subscription_started" => SubscriptionCreated,
        "subscription_activated"
        | "subscription_changed"
        | "subscription_renewed"
        | "subscription_paused"
        | "subscription_resumed"
        | "subscription_reactivated" => SubscriptionUpdated,
        "subscription_cancelled" | "subscription_deleted" => SubscriptionCanceled,
        _ => return None,
    })
}

/// Decimals by which Chargebee counts, where ISO 4217 says otherwise.
fn scale(currency: &str) -> Option<u8> {
    let exponent = Currency::new(currency).ok()?.exponent()?;
    (exponent > 2).then_some(2)
}
