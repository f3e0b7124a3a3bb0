//! Midtrans payments. <https://docs.midtrans.com/docs/https-notification-webhooks>
//!
//! Event id: `{transaction_id}:{transaction_status}`, with `:{refund_amount}` for refunds, of which there can be
//! several. Provider's type: the status. Transaction: `transaction_id`.
//!
//! Money: a decimal text in major units; IDR where no currency is sent. `refund_amount` is the sum of the refunds so
//! far: this one's amount is that of
//! the last of `refunds`, absent where there is no such list. Times come without an offset: they are Western Indonesia
//! Time (UTC+7).
//!
//! Signed: `order_id`, `status_code` and `gross_amount`, joined, and nothing else: not `transaction_id`, the status or
//! `refund_amount`. So `status_code` and `gross_amount` must have their own form, and a type that says that money moved
//! must agree with the signed code, 200. Otherwise the event is unrecognized.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use tollgate_core::{EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, composite, required, unknown},
    fields::{Number, Object, Text, each},
    json, money,
    normaliser::{Normaliser, Read},
    time,
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "midtrans", aliases: &[], headers: &[], read: Read::Body(normalise) };

/// Western Indonesia Time, in hours east of UTC; there is no daylight saving.
pub(super) const WIB: i8 = 7;

const DOUBTFUL: &str = "not what the signed status code and amount say";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    transaction_id: Text<'a>,
    transaction_status: Text<'a>,
    fraud_status: Text<'a>,
    gross_amount: Number<'a>,
    refund_amount: Number<'a>,
    refunds: Refunds<'a>,
    currency: Text<'a>,
    payment_type: Text<'a>,
    bank: Text<'a>,
    transaction_time: Text<'a>,
    settlement_time: Text<'a>,
    status_code: Text<'a>,
}

/// The amount of the last refund.
#[derive(Default)]
struct Refunds<'a>(Number<'a>);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refund<'a> {
    #[serde(borrow)]
    refund_amount: Number<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Refunds<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut last = Self::default();
        each(deserializer, |refund: Object<Refund<'de>>| last.0 = refund.or_default().refund_amount)?;
        Ok(last)
    }
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let body: Body<'_> = json::read(body)?;
    let id = required(body.transaction_id, "transaction_id")?;
    let status = required(body.transaction_status, "transaction_status")?;
    let refund = matches!(&*status, "refund" | "partial_refund");
    let event_id = match body.refund_amount.text() {
        Some(refunded) if refund => composite(&[&id, &status, refunded]),
        _ => composite(&[&id, &status]),
    };
    let settled = if &*status == "settlement" { body.settlement_time.as_str() } else { "" };
    let occurred_at =
        time::at_offset(settled, WIB).or_else(|| time::at_offset(body.transaction_time.as_str(), WIB));
    let Some(kind) = kind(&status, body.fraud_status.as_str()) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, status) });
    };
    let code = body.status_code.as_str();
    let moved = matches!(kind, EventType::PaymentSucceeded | EventType::RefundSucceeded);
    if !is_code(code) || !is_amount(body.gross_amount) || moved && code != "200" {
        return Ok(Facts { occurred_at, ..Facts::unrecognized(event_id, status, DOUBTFUL) });
    }
    let units = if refund { body.refunds.0 } else { body.gross_amount };
    let amount = money::decimal(units, &or_idr(body.currency));
    let facts = Facts {
        transaction_id: Some(id),
        occurred_at,
        method: PaymentMethod { kind: body.payment_type.some(), brand: body.bank.some(), country: None },
        ..Facts::new(event_id, status, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(status: &str, fraud: &str) -> Option<EventType> {
    use EventType::*;
    Some(match status {
        "pending" => PaymentPending,
        "authorize" => PaymentAuthorized,
        // Held until the merchant has looked at it.
        "capture" if fraud == "challenge" => PaymentRequiresAction,
        "capture" | "settlement" => PaymentSucceeded,
        "deny" | "failure" => PaymentFailed,
        "cancel" => PaymentCanceled,
        "expire" => PaymentExpired,
        "refund" | "partial_refund" => RefundSucceeded,
        "chargeback" | "partial_chargeback" => DisputeOpened,
        _ => return None,
    })
}

/// Midtrans's own currency where none is sent.
pub(super) fn or_idr(currency: Text<'_>) -> Text<'_> {
    match currency {
        Text::Absent => Text::Value(Cow::Borrowed("IDR")),
        currency => currency,
    }
}

/// Three digits, of the ranges that Midtrans uses: 200 to 599.
fn is_code(code: &str) -> bool {
    matches!(code.as_bytes(), [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9'])
}

/// `24145.00`: no leading zero, two decimals.
fn is_amount(amount: Number<'_>) -> bool {
    let Some((whole, [_, _])) =
        amount.text().and_then(|text| text.split_once('.')).map(|(w, d)| (w, d.as_bytes()))
    else {
        return false;
    };
    let leads = whole.starts_with('0') && whole != "0";
    !whole.is_empty() && !leads && whole.bytes().all(|b| b.is_ascii_digit())
}
