//! Lemon Squeezy. <https://docs.lemonsqueezy.com/help/webhooks/webhook-payloads>
//!
//! Event id: `{event_name}:{data.type}:{data.id}:{updated_at}`, since it has none. Transaction: `data.id`, the
//! order, subscription or subscription invoice.
//!
//! Money: integers in cents. What a cent is in currencies without two decimals is not documented, so that such
//! an amount is refused. `refunded_amount` is that of all refunds of the order so far, not of this one: a refund's
//! amount is absent, or the total where no such sum is sent, from before orders could be refunded in part.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, composite, required, unknown},
    fields::{Flag, Id, Number, Object, Pairs, Text},
    json,
    money::{self, Amount},
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "lemonsqueezy",
    aliases: &["lemon_squeezy"],
    headers: &[],
    read: Read::Body(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    meta: Object<Meta<'a>>,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta<'a> {
    #[serde(borrow)]
    event_name: Text<'a>,
    test_mode: Flag,
    custom_data: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    id: Id<'a>,
    attributes: Object<Attributes<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributes<'a> {
    #[serde(borrow)]
    status: Text<'a>,
    total: Number<'a>,
    refunded_amount: Number<'a>,
    currency: Text<'a>,
    customer_id: Id<'a>,
    card_brand: Text<'a>,
    created_at: Text<'a>,
    updated_at: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let (meta, data) = (event.meta.or_default(), event.data.or_default());
    let event_type = required(meta.event_name, "meta.event_name")?;
    let id = data.id.some().ok_or(ContentError::MissingField("data.id"))?;
    let attributes = data.attributes.or_default();
    let event_id = composite(&[&event_type, data.kind.as_str(), &id, attributes.updated_at.as_str()]);
    let occurred_at = attributes.updated_at.moment().or_else(|| attributes.created_at.moment());
    let livemode = meta.test_mode.some().map(|test| !test);
    let Some(kind) = kind(&event_type, attributes.status.as_str()) else {
        return Ok(Facts { occurred_at, livemode, ..unknown(event_id, event_type) });
    };
    let units = match kind {
        EventType::RefundSucceeded if !attributes.refunded_amount.is_absent() => Number::Absent,
        _ => attributes.total,
    };
    let amount = cents(units, &attributes.currency);
    let facts = Facts {
        transaction_id: Some(id),
        occurred_at,
        customer: Customer { id: attributes.customer_id.some(), country: None },
        method: PaymentMethod { brand: attributes.card_brand.some(), ..PaymentMethod::default() },
        livemode,
        metadata: meta.custom_data.into_vec(),
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn cents(units: Number<'_>, currency: &Text<'_>) -> Amount {
    let amount = money::minor(units, currency, money::iso)?;
    match amount {
        Some(money) if money.exponent() != Some(2) => Err("minor unit of this currency is not documented"),
        amount => Ok(amount),
    }
}

fn kind(event_name: &str, status: &str) -> Option<EventType> {
    use EventType::*;
    Some(match event_name {
        "order_created" => match status {
            "pending" => PaymentPending,
            "failed" => PaymentFailed,
            _ => PaymentSucceeded,
        },
        "order_refunded" | "subscription_payment_refunded" => RefundSucceeded,
        "subscription_created" => SubscriptionCreated,
        "subscription_updated"
        | "subscription_resumed"
        | "subscription_paused"
        | "subscription_unpaused"
        | "subscription_plan_changed" => SubscriptionUpdated,
        "subscription_cancelled" | "subscription_expired" => SubscriptionCanceled,
        "subscription_payment_success" | "subscription_payment_recovered" => InvoicePaid,
        "subscription_payment_failed" => InvoicePaymentFailed,
        _ => return None,
    })
}
