//! What the rivals in Rust share: the rules of Stripe's events, money, and the texts that are hashed. They are
//! written as a team that takes in one provider would write them.

use tollgate_core::id::hex_sha256;

/// What SQS takes in a message.
const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// An event's type and category, by Stripe's name, the state of its object and whether it was captured.
pub(super) fn kind(
    event_type: &str,
    status: &str,
    captured: Option<bool>,
) -> Option<(&'static str, &'static str)> {
    Some(match event_type {
        "charge.succeeded" if captured == Some(false) => ("payment.authorized", "payment"),
        "charge.succeeded" | "charge.captured" | "payment_intent.succeeded" => {
            ("payment.succeeded", "payment")
        }
        "charge.failed" | "payment_intent.payment_failed" => ("payment.failed", "payment"),
        "charge.pending" | "payment_intent.processing" => ("payment.pending", "payment"),
        "charge.refunded" => ("refund.succeeded", "refund"),
        "charge.dispute.created" if status.starts_with("warning_") => ("dispute.warning", "dispute"),
        "charge.dispute.created" => ("dispute.opened", "dispute"),
        "charge.dispute.updated" => ("dispute.updated", "dispute"),
        "charge.dispute.closed" => match status {
            "won" => ("dispute.won", "dispute"),
            "lost" => ("dispute.lost", "dispute"),
            _ => ("dispute.closed", "dispute"),
        },
        _ => return None,
    })
}

/// A refund's own amount is what the charge's refunds come to now, less what they came to before.
pub(super) fn amount(
    event_type: &str,
    amount: i64,
    refunded: Option<i64>,
    refunded_before: Option<i64>,
) -> i64 {
    match (event_type, refunded) {
        ("charge.refunded", Some(refunded)) => refunded - refunded_before.unwrap_or(0),
        _ => amount,
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

/// What two deliveries of one event must share.
pub(super) fn fingerprint(kind: &str, units: i64, currency: &str, transaction: &str) -> String {
    let exponent = exponent(currency);
    hex_sha256(format!("{kind}\n{units}\n{currency}\n{exponent}\n{transaction}").as_bytes())
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
