//! The SQS batch event, read in one pass over the bytes that Lambda sent.
//!
//! No memory is allocated for a record. Texts without escapes are borrowed from the payload, the others are unescaped
//! into one [`Buffer`], which later invocations use again.

mod block;
mod reader;

use std::sync::{Mutex, PoisonError};

use memchr::memmem;

use self::reader::{Malformed, Parsed, Reader, SLACK, Text};

/// SQS takes ten message attributes at most (Amazon SQS quotas).
const MAX_ATTRIBUTES: usize = 10;

/// The length of a payload, in bytes, from which on two threads are faster: some 200 records of 5 KB
/// (benches/COMPARE.md).
const PARALLEL_FROM: usize = 1_024 * 1_024;

/// SQS's own name for how often a message was received, this time included (`ReceiveMessage`, API reference).
const RECEIVE_COUNT: &str = "ApproximateReceiveCount";

/// What Lambda writes after the text of a message attribute ("Using Lambda with Amazon SQS", developer guide).
const TEXT_ATTRIBUTE_END: &str = r#","stringListValues":[],"binaryListValues":[],"dataType":"String"}"#;

/// One message.
#[derive(Debug, Clone, Default)]
pub struct SqsRecord<'a> {
    /// The id that reports a failure; empty if there is none.
    pub message_id: &'a str,
    /// The message body.
    pub body: &'a str,
    /// The message body as it is in the payload: the JSON text between its quotes.
    pub escaped_body: &'a str,
    /// The message group. On a standard queue it is for SQS alone (fair queues).
    pub group: Option<&'a str>,
    /// How often the queue has handed the message out, this time included; 0 if the event does not say.
    pub receive_count: u32,
    /// The queue's ARN.
    pub event_source_arn: &'a str,
    attributes: [(&'a str, &'a str); MAX_ATTRIBUTES],
    attribute_count: usize,
}

impl<'a> SqsRecord<'a> {
    /// The message attributes that are texts: name and value.
    pub fn attributes(&self) -> &[(&'a str, &'a str)] {
        self.attributes.get(..self.attribute_count).unwrap_or_default()
    }
}

/// The payload is not an SQS event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("input is not an SQS event, at byte {at}")]
pub struct NotSqs {
    /// The position where reading stopped, in bytes from the payload's beginning.
    pub at: usize,
}

/// Memory for unescaped texts. It is kept for later invocations, because to allocate megabytes costs more than to fill
/// them.
#[derive(Debug, Default)]
pub struct Buffer(Vec<u8>);

/// Buffers for the next invocations.
#[derive(Debug, Default)]
pub struct Buffers(Mutex<Vec<Buffer>>);

