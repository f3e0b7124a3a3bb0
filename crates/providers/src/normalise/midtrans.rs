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
//! `refund_amount`. So `status_code` and `gross_amount` must have their own form, a type that says that money moved must
//! agree with the signed code, 200, and the joined text must have no other place where such a code and an amount could
//! begin. Otherwise the event is unrecognized.

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
const AMBIGUOUS: &str = "signed values could be split in another place";

/// The status codes that notifications have (<https://docs.midtrans.com/reference/code-statuses>): success, pending or
/// challenged, denied or expired, expired.
const CODES: [&str; 4] = ["200", "201", "202", "407"];

/// The most digits of an amount before its decimals: a million million rupiah is more than any way to pay takes. Midtrans
/// states no bound; without one, an order id that holds a date (`INV20251009001`) would hold a code and an amount.
const MAX_DIGITS: usize = 12;

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
    let gross = body.gross_amount.text().unwrap_or_default();
    let has_own_forms = CODES.contains(&code) && is_amount(gross);
    let doubt = match order.as_deref() {
        _ if !has_own_forms || moved && code != "200" => Some(DOUBTFUL),
        Some(order) if splits(order, code, gross) == 1 => None,
        _ => Some(AMBIGUOUS),
    };
    let facts = match (kind, doubt) {
        (None, _) => unknown("", status),
        (Some(_), Some(why)) => Facts::unrecognized("", status, why),
        (Some(kind), None) => Facts::new("", status, kind),
    };
    let facts = Facts {
        transaction_id: id,
        movement_id,
        occurred_at,
        method: PaymentMethod { kind: body.payment_type.some(), brand: body.bank.some(), country: None },
        ..facts
    };
    let words = [order.as_deref().unwrap_or_default(), code, fraud, gross, refunded];
    // What the signature does not bear out has no amount either.
    let facts = if doubt.is_some() { facts } else { money::with_amount(facts, amount) };
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

/// `24145.00`: no leading zero, at most [`MAX_DIGITS`], two decimals.
fn is_amount(amount: &str) -> bool {
    let Some((whole, cents)) = amount.split_once('.') else { return false };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let leads = whole.starts_with('0') && whole != "0";
    is_digits(whole) && whole.len() <= MAX_DIGITS && is_digits(cents) && cents.len() == 2 && !leads
}

/// In how many places the joined text could be split into an order, a status code and an amount. Code and amount have
/// their own forms.
fn splits(order: &str, code: &str, amount: &str) -> usize {
    let whole = amount.split_once('.').map_or(amount, |(whole, _)| whole);
    let len = order.len() + code.len() + whole.len();
    let digits = order.bytes().rev().take_while(u8::is_ascii_digit).count() + code.len() + whole.len();
    let most = digits.min(MAX_DIGITS);
    let text = order.bytes().chain(code.bytes()).chain(whole.bytes());
    // A code, and the first digit of the amount after it.
    let mut window = [0; 4];
    let places = text.enumerate().filter(|(at, byte)| {
        let [_, a, b, c] = window;
        window = [a, b, c, *byte];
        let amount = len - at;
        let is_code = CODES.iter().any(|known| known.as_bytes() == [a, b, c]);
        // An order has at least one character.
        *at > 3 && is_code && amount <= most && (*byte != b'0' || amount == 1)
    });
    places.count()
}
