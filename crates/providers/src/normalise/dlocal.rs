//! dLocal. <https://docs.dlocal.com/docs/receive-notifications>
//!
//! Event id: `{id}:{status}`, since dLocal has none. Provider's type: `status`. Transaction: the payment,
//! `payment_id` in refunds and chargebacks and `id` elsewhere.
//!
//! Money: a decimal JSON number in major units.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, composite, required, unknown},
    fields::{Number, Object, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "dlocal", aliases: &[], headers: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    payment_id: Text<'a>,
    status: Text<'a>,
    amount: Number<'a>,
    currency: Text<'a>,
    country: Text<'a>,
    created_date: Text<'a>,
    approved_date: Text<'a>,
    payment_method_type: Text<'a>,
    card: Object<Card<'a>>,
    payer: Object<Payer<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Card<'a> {
    #[serde(borrow)]
    brand: Text<'a>,
    country: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payer<'a> {
    #[serde(borrow)]
    user_reference: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let body: Body<'_> = json::read(body)?;
    let id = required(body.id, "id")?;
    let status = required(body.status, "status")?;
    let event_id = composite(&[&id, &status]);
    let occurred_at = match &*status {
        "PAID" => body.approved_date.moment().or_else(|| body.created_date.moment()),
        _ => body.created_date.moment(),
    };
    let payment = body.payment_id.some();
    let Some(kind) = kind(&id, &status, payment.is_some()) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, status) });
    };
    let amount = money::decimal(body.amount, &body.currency);
    let card = body.card.or_default();
    let facts = Facts {
        transaction_id: payment.or(Some(id)),
        occurred_at,
        customer: Customer {
            id: body.payer.or_default().user_reference.some(),
            country: body.country.some(),
        },
        method: PaymentMethod {
            kind: body.payment_method_type.some(),
            brand: card.brand.some(),
            country: card.country.some(),
        },
        ..Facts::new(event_id, status, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(id: &str, status: &str, of_payment: bool) -> Option<EventType> {
    use EventType::*;
    // Chargebacks and refunds both name their payment; their own ids begin differently.
    let chargeback = of_payment && id.starts_with("CHAR");
    Some(match (of_payment, status) {
        _ if chargeback => match status {
            "WON" | "REVERSED" => DisputeWon,
            "LOST" => DisputeLost,
            _ => DisputeOpened,
        },
        (true, "PENDING") => RefundPending,
        (true, "SUCCESS") => RefundSucceeded,
        (true, "REJECTED") => RefundFailed,
        (true, "CANCELLED") => RefundCanceled,
        (false, "PENDING") => PaymentPending,
        (false, "AUTHORIZED" | "VERIFIED") => PaymentAuthorized,
        (false, "PAID") => PaymentSucceeded,
        (false, "REJECTED") => PaymentFailed,
        (false, "CANCELLED") => PaymentCanceled,
        (false, "EXPIRED") => PaymentExpired,
        _ => return None,
    })
}
