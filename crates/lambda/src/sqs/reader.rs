//! A reader for the JSON of an SQS event. Values that are not needed are skipped without a check, since Lambda wrote
//! them.

use std::{mem, ops::Range};

use super::block::{BLOCK, Marks, VECTOR, stops};

/// Bytes copied at once. The bytes beyond a piece's end are overwritten by the next piece.
const COPY: usize = 32;

/// Bytes that must follow a block's beginning, so that the last copy of the block is whole.
pub(super) const SLACK: usize = 2 * BLOCK;

/// The payload is not JSON, or is not an SQS event.
pub(super) struct Malformed;

pub(super) type Parsed<T> = Result<T, Malformed>;

/// A text.
pub(super) struct Text<'a> {
    /// Its content.
    pub(super) text: &'a str,
    /// The content as it is written between the quotes.
    pub(super) escaped: &'a str,
}

pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Memory for unescaped texts: the part that is not used yet.
    room: &'a mut [u8],
}

impl<'a> Reader<'a> {
    /// Reads `text` from its beginning. `room` has the length of the text plus [`SLACK`], since unescaping makes no
    /// text longer.
    pub(super) fn new(text: &'a str, room: &'a mut [u8]) -> Self {
        Self { text, at: 0, room }
    }

    /// The position, in bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Reads an object. `field` is called with each name and reads the value.
    pub(super) fn object(&mut self, mut field: impl FnMut(&mut Self, &'a str) -> Parsed<()>) -> Parsed<()> {
        self.expect(b'{')?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let name = self.string()?.text;
            self.expect(b':')?;
            field(self, name)?;
            if !self.take(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// Reads a list. `element` reads each value.
    pub(super) fn list(&mut self, mut element: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<()> {
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

    /// Reads an object for the text of one field, if it has that field. If the text `usually_follows` comes next, which
    /// goes up to the object's end, it is skipped at once.
    pub(super) fn text_field(&mut self, wanted: &str, usually_follows: &str) -> Parsed<Option<&'a str>> {
        let mut text = None;
        self.expect(b'{')?;
        if self.take(b'}') {
            return Ok(text);
        }
        loop {
            let name = self.string()?.text;
            self.expect(b':')?;
            let found = if name == wanted { self.text()? } else { self.skip().map(|()| None)? };
            if found.is_some() {
                text = found;
                if self.rest().starts_with(usually_follows.as_bytes()) {
                    self.at += usually_follows.len();
                    return Ok(text);
                }
            }
            if !self.take(b',') {
                return self.expect(b'}').map(|()| text);
            }
        }
    }

    /// Reads a text.
    pub(super) fn string(&mut self) -> Parsed<Text<'a>> {
        self.expect(b'"')?;
        let begun = self.at;
        self.at += self.plain().ok_or(Malformed)?;
        let unescaped = match self.next()? {
            b'"' => None,
            b'\\' => Some(self.unescape(begun)?),
            _ => return Err(Malformed),
        };
        let escaped = self.text.get(begun..self.at).ok_or(Malformed)?;
        self.at += 1;
        Ok(Text { text: unescaped.unwrap_or(escaped), escaped })
    }

    /// Reads a text, or skips a value that is none.
    pub(super) fn text(&mut self) -> Parsed<Option<&'a str>> {
        if self.peek() == Some(b'"') {
            self.string().map(|text| Some(text.text))
        } else {
            self.skip().map(|()| None)
        }
    }

    /// Skips the value if it is `null`. Returns whether it was.
    pub(super) fn take_null(&mut self) -> bool {
        let is_null = self.peek() == Some(b'n') && self.rest().starts_with(b"null");
        self.at += if is_null { 4 } else { 0 };
        is_null
    }

    /// Skips a value.
    pub(super) fn skip(&mut self) -> Parsed<()> {
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

    /// Checks that only blanks follow.
    pub(super) fn end(&mut self) -> Parsed<()> {
        if self.peek().is_none() { Ok(()) } else { Err(Malformed) }
    }

    /// Skips a number, `true`, `false` or `null`.
    fn skip_word(&mut self) -> Parsed<()> {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let length = self.rest().iter().take_while(|byte| is_part(byte)).count();
        self.at += length;
        if length > 0 { Ok(()) } else { Err(Malformed) }
    }

    fn skip_string(&mut self) -> Parsed<()> {
        self.at += 1;
        loop {
            self.at += self.plain().ok_or(Malformed)?;
            match self.next()? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.at += 2,
                _ => return Err(Malformed),
            }
        }
    }

    /// The number of bytes before the next one that is not plain text.
    fn plain(&self) -> Option<usize> {
        let rest = self.rest();
        let mut length = 0;
        while let Some(vector) = rest.get(length..).and_then(<[u8]>::first_chunk::<VECTOR>) {
            let stops = stops(*vector);
            if stops != 0 {
                return Some(length + stops.trailing_zeros() as usize);
            }
            length += VECTOR;
        }
        let is_stop = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        rest.get(length..)?.iter().position(is_stop).map(|more| length + more)
    }

    /// Unescapes the text that begins at `begun` into the room. Stops at the closing quote.
    fn unescape(&mut self, begun: usize) -> Parsed<&'a str> {
        let plain = self.text.as_bytes().get(begun..self.at).ok_or(Malformed)?;
        let mut out = Out { room: mem::take(&mut self.room), written: 0 };
        out.push(plain)?;
        while !self.unescape_block(&mut out)? {}
        let (text, room) = out.room.split_at_mut(out.written);
        self.room = room;
        simdutf8::basic::from_utf8(text).map_err(|_| Malformed)
    }

    /// Unescapes one block. Returns whether the text has ended.
    fn unescape_block(&mut self, out: &mut Out<'_>) -> Parsed<bool> {
        let rest = self.rest();
        let (Some(bytes), Some(room)) = (rest.first_chunk::<SLACK>(), out.block()) else {
            return self.unescape_byte(out);
        };
        let marks = Marks::scan(bytes.first_chunk().ok_or(Malformed)?);
        if marks.has_control {
            return Err(Malformed);
        }
        // The positions of all escapes are known, so the copies do not depend on each other.
        let (mut from, mut to, mut escapes) = (0, 0, marks.escapes);
        while escapes != 0 {
            let stop = escapes.trailing_zeros() as usize;
            copy(bytes, from..stop, room, to)?;
            to += stop - from;
            let escaped = *bytes.get(stop + 1).ok_or(Malformed)?;
            let byte = UNESCAPED.get(usize::from(escaped)).copied().unwrap_or(0);
            if byte == 0 {
                self.at += stop;
                out.written += to;
                return self.unescape_byte(out);
            }
            *room.get_mut(to).ok_or(Malformed)? = byte;
            to += 1;
            from = stop + 2;
            escapes &= escapes - 1;
        }
        let end = marks.end.unwrap_or(BLOCK).max(from);
        copy(bytes, from..end, room, to)?;
        self.at += end;
        out.written += to + (end - from);
        Ok(marks.end.is_some())
    }

    /// Unescapes one byte or escape. Returns whether the text has ended.
    fn unescape_byte(&mut self, out: &mut Out<'_>) -> Parsed<bool> {
        match self.next()? {
            b'"' => return Ok(true),
            0..0x20 => return Err(Malformed),
            b'\\' => {
                let escaped = *self.rest().get(1).ok_or(Malformed)?;
                self.at += 2;
                match UNESCAPED.get(usize::from(escaped)).copied().unwrap_or(0) {
                    0 if escaped == b'u' => out.push(self.unicode()?.encode_utf8(&mut [0; 4]).as_bytes())?,
                    0 => return Err(Malformed),
                    byte => out.push(&[byte])?,
                }
            }
            byte => {
                out.push(&[byte])?;
                self.at += 1;
            }
        }
        Ok(false)
    }

    fn unicode(&mut self) -> Parsed<char> {
        let first = self.hex4()?;
        let is_pair = (0xd800..0xdc00).contains(&first);
        let second = if is_pair && self.rest().starts_with(b"\\u") {
            self.at += 2;
            Some(self.hex4()?)
        } else {
            None
        };
        let mut decoded = char::decode_utf16(std::iter::once(first).chain(second));
        match (decoded.next(), decoded.next()) {
            (Some(Ok(c)), None) => Ok(c),
            _ => Err(Malformed),
        }
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

    /// The text that is not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn next(&self) -> Parsed<u8> {
        self.rest().first().copied().ok_or(Malformed)
    }

    fn peek(&mut self) -> Option<u8> {
        // Rare: Lambda writes no blanks.
        if self.rest().first().is_some_and(|byte| *byte <= b' ') {
            let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
            self.at += self.rest().iter().take_while(is_blank).count();
        }
        self.rest().first().copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Reads this byte, after any blanks.
    pub(super) fn expect(&mut self, byte: u8) -> Parsed<()> {
        if self.take(byte) { Ok(()) } else { Err(Malformed) }
    }
}

/// The output of unescaping.
struct Out<'a> {
    room: &'a mut [u8],
    written: usize,
}

impl Out<'_> {
    fn push(&mut self, bytes: &[u8]) -> Parsed<()> {
        let end = self.written + bytes.len();
        self.room.get_mut(self.written..end).ok_or(Malformed)?.copy_from_slice(bytes);
        self.written = end;
        Ok(())
    }

    /// Memory for the output of one block.
    fn block(&mut self) -> Option<&mut [u8; SLACK]> {
        self.room.get_mut(self.written..)?.first_chunk_mut()
    }
}

/// Copies a piece of a block.
fn copy(bytes: &[u8; SLACK], piece: Range<usize>, room: &mut [u8; SLACK], to: usize) -> Parsed<()> {
    let mut copy = |skip: usize| {
        let from = bytes.get(piece.start + skip..).and_then(<[u8]>::first_chunk::<COPY>).ok_or(Malformed)?;
        *room.get_mut(to + skip..).and_then(<[u8]>::first_chunk_mut::<COPY>).ok_or(Malformed)? = *from;
        Ok(())
    };
    copy(0)?;
    if piece.len() > COPY { copy(COPY) } else { Ok(()) }
}

/// The character for each byte after a backslash; zero where there is none (RFC 8259, section 7).
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
