//! The SQS batch event, read in one pass over the bytes that Lambda sent.
//!
//! Nothing is allocated for a record: texts without escapes are borrowed from the payload, the others are written
//! unescaped into one [`Buffer`], which serves invocation after invocation. A JSON body in a JSON text is mostly
//! escapes, so that this is where the reading's time goes.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use memchr::memchr2;

/// SQS takes ten message attributes at most (Amazon SQS quotas).
const MAX_ATTRIBUTES: usize = 10;

/// Bytes that are looked at together, one for each bit of a mask.
const BLOCK: usize = 32;

/// The length, in bytes, up to which a text is searched in words of eight bytes.
const SHORT: usize = 48;

/// One message.
#[derive(Debug, Clone)]
pub struct SqsRecord<'a> {
    /// What a failure is reported by; empty where there is none.
    pub message_id: &'a str,
    /// The message body.
    pub body: &'a str,
    /// The FIFO group; `None` on a standard queue.
    pub group: Option<&'a str>,
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
    /// Where reading stopped, in bytes from the payload's beginning.
    pub at: usize,
}

/// Room for unescaped texts. Kept from one invocation to the next, because megabytes of fresh memory cost more than
/// filling them.
#[derive(Debug, Default)]
pub struct Buffer(Vec<u8>);

/// Buffers that wait for the next invocation.
#[derive(Debug, Default)]
pub struct Buffers(Mutex<Vec<Buffer>>);

impl Buffers {
    /// One that was given back, or a new one.
    pub fn take(&self) -> Buffer {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps it for the next invocation.
    pub fn give_back(&self, buffer: Buffer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

/// Reads a batch, in queue order. `buffer` grows to the payload's length and stays so.
///
/// # Errors
///
/// [`NotSqs`].
pub fn read<'a>(payload: &'a str, buffer: &'a mut Buffer) -> Result<Vec<SqsRecord<'a>>, NotSqs> {
    if buffer.0.len() < payload.len() {
        buffer.0.resize(payload.len(), 0);
    }
    let mut reader = Reader { text: payload, at: 0, out: &mut buffer.0, written: 0 };
    let (records, written) = match reader.event() {
        Ok(records) => (records, reader.written),
        Err(Malformed) => return Err(NotSqs { at: reader.at }),
    };
    let end = NotSqs { at: payload.len() };
    let unescaped = std::str::from_utf8(buffer.0.get(..written).unwrap_or_default()).map_err(|_| end)?;
    let text = |piece: &Piece<'a>| match piece {
        Piece::Borrowed(text) => Ok(*text),
        Piece::Unescaped(range) => unescaped.get(range.clone()).ok_or(end),
    };
    records
        .iter()
        .map(|record| {
            let mut attributes = [("", ""); MAX_ATTRIBUTES];
            for ((name, value), to) in record.attributes().iter().zip(&mut attributes) {
                *to = (text(name)?, text(value)?);
            }
            Ok(SqsRecord {
                message_id: text(&record.message_id)?,
                body: text(&record.body)?,
                group: record.group.as_ref().map(text).transpose()?,
                event_source_arn: text(&record.event_source_arn)?,
                attributes,
                attribute_count: record.attribute_count,
            })
        })
        .collect()
}

/// A text of the payload, or of the buffer, which cannot be borrowed from while it is written to.
#[derive(Debug, Clone)]
enum Piece<'a> {
    Borrowed(&'a str),
    Unescaped(Range<usize>),
}

impl Default for Piece<'_> {
    fn default() -> Self {
        Self::Borrowed("")
    }
}

#[derive(Debug, Default)]
struct Pieces<'a> {
    message_id: Piece<'a>,
    body: Piece<'a>,
    group: Option<Piece<'a>>,
    event_source_arn: Piece<'a>,
    attributes: [(Piece<'a>, Piece<'a>); MAX_ATTRIBUTES],
    attribute_count: usize,
}

impl<'a> Pieces<'a> {
    fn attributes(&self) -> &[(Piece<'a>, Piece<'a>)] {
        self.attributes.get(..self.attribute_count).unwrap_or_default()
    }
}

struct Malformed;

type Parsed<T> = Result<T, Malformed>;

/// A reader of just enough JSON: what is not wanted is passed over without being checked, since Lambda made it.
struct Reader<'a, 'b> {
    text: &'a str,
    at: usize,
    out: &'b mut [u8],
    written: usize,
}

