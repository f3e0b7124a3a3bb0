//! Midtrans payments. <https://docs.midtrans.com/docs/https-notification-webhooks>
//!
//! Event id: `{status}:{movement}:{transaction, where another}:{order_id}:{status_code}:{fraud_status}:{gross_amount}:{refund_amount}:{amount}`.
//! Provider's type: the status. Transaction: `transaction_id`.
//!
//! Movement: the transaction; a refund's own id (`refund_chargeback_id`), else
//! `{transaction}:refund-key:{refund_key}`, else `{transaction}:refund:{sum refunded so far}`; `{transaction}:chargeback` of a chargeback.
//!
//! Money: a decimal text in major units; IDR where no currency is sent. `refund_amount` is the sum of the refunds so
//! far: this one's amount is that of the latest of `refunds`, absent where there is no such list. How much a partial
//! chargeback is of is not sent.
//!
//! Time: Western Indonesia Time (UTC+7), without an offset. `transaction_time` is when the payment was begun, and so the time of
//! `pending` alone; the settlement's, the expiry's and a refund's have a field of their own.
//!
//! Signed: `order_id`, `status_code` and `gross_amount`, joined, and nothing else: not `transaction_id`, the status or
//! `refund_amount`. So `status_code` and `gross_amount` must have their own form, and a type that says that money moved
//! must agree with the signed code, 200. Otherwise the event is unrecognized.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use tollgate_core::{EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Id, Number, Object, Text, each},
    identity::identified,
    json, money,
    normaliser::{Normaliser, Read},
    time,
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "midtrans", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

/// Western Indonesia Time, in hours east of UTC; there is no daylight saving.
pub(super) const WIB: i8 = 7;

const DOUBTFUL: &str = "not what the signed status code and amount say";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    order_id: Text<'a>,
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
    expiry_time: Text<'a>,
    status_code: Text<'a>,
}

/// The latest refund: the last of those that were made last.
#[derive(Default)]
struct Refunds<'a>(Refund<'a>);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refund<'a> {
    #[serde(borrow)]
    refund_chargeback_id: Id<'a>,
    refund_key: Text<'a>,
    refund_amount: Number<'a>,
    created_at: Text<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Refunds<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut latest = Self::default();
        each(deserializer, |refund: Object<Refund<'de>>| {
            let refund = refund.or_default();
            // All times have one form (`2026-01-02 03:04:05`), in which text order is time order.
            if refund.created_at.as_str() >= latest.0.created_at.as_str() {
                latest.0 = refund;
            }
        })?;
        Ok(latest)
    }
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let bytes = body;
    let body: Body<'_> = json::read(body)?;
    let status = required(body.transaction_status, "transaction_status")?;
    let order = body.order_id.some();
    let id = body.transaction_id.some().or_else(|| order.clone());
    let fraud = body.fraud_status.as_str();
    let code = body.status_code.as_str();
    let refund = body.refunds.0;
    let is_refund = matches!(&*status, "refund" | "partial_refund");
    let refunded = body.refund_amount.text().unwrap_or_default();
    let time = match &*status {
        "pending" => body.transaction_time.as_str(),
        "settlement" => body.settlement_time.as_str(),
        "expire" => body.expiry_time.as_str(),
        _ if is_refund => refund.created_at.as_str(),
        _ => "",
    };
    let occurred_at = time::at_offset(time, WIB);
    let own = |words: &[&str]| id.as_deref().map(|id| Cow::Owned([id, &words.concat()].concat()));
    let movement_id = match &*status {
        // A key is the merchant's own and unique within the transaction.
        _ if is_refund => refund.refund_chargeback_id.some().or_else(|| match refund.refund_key.as_str() {
            "" => own(&[":refund:", refunded]),
            key => own(&[":refund-key:", key]),
        }),
        "chargeback" => own(&[":chargeback"]),
        "partial_chargeback" => own(&[":chargeback:", refunded]),
        _ => id.clone(),
    };
    let units = match &*status {
        "partial_chargeback" => Number::Absent,
        _ if is_refund => refund.refund_amount,
        _ => body.gross_amount,
    };
    let amount = money::decimal(units, &or_idr(body.currency));
    let kind = kind(&status, fraud);
    let moved = matches!(kind, Some(EventType::PaymentSucceeded | EventType::RefundSucceeded));
    let is_doubtful = !is_code(code) || !is_amount(body.gross_amount) || moved && code != "200";
    let facts = match kind {
        None => unknown("", status),
        Some(_) if is_doubtful => Facts::unrecognized("", status, DOUBTFUL),
        Some(kind) => Facts::new("", status, kind),
    };
    let facts = Facts {
        transaction_id: id,
        movement_id,
        occurred_at,
        method: PaymentMethod { kind: body.payment_type.some(), brand: body.bank.some(), country: None },
        ..facts
    };
    let gross = body.gross_amount.text().unwrap_or_default();
    let words = [order.as_deref().unwrap_or_default(), code, fraud, gross, refunded];
    // What the signature does not bear out has no amount either.
    let facts = if is_doubtful { facts } else { money::with_amount(facts, amount) };
    Ok(identified(facts, &words, bytes))
}

fn kind(status: &str, fraud: &str) -> Option<EventType> {
    use EventType::*;
    Some(match status {
        "pending" => PaymentPending,
        // Held until the merchant has looked at it.
        "authorize" | "capture" if fraud == "challenge" => PaymentRequiresAction,
        "authorize" | "capture" if fraud == "deny" => PaymentFailed,
        "authorize" => PaymentAuthorized,
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
