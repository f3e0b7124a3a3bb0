//! One archived webhook, and how rows travel through the archive queue: JSON lines, as many as a message holds.

use serde::{Deserialize, Serialize};
use tollgate_core::{PaymentEvent, Receipt, Timestamp, WebhookId};

use crate::intake::{Encoding, IntakeMessage, MAX_MESSAGE_BYTES, RequestParts, is_sqs_character};

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

impl<'a> Row<'a> {
    /// The row of a processed message.
    pub fn new(message: &IntakeMessage, events: Vec<PaymentEvent<'a>>, outcome: Outcome) -> Self {
        Self {
            webhook_id: message.webhook_id.clone(),
            received_at: message.received_at,
            source_ip: message.source_ip.clone(),
            request: message.request.clone(),
            encoding: message.encoding,
            body: message.body.clone(),
            receipt: message.receipt(),
            only_transaction: message.notes.only_transaction.clone(),
            events,
            outcome,
        }
    }

    /// The row as one line of JSON in characters that SQS takes, without the line's end.
    ///
    /// # Errors
    ///
    /// Never for a row of ours; a value that JSON cannot hold.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        let line = serde_json::to_string(self)?;
        if line.chars().all(is_sqs_character) {
            return Ok(line);
        }
        // JSON escapes control characters by itself; what is left are U+FFFE and U+FFFF.
        Ok(line.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"))
    }
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
    fn a_line_that_is_no_row_is_named() {
        assert_eq!(unpack("nonsense"), Err(RowError { line: 1 }));
    }
}
