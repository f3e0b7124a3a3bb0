//! Standard Webhooks and Svix. <https://github.com/standard-webhooks/standard-webhooks>
//!
//! The specification fixes the envelope, not what senders put into `data`. Read are:
//!
//! - `type`: recognised when it is one of our own event types (`payment.succeeded`, …).
//! - `timestamp` (RFC 3339), `data.transaction_id` or `data.id`, `data.movement_id`, `data.currency` (else the endpoint's
//!   `default_currency`), `data.customer_id`, `data.country`, `data.payment_method`, `data.card_brand`,
//!   `data.card_country`, `data.risk_score`, `data.livemode`, `data.metadata`.
//! - `data.amount`: the endpoint's parameter `amount_unit` says whether senders count in `major` or `minor`
//!   units. Without it only an amount with a decimal point is taken, as major units; an integer could be either,
//!   so that its event is unrecognized.
//!
//! Event id: the header that is signed. That is `webhook-id`; of Svix `svix-id` where its three headers are there.
//!
//! Movement: `data.movement_id`. Where it is absent, a payment's is its transaction, and that of a refund, a dispute, a
//! payout, a subscription or an invoice is `data.id`.
//!
//! Signed: the id, the time of sending and the whole body.

use serde::Deserialize;
use std::borrow::Cow;
use tollgate_core::{Category, Customer, EndpointConfig, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, header, unknown},
    fields::{Flag, Number, Object, Pairs, Text},
    json,
    money::{self, Amount},
    normaliser::{Normaliser, Read},
};
use crate::request::Received;

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "standard_webhooks",
    aliases: &["standard_webhooks_ed25519"],
    headers: &["webhook-id"],
    query: &[],
    read: Read::RequestAndSettings(normalise),
};

pub(super) const SVIX: Normaliser = Normaliser {
    name: "svix",
    aliases: &[],
    headers: &["svix-id", "svix-timestamp", "svix-signature", "webhook-id"],
    query: &[],
    read: Read::RequestAndSettings(normalise_svix),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    timestamp: Text<'a>,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    transaction_id: Text<'a>,
    movement_id: Text<'a>,
    amount: Number<'a>,
    currency: Text<'a>,
    customer_id: Text<'a>,
    country: Text<'a>,
    payment_method: Text<'a>,
    card_brand: Text<'a>,
    card_country: Text<'a>,
    risk_score: Number<'a>,
    livemode: Flag,
    metadata: Pairs<'a>,
}

fn normalise<'a>(received: Received<'a>, config: &EndpointConfig) -> Result<Facts<'a>, ContentError> {
    read("webhook-id", received, config)
}

/// Of the two families of headers the whole one is verified, Svix's own first: its id is the signed one.
fn normalise_svix<'a>(received: Received<'a>, config: &EndpointConfig) -> Result<Facts<'a>, ContentError> {
    let is_svix =
        ["svix-id", "svix-timestamp", "svix-signature"].iter().all(|name| received.has_header(name));
    read(if is_svix { "svix-id" } else { "webhook-id" }, received, config)
}

fn read<'a>(
    id: &'static str,
    received: Received<'a>,
    config: &EndpointConfig,
) -> Result<Facts<'a>, ContentError> {
    let event_id = header(received, id).ok_or(ContentError::MissingField(id))?;
    let body: Body<'a> = json::read(received.body)?;
    let occurred_at = body.timestamp.moment();
    let event_type = body.kind.some().unwrap_or_default();
    let kind = EventType::parse(&event_type).filter(|kind| *kind != EventType::PaymentUnrecognized);
    let data = body.data.or_default();
    let id = data.id.some();
    let transaction_id = data.transaction_id.some().or_else(|| id.clone());
    let Some(kind) = kind else {
        return Ok(Facts { transaction_id, occurred_at, ..unknown(event_id, event_type) });
    };
    let amount = amount(data.amount, data.currency, config);
    let movement_id = data.movement_id.some();
    let facts = Facts {
        transaction_id,
        movement_id: movement_id.or(if kind.category() == Category::Payment { None } else { id }),
        occurred_at,
        customer: Customer { id: data.customer_id.some(), country: data.country.some() },
        method: PaymentMethod {
            kind: data.payment_method.some(),
            brand: data.card_brand.some(),
            country: data.card_country.some(),
        },
        provider_risk_score: data.risk_score.integer(),
        livemode: data.livemode.some(),
        metadata: data.metadata.into_vec(),
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn amount(amount: Number<'_>, currency: Text<'_>, config: &EndpointConfig) -> Amount {
    let currency = match (currency, config.parameters.get("default_currency")) {
        (Text::Absent, Some(default)) => Text::Value(Cow::Borrowed(default)),
        (currency, _) => currency,
    };
    match config.parameters.get("amount_unit").map(String::as_str) {
        Some("minor") => money::minor(amount, &currency, money::iso),
        Some("major") => money::decimal(amount, &currency),
        _ if amount.text().is_none_or(|text| text.contains('.')) => money::decimal(amount, &currency),
        _ => Err("amount unit is not known: set amount_unit"),
    }
}
