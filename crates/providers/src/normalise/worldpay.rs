//! Access Worldpay. <https://developer.worldpay.com/products/access/events>
//!
//! Event id: `eventId`. Transaction: `eventDetails.transactionReference`, which the merchant gave and which all
//! events of a payment carry.
//!
//! Money: integers in minor units, as ISO 4217 counts. `eventTimestamp` comes without an offset: it is UTC.

use serde::Deserialize;
use tollgate_core::{EventType, Facts};

use super::{
    content::{ContentError, required, unknown},
    fields::{Number, Object, Text},
    json, money,
    normaliser::{Normaliser, Read},
    time,
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "worldpay", aliases: &["worldpay_access"], headers: &[], read: Read::Body(normalise) };

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
    amount: Object<Amount<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Amount<'a> {
    #[serde(borrow)]
    value: Number<'a>,
    currency_code: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_id = required(event.event_id, "eventId")?;
    let occurred_at = time::at_offset(event.event_timestamp.as_str(), 0);
    let details = event.event_details.or_default();
    let kind = kind(details.classification.as_str(), details.kind.as_str());
    let event_type = details.kind.some().unwrap_or_default();
    let Some(kind) = kind else {
        return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
    };
    let amount = details.amount.or_default();
    let amount = money::minor(amount.value, &amount.currency_code, money::iso);
    let facts = Facts {
        transaction_id: details.transaction_reference.some(),
        occurred_at,
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(classification: &str, name: &str) -> Option<EventType> {
    use EventType::*;
    Some(match (classification, name) {
        ("payout", "sentForPayout" | "requested") => PayoutPending,
        ("payout", "settled" | "completed" | "paid") => PayoutSucceeded,
        ("payout", "refused" | "error" | "failed") => PayoutFailed,
        ("chargeback", "informationRequested") => DisputeWarning,
        ("chargeback", "chargedBack" | "disputed") => DisputeOpened,
        ("chargeback", "disputeReversed" | "chargebackReversed" | "disputeWon") => DisputeWon,
        ("chargeback", "disputeLost") => DisputeLost,
        (_, "sentForAuthorization") => PaymentPending,
        (_, "authorized") => PaymentAuthorized,
        (_, "sentForSettlement" | "settled") => PaymentSucceeded,
        (_, "settlementFailed") => PaymentCaptureFailed,
        (_, "refused" | "error" | "authenticationFailed") => PaymentFailed,
        (_, "cancelled" | "sentForCancellation") => PaymentCanceled,
        (_, "expired") => PaymentExpired,
        (_, "sentForRefund") => RefundPending,
        (_, "refunded") => RefundSucceeded,
        (_, "refundFailed") => RefundFailed,
        _ => return None,
    })
}
