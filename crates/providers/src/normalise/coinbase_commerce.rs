//! Coinbase Commerce. <https://docs.cdp.coinbase.com/commerce/docs/webhooks-fields>
//!
//! Event id: `event.id` (the outer id is the attempt's). Transaction: the charge, by `id`, else `code`.
//!
//! Money: the charge's local price, a decimal text in major units. A charge without a price has no amount.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Number, Object, Pairs, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "coinbase_commerce", aliases: &[], headers: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attempt<'a> {
    #[serde(borrow)]
    event: Object<Event<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    created_at: Text<'a>,
    data: Object<Charge<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Charge<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    code: Text<'a>,
    pricing: Object<Pricing<'a>>,
    metadata: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pricing<'a> {
    #[serde(borrow)]
    local: Object<Amount<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Amount<'a> {
    #[serde(borrow)]
    amount: Number<'a>,
    currency: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let attempt: Attempt<'_> = json::read(body)?;
    let event = attempt.event.or_default();
    let event_id = required(event.id, "event.id")?;
    let event_type = event.kind.some().unwrap_or_default();
    let occurred_at = event.created_at.moment();
    let kind = match &*event_type {
        "charge:created" => EventType::PaymentCreated,
        "charge:pending" => EventType::PaymentPending,
        "charge:confirmed" | "charge:resolved" => EventType::PaymentSucceeded,
        // Paid late or in another amount: a person decides.
        "charge:delayed" => EventType::PaymentRequiresAction,
        "charge:failed" => EventType::PaymentFailed,
        _ => return Ok(Facts { occurred_at, ..unknown(event_id, event_type) }),
    };
    let charge = event.data.or_default();
    let local = charge.pricing.or_default().local.or_default();
    let amount = money::decimal(local.amount, &local.currency);
    let facts = Facts {
        transaction_id: charge.id.some().or_else(|| charge.code.some()),
        occurred_at,
        customer: Customer::default(),
        method: PaymentMethod { kind: Some("crypto".into()), ..PaymentMethod::default() },
        metadata: charge.metadata.into_vec(),
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}
