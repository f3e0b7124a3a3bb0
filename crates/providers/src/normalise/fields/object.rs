//! Objects, and nothing else in their place.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::wrong::wrong;

/// A JSON object read as `T`. Lists are not taken for objects, as serde would: PHP senders write empty objects
/// as `[]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::normalise) enum Object<T> {
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
    pub(in crate::normalise) fn or_default(self) -> T {
        match self {
            Self::Value(value) => value,
            Self::Absent | Self::Wrong => T::default(),
        }
    }

    /// The object, if there is one.
    pub(in crate::normalise) fn some(self) -> Option<T> {
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
