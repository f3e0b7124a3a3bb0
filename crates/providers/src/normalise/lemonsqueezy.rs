//! Lemon Squeezy. <https://docs.lemonsqueezy.com/help/webhooks/webhook-payloads>
//!
//! Event id: `{event_name}:{movement}:{transaction}:{updated_at}:{status}:{total}:{amount}`, since it has
//! none. Transaction: the order's `data.id`; of anything else `{data.type}:{data.id}`, since orders, subscriptions and
//! subscription invoices are counted apart. Movement: the transaction. A refund names only the sum of all refunds so
//! far: its movement is `{transaction}:refund:{refunded_amount}`.
//!
//! Money: integers in cents, an order's or invoice's `total`. What a cent is in currencies without two decimals is not
//! documented, so that such an amount is refused. `refunded_amount` is that of all refunds of the order so far, not of
//! this one: a refund's amount is absent, or the total where no such sum is sent, from before orders could be refunded
//! in part. An order of zero is no payment.
//!
//! Signed: the whole body. Time: `updated_at`, else the creation's where the event is the creation.

use std::borrow::Cow;

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, composite, required, unknown},
    fields::{Flag, Id, Number, Object, Pairs, Text},
    identity::identified,
    json,
    money::{self, Amount},
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "lemonsqueezy",
    aliases: &["lemon_squeezy"],
    headers: &[],
    query: &[],
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
    let total = attributes.total.text().unwrap_or_default();
    let (status, updated_at) = (attributes.status, attributes.updated_at);
    let words = [updated_at.as_str(), status.as_str(), total];
    let created_at = attributes.created_at.moment().filter(|_| event_type.ends_with("_created"));
    let occurred_at = updated_at.moment().or(created_at);
    let livemode = meta.test_mode.some().map(|test| !test);
    let is_order = data.kind.as_str() == "orders";
    let transaction_id = match data.kind.as_str() {
        _ if is_order => id,
        kind => Cow::Owned(composite(&[kind, &id])),
    };
    let Some(kind) = kind(&event_type, status.as_str(), total == "0") else {
        let unknown = unknown("", event_type);
        let facts = Facts { transaction_id: Some(transaction_id), occurred_at, livemode, ..unknown };
        let mut facts = identified(facts, &words, body);
        // Its object may be a licence or a customer.
        facts.transaction_id = facts.transaction_id.take().filter(|_| is_order);
        return Ok(facts);
    };
    let is_refund = kind == EventType::RefundSucceeded;
    let units = match is_refund && !attributes.refunded_amount.is_absent() {
        true => Number::Absent,
        false => attributes.total,
    };
    let amount = cents(units, &attributes.currency);
    let movement_id = match is_refund {
        true => {
            let sum = attributes.refunded_amount.text().unwrap_or_default();
            Cow::Owned(composite(&[&transaction_id, "refund", sum]))
        }
        false => transaction_id.clone(),
    };
    let facts = Facts {
        transaction_id: Some(transaction_id),
        movement_id: Some(movement_id),
        occurred_at,
        customer: Customer { id: attributes.customer_id.some(), country: None },
        method: PaymentMethod { brand: attributes.card_brand.some(), ..PaymentMethod::default() },
        livemode,
        metadata: meta.custom_data.into_vec(),
        ..Facts::new("", event_type, kind)
    };
    Ok(identified(money::with_amount(facts, amount), &words, body))
}

fn cents(units: Number<'_>, currency: &Text<'_>) -> Amount {
    let amount = money::minor(units, currency, money::iso)?;
    match amount {
        Some(money) if money.exponent() != Some(2) => Err("minor unit of this currency is not documented"),
        amount => Ok(amount),
    }
}

fn kind(event_name: &str, status: &str, is_nothing: bool) -> Option<EventType> {
    use EventType::*;
    Some(match event_name {
        "order_created" => match status {
            "pending" => PaymentPending,
            "failed" | "fraudulent" => PaymentFailed,
            "paid" | "" if !is_nothing => PaymentSucceeded,
            _ => PaymentUpdated,
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