impl<'a> Reader<'a, '_> {
    fn event(&mut self) -> Parsed<Vec<Pieces<'a>>> {
        let mut records = None;
        self.object(|reader, name| match name {
            "Records" => {
                let mut all = Vec::new();
                reader.list(|reader| {
                    all.push(reader.record()?);
                    Ok(())
                })?;
                records = Some(all);
                Ok(())
            }
            _ => reader.skip(),
        })?;
        self.blanks();
        if self.at == self.text.len() { records.ok_or(Malformed) } else { Err(Malformed) }
    }

    fn record(&mut self) -> Parsed<Pieces<'a>> {
        let mut record = Pieces::default();
        let mut has_body = false;
        self.object(|reader, name| {
            match name {
                "messageId" => record.message_id = reader.string()?,
                "body" => {
                    record.body = reader.string()?;
                    has_body = true;
                }
                "eventSourceARN" => record.event_source_arn = reader.string()?,
                "attributes" => reader.object(|reader, name| match name {
                    "MessageGroupId" => {
                        record.group = Some(reader.string()?);
                        Ok(())
                    }
                    _ => reader.skip(),
                })?,
                "messageAttributes" => reader.object(|reader, name| {
                    let mut value = None;
                    reader.object(|reader, field| match field {
                        "stringValue" if reader.peek() == Some(b'"') => {
                            value = Some(reader.string()?);
                            Ok(())
                        }
                        _ => reader.skip(),
                    })?;
                    let Some(value) = value else { return Ok(()) };
                    *record.attributes.get_mut(record.attribute_count).ok_or(Malformed)? =
                        (Piece::Borrowed(name), value);
                    record.attribute_count += 1;
                    Ok(())
                })?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if has_body { Ok(record) } else { Err(Malformed) }
    }

    fn object(&mut self, mut field: impl FnMut(&mut Self, &'a str) -> Parsed<()>) -> Parsed<()> {
        self.expect(b'{')?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            // Neither Lambda's names nor SQS's attribute names hold anything to escape.
            let Piece::Borrowed(name) = self.string()? else { return Err(Malformed) };
            self.expect(b':')?;
            field(self, name)?;
            if !self.take(b',') {
                return self.expect(b'}');
            }
        }
    }

    fn list(&mut self, mut element: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<()> {
        self.expect(b'[')?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.take(b',') {
                return self.expect(b']');
            }
        }
    }

    /// Passes over a value.
    fn skip(&mut self) -> Parsed<()> {
        let mut open = 0_usize;
        loop {
            match self.peek().ok_or(Malformed)? {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    open = open.checked_sub(1).ok_or(Malformed)?;
                    self.at += 1;
                }
                b',' | b':' if open > 0 => {
                    self.at += 1;
                    continue;
                }
                _ => self.skip_word()?,
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    /// Passes over a number, `true`, `false` or `null`.
    fn skip_word(&mut self) -> Parsed<()> {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let length = self.rest().iter().take_while(|byte| is_part(byte)).count();
        self.at += length;
        if length > 0 { Ok(()) } else { Err(Malformed) }
    }

    fn skip_string(&mut self) -> Parsed<()> {
        self.at += 1;
        loop {
            let stop = self.plain().ok_or(Malformed)?;
            let is_end = self.rest().get(stop) == Some(&b'"');
            self.at += stop + if is_end { 1 } else { 2 };
            if is_end {
                return Ok(());
            }
        }
    }

    fn string(&mut self) -> Parsed<Piece<'a>> {
        self.expect(b'"')?;
        let stop = self.plain().ok_or(Malformed)?;
        if self.rest().get(stop) == Some(&b'"') {
            let text = self.text.get(self.at..self.at + stop).ok_or(Malformed)?;
            self.at += stop + 1;
            return Ok(Piece::Borrowed(text));
        }
        let begun = self.written;
        self.unescape()?;
        Ok(Piece::Unescaped(begun..self.written))
    }

    /// How far it is to the next quote or backslash. Most texts are short: a search made for long ones begins only
    /// after the first of them.
    fn plain(&self) -> Option<usize> {
        let rest = self.rest();
        let mut length = 0;
        while length < SHORT {
            let Some(block) = rest.get(length..).and_then(<[u8]>::first_chunk::<8>) else { break };
            let plain = plain_bytes(u64::from_le_bytes(*block));
            length += plain;
            if plain < 8 {
                return Some(length);
            }
        }
        memchr2(b'"', b'\\', rest.get(length..)?).map(|more| length + more)
    }

    /// Writes the rest of a text, unescaped, into the buffer, which is as long as the payload: no text gets longer by
    /// unescaping.
    fn unescape(&mut self) -> Parsed<()> {
        while let Some(block) = self.rest().first_chunk::<BLOCK>() {
            // Where the next piece begins is known from the mask, so that no piece waits for the one before it: a body
            // has an escape every five bytes or so.
            let mut mask = quotes_and_backslashes(block);
            let mut from = 0;
            while mask != 0 {
                let stop = mask.trailing_zeros() as usize;
                self.copy(from, stop)?;
                if block.get(stop) == Some(&b'"') {
                    self.at += stop + 1;
                    return Ok(());
                }
                from = self.escape(stop)?;
                mask &= u32::MAX.checked_shl(u32::try_from(from).unwrap_or(u32::MAX)).unwrap_or(0);
            }
            self.copy(from, from.max(BLOCK))?;
            self.at += from.max(BLOCK);
        }
        loop {
            match *self.rest().first().ok_or(Malformed)? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.at += self.escape(0)?,
                byte => {
                    self.push(&[byte])?;
                    self.at += 1;
                }
            }
        }
    }

    /// Copies the bytes between two distances from here: a whole block wherever there is room, of which what is too
    /// much is written over by the next piece.
    fn copy(&mut self, from: usize, to: usize) -> Parsed<()> {
        let block = self.rest().get(from..).and_then(<[u8]>::first_chunk::<BLOCK>);
        let room = self.out.get_mut(self.written..).and_then(<[u8]>::first_chunk_mut::<BLOCK>);
        if let (Some(block), Some(room)) = (block, room) {
            *room = *block;
            self.written += to - from;
            return Ok(());
        }
        let piece = self.rest().get(from..to).ok_or(Malformed)?;
        self.push(piece)
    }

    /// Writes what the escape at this distance from here stands for; the distance of what follows it.
    fn escape(&mut self, at: usize) -> Parsed<usize> {
        let escaped = *self.rest().get(at + 1).ok_or(Malformed)?;
        match UNESCAPED.get(usize::from(escaped)).copied().unwrap_or(0) {
            0 if escaped == b'u' => {
                let here = self.at;
                self.at += at + 2;
                self.unicode()?;
                let next = self.at - here;
                self.at = here;
                Ok(next)
            }
            0 => Err(Malformed),
            byte => {
                *self.out.get_mut(self.written).ok_or(Malformed)? = byte;
                self.written += 1;
                Ok(at + 2)
            }
        }
    }

    fn unicode(&mut self) -> Parsed<()> {
        let first = self.hex4()?;
        let is_pair = (0xd800..0xdc00).contains(&first);
        let second = if is_pair && self.rest().starts_with(b"\\u") {
            self.at += 2;
            Some(self.hex4()?)
        } else {
            None
        };
        let mut decoded = char::decode_utf16(std::iter::once(first).chain(second));
        let (Some(Ok(c)), None) = (decoded.next(), decoded.next()) else { return Err(Malformed) };
        self.push(c.encode_utf8(&mut [0; 4]).as_bytes())
    }

    fn hex4(&mut self) -> Parsed<u16> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Malformed)?;
        self.at += 4;
        if digits.starts_with('+') {
            Err(Malformed)
        } else {
            u16::from_str_radix(digits, 16).map_err(|_| Malformed)
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Parsed<()> {
        let end = self.written + bytes.len();
        self.out.get_mut(self.written..end).ok_or(Malformed)?.copy_from_slice(bytes);
        self.written = end;
        Ok(())
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        // Lambda writes none.
        if self.rest().first().is_some_and(|byte| *byte > b' ') {
            return;
        }
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.rest().iter().take_while(is_blank).count();
    }

    fn peek(&mut self) -> Option<u8> {
        self.blanks();
        self.rest().first().copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Parsed<()> {
        if self.take(byte) { Ok(()) } else { Err(Malformed) }
    }
}

/// What stands behind a backslash, by what it stands for; zero for what is no such escape (RFC 8259, section 7).
const UNESCAPED: [u8; 256] = {
    let mut table = [0; 256];
    let escapes = *b"\"\"\\\\//n\nr\rt\tb\x08f\x0c";
    let mut at = 0;
    while at < escapes.len() {
        #[expect(clippy::indexing_slicing, reason = "at compile time")]
        {
            table[escapes[at] as usize] = escapes[at + 1];
        }
        at += 2;
    }
    table
};

const ONES: u64 = u64::from_le_bytes([1; 8]);

/// How many of the eight bytes come before the first quote or backslash, the lowest byte first.
fn plain_bytes(block: u64) -> usize {
    ((equal_bytes(block, b'"') | equal_bytes(block, b'\\')).trailing_zeros() / 8) as usize
}

/// A bit for each byte, the first one lowest: whether it is a quote or a backslash.
fn quotes_and_backslashes(block: &[u8; BLOCK]) -> u32 {
    // Multiplied by this, the lowest bits of eight bytes come to lie side by side in the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    block.as_chunks::<8>().0.iter().rev().fold(0, |mask, word| {
        let word = u64::from_le_bytes(*word);
        let found = (equal_bytes(word, b'"') | equal_bytes(word, b'\\')) >> 7;
        (mask << 8) | (found.wrapping_mul(GATHER) >> 56) as u32
    })
}

