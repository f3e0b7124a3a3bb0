//! Flutterwave, versions 3 and 4. <https://developer.flutterwave.com/docs/webhooks>
//!
//! Event id: `{data.id}:{event}`, in version 4 too, since its `webhook_id` is not in every delivery.
//! Transaction: the charge (`charge_id` where a refund or chargeback names one), else `data.id`.
//!
//! Money: a decimal JSON number in major units.
//!
//! Signed: the whole body in version 4, nothing in version 3, whose sender proves itself by a static token.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, composite, unknown},
    fields::{Id, Number, Object, Pairs, Text, first_moment},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const V3: Normaliser =
    Normaliser { name: "flutterwave_v3", aliases: &[], headers: &[], read: Read::Body(normalise) };

pub(super) const V4: Normaliser = Normaliser {
    name: "flutterwave_v4",
    aliases: &["flutterwave"],
    headers: &[],
    read: Read::Body(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    timestamp: Number<'a>,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    charge_id: Id<'a>,
    amount: Number<'a>,
    currency: Text<'a>,
    source_currency: Text<'a>,
    status: Text<'a>,
    created_at: Text<'a>,
    created_datetime: Text<'a>,
    payment_type: Text<'a>,
    payment_method: Object<Method<'a>>,
    card: Object<Card<'a>>,
    customer: Object<Inner<'a>>,
    meta: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner<'a> {
    #[serde(borrow)]
    id: Id<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Method<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    card: Object<Card<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Card<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    network: Text<'a>,
    country: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_type = event.event.some().or_else(|| event.kind.some());
    let event_type = event_type.ok_or(ContentError::MissingField("event"))?;
    let data = event.data.or_default();
    let id = data.id.some().ok_or(ContentError::MissingField("data.id"))?;
    let event_id = composite(&[&id, &event_type]);
    let occurred_at = first_moment([&data.created_at, &data.created_datetime]);
    let occurred_at = event.timestamp.unix_millis().or(occurred_at);
    let Some(kind) = kind(&event_type, data.status.as_str()) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
    };
    let currency = if data.currency == Text::Absent { data.source_currency } else { data.currency };
    let amount = money::decimal(data.amount, &currency);
    let method = data.payment_method.or_default();
    let card = data.card.some().or(method.card.some()).unwrap_or_default();
    let facts = Facts {
        transaction_id: data.charge_id.some().or(Some(id)),
        occurred_at,
        customer: Customer { id: data.customer.or_default().id.some(), country: None },
        method: PaymentMethod {
            kind: data.payment_type.some().or_else(|| method.kind.some()),
            brand: card.network.some().or_else(|| card.kind.some()),
            // Version 3 writes `NIGERIA NG`.
            country: card.country.some().filter(|country| country.len() == 2),
        },
        metadata: data.meta.into_vec(),
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(event_type: &str, status: &str) -> Option<EventType> {
    use EventType::*;
    let (family, _) = event_type.split_once('.')?;
    // Version 3 writes some statuses in upper case.
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(status));
    let (succeeded, failed) =
        (is(&["successful", "succeeded", "completed", "success"]), is(&["failed", "error", "declined"]));
    Some(match (family, event_type) {
        ("charge", _) if succeeded => PaymentSucceeded,
        ("charge", _) if failed => PaymentFailed,
        ("charge", _) if is(&["voided", "cancelled", "canceled"]) => PaymentCanceled,
        ("charge", _) => PaymentPending,
        ("refund", _) if succeeded => RefundSucceeded,
        ("refund", _) if failed => RefundFailed,
        ("refund", _) => RefundPending,
        ("transfer" | "payout", _) if succeeded => PayoutSucceeded,
        ("transfer" | "payout", _) if failed => PayoutFailed,
        ("transfer" | "payout", _) => PayoutPending,
        ("chargeback", "chargeback.created") => DisputeOpened,
        ("chargeback", _) if is(&["won", "reversed"]) => DisputeWon,
        ("chargeback", _) if is(&["lost", "accepted"]) => DisputeLost,
        ("chargeback", _) => DisputeUpdated,
        ("subscription", "subscription.cancelled") => SubscriptionCanceled,
        _ => return None,
    })
}
