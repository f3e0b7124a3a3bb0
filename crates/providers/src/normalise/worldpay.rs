//! Access Worldpay. <https://docs.worldpay.com/access/products/events/openapi/payment>
//!
//! Event id: `eventId`. Transaction: `eventDetails.transactionReference`, which the merchant gave and which all
//! events of a payment carry.
//!
//! Movement: a payment can be settled and refunded in parts. The merchant gives each part a reference of its own,
//! its movement is `{transaction}:{reference}`. A settlement without one is told apart by its amount, so that
//! `sentForSettlement` and `settled` are one effect; a refund without one is a movement of its own. Everything else is the
//! transaction's. A payout by basic disbursement is told as `sentForRefund` and read as a refund.
//!
//! Money: integers in minor units, as ISO 4217 counts: the amount of the authorisation, or of this settlement or refund.
//!
//! Time: `eventTimestamp`, which comes without an offset: it is UTC. `date` is the day when the payment was submitted, and not
//! read.

use serde::Deserialize;
use tollgate_core::{Category, EventType, EventType::*, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Number, Object, Text},
    json, money,
    normaliser::{Normaliser, Read},
    time,
};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "worldpay",
    aliases: &["worldpay_access"],
    headers: &[],
    query: &[],
    read: Read::Body(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    event_id: Text<'a>,
    event_timestamp: Text<'a>,
    event_details: Object<Details<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    classification: Text<'a>,
    transaction_reference: Text<'a>,
    reference: Text<'a>,
    amount: Object<Amount<'a>>,
    payment_instrument: Object<Instrument<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Amount<'a> {
    #[serde(borrow)]
    value: Number<'a>,
    currency_code: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Instrument<'a> {
    #[serde(borrow)]
    method: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_id = required(event.event_id, "eventId")?;
    let details = event.event_details.or_default();
    let kind = kind(details.classification.as_str(), details.kind.as_str());
    let event_type = details.kind.some().unwrap_or_default();
    let amount = details.amount.or_default();
    let units = amount.value.text().unwrap_or_default();
    // Of a code that is none nothing may get into the movement's id.
    let code = amount.currency_code.as_str();
    let code = if code.bytes().all(|b| b.is_ascii_alphabetic()) { code } else { "" };
    let part = details.reference.some();
    let transaction_id = details.transaction_reference.some();
    let of_transaction = |part: &str| Some(format!("{}:{part}", transaction_id.as_deref()?).into());
    let movement_id = match kind.map(EventType::category) {
        Some(Category::Refund) => part.and_then(|part| of_transaction(&part)),
        Some(Category::Payment) if is_settlement(&event_type) => match part {
            Some(part) => of_transaction(&part),
            None => of_transaction(&[units, code].concat()),
        },
        Some(_) => transaction_id.clone(),
        None => None,
    };
    let amount = money::minor(amount.value, &amount.currency_code, money::iso);
    let facts = match kind {
        Some(kind) => Facts::new(event_id, event_type, kind),
        None => unknown(event_id, event_type),
    };
    let facts = Facts {
        transaction_id,
        movement_id,
        occurred_at: time::at_offset(event.event_timestamp.as_str(), 0),
        method: PaymentMethod {
            kind: details.payment_instrument.or_default().method.some(),
            ..PaymentMethod::default()
        },
        ..facts
    };
    Ok(money::with_amount(facts, amount))
}

fn is_settlement(event_type: &str) -> bool {
    matches!(event_type, "sentForSettlement" | "settled" | "settlementFailed")
}

fn kind(classification: &str, name: &str) -> Option<EventType> {
    Some(match (classification, name) {
        ("payout", "sentForPayout" | "requested" | "pending") => PayoutPending,
        ("payout", "settled" | "completed" | "paid" | "disbursed") => PayoutSucceeded,
        ("payout", "refused" | "error" | "failed" | "rejected" | "returned") => PayoutFailed,
        ("payout", "cancelled" | "expired") => PayoutCanceled,
        ("payout", _) => return None,
        // The funds are held until the issuer has decided.
        (_, "informationRequested") => DisputeWarning,
        // Sent with the classification `payment`.
        (_, "chargedBack" | "disputed") => DisputeOpened,
        (_, "disputeReversed" | "chargebackReversed" | "disputeWon") => DisputeWon,
        (_, "disputeLost") => DisputeLost,
        ("chargeback", _) => return None,
        (_, "sentForAuthorization") => PaymentPending,
        (_, "authorized") => PaymentAuthorized,
        (_, "sentForSettlement" | "settled") => PaymentSucceeded,
        (_, "settlementFailed") => PaymentCaptureFailed,
        (_, "refused" | "error" | "authenticationFailed") => PaymentFailed,
        (_, "cancelled" | "sentForCancellation" | "cancelledByCustomer") => PaymentCanceled,
        (_, "expired" | "requestExpired") => PaymentExpired,
        (_, "sentForRefund") => RefundPending,
        (_, "refunded") => RefundSucceeded,
        (_, "refundFailed") => RefundFailed,
        _ => return None,
    })
}
