//! The one place where a JSON body is read.

use serde::Deserialize;

use super::{ContentError, fields::Object};

/// The deepest nesting that is read. Real webhooks stay below 20; serde_json's own limit is this one too.
const MAX_DEPTH: usize = 128;

/// Bodies with fewer opening brackets than this cannot nest too deep to be skipped on any thread's stack
/// (each level costs sonic-rs a frame of some hundred bytes), so that they are not looked at twice.
const ALWAYS_SHALLOW: usize = 512;

/// Reads one JSON object, borrowing from `body` wherever a text holds no escapes.
///
/// # Errors
///
/// [`ContentError::NotJson`] when the body is not UTF-8, not JSON, not an object, nested deeper than
/// [`MAX_DEPTH`], or names a field twice that `T` reads.
pub(super) fn read<'a, T: Deserialize<'a> + Default>(body: &'a [u8]) -> Result<T, ContentError> {
    let text = std::str::from_utf8(body).map_err(|_| ContentError::NotJson)?;
    if !is_shallow(body) {
        return Err(ContentError::NotJson);
    }
    match sonic_rs::from_str::<Object<T>>(text) {
        Ok(Object::Value(value)) => Ok(value),
        Ok(Object::Absent | Object::Wrong) | Err(_) => Err(ContentError::NotJson),
    }
}

/// Whether the parser, which recurses into what it skips, may be let loose on it.
fn is_shallow(body: &[u8]) -> bool {
    // '[' and '{' differ in one bit. Counted in blocks that fit a byte, which the compiler makes vectors of.
    let mut opening = 0_usize;
    for block in body.chunks(255) {
        opening += usize::from(block.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>());
    }
    opening < ALWAYS_SHALLOW || depth(body) <= MAX_DEPTH
}

/// The deepest nesting outside texts.
fn depth(body: &[u8]) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' => open = open.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => {
                            bytes.next();
                        }
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Nothing {}

    #[test]
    fn nesting_is_bounded_before_the_parser_sees_it() {
        let nested = |open: &str, close: &str, levels: usize| {
            format!(r#"{{"unknown":{}1{}}}"#, open.repeat(levels), close.repeat(levels))
        };
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            assert!(read::<Nothing>(nested(open, close, MAX_DEPTH - 1).as_bytes()).is_ok());
            assert!(read::<Nothing>(nested(open, close, 2_000).as_bytes()).is_err());
            assert!(read::<Nothing>(nested(open, close, 100_000).as_bytes()).is_err());
            assert!(read::<Nothing>(open.repeat(100_000).as_bytes()).is_err());
        }
    }

    #[test]
    fn brackets_in_texts_and_long_lists_are_not_nesting() {
        let text = format!(r#"{{"a":"{}\"{}"}}"#, "[".repeat(5_000), "{".repeat(5_000));
        assert!(read::<Nothing>(text.as_bytes()).is_ok());
        let list = format!(r#"{{"a":[{}1]}}"#, "[],".repeat(5_000));
        assert!(read::<Nothing>(list.as_bytes()).is_ok());
    }

    #[test]
    fn only_objects_in_utf_8_are_read() {
        for bad in ["", "null", "5", "[]", "\"x\"", "{", "{}x", "{\"a\":1,}", "\u{feff}{}"] {
            assert_eq!(read::<Nothing>(bad.as_bytes()).unwrap_err(), ContentError::NotJson, "{bad}");
        }
        assert!(read::<Nothing>(b"{\"a\":\"\xff\"}").is_err());
        assert!(read::<Nothing>(b" {\"a\":{\"b\":[1,2.5e3,null,true]}} \r\n").is_ok());
    }
}
