//! Objects whose field names are the sender's own.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    text::Text,
    wrong::{Visited, wrong},
};

/// The most metadata pairs that are kept of one event: Stripe's own limit, the highest of the providers'.
pub(in crate::normalise) const MAX_METADATA: usize = 50;

/// The merchant's own pairs: text values only, at most [`MAX_METADATA`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::normalise) struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Pairs<'a> {
    /// Adds a pair, unless there are [`MAX_METADATA`] already or the name is known.
    pub(in crate::normalise) fn push(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        if self.0.len() < MAX_METADATA && !self.0.iter().any(|(known, _)| *known == name) {
            if self.0.capacity() == 0 {
                // One allocation is enough for what nearly every merchant sends.
                self.0.reserve_exact(12);
            }
            self.0.push((name, value));
        }
    }

    /// Whether there are none.
    pub(in crate::normalise) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs, in the order they came.
    pub(in crate::normalise) fn into_vec(self) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
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

/// Calls `visit` with every field of an object, its value as a text. A value that is not an object has no fields.
pub(in crate::normalise) fn entries<'de, D: Deserializer<'de>>(
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
    struct Entries<F>(F);
    impl<'de, F: FnMut(Cow<'de, str>, Text<'de>)> Visitor<'de> for Entries<F> {
        type Value = Visited;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
            while let Some((Key(name), value)) = map.next_entry::<Key<'de>, Text<'de>>()? {
                (self.0)(name, value);
            }
            Ok(Visited::All)
        }

        wrong!(null bool number text list);
    }
    match deserializer.deserialize_any(Entries(visit))? {
        Visited::All | Visited::Wrong => Ok(()),
    }
}
