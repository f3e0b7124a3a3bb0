//! JSON whose numbers may have any size.
//!
//! Where a number is beyond a double and the type of its place is not known before it is read, serde_json refuses the
//! whole text. Here the members of objects and the elements of lists are cut out unread, so that such a number is only a
//! value of another type. That passes over each level once more: it is for texts that serde_json has refused.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};
use serde_json::value::RawValue;

/// Reads `text`.
///
/// # Errors
///
/// Those of serde_json, but for numbers that it cannot hold.
pub(super) fn read<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<T> {
    T::deserialize(AnySize(serde_json::from_str::<&RawValue>(text)?))
}

/// One value, not read yet.
struct AnySize<'de>(&'de RawValue);

impl<'de> Deserializer<'de> for AnySize<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let text = self.0.get();
        match text.as_bytes() {
            [b'{' | b'[', ..] => serde_json::Deserializer::from_str(text).deserialize_any(Parts(visitor)),
            [b'-' | b'0'..=b'9', ..] if serde_json::from_str::<f64>(text).is_err() => {
                visitor.visit_f64(f64::INFINITY)
            }
            _ => serde_json::Deserializer::from_str(text).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.0.get() == "null" { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    /// How serde_json hands out a [`RawValue`], which reads no number.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_str(self.0.get()).deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier
    }
}

/// The parts of an object or a list, each handed on as [`AnySize`].
struct Parts<T>(T);

impl<'de, V: Visitor<'de>> Visitor<'de> for Parts<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.0.visit_map(Parts(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        self.0.visit_seq(Parts(list))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Parts<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let value: &'de RawValue = self.0.next_value()?;
        seed.deserialize(AnySize(value)).map_err(Error::custom)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Parts<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let element: Option<&'de RawValue> = self.0.next_element()?;
        element.map(|element| seed.deserialize(AnySize(element)).map_err(Error::custom)).transpose()
    }
}
