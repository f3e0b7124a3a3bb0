//! Field types for bodies: they borrow, and they take what is absent or of another type as just that, so that
//! one odd field never makes a whole webhook unreadable.

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Deref};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use tollgate_core::Timestamp;

/// The most metadata pairs that are kept of one event: Stripe's own limit, the highest of the providers'.
pub(super) const MAX_METADATA: usize = 50;

/// Visits every JSON type but those named as of another type, reading past it.
macro_rules! wrong {
    ($($method:ident)*) => { $(wrong!(@ $method);)* };
    (@ null) => {
        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
    };
    (@ bool) => {
        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Self::Value::Wrong)
        }
    };
    (@ number) => {
        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Self::Value::Wrong)
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Self::Value::Wrong)
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Self::Value::Wrong)
        }
    };
    (@ text) => {
        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Self::Value::Wrong)
        }
    };
    (@ list) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Self::Value::Wrong)
        }
    };
    (@ object) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Self::Value::Wrong)
        }
    };
}

/// A text, borrowed where it holds no escapes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Text<'a> {
    /// Not sent, or null.
    #[default]
    Absent,
    /// The text.
    Value(Cow<'a, str>),
    /// Something else.
    Wrong,
}

impl<'a> Text<'a> {
    /// A JSON value's own spelling, as it stands in the body.
    fn of_raw(raw: &'a str) -> Self {
        match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(text) if !text.contains('\\') => Self::Value(Cow::Borrowed(text)),
            Some(_) => serde_json::from_str(raw).map_or(Self::Wrong, |text| Self::Value(Cow::Owned(text))),
            None if raw == "null" => Self::Absent,
            None => Self::Wrong,
        }
    }

    /// The text; empty when there is none.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Value(text) => text,
            Self::Absent | Self::Wrong => "",
        }
    }

    /// The text, if there is one that is not empty.
    pub(super) fn some(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Value(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The text as an RFC 3339 moment, offsets with or without a colon.
    pub(super) fn moment(&self) -> Option<Timestamp> {
        // An absent text would cost an error's allocations.
        Some(self.as_str()).filter(|text| !text.is_empty())?.parse().ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Passed over and not parsed: a number that no machine can hold is of another type like any other.
        <&serde_json::value::RawValue>::deserialize(deserializer).map(|raw| Self::of_raw(raw.get()))
    }
}

/// A text, or the `id` of an object that stands in its place (Stripe's expandable fields).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reference<'a>(pub(super) Text<'a>);

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

/// A number by its text, written bare or as a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Number<'a> {
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
    pub(super) fn text(self) -> Option<&'a str> {
        match self {
            Self::Bare(text) | Self::Quoted(text) => Some(text),
            Self::Absent | Self::Wrong => None,
        }
    }

    /// Whether anything was sent.
    pub(super) fn is_absent(self) -> bool {
        self == Self::Absent
    }

    /// An integer: digits, with at most a minus before them.
    pub(super) fn integer<T: std::str::FromStr>(self) -> Option<T> {
        self.text().filter(|text| !text.starts_with('+')).and_then(|text| text.parse().ok())
    }

    /// Whole seconds since 1970.
    pub(super) fn unix_seconds(self) -> Option<Timestamp> {
        Timestamp::from_second(self.integer()?).ok()
    }

    /// Whole milliseconds since 1970.
    pub(super) fn unix_millis(self) -> Option<Timestamp> {
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

/// An identifier, sent as a number or as a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Id<'a>(Text<'a>);

impl<'a> Id<'a> {
    /// Its text, if there is one that is not empty.
    pub(super) fn some(self) -> Option<Cow<'a, str>> {
        self.0.some()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&serde_json::value::RawValue>::deserialize(deserializer)?.get();
        Ok(Self(match raw.as_bytes() {
            [b'-' | b'0'..=b'9', ..] => Text::Value(Cow::Borrowed(raw)),
            _ => Text::of_raw(raw),
        }))
    }
}

/// True or false, written bare or as a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Flag {
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
    pub(super) fn some(self) -> Option<bool> {
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

/// A JSON object read as `T`. Lists are not taken for objects, as serde would: PHP senders write empty objects
/// as `[]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Object<T> {
    /// Not sent, or null.
    #[default]
    Absent,
    /// The object.
    Value(T),
    /// Something else.
    Wrong,
}