impl Buffers {
    /// Returns a buffer that was given back, or a new one.
    pub fn take(&self) -> Buffer {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps the buffer for a later invocation.
    pub fn give_back(&self, buffer: Buffer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

/// Reads a batch, in queue order. `buffer` grows to a little more than twice the payload's length and keeps that
/// length. If the payload is long and `is_parallel` is true, two threads read one half each.
///
/// # Errors
///
/// [`NotSqs`].
pub fn read<'a>(
    payload: &'a [u8],
    buffer: &'a mut Buffer,
    is_parallel: bool,
) -> Result<Vec<SqsRecord<'a>>, NotSqs> {
    let room = payload.len() + SLACK;
    // One half for two threads, one half for one thread: when two threads give up, their half is still borrowed. Fresh
    // memory that is not used costs nothing.
    if buffer.0.len() < 2 * room + SLACK {
        buffer.0 = vec![0; 2 * room + SLACK];
    }
    let (one, two) = buffer.0.split_at_mut(room);
    if is_parallel
        && payload.len() >= PARALLEL_FROM
        && let Some(records) = halves(payload, two)
    {
        return Ok(records);
    }
    let payload =
        simdutf8::compat::from_utf8(payload).map_err(|problem| NotSqs { at: problem.valid_up_to() })?;
    let mut reader = Reader::new(payload, one);
    event(&mut reader).map_err(|Malformed| NotSqs { at: reader.at() })
}

/// Reads two halves in parallel. `None` if the payload is not in the form that Lambda writes, or is malformed.
fn halves<'a>(payload: &'a [u8], room: &'a mut [u8]) -> Option<Vec<SqsRecord<'a>>> {
    // This has quotes without backslashes, so it is not inside a text.
    let middle = payload.len() / 2;
    let between = memmem::find(payload.get(middle..)?, b"},{\"messageId\":")?;
    let (front, back) = payload.split_at_checked(middle + between + 1)?;
    let (front_room, back_room) = room.split_at_mut_checked(front.len() + SLACK)?;
    let (front, back) = rayon::join(
        || records_until("", front.strip_prefix(b"{\"Records\":[")?, front_room),
        || records_until("]}", back.strip_prefix(b",")?, back_room),
    );
    let (mut records, mut back) = (front?, back?);
    records.append(&mut back);
    Some(records)
}

fn records_until<'a>(end: &str, part: &'a [u8], room: &'a mut [u8]) -> Option<Vec<SqsRecord<'a>>> {
    let mut reader = Reader::new(simdutf8::basic::from_utf8(part).ok()?, room);
    let mut records = Vec::new();
    loop {
        records.push(record(&mut reader).ok()?);
        if reader.rest() == end.as_bytes() {
            return Some(records);
        }
        reader.expect(b',').ok()?;
    }
}

fn event<'a>(reader: &mut Reader<'a>) -> Parsed<Vec<SqsRecord<'a>>> {
    let mut records = None;
    reader.object(|reader, name| match name {
        "Records" => {
            let mut all = Vec::new();
            reader.list(|reader| {
                all.push(record(reader)?);
                Ok(())
            })?;
            // A second list would replace the first.
            if records.replace(all).is_some() { Err(Malformed) } else { Ok(()) }
        }
        _ => reader.skip(),
    })?;
    reader.end()?;
    records.ok_or(Malformed)
}

