//! PagBank (PagSeguro). <https://developer.pagbank.com.br/docs/webhooks>
//!
//! Event id: `{id}:{status}` of the charge, or of the order with its first charge's status; with `:{refunded}`, the
//! sum refunded so far, once there is one. Provider's type: the status. Transaction: the charge.
//!
//! Money: integers in minor units (centavos). A charge paid or cancelled of which something was refunded is a refund;
//! the sum so far may be several refunds', so that its amount is absent.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, composite, required, unknown},
    fields::{First, Number, Object, Pairs, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "pagbank", aliases: &["pagseguro"], headers: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    status: Text<'a>,
    created_at: Text<'a>,
    paid_at: Text<'a>,
    amount: Object<Amount<'a>>,
    payment_method: Object<Method<'a>>,
    metadata: Pairs<'a>,
    charges: First<Charge<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Charge<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    status: Text<'a>,
    created_at: Text<'a>,
    paid_at: Text<'a>,
    amount: Object<Amount<'a>>,
    payment_method: Object<Method<'a>>,
    metadata: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Amount<'a> {
    #[serde(borrow)]
    value: Number<'a>,
    currency: Text<'a>,
    summary: Object<Summary<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Summary<'a> {
    #[serde(borrow)]
    refunded: Number<'a>,
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
    #[serde(borrow)]
    brand: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let body: Body<'_> = json::read(body)?;
    let id = required(body.id, "id")?;
    let (several, first) = (body.charges.count > 1, body.charges.value);
    let charge = first.unwrap_or(Charge {
        id: Text::Value(id.clone()),
        status: body.status,
        created_at: body.created_at,
        paid_at: body.paid_at,
        amount: body.amount,
        payment_method: body.payment_method,
        metadata: body.metadata,
    });
    let status = charge.status.some().unwrap_or_default();
    let occurred_at = match &*status {
        "PAID" => charge.paid_at.moment().or_else(|| charge.created_at.moment()),
        _ => charge.created_at.moment(),
    };
    let amount = charge.amount.or_default();
    let refunded = amount.summary.or_default().refunded;
    let refund = refunded.integer::<i128>().is_some_and(|units| units > 0);
    let event_id = match refunded.text() {
        Some(sum) if refund => composite(&[&id, &status, sum]),
        _ => composite(&[&id, &status]),
    };
    let Some(kind) = kind(&status, refund) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, status) });
    };
    let units = if kind == EventType::RefundSucceeded { Number::Absent } else { amount.value };
    let amount = match several {
        true => Err("order of more than one charge"),
        false => money::minor(units, &amount.currency, money::iso),
    };
    let method = charge.payment_method.or_default();
    let facts = Facts {
        transaction_id: charge.id.some(),
        occurred_at,
        customer: Customer::default(),
        method: PaymentMethod {
            kind: method.kind.some(),
            brand: method.card.or_default().brand.some(),
            country: None,
        },
        metadata: charge.metadata.into_vec(),
        ..Facts::new(event_id, status, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(status: &str, refund: bool) -> Option<EventType> {
    use EventType::*;
    Some(match status {
        "WAITING" | "IN_ANALYSIS" => PaymentPending,
        "AUTHORIZED" => PaymentAuthorized,
        "PAID" | "CANCELED" if refund => RefundSucceeded,
        "PAID" => PaymentSucceeded,
        "DECLINED" => PaymentFailed,
        "CANCELED" => PaymentCanceled,
        _ => return None,
    })
}
