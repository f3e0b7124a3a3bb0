//! One decode for three parsers: it keeps the values that the normaliser reads, exactly, and passes over the rest.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::names::{Names, Use};

/// A value that is kept. Each parser has the kind that costs it least and is exact.
pub trait Kept<'de>: Deserialize<'de> {
    /// As JSON, to compare.
    fn json(&self) -> String;
    /// Whether it was a decimal whose text the parser does not hand out.
    fn is_lost(&self) -> bool {
        false
    }
}

/// serde_json's and sonic-rs's: the text in the body.
pub struct Raw<'a>(&'a serde_json::value::RawValue);
pub struct Lazy<'a>(sonic_rs::LazyValue<'a>);

/// simd-json's: a value.
pub enum Plain<'a> {
    Text(Cow<'a, str>),
    Integer(i128),
    Flag(bool),
    Null,
    Decimal,
    /// A list or an object, which no normaliser wants in the place of a value.
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&serde_json::value::RawValue>::deserialize(deserializer).map(Self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Lazy<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        sonic_rs::LazyValue::deserialize(deserializer).map(Self)
    }
}

impl<'de: 'a, 'a> Kept<'de> for Raw<'a> {
    fn json(&self) -> String {
        canonical(self.0.get())
    }
}

impl<'de: 'a, 'a> Kept<'de> for Lazy<'a> {
    fn json(&self) -> String {
        canonical(self.0.as_raw_str())
    }
}

fn canonical(text: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(text).unwrap() {
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => "other".to_owned(),
        // The text and not the number.
        serde_json::Value::Number(_) => text.to_owned(),
        value => value.to_string(),
    }
}

impl<'de: 'a, 'a> Kept<'de> for Plain<'a> {
    fn json(&self) -> String {
        match self {
            Self::Text(text) => serde_json::Value::from(text.as_ref()).to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Flag(value) => value.to_string(),
            Self::Null => "null".to_owned(),
            Self::Decimal => "lost".to_owned(),
            Self::Other => "other".to_owned(),
        }
    }

    fn is_lost(&self) -> bool {
        matches!(self, Self::Decimal)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Plain<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Plain<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Plain::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Plain::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
                Ok(Plain::Integer(value.into()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
                Ok(Plain::Integer(value.into()))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Plain::Decimal)
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Plain::Flag(value))
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Plain::Null)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Plain::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Plain::Other)
            }
        }
        deserializer.deserialize_any(Values)
    }
}

/// Reads an object, or a list of objects, into `kept`.
pub struct Fields<'n, 'k, K> {
    pub names: &'n Names,
    pub kept: &'k mut Vec<K>,
}

impl<'de, K: Kept<'de>> DeserializeSeed<'de> for Fields<'_, '_, K> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, K: Kept<'de>> Visitor<'de> for Fields<'_, '_, K> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(found) = map.next_key_seed(Key(self.names))? {
            match found {
                Some(Use::Value) => self.kept.push(map.next_value::<K>()?),
                Some(Use::Inside) => map.next_value_seed(Fields { names: self.names, kept: self.kept })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Fields { names: self.names, kept: self.kept })?.is_some() {}
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

struct Key<'n>(&'n Names);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<Use>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<Use>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.find(name))
    }
}

/// Enough for most bodies.
const CAPACITY: usize = 32;

/// serde_json. UTF-8 is checked first, as the function that ships does. `then` gets what was kept.
pub fn serde_json(body: &[u8], names: &Names, then: impl FnOnce(&[Raw<'_>])) {
    let mut deserializer = serde_json::Deserializer::from_str(std::str::from_utf8(body).unwrap());
    let mut kept = Vec::with_capacity(CAPACITY);
    Fields { names, kept: &mut kept }.deserialize(&mut deserializer).unwrap();
    deserializer.end().unwrap();
    then(&kept);
}

/// sonic-rs, which checks UTF-8 itself.
pub fn sonic(body: &[u8], names: &Names, then: impl FnOnce(&[Lazy<'_>])) {
    let mut deserializer = sonic_rs::Deserializer::from_slice(body);
    let mut kept = Vec::with_capacity(CAPACITY);
    Fields { names, kept: &mut kept }.deserialize(&mut deserializer).unwrap();
    deserializer.end().unwrap();
    then(&kept);
}

/// simd-json's memory, which is used again: a copy of the body to write into, its buffers and its tape.
#[derive(Default)]
pub struct Simd {
    body: Vec<u8>,
    buffers: simd_json::Buffers,
    tape: Option<simd_json::Tape<'static>>,
}

impl Simd {
    /// simd-json, by the interface that copies and allocates least. `then` gets what was kept.
    pub fn run(&mut self, body: &[u8], names: &Names, then: impl FnOnce(&[Plain<'_>])) {
        self.body.clear();
        self.body.extend_from_slice(body);
        self.body.resize(body.len() + simd_json::INPUT_PADDING, 0);
        let mut tape = self.tape.take().unwrap_or_else(simd_json::Tape::null).reset();
        simd_json::fill_tape_padded(&mut self.body, body.len(), &mut self.buffers, &mut tape).unwrap();
        let mut deserializer = simd_json::Deserializer::from_tape(tape);
        let mut kept = Vec::with_capacity(CAPACITY);
        Fields { names, kept: &mut kept }.deserialize(&mut deserializer).unwrap();
        then(&kept);
        self.tape = Some(deserializer.into_tape().reset());
    }
}
