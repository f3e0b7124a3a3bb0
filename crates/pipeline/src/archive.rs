//! The archive queue's messages, from the processor to the archival function: one JSON line for each archived webhook,
//! as many as a message holds.

use serde::{Deserialize, Serialize};
use tollgate_core::{Authenticity, EndpointId, PaymentEvent, ProviderId, Receipt, Timestamp, WebhookId};

use crate::intake::{Encoding, MAX_MESSAGE_BYTES, QueuedMessage, RequestParts};

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

/// Writes the line of a [`Row`], put together from what is at hand: the message as it came, and its events' JSON.
///
/// # Errors
///
/// Never for a message of ours; a value that JSON cannot hold.
pub(crate) fn write_line<'e>(
    line: &mut String,
    message: &QueuedMessage<'_>,
    events: impl IntoIterator<Item = &'e str>,
    outcome: Outcome,
) -> Result<(), serde_json::Error> {
    let head = Head {
        webhook_id: message.webhook_id,
        received_at: message.received_at,
        source_ip: message.source_ip,
        encoding: message.encoding,
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
    line.push_str(&serde_json::to_string(&head)?);
    line.pop();
    line.push_str(",\"body\":");
    match message.escaped_body {
        Some(escaped) => {
            line.push('"');
            line.push_str(escaped);
            line.push('"');
        }
        None => line.push_str(&serde_json::to_string(message.body)?),
    }
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
    Ok(())
}

/// The fields of a [`Row`] that are not at hand as JSON.
#[derive(Serialize)]
struct Head<'a> {
    webhook_id: WebhookId,
    received_at: Timestamp,
    source_ip: &'a str,
    encoding: Encoding,
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

/// Archive messages on their way to be full, a line for each row. Lines are written where they stay.
#[derive(Debug, Default)]
pub struct Packing(Vec<String>);

impl Packing {
    /// Adds the line that `write` appends, without a line's end; which message holds it. `None` where the line
    /// alone is longer than [`MAX_MESSAGE_BYTES`]: it is left out.
    ///
    /// # Errors
    ///
    /// Those of `write`; the line is left out.
    pub fn add<E>(&mut self, write: impl FnOnce(&mut String) -> Result<(), E>) -> Result<Option<usize>, E> {
        let mut message = self.0.pop().unwrap_or_default();
        let before = message.len();
        if before > 0 {
            message.push('\n');
        }
        let begin = message.len();
        let written = write(&mut message).map(|()| {
            in_sqs_characters(&mut message, begin);
            message.len() - begin
        });
        let next = match written {
            Ok(length) if length <= MAX_MESSAGE_BYTES => {
                (message.len() > MAX_MESSAGE_BYTES).then(|| message.split_off(begin))
            }
            _ => {
                message.truncate(before);
                None
            }
        };
        if next.is_some() {
            message.truncate(before);
        }
        // An empty message would be refused together with all that are sent beside it.
        self.0.extend(Some(message).filter(|message| !message.is_empty()));
        self.0.extend(next);
        Ok((written? <= MAX_MESSAGE_BYTES).then(|| self.0.len().saturating_sub(1)))
    }

    /// Adds another's messages behind its own; how many places those that [`add`](Self::add) named move by.
    pub(crate) fn append(&mut self, mut other: Self) -> usize {
        let before = self.0.len();
        self.0.append(&mut other.0);
        before
    }

    /// The message bodies, each at most [`MAX_MESSAGE_BYTES`].
    pub fn into_messages(self) -> Vec<String> {
        self.0
    }
}

/// Makes the line that begins there one that SQS takes. JSON escapes control characters by itself; what SQS refuses
/// besides are U+FFFE and U+FFFF. A line break can only stand between two tokens.
fn in_sqs_characters(message: &mut String, begin: usize) {
    let line = message.get(begin..).unwrap_or_default();
    // Both are EF BF BE/BF in UTF-8; a byte is found faster than a character.
    let is_refused = |at: usize| matches!(line.as_bytes().get(at + 2), Some(0xbe | 0xbf));
    let has_refused = memchr::memmem::find_iter(line.as_bytes(), b"\xef\xbf").any(is_refused);
    if has_refused || memchr::memchr(b'\n', line.as_bytes()).is_some() {
        let line = line.replace('\n', " ").replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
        message.truncate(begin);
        message.push_str(&line);
    }
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

    fn pack(lines: &[&str]) -> (Vec<Option<usize>>, Vec<String>) {
        let mut packing = Packing::default();
        let add = |line: &&str| {
            packing.add(|message| {
                message.push_str(line);
                Ok::<(), ()>(())
            })
        };
        let message_of = lines.iter().map(add).map(Result::unwrap).collect();
        (message_of, packing.into_messages())
    }

    #[test]
    fn lines_are_packed_in_order_and_within_the_limit() {
        let half = "x".repeat(MAX_MESSAGE_BYTES / 2);
        let full = "z".repeat(MAX_MESSAGE_BYTES);
        let long = "y".repeat(MAX_MESSAGE_BYTES + 1);
        let (message_of, messages) = pack(&[&half, "a", &half, &long, "b", &full]);
        assert_eq!(message_of, [Some(0), Some(0), Some(1), None, Some(1), Some(2)]);
        assert_eq!(messages, [format!("{half}\na"), format!("{half}\nb"), full]);
        assert_eq!(pack(&[]), (vec![], vec![]));
        assert_eq!(pack(&[&long]), (vec![None], vec![]));
        assert_eq!(pack(&[&long, "a"]), (vec![None, Some(0)], vec!["a".to_owned()]));
    }

    #[test]
    fn a_line_that_cannot_be_written_leaves_nothing_behind() {
        let mut packing = Packing::default();
        let whole = packing.add(|line| {
            line.push('a');
            Ok::<(), ()>(())
        });
        assert_eq!(whole, Ok(Some(0)));
        let half_written = packing.add(|line| {
            line.push('b');
            Err(())
        });
        assert_eq!((half_written, packing.into_messages()), (Err(()), vec!["a".to_owned()]));
    }

    #[test]
    fn a_line_put_together_is_the_line_of_its_row() {
        // Blanks between tokens are JSON, and may hold line breaks.
        let request = "{\"headers\":[[\"A\",\"b\"]],\n\"query\":\"q=1\"\n}";
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
        let body = "{\"a\":\n\u{ffff}}";
        let message = QueuedMessage::read(body, &attributes).unwrap();
        let escaped = QueuedMessage { escaped_body: Some("{\\u0022a\\\":\\n\u{ffff}}"), ..message.clone() };
        for message in [message, escaped] {
            let mut packing = Packing::default();
            packing.add(|line| write_line(line, &message, [], Outcome::Conflict)).unwrap();
            let written = packing.into_messages().pop().unwrap();
            assert!(!written.contains(['\u{ffff}', '\n']), "{written}");
            let rows = unpack(&written).unwrap();
            let row = rows.first().unwrap();
            assert_eq!((row.body.as_str(), row.outcome), (body, Outcome::Conflict));
            let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
            assert_eq!(value(&serde_json::to_string(row).unwrap()), value(&written));
        }
    }

    #[test]
    fn a_line_that_is_no_row_is_named() {
        assert_eq!(unpack("nonsense"), Err(RowError { line: 1 }));
    }
}
