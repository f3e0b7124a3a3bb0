//! One archived webhook, and how rows travel through the archive queue: JSON lines, as many as a message holds.

use serde::{Deserialize, Serialize};
use tollgate_core::{Authenticity, EndpointId, PaymentEvent, ProviderId, Receipt, Timestamp, WebhookId};

use crate::intake::{Arrived, Encoding, MAX_MESSAGE_BYTES, RequestParts};

/// How a webhook ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every event of it was recorded and published.
    Processed,
    /// An event of it contradicts what its id first said; that event had no effect.
    Conflict,
}

impl Outcome {
    /// The text in the archive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Conflict => "conflict",
        }
    }
}

/// One webhook for the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row<'a> {
    /// The delivery; the archive may hold a row twice, readers keep one for each id (and `only_transaction`).
    pub webhook_id: WebhookId,
    /// When it arrived; decides the partition.
    pub received_at: Timestamp,
    /// Who sent it.
    pub source_ip: String,
    /// What verifying again needs besides the body.
    pub request: RequestParts,
    /// How `body` carries the bytes.
    pub encoding: Encoding,
    /// The exact bytes in that encoding.
    pub body: String,
    /// The check that let it in.
    pub receipt: Receipt,
    /// Where an ordered delivery of several payments was sent once for each: which one this row is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_transaction: Option<String>,
    /// What it said.
    pub events: Vec<PaymentEvent<'a>>,
    /// How it ended.
    pub outcome: Outcome,
}

/// A line of an archive message that is no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the archive message is not a row")]
pub struct RowError {
    /// Counted from 1.
    pub line: usize,
}

impl Row<'_> {
    /// The row as one line of JSON in characters that SQS takes, without the line's end.
    ///
    /// # Errors
    ///
    /// Never for a row of ours; a value that JSON cannot hold.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self).map(in_sqs_characters)
    }
}

/// The line of a [`Row`], put together from what is at hand: the message as it came, and its events' JSON.
///
/// # Errors
///
/// Never for a message of ours; a value that JSON cannot hold.
pub(crate) fn line<'e>(
    message: &Arrived<'_>,
    events: impl IntoIterator<Item = &'e str>,
    outcome: Outcome,
) -> Result<String, serde_json::Error> {
    let head = Head {
        webhook_id: message.webhook_id,
        received_at: message.received_at,
        source_ip: message.source_ip,
        encoding: message.encoding,
        body: message.body,
        receipt: ReceiptHead {
            body_sha256: &message.notes.body_sha256,
            endpoint: message.endpoint,
            provider: message.provider,
            authenticity: message.notes.authenticity,
            key_id: message.key_id,
            signed_at: message.notes.signed_at,
            verified_at: message.received_at,
        },
        only_transaction: message.notes.only_transaction.as_deref(),
    };
    // Room for the body's escapes and an event or two.
    let mut line = Vec::with_capacity(message.body.len() / 4 * 5 + 2_048);
    serde_json::to_writer(&mut line, &head)?;
    let mut line = String::from_utf8(line).map_err(serde::ser::Error::custom)?;
    line.pop();
    line.push_str(",\"request\":");
    line.push_str(message.request);
    line.push_str(",\"events\":[");
    for (position, event) in events.into_iter().enumerate() {
        if position > 0 {
            line.push(',');
        }
        line.push_str(event);
    }
    line.push_str("],\"outcome\":\"");
    line.push_str(outcome.as_str());
    line.push_str("\"}");
    Ok(in_sqs_characters(line))
}

/// The fields of a [`Row`] that are not at hand as JSON.
#[derive(Serialize)]
struct Head<'a> {
    webhook_id: WebhookId,
    received_at: Timestamp,
    source_ip: &'a str,
    encoding: Encoding,
    body: &'a str,
    receipt: ReceiptHead<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    only_transaction: Option<&'a str>,
}