/// The highest bit of each byte that equals `byte`, and no other ("Bit Twiddling Hacks", exact form of haszero).
fn equal_bytes(word: u64, byte: u8) -> u64 {
    const LOW: u64 = u64::from_le_bytes([0x7f; 8]);
    let different = word ^ (ONES * u64::from(byte));
    !(((different & LOW) + LOW) | different | LOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the SQS event source mapping sends it ("Using Lambda with Amazon SQS", developer guide), values ours.
    const EVENT: &str = r#"{"Records":[{
        "messageId":"059f36b4-87a3-44ab-83d2-661975830a7d",
        "receiptHandle":"AQEB","body":"{\"a\":1,\n\"b\":\"\u00e9\ud83d\ude00\\\"\"}",
        "attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1760000000000",
            "SenderId":"AIDA","ApproximateFirstReceiveTimestamp":"1760000000001","MessageGroupId":"pi_1"},
        "messageAttributes":{"endpoint":{"stringValue":"stripe","stringListValues":[],"binaryListValues":[],
            "dataType":"String"},"bytes":{"binaryValue":"AA==","stringListValues":[],"dataType":"Binary"}},
        "md5OfBody":"e4e68fb7bd0e697a0ae8f1bb342846b3","eventSource":"aws:sqs",
        "eventSourceARN":"arn:aws:sqs:us-east-1:000000000000:webhook-intake-ordered-dev.fifo",
        "awsRegion":"us-east-1"}]}"#;

    #[test]
    fn an_event_reads() {
        let mut buffer = Buffer::default();
        let records = read(EVENT, &mut buffer).unwrap();
        let record = records.first().unwrap();
        assert_eq!(record.body, "{\"a\":1,\n\"b\":\"\u{e9}\u{1f600}\\\"\"}");
        assert_eq!(record.group, Some("pi_1"));
        assert_eq!(record.attributes(), [("endpoint", "stripe")]);
        assert!(record.event_source_arn.ends_with(".fifo"));
    }

    #[test]
    fn what_is_cut_off_or_is_no_event_is_refused() {
        let mut buffer = Buffer::default();
        for end in 0..EVENT.len() {
            if let Some(cut) = EVENT.get(..end) {
                assert!(read(cut, &mut buffer).is_err(), "{end}");
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
            "{\"Records\":[\"x\"]}",
        ] {
            assert!(read(bad, &mut buffer).is_err(), "{bad}");
        }
        assert!(read(r#"{"Records":[{"body":"\ud800"}]}"#, &mut buffer).is_err());
        assert!(read(r#"{"Records":[{"body":"\x"}]}"#, &mut buffer).is_err());
        assert_eq!(
            read(r#" { "Other" : [1,{"a":[null]}] , "Records" : [ ] } "#, &mut buffer).unwrap().len(),
            0
        );
    }

    mod beside_serde_json {
        use proptest::prelude::*;
        use serde_json::json;

        use super::*;

        proptest! {
            #[test]
            fn any_text_reads_the_same(
                texts in prop::collection::vec((any::<String>(), any::<String>(), "[ -~\"\\\\\n]{0,64}"), 0..4),
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
                let read = read(&payload, &mut buffer).unwrap();
                prop_assert_eq!(read.len(), texts.len());
                for (record, (id, body, value)) in read.iter().zip(&texts) {
                    prop_assert_eq!(record.message_id, id);
                    prop_assert_eq!(record.body, body);
                    prop_assert_eq!(record.group, Some(body.as_str()));
                    prop_assert_eq!(record.attributes(), [("name", value.as_str())]);
                }
            }

            #[test]
            fn arbitrary_input_never_panics(text: String, at in 0..EVENT.len()) {
                let mut buffer = Buffer::default();
                let _ = read(&text, &mut buffer);
                if EVENT.is_char_boundary(at) {
                    let (before, after) = EVENT.split_at(at);
                    let _ = read(&format!("{before}{text}{after}"), &mut buffer);
                }
            }
        }
    }
}
