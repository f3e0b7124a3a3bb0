//! What the rivals in Rust share: the rules of Stripe's events, money, and the texts that are hashed. They are
//! written as a team that takes in one provider would write them.

use std::borrow::Cow;

use aws_sdk_dynamodb::types::{AttributeValue, BatchStatementRequest};
use jiff::Timestamp;
use tollgate_core::id::hex_sha256;

use crate::outputs::{CLAIM, MARK};

/// What SQS takes in a message.
const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// An event's type, and what its type decides.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) category: &'static str,
    /// How far its transaction is, by two digits.
    pub(super) rank: u8,
}

/// By Stripe's name, the state of the event's object and whether it was captured. A refund's own events, which come
/// beside `charge.refunded`, began with a later API version than the batch has.
pub(super) fn kind(event_type: &str, status: &str, captured: Option<bool>) -> Option<Kind> {
    let (name, category, rank) = match event_type {
        "charge.succeeded" if captured == Some(false) => ("payment.authorized", "payment", 14),
        "charge.succeeded" => ("payment.succeeded", "payment", 16),
        "charge.refunded" => ("refund.succeeded", "refund", 32),
        "charge.dispute.created" if status.starts_with("warning_") => ("dispute.warning", "dispute", 40),
        "charge.dispute.created" => ("dispute.opened", "dispute", 41),
        _ => return None,
    };
    Some(Kind { name, category, rank })
}

impl Kind {
    /// A history's texts are in the order of its events; what follows a payment is behind it.
    pub(super) fn sort_key(self, occurred_at: Timestamp, event_id: &str) -> String {
        let stage = if self.category == "payment" { 0 } else { 1 };
        format!("{stage}#{occurred_at:.9}#{}#{event_id}", self.rank)
    }

    /// What moved: the refund, which only the charge and its running sum tell apart, the dispute, or the payment.
    pub(super) fn movement<'a>(
        self,
        transaction: &'a str,
        object: &'a str,
        refunded: Option<i64>,
    ) -> Cow<'a, str> {
        match self.category {
            "refund" => format!("{object}:refunded:{}", refunded.unwrap_or_default()).into(),
            "dispute" => object.into(),
            _ => transaction.into(),
        }
    }

    /// The same for every event that tells the effect. A payment is authorised again where more is.
    pub(super) fn effect_id(self, endpoint: &str, movement: &str, amount: i64) -> String {
        let occurrence = if self.name == "payment.authorized" { amount.to_string() } else { String::new() };
        let (name, length) = (self.name, movement.len());
        let effect = format!("{endpoint}#{name}#{length}:{movement}#{occurrence}");
        format!("eff_{}", &hex_sha256(effect.as_bytes())[..32])
    }
}

/// A refund's own amount is what the charge's refunds come to now, less what they came to before.
pub(super) fn amount(
    kind: Kind,
    amount: i64,
    refunded: Option<i64>,
    refunded_before: Option<i64>,
) -> Option<i64> {
    match kind.category {
        "refund" => Some(refunded? - refunded_before?),
        _ => Some(amount),
    }
}

/// Decimals of a currency.
pub(super) fn exponent(currency: &str) -> u32 {
    match currency {
        "JPY" | "KRW" | "CLP" | "VND" | "ISK" => 0,
        "KWD" | "BHD" | "JOD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// `low`, `medium` or `high`, by limits in major units.
pub(super) fn tier(units: i64, currency: &str) -> &'static str {
    let (medium, high) = match currency {
        "KWD" => (300, 3_000),
        "SEK" | "DKK" | "NOK" => (10_000, 100_000),
        "JPY" | "INR" => (100_000, 1_000_000),
        _ => (1_000, 10_000),
    };
    let (units, scale) = (i128::from(units.abs()), 10_i128.pow(exponent(currency)));
    match units {
        units if units > high * scale => "high",
        units if units >= medium * scale => "medium",
        _ => "low",
    }
}

/// Exact decimal text in major units.
pub(super) fn decimal(units: i64, exponent: u32) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let (units, scale, width) = (units.unsigned_abs(), 10_u64.pow(exponent), exponent as usize);
    match exponent {
        0 => format!("{sign}{units}"),
        _ => format!("{sign}{}.{:0width$}", units / scale, units % scale),
    }
}

/// The stable id of an event, from its ledger key.
pub(super) fn event_id(key: &str) -> String {
    format!("evt_{}", &hex_sha256(key.as_bytes())[..32])
}

/// The claim of an effect for an event, as a statement. `now`: when the batch was begun.
pub(super) fn claim(
    effect_id: &str,
    event_id: &str,
    webhook_id: &str,
    now: Timestamp,
) -> BatchStatementRequest {
    let expires_at = now.as_second() + 90 * 86_400;
    BatchStatementRequest::builder()
        .statement(CLAIM)
        .set_parameters(Some(vec![
            AttributeValue::S(format!("effect:{effect_id}")),
            AttributeValue::S(event_id.to_owned()),
            AttributeValue::S(webhook_id.to_owned()),
            AttributeValue::S(now.to_string()),
            AttributeValue::N(expires_at.to_string()),
        ]))
        .build()
        .unwrap()
}

/// What marks an event as processed, as a statement.
pub(super) fn mark(key: String, webhook_id: &str) -> BatchStatementRequest {
    BatchStatementRequest::builder()
        .statement(MARK)
        .parameters(AttributeValue::S(webhook_id.to_owned()))
        .parameters(AttributeValue::S(key))
        .build()
        .unwrap()
}

/// Adds a line to the last message, or to a new one where it does not fit.
pub(super) fn pack(messages: &mut Vec<String>, line: &str) {
    match messages.last_mut() {
        Some(message) if message.len() + 1 + line.len() <= MAX_MESSAGE_BYTES => {
            message.push('\n');
            message.push_str(line);
        }
        _ => messages.push(line.to_owned()),
    }
}

/// SQS takes XML's characters; JSON escapes the rest but for these two.
pub(super) fn for_sqs(line: String) -> String {
    if line.contains(['\u{fffe}', '\u{ffff}']) {
        return line.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
    }
    line
}