/// The fields of a [`Receipt`].
#[derive(Serialize)]
struct ReceiptHead<'a> {
    body_sha256: &'a str,
    endpoint: EndpointId,
    provider: ProviderId,
    authenticity: Authenticity,
    key_id: &'a str,
    signed_at: Option<Timestamp>,
    verified_at: Timestamp,
}

/// JSON escapes control characters by itself; what SQS refuses besides are U+FFFE and U+FFFF.
fn in_sqs_characters(line: String) -> String {
    // Both are EF BF BE/BF in UTF-8; a byte is found faster than a character.
    if !memchr::memmem::find_iter(line.as_bytes(), b"\xef\xbf")
        .any(|at| matches!(line.as_bytes().get(at + 2), Some(0xbe | 0xbf)))
    {
        return line;
    }
    line.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
}

/// Lines packed into messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Message bodies, each at most [`MAX_MESSAGE_BYTES`].
    pub messages: Vec<String>,
    /// For each line, which message holds it; `None` where the line alone is too long for any.
    pub message_of: Vec<Option<usize>>,
}

/// Packs lines into as few messages as their order allows.
pub fn pack<'a>(lines: impl IntoIterator<Item = &'a str>) -> Packed {
    let mut packed = Packed::default();
    for line in lines {
        if line.len() > MAX_MESSAGE_BYTES {
            packed.message_of.push(None);
            continue;
        }
        let fits = |message: &&mut String| message.len() + 1 + line.len() <= MAX_MESSAGE_BYTES;
        if let Some(message) = packed.messages.last_mut().filter(fits) {
            message.push('\n');
            message.push_str(line);
        } else {
            packed.messages.push(line.to_owned());
        }
        packed.message_of.push(packed.messages.len().checked_sub(1));
    }
    packed
}

/// Reads a message's rows.
///
/// # Errors
///
/// [`RowError`] for the first line that is none.
pub fn unpack(message: &str) -> Result<Vec<Row<'static>>, RowError> {
    message
        .split('\n')
        .enumerate()
        .map(|(index, line)| serde_json::from_str(line).map_err(|_| RowError { line: index + 1 }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_packed_in_order_and_within_the_limit() {
        let half = "x".repeat(MAX_MESSAGE_BYTES / 2);
        let long = "y".repeat(MAX_MESSAGE_BYTES + 1);
        let packed = pack([half.as_str(), "a", half.as_str(), long.as_str(), "b"]);
        assert_eq!(packed.message_of, [Some(0), Some(0), Some(1), None, Some(1)]);
        assert!(packed.messages.iter().all(|m| m.len() <= MAX_MESSAGE_BYTES));
        assert_eq!(pack([]), Packed::default());
    }

    #[test]
    fn a_line_put_together_is_the_line_of_its_row() {
        let request = r#"{"headers":[["A","b"]],"query":"q=1"}"#;
        let receipt = r#"{"authenticity":"verified","body_sha256":"00","signed_at":"2026-01-01T00:00:00Z"}"#;
        let attributes = [
            ("webhook_id", "wh_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            ("endpoint", "e"),
            ("provider", "p"),
            ("received_at", "2026-01-01T00:00:01.5Z"),
            ("source_ip", "::1"),
            ("key_id", "k"),
            ("receipt", receipt),
            ("request", request),
            ("encoding", "text"),
        ];
        let message = Arrived::read("{\"a\":\n\u{ffff}}", &attributes).unwrap();
        let written = line(&message, [], Outcome::Conflict).unwrap();
        let rows = unpack(&written).unwrap();
        let again = rows.first().unwrap().to_line().unwrap();
        let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        assert_eq!(value(&again), value(&written));
        assert!(!written.contains('\u{ffff}'));
    }

    #[test]
    fn a_line_that_is_no_row_is_named() {
        assert_eq!(unpack("nonsense"), Err(RowError { line: 1 }));
    }
}
