//! The archive queue's messages, from the processor to the archival function: one JSON line for each archived webhook,
//! as many as a message holds. A webhook whose row is longer than a message has several lines.

use serde::{Deserialize, Serialize};
use tollgate_core::{Authenticity, EndpointId, PaymentEvent, ProviderId, Receipt, Timestamp, WebhookId};

use crate::intake::{ClaimCheck, Encoding, MAX_MESSAGE_BYTES, QueuedMessage, RequestParts};

/// How a webhook ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every event of it was recorded and published.
    Processed,
    /// An event of it contradicts what its id first said; that event had no effect.
    Conflict,
    /// Other deliveries of its events were processed, and this one had nothing to do.
    Duplicate,
    /// It is in the quarantine, and has had no effect so far.
    SetAside,
}

impl Outcome {
    /// The text in the archive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Conflict => "conflict",
            Self::Duplicate => "duplicate",
            Self::SetAside => "set_aside",
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
    /// What it said, or a part of that. None where it had nothing to do or is set aside: an event is told by the rows of
    /// deliveries that were processed, so that a sum counts it once.
    pub events: Vec<PaymentEvent<'a>>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it was set aside; none where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which part of its events this is, counted from 0: those of a large delivery are in several rows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub part: u32,
    /// The operator's act that sent it again from an archive; none of a first delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed_by: Option<String>,
    /// Where what was fetched for its event is; none where its event says what the webhook says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ClaimCheck>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(part: &u32) -> bool {
    *part == 0
}

/// A message that was set aside and is no webhook that was let in, as it was received: nothing that it says of itself can
/// be relied on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadMessage {
    /// The queue's id of it.
    pub message_id: String,
    /// When it was set aside; decides the partition.
    pub set_aside_at: Timestamp,
    /// The message attributes.
    pub attributes: Vec<(String, String)>,
    /// How `body` carries the message's body: as it is, or as a claim check.
    pub encoding: Encoding,
    /// The message's body in that encoding.
    pub body: String,
    /// Why it was set aside.
    pub reason: String,
}

/// A line of an archive message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line<'a> {
    /// A webhook.
    Webhook(Box<Row<'a>>),
    /// A message that could not be taken for one.
    Unread(UnreadMessage),
}

impl<'a> Line<'a> {
    /// The webhook's row.
    pub fn into_row(self) -> Option<Row<'a>> {
        match self {
            Self::Webhook(row) => Some(*row),
            Self::Unread(_) => None,
        }
    }

    fn read(line: &str) -> Option<Line<'static>> {
        let row = serde_json::from_str(line).map(|row| Line::Webhook(Box::new(row)));
        row.or_else(|_| serde_json::from_str(line).map(Line::Unread)).ok()
    }
}

/// A line of an archive message that is no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the archive message is not a row")]
pub struct RowError {
    /// Counted from 1.
    pub line: usize,
}

/// How a row ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending<'o> {
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<&'static str>,
    pub(crate) part: u32,
    pub(crate) object: Option<&'o ClaimCheck>,
}

impl<'o> Ending<'o> {
    /// That of a row that is whole and was not set aside. A duplicate's row has no events, and nothing that they say.
    pub(crate) fn of(outcome: Outcome, object: Option<&'o ClaimCheck>) -> Self {
        let object = object.filter(|_| outcome != Outcome::Duplicate);
        Self { outcome, reason: None, part: 0, object }
    }
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
    ending: Ending<'_>,
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
            taken_in_at: message.notes.taken_in_at,
        },
        only_transaction: message.notes.only_transaction.as_deref(),
        reason: ending.reason,
        part: ending.part,
        replayed_by: message.notes.replayed_by.as_deref(),
        object: ending.object,
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
    line.push_str(ending.outcome.as_str());
    line.push_str("\"}");
    Ok(())
}

/// At least as long as the message's row with events of so many bytes in all, their commas included.
pub(crate) fn row_bytes_at_most(message: &QueuedMessage<'_>, events: usize) -> usize {
    // JSON writes a byte as six at most (RFC 8259, section 7), and so `in_sqs_characters` a character of three.
    let texts = [
        message.source_ip,
        message.key_id,
        message.notes.body_sha256.as_ref(),
        message.notes.only_transaction.as_deref().unwrap_or_default(),
        message.notes.replayed_by.as_deref().unwrap_or_default(),
    ];
    let texts: usize = texts.iter().map(|text| 6 * text.len()).sum();
    let body = message.escaped_body.map_or(6 * message.body.len(), |escaped| 2 * escaped.len());
    HEAD_BYTES + texts + body + 2 * (message.request.len() + events)
}

/// More than a row's names, ids, times and words, and where what was fetched is.
const HEAD_BYTES: usize = 2_560;

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
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "is_zero")]
    part: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'a ClaimCheck>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_in_at: Option<Timestamp>,
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

/// The line that `write` writes, as it is in a message.
///
/// # Errors
///
/// Those of `write`.
pub(crate) fn line<E>(write: impl FnOnce(&mut String) -> Result<(), E>) -> Result<String, E> {
    let mut line = String::new();
    write(&mut line)?;
    in_sqs_characters(&mut line, 0);
    Ok(line)
}

/// How long an event's JSON is in a line, in bytes.
pub(crate) fn event_bytes(json: &str) -> usize {
    json.len() + 3 * json.matches(['\u{fffe}', '\u{ffff}']).count()
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

/// Reads a message's lines, each with its text. A line that is none, perhaps one of a later version, is a [`RowError`] in
/// its place, and the lines beside it are read.
pub fn unpack(message: &str) -> impl Iterator<Item = (&str, Result<Line<'static>, RowError>)> {
    message
        .split('\n')
        .enumerate()
        .map(|(index, line)| (line, Line::read(line).ok_or(RowError { line: index + 1 })))
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
            let object = ClaimCheck::at("objects/e/evt_0".repeat(9), b"{}");
            let (outcome, reason) = (Outcome::SetAside, Some("conflicting_facts"));
            let ending = Ending { outcome, reason, part: 7, object: Some(&object) };
            packing.add(|line| write_line(line, &message, [], ending)).unwrap();
            let written = packing.into_messages().pop().unwrap();
            assert!(!written.contains(['\u{ffff}', '\n']), "{written}");
            assert!(written.len() <= row_bytes_at_most(&message, 0));
            let row = unpack(&written).next().unwrap().1.unwrap().into_row().unwrap();
            assert_eq!((row.body.as_str(), row.outcome, row.part), (body, Outcome::SetAside, 7));
            let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
            assert_eq!(value(&serde_json::to_string(&row).unwrap()), value(&written));
        }
    }

    #[test]
    fn a_line_that_is_no_row_is_named() {
        let read: Vec<_> = unpack("nonsense\n{}").collect();
        assert_eq!(read, [("nonsense", Err(RowError { line: 1 })), ("{}", Err(RowError { line: 2 }))]);
    }
}
