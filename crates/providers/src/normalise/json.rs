//! The one place where a JSON body is read.

use serde::Deserialize;

use super::{any_size, content::ContentError, fields::Object};

/// Reads one JSON object, borrowing from `body` wherever a text holds no escapes.
///
/// # Errors
///
/// [`ContentError::NotJson`] when the body is not UTF-8, not JSON, not an object, or names a field twice that `T`
/// reads. What is not read may nest to any depth: the parser passes over it without recursion. A number may have any
/// size.
pub(super) fn read<'a, T: Deserialize<'a> + Default>(body: &'a [u8]) -> Result<T, ContentError> {
    let text = std::str::from_utf8(body).map_err(|_| ContentError::NotJson)?;
    // A second reading costs bodies that are no JSON no more than a look: they are refused before a field is read.
    match serde_json::from_str::<Object<T>>(text).or_else(|_| any_size::read(text)) {
        Ok(Object::Value(value)) => Ok(value),
        Ok(Object::Absent | Object::Wrong) | Err(_) => Err(ContentError::NotJson),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fields::Text, *};

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Nothing {}

    #[test]
    fn no_nesting_exhausts_the_stack() {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default)]
        struct Known<'a> {
            #[serde(borrow)]
            a: Text<'a>,
        }
        let read = |body: String| read::<Known<'_>>(body.as_bytes()).map(|known| known.a == Text::Wrong);
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let nested = |name: &str, levels: usize| {
                format!(r#"{{"{name}":{}1{}}}"#, open.repeat(levels), close.repeat(levels))
            };
            assert_eq!(read(nested("unknown", 1_000_000)), Ok(false));
            assert_eq!(read(nested("a", 1_000_000)), Ok(true));
            assert!(read(open.repeat(1_000_000)).is_err());
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
