//! Texts and identifiers.

use std::{borrow::Cow, fmt, ops::Deref};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use tollgate_core::Timestamp;

use super::wrong::wrong;

/// A text, borrowed where it holds no escapes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::normalise) enum Text<'a> {
    /// Not sent, or null.
    #[default]
    Absent,
    /// The text.
    Value(Cow<'a, str>),
    /// Something else.
    Wrong,
}

impl<'a> Text<'a> {
    /// From a JSON value's text in the body.
    fn from_raw(raw: &'a str) -> Self {
        match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(text) if !text.contains('\\') => Self::Value(Cow::Borrowed(text)),
            Some(_) => serde_json::from_str(raw).map_or(Self::Wrong, |text| Self::Value(Cow::Owned(text))),
            None if raw == "null" => Self::Absent,
            None => Self::Wrong,
        }
    }

    /// The text; empty when there is none.
    pub(in crate::normalise) fn as_str(&self) -> &str {
        match self {
            Self::Value(text) => text,
            Self::Absent | Self::Wrong => "",
        }
    }

    /// The text, if there is one that is not empty.
    pub(in crate::normalise) fn some(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Value(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// Whether it names the provider's live mode: true for `live`, false for `test`, unknown otherwise.
    pub(in crate::normalise) fn is_live(&self, live: &str, test: &str) -> Option<bool> {
        match self.as_str() {
            mode if mode == live => Some(true),
            mode if mode == test => Some(false),
            _ => None,
        }
    }

    /// The text as an RFC 3339 moment, offsets with or without a colon.
    pub(in crate::normalise) fn moment(&self) -> Option<Timestamp> {
        // Parsing an empty text would allocate its error.
        Some(self.as_str()).filter(|text| !text.is_empty())?.parse().ok()
    }
}

/// The first of `texts` that is an RFC 3339 moment.
pub(in crate::normalise) fn first_moment<const N: usize>(texts: [&Text<'_>; N]) -> Option<Timestamp> {
    texts.into_iter().find_map(Text::moment)
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Skipped and not parsed, so that a number out of range is just a value of another type.
        <&serde_json::value::RawValue>::deserialize(deserializer).map(|raw| Self::from_raw(raw.get()))
    }
}

/// A text, or the `id` of an object that stands in its place (Stripe's expandable fields).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::normalise) struct Reference<'a>(pub(in crate::normalise) Text<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Reference<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Expanded<'a> {
            #[serde(borrow)]
            id: Text<'a>,
        }
        struct References;
        impl<'de> Visitor<'de> for References {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id or an object that has one")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text::Value(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text::Value(Cow::Owned(text.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Expanded::deserialize(MapAccessDeserializer::new(map)).map(|object| object.id)
            }

            wrong!(null bool number list);
        }
        deserializer.deserialize_any(References).map(Self)
    }
}

/// So that a reference is read with the methods of [`Text`].
impl<'a> Deref for Reference<'a> {
    type Target = Text<'a>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// An identifier, sent as a number or as a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::normalise) struct Id<'a>(Text<'a>);

impl<'a> Id<'a> {
    /// Whether there is one that is not empty.
    pub(in crate::normalise) fn is_some(&self) -> bool {
        !self.0.as_str().is_empty()
    }

    /// Its text, if there is one that is not empty.
    pub(in crate::normalise) fn some(self) -> Option<Cow<'a, str>> {
        self.0.some()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&serde_json::value::RawValue>::deserialize(deserializer)?.get();
        Ok(Self(match raw.as_bytes() {
            [b'-' | b'0'..=b'9', ..] => Text::Value(Cow::Borrowed(raw)),
            _ => Text::from_raw(raw),
        }))
    }
}