impl<T: Default> Object<T> {
    /// The object; one with every field absent when there is none.
    pub(super) fn or_default(self) -> T {
        match self {
            Self::Value(value) => value,
            Self::Absent | Self::Wrong => T::default(),
        }
    }

    /// The object, if there is one.
    pub(super) fn some(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Objects<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Objects<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object::Value)
            }

            wrong!(null bool number text list);
        }
        deserializer.deserialize_any(Objects(PhantomData))
    }
}

/// The first element of a list, and how many there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct First<T> {
    /// The first element.
    pub(super) value: Option<T>,
    /// How many elements the list has.
    pub(super) count: usize,
}

impl<T> Default for First<T> {
    fn default() -> Self {
        Self { value: None, count: 0 }
    }
}

impl<T> First<T> {
    /// The element of a list that has exactly one.
    pub(super) fn only(self) -> Option<T> {
        self.value.filter(|_| self.count == 1)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut first = Self::default();
        each(deserializer, |element: Object<T>| {
            if first.count == 0
                && let Object::Value(value) = element
            {
                first.value = Some(value);
            }
            first.count += 1;
        })?;
        Ok(first)
    }
}

/// Hands over every element of a list, without keeping them; does nothing for what is no list.
pub(super) fn each<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    visit: impl FnMut(T),
) -> Result<(), D::Error> {
    #[derive(Default)]
    enum Done {
        #[default]
        Read,
        Wrong,
    }
    struct Lists<T, F>(F, PhantomData<T>);
    impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for Lists<T, F> {
        type Value = Done;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self::Value, A::Error> {
            while let Some(element) = list.next_element()? {
                (self.0)(element);
            }
            Ok(Done::Read)
        }

        wrong!(null bool number text object);
    }
    match deserializer.deserialize_any(Lists(visit, PhantomData))? {
        Done::Read | Done::Wrong => Ok(()),
    }
}

/// The merchant's own pairs: text values only, at most [`MAX_METADATA`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Pairs<'a> {
    /// Adds a pair, as long as there is room and the name is new.
    pub(super) fn push(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        if self.0.len() < MAX_METADATA && !self.0.iter().any(|(known, _)| *known == name) {
            if self.0.capacity() == 0 {
                // One allocation for what nearly every merchant sends.
                self.0.reserve_exact(12);
            }
            self.0.push((name, value));
        }
    }

    /// The pairs, in the order they came.
    pub(super) fn into_vec(self) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
        self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut pairs = Self::default();
        entries(deserializer, |name, value| {
            if let Text::Value(value) = value {
                pairs.push(name, value);
            }
        })?;
        Ok(pairs)
    }
}

/// Hands over every field of an object, its value as a text; does nothing for what is no object.
pub(super) fn entries<'de, D: Deserializer<'de>>(
    deserializer: D,
    visit: impl FnMut(Cow<'de, str>, Text<'de>),
) -> Result<(), D::Error> {
    struct Key<'a>(Cow<'a, str>);
    impl<'de> Deserialize<'de> for Key<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Keys;
            impl<'de> Visitor<'de> for Keys {
                type Value = Key<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a field name")
                }

                fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
                    Ok(Key(Cow::Borrowed(name)))
                }

                fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
                    Ok(Key(Cow::Owned(name.to_owned())))
                }
            }
            deserializer.deserialize_str(Keys)
        }
    }
    #[derive(Default)]
    enum Done {
        #[default]
        Read,
        Wrong,
    }
    struct Entries<F>(F);
    impl<'de, F: FnMut(Cow<'de, str>, Text<'de>)> Visitor<'de> for Entries<F> {
        type Value = Done;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
            while let Some((Key(name), value)) = map.next_entry::<Key<'de>, Text<'de>>()? {
                (self.0)(name, value);
            }
            Ok(Done::Read)
        }

        wrong!(null bool number text list);
    }
    match deserializer.deserialize_any(Entries(visit))? {
        Done::Read | Done::Wrong => Ok(()),
    }
}

/// Reads through to the value, so that `object.field.as_ref()` chains stay short.
impl<'a> Deref for Reference<'a> {
    type Target = Text<'a>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
