//! Numbers and flags, bare or written as texts.

use serde::{Deserialize, Deserializer};
use tollgate_core::Timestamp;

/// A number by its text, written bare or as a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::normalise) enum Number<'a> {
    /// Not sent, or null.
    #[default]
    Absent,
    /// A JSON number.
    Bare(&'a str),
    /// A text without escapes; not yet known to be a number.
    Quoted(&'a str),
    /// Something else.
    Wrong,
}

impl<'a> Number<'a> {
    /// Its text.
    pub(in crate::normalise) fn text(self) -> Option<&'a str> {
        match self {
            Self::Bare(text) | Self::Quoted(text) => Some(text),
            Self::Absent | Self::Wrong => None,
        }
    }

    /// Whether anything was sent.
    pub(in crate::normalise) fn is_absent(self) -> bool {
        self == Self::Absent
    }

    /// An integer: digits, with at most a minus before them.
    pub(in crate::normalise) fn integer<T: std::str::FromStr>(self) -> Option<T> {
        self.text().filter(|text| !text.starts_with('+')).and_then(|text| text.parse().ok())
    }

    /// Whole seconds since 1970.
    pub(in crate::normalise) fn unix_seconds(self) -> Option<Timestamp> {
        Timestamp::from_second(self.integer()?).ok()
    }

    /// Whole milliseconds since 1970.
    pub(in crate::normalise) fn unix_millis(self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.integer()?).ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Number<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&serde_json::value::RawValue>::deserialize(deserializer)?.get();
        Ok(match raw.as_bytes() {
            [b'-' | b'0'..=b'9', ..] => Self::Bare(raw),
            [b'"', .., b'"'] => Self::Quoted(raw.trim_matches('"')),
            b"null" => Self::Absent,
            _ => Self::Wrong,
        })
    }
}

/// True or false, written bare or as a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::normalise) enum Flag {
    /// Not sent, or null.
    #[default]
    Absent,
    /// The value.
    Value(bool),
    /// Something else.
    Wrong,
}

impl Flag {
    /// The value, if there is one.
    pub(in crate::normalise) fn some(self) -> Option<bool> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&serde_json::value::RawValue>::deserialize(deserializer)?.get();
        Ok(match raw {
            "true" | "\"true\"" => Self::Value(true),
            "false" | "\"false\"" => Self::Value(false),
            "null" => Self::Absent,
            _ => Self::Wrong,
        })
    }
}