fn record<'a>(reader: &mut Reader<'a>) -> Parsed<SqsRecord<'a>> {
    let mut record = SqsRecord::default();
    let mut has_body = false;
    reader.object(|reader, name| {
        // As if the field were absent.
        if reader.take_null() {
            return Ok(());
        }
        match name {
            "messageId" => record.message_id = reader.string()?.text,
            "body" => {
                let Text { text, escaped } = reader.string()?;
                (record.body, record.escaped_body) = (text, escaped);
                has_body = true;
            }
            "eventSourceARN" => record.event_source_arn = reader.string()?.text,
            "attributes" => reader.object(|reader, name| {
                match name {
                    "MessageGroupId" => record.group = reader.text()?,
                    RECEIVE_COUNT => {
                        let count = reader.text()?.and_then(|count| count.parse().ok());
                        record.receive_count = count.unwrap_or_default();
                    }
                    _ => reader.skip()?,
                }
                Ok(())
            })?,
            "messageAttributes" => reader.object(|reader, name| {
                let Some(value) = reader.text_field("stringValue", TEXT_ATTRIBUTE_END)? else {
                    return Ok(());
                };
                *record.attributes.get_mut(record.attribute_count).ok_or(Malformed)? = (name, value);
                record.attribute_count += 1;
                Ok(())
            })?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    if has_body { Ok(record) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the form that the SQS event source mapping sends ("Using Lambda with Amazon SQS", developer guide), values
    /// ours.
    const EVENT: &str = r#"{"Records":[{
        "messageId":"059f36b4-87a3-44ab-83d2-661975830a7d",
        "receiptHandle":"AQEB","body":"{\"a\":1,\n\"b\":\"\u00e9\ud83d\ude00\\\"\"}",
        "attributes":{"ApproximateReceiveCount":"3","SentTimestamp":"1760000000000",
            "SenderId":"AIDA","ApproximateFirstReceiveTimestamp":"1760000000001","MessageGroupId":"pi_1"},
        "messageAttributes":{"endpoint":{"stringValue":"stripe","stringListValues":[],"binaryListValues":[],
            "dataType":"String"},"bytes":{"binaryValue":"AA==","stringListValues":[],"dataType":"Binary"}},
        "md5OfBody":"e4e68fb7bd0e697a0ae8f1bb342846b3","eventSource":"aws:sqs",
        "eventSourceARN":"arn:aws:sqs:us-east-1:000000000000:webhook-intake-ordered-dev.fifo",
        "awsRegion":"us-east-1"}]}"#;

    #[test]
    fn an_event_reads() {
        let mut buffer = Buffer::default();
        let records = read(EVENT.as_bytes(), &mut buffer, false).unwrap();
        let record = records.first().unwrap();
        assert_eq!(record.body, "{\"a\":1,\n\"b\":\"\u{e9}\u{1f600}\\\"\"}");
        assert_eq!((record.group, record.receive_count), (Some("pi_1"), 3));
        assert_eq!(record.attributes(), [("endpoint", "stripe")]);
        assert!(record.event_source_arn.ends_with(".fifo"));
    }

    #[test]
    fn what_is_cut_off_or_is_no_event_is_refused() {
        let mut buffer = Buffer::default();
        for end in 0..EVENT.len() {
            if let Some(cut) = EVENT.get(..end) {
                assert!(read(cut.as_bytes(), &mut buffer, false).is_err(), "{end}");
            }
        }
        for bad in [
            "",
            "null",
            "[]",
            "{}",
            "{\"Records\":1}",
            "{\"Records\":[{}]}",
            "{\"Records\":[]}x",
            "{\"Records\":[],\"Records\":[]}",
            "{\"Records\":[\"x\"]}",
        ] {
            assert!(read(bad.as_bytes(), &mut buffer, false).is_err(), "{bad}");
        }
        assert!(read(br#"{"Records":[{"body":"\ud800"}]}"#, &mut buffer, false).is_err());
        assert!(read(br#"{"Records":[{"body":"\x"}]}"#, &mut buffer, false).is_err());
        assert_eq!(
            read(br#" { "Other" : [1,{"a":[null]}] , "Records" : [ ] } "#, &mut buffer, false).unwrap().len(),
            0
        );
    }

    #[test]
    fn a_text_may_hold_no_control_character() {
        let mut buffer = Buffer::default();
        for before in [0, 5, 40, 200] {
            let (before, after) = ("\\n".repeat(before), "x".repeat(200));
            for (control, is_good) in [('\n', false), ('\u{1f}', false), ('\u{7f}', true)] {
                let event = format!(r#"{{"Records":[{{"body":"{before}{control}{after}"}}]}}"#);
                assert_eq!(read(event.as_bytes(), &mut buffer, false).is_ok(), is_good, "{event}");
            }
        }
    }

    #[test]
    fn what_is_no_text_is_refused_where_it_stands() {
        let mut buffer = Buffer::default();
        let mut event = EVENT.as_bytes().to_vec();
        event[40] = 0xff;
        assert_eq!(read(&event, &mut buffer, false).err(), Some(NotSqs { at: 40 }));
        let record = format!(r#"{{"messageId":"m","body":"{}"}}"#, "x".repeat(1_000));
        let mut event = format!(r#"{{"Records":[{}]}}"#, vec![record; 2_000].join(",")).into_bytes();
        assert!(event.len() > PARALLEL_FROM && read(&event, &mut buffer, true).is_ok());
        for at in [500, event.len() - 500] {
            let byte = std::mem::replace(&mut event[at], 0xff);
            assert_eq!(read(&event, &mut buffer, true).err(), Some(NotSqs { at }));
            event[at] = byte;
        }
    }

    #[test]
    fn two_threads_read_what_one_does() {
        let record = |number: usize| {
            // The text at which a batch is cut in two, inside a body.
            let body = r#"},{\"messageId\":"#.repeat(40);
            format!(r#"{{"messageId":"m{number}","body":"{body}","eventSourceARN":"arn"}}"#)
        };
        let records: Vec<String> = (0..2_000).map(record).collect();
        let event = format!(r#"{{"Records":[{}]}}"#, records.join(","));
        assert!(event.len() > PARALLEL_FROM);
        let (mut one, mut two) = (Buffer::default(), Buffer::default());
        let (one, two) = (
            read(event.as_bytes(), &mut one, false).unwrap(),
            read(event.as_bytes(), &mut two, true).unwrap(),
        );
        assert_eq!((one.len(), two.len()), (2_000, 2_000));
        for (one, two) in one.iter().zip(&two) {
            assert_eq!((one.message_id, one.body), (two.message_id, two.body));
        }
        let mut room = vec![0; 2 * (event.len() + SLACK)];
        assert!(halves(event.as_bytes(), &mut room).is_some());
        // In another form it is read by one thread.
        let mut buffer = Buffer::default();
        for (from, to) in [("\"Records\":[", "\"Records\" :["), ("]}", "] }")] {
            let event = event.replace(from, to);
            assert!(halves(event.as_bytes(), &mut room).is_none());
            assert_eq!(read(event.as_bytes(), &mut buffer, true).unwrap().len(), 2_000);
        }
        let cut = event.get(..event.len() - 1).unwrap();
        assert!(read(cut.as_bytes(), &mut buffer, true).is_err());
    }

    mod beside_serde_json {
        use proptest::prelude::*;
        use serde_json::json;

        use super::*;

        proptest! {
            #[test]
            fn any_text_reads_the_same(
                texts in prop::collection::vec((any::<String>(), "[ -~\"\\\\\n\u{e9}\u{1f600}]{0,300}", "[ -~\"\\\\\n]{0,64}"), 0..4),
                pretty: bool,
            ) {
                let records: Vec<_> = texts.iter().map(|(id, body, value)| json!({
                    "messageId": id, "body": body, "receiptHandle": value, "unknown": [{"x": value}, 1.5e3, null],
                    "messageAttributes": {"name": {"stringValue": value, "dataType": "String"}},
                    "attributes": {"MessageGroupId": body}, "eventSourceARN": "arn",
                })).collect();
                let event = json!({ "Records": records });
                let payload = if pretty { serde_json::to_string_pretty(&event) } else { serde_json::to_string(&event) };
                let payload = payload.unwrap();
                let mut buffer = Buffer::default();
                let read = read(payload.as_bytes(), &mut buffer, false).unwrap();
                prop_assert_eq!(read.len(), texts.len());
                for (record, (id, body, value)) in read.iter().zip(&texts) {
                    prop_assert_eq!(record.message_id, id);
                    prop_assert_eq!(record.body, body);
                    let escaped = format!("\"{}\"", record.escaped_body);
                    prop_assert_eq!(&serde_json::from_str::<String>(&escaped).unwrap(), body);
                    prop_assert_eq!(record.group, Some(body.as_str()));
                    prop_assert_eq!(record.attributes(), [("name", value.as_str())]);
                }
            }

            #[test]
            fn halves_are_the_whole_or_nothing(
                texts in prop::collection::vec((any::<String>(), "[ -~\"\\\\\n\u{e9}\u{1f600}]{0,300}"), 2..12), nested: bool,
            ) {
                let record = |(id, body): &(String, String)| {
                    // The text at which a batch is cut in two may be inside a record too.
                    let nested = if nested { r#""other":[{"x":1},{"messageId":"inner"}],"# } else { "" };
                    format!(r#"{{"messageId":{},{nested}"body":{}}}"#, json!(id), json!(body))
                };
                let records: Vec<String> = texts.iter().map(record).collect();
                let payload = format!(r#"{{"Records":[{}]}}"#, records.join(","));
                let mut room = vec![0xaa; 2 * (payload.len() + SLACK)];
                let halves = halves(payload.as_bytes(), &mut room);
                // If the last record begins before the middle, the batch cannot be cut in two.
                let is_long = records.last().is_some_and(|last| 2 * last.len() + 16 > payload.len());
                prop_assert!(nested || is_long || halves.is_some());
                let read: Vec<(&str, &str)> =
                    halves.iter().flatten().map(|record| (record.message_id, record.body)).collect();
                let whole: Vec<(&str, &str)> =
                    texts.iter().map(|(id, body)| (id.as_str(), body.as_str())).collect();
                prop_assert!(halves.is_none() || read == whole);
            }

            #[test]
            fn arbitrary_input_never_panics(bytes: Vec<u8>, at in 0..EVENT.len()) {
                let mut buffer = Buffer::default();
                let _ = read(&bytes, &mut buffer, false);
                let (before, after) = EVENT.as_bytes().split_at(at);
                let _ = read(&[before, &bytes, after].concat(), &mut buffer, false);
            }
        }
    }
}
