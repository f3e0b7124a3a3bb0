//! The JSON form of metadata: an object, in the order in which the pairs came.

use std::{borrow::Cow, fmt};

use serde::{Deserializer, Serializer, de};

type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

pub(super) fn serialize<S: Serializer>(pairs: &Pairs<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
}

pub(super) fn deserialize<'de, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Pairs<'a>, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Pairs<'static>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of texts")
        }

        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some((key, value)) = map.next_entry::<String, String>()? {
                pairs.push((Cow::Owned(key), Cow::Owned(value)));
            }
            Ok(pairs)
        }
    }
    deserializer.deserialize_map(Visitor)
}
