//! Single text fields of a JSON body, read strictly.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer as _,
    de::{self, IgnoredAny},
};
use serde_json::value::RawValue;

use crate::refusal::Refusal;

/// The text at `name` in the object that `body` is. Numbers are not texts: their spelling is not kept everywhere.
///
/// # Errors
///
/// [`Refusal::Malformed`] when the body is no JSON object or the field no text, [`Refusal::Duplicate`].
pub(crate) fn text_field(body: &[u8], name: &str) -> Result<Option<String>, Refusal> {
    let mut duplicate = false;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let found = deserializer
        .deserialize_map(Field { name, duplicate: &mut duplicate })
        .and_then(|found| deserializer.end().map(|()| found));
    match found {
        _ if duplicate => Err(Refusal::Duplicate(name.to_owned())),
        Ok(found) => Ok(found),
        Err(_) => Err(Refusal::Malformed("body")),
    }
}

/// Whether `body` is one JSON object, in UTF-8.
pub(crate) fn is_object(body: &[u8]) -> bool {
    let text = std::str::from_utf8(body).ok();
    let value = text.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    value.is_some_and(|value| value.get().starts_with('{'))
}

struct Field<'n> {
    name: &'n str,
    duplicate: &'n mut bool,
}

impl<'de> de::Visitor<'de> for Field<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key != self.name {
                map.next_value::<IgnoredAny>()?;
            } else if found.replace(map.next_value::<String>()?).is_some() {
                *self.duplicate = true;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_text_and_comes_once() {
        assert_eq!(text_field(br#"{"a":"x","b":1}"#, "a"), Ok(Some("x".to_owned())));
        assert_eq!(text_field(br#"{"b":{"a":"x"}}"#, "a"), Ok(None));
        assert_eq!(text_field(br#"{"a":1}"#, "a"), Err(Refusal::Malformed("body")));
        assert_eq!(text_field(br#"{"a":"x"} y"#, "a"), Err(Refusal::Malformed("body")));
        assert_eq!(text_field(br#"["a"]"#, "a"), Err(Refusal::Malformed("body")));
        assert_eq!(text_field(br#"{"a":"x","\u0061":"y"}"#, "a"), Err(Refusal::Duplicate("a".to_owned())));
    }

    #[test]
    fn an_object_is_nothing_else() {
        for good in ["{}", " {\"a\":[1,{}]}\r\n"] {
            assert!(is_object(good.as_bytes()), "{good}");
        }
        let bad: [&[u8]; 8] =
            [b"", b"[]", b"1", b"{", b"{}{}", b"{}\x80", b"{\"a\":\"\x80\"}", b"\xef\xbb\xbf{}"];
        for bad in bad {
            assert!(!is_object(bad), "{bad:?}");
        }
    }
}
