//! PagBank (PagSeguro). <https://developer.pagbank.com.br/reference/webhooks>
//!
//! A body is an order with its charges, each of which is an event; or one charge, a checkout, or a subscription's event.
//! Nothing says which of an order's charges changed: those that did not are repeats, by their event ids.
//!
//! Event id: `{status}:{movement}:{transaction, where another}:{what it is}:{sum refunded}:{amount}`. Provider's type: the status,
//! of subscriptions `event`. Transaction: the charge, checkout or subscription. Movement: the same; PagBank names no refund, so that
//! of a refund is `{charge}:refunded:{sum refunded so far}`.
//!
//! Money: integers in minor units (centavos). Of a charge paid: `amount.summary.paid`, what was captured, else its value. A
//! charge paid or cancelled of which something was refunded is a refund; the sum so far may be several refunds', so
//! that its amount is absent. What is "refunded" of a charge of which nothing was ever paid is an authorisation that was
//! released. A subscription's event moves nothing: its charges do.
//!
//! Time: `paid_at` of what is paid; `created_at` only of what begins, and absent otherwise. Signed: the whole body.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use tollgate_core::{EventType, EventType::*, Facts, PaymentMethod};

use super::{
    content::{ContentError, Events, MAX_EVENTS, required, unknown},
    fields::{Number, Object, Pairs, Text, each},
    identity::identified,
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "pagbank",
    aliases: &["pagseguro"],
    headers: &[],
    query: &[],
    read: Read::Several(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow, deserialize_with = "charges")]
    charges: Vec<Charge<'a>>,
    event: Text<'a>,
    date: Text<'a>,
    resource: Object<Charge<'a>>,
}

/// A charge, or what else has an id and a state.
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

fn charges<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Charge<'de>>, D::Error> {
    let mut charges = Vec::new();
    // One more than may come says that there are too many.
    each(deserializer, |charge: Object<Charge<'de>>| {
        if charges.len() <= MAX_EVENTS {
            charges.push(charge.or_default());
        }
    })?;
    Ok(charges)
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
    paid: Number<'a>,
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

fn normalise(content: &[u8]) -> Result<Vec<Facts<'_>>, ContentError> {
    let body: Body<'_> = json::read(content)?;
    if let Some(event_type) = body.event.some() {
        return Ok(vec![subscription(event_type, body.date, body.resource.or_default(), content)]);
    }
    if body.charges.is_empty() {
        let one: Charge<'_> = json::read(content)?;
        let id = required(one.id.clone(), "id")?;
        return Ok(vec![charge(id, one, content)]);
    }
    let mut events = Events::default();
    for one in body.charges {
        events.push(required(one.id.clone(), "id").map(|id| charge(id, one, content)));
    }
    events.into_facts(content, "id")
}

fn charge<'a>(id: Cow<'a, str>, charge: Charge<'a>, content: &'a [u8]) -> Facts<'a> {
    let status = charge.status.some().unwrap_or_default();
    let Amount { value, currency, summary } = charge.amount.or_default();
    let Summary { paid, refunded } = summary.or_default();
    let is_positive = |number: &Number<'_>| number.integer::<i128>().is_some_and(|units| units > 0);
    let sum = refunded.text().filter(|_| is_positive(&refunded)).unwrap_or_default();
    let is_checkout = id.starts_with("CHEC_");
    // <https://developer.pagbank.com.br/docs/cancelando-uma-cobrança>: an authorised charge is "refunded" too.
    let is_released =
        status == "CANCELED" && charge.paid_at == Text::Absent && paid.integer::<i128>() == Some(0);
    let kind = match is_checkout {
        true => checkout(&status),
        false => kind(&status, !sum.is_empty() && !is_released),
    };
    let units = match kind {
        Some(RefundSucceeded) => Number::Absent,
        Some(PaymentSucceeded) if is_positive(&paid) => paid,
        _ => value,
    };
    let movement_id = match kind {
        Some(RefundSucceeded) => [&*id, ":refunded:", sum].concat().into(),
        _ => id.clone(),
    };
    let facts = match kind {
        Some(kind) => Facts::new("", status, kind),
        None => unknown("", status),
    };
    let method = charge.payment_method.or_default();
    let facts = Facts {
        // An attempt to pay is a charge of its own, and fails once.
        occurrence: (kind == Some(PaymentFailed)).then(|| id.clone()),
        movement_id: Some(movement_id),
        transaction_id: Some(id),
        occurred_at: match kind {
            Some(PaymentSucceeded) => charge.paid_at.moment(),
            Some(PaymentPending) => charge.created_at.moment(),
            _ => None,
        },
        method: PaymentMethod {
            kind: method.kind.some(),
            brand: method.card.or_default().brand.some(),
            country: None,
        },
        metadata: charge.metadata.into_vec(),
        ..facts
    };
    // PagBank has no other currency.
    let currency = if currency == Text::Absent { Text::Value("BRL".into()) } else { currency };
    let facts = money::with_amount(facts, money::minor(units, &currency, money::iso));
    let what = match (is_checkout, is_released) {
        (true, _) => "checkout",
        (false, true) => "released charge",
        (false, false) => "charge",
    };
    identified(facts, &[what, sum], content)
}

/// <https://dev.pagseguro.uol.com.br/v2.2/reference/exemplo-de-webhook>
fn subscription<'a>(
    event_type: Cow<'a, str>,
    date: Text<'a>,
    resource: Charge<'a>,
    content: &'a [u8],
) -> Facts<'a> {
    let kind = match &*event_type {
        // It waits for its first payment, or for its date.
        "subscription.initial" => Some(SubscriptionUpdated),
        "subscription.activated" => Some(SubscriptionCreated),
        "subscription.updated"
        | "subscription.suspended"
        | "subscription.recurrence"
        | "subscription.migrated" => Some(SubscriptionUpdated),
        "subscription.expired" | "subscription.canceled" => Some(SubscriptionCanceled),
        _ => None,
    };
    let facts = match kind {
        Some(kind) => Facts::new("", event_type, kind),
        None => unknown("", event_type),
    };
    let id = resource.id.some();
    let facts = Facts { movement_id: id.clone(), transaction_id: id, occurred_at: date.moment(), ..facts };
    identified(facts, &["subscription", date.as_str(), resource.status.as_str()], content)
}

/// <https://developer.pagbank.com.br/reference/webhooks-checkout>
fn checkout(status: &str) -> Option<EventType> {
    Some(match status {
        "EXPIRED" => PaymentExpired,
        _ => return None,
    })
}

fn kind(status: &str, refund: bool) -> Option<EventType> {
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
