//! Lists, read without keeping their elements.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    object::Object,
    wrong::{Visited, wrong},
};

/// The first element of a list, and how many there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::normalise) struct First<T> {
    /// The first element.
    pub(in crate::normalise) value: Option<T>,
    /// How many elements the list has.
    pub(in crate::normalise) count: usize,
}

impl<T> Default for First<T> {
    fn default() -> Self {
        Self { value: None, count: 0 }
    }
}

impl<T> First<T> {
    /// The element of a list that has exactly one.
    pub(in crate::normalise) fn only(self) -> Option<T> {
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

/// Calls `visit` with every element of a list and keeps none. A value that is not a list has no elements.
pub(in crate::normalise) fn each<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    visit: impl FnMut(T),
) -> Result<(), D::Error> {
    struct Lists<T, F>(F, PhantomData<T>);
    impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for Lists<T, F> {
        type Value = Visited;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self::Value, A::Error> {
            while let Some(element) = list.next_element()? {
                (self.0)(element);
            }
            Ok(Visited::All)
        }

        wrong!(null bool number text object);
    }
    match deserializer.deserialize_any(Lists(visit, PhantomData))? {
        Visited::All | Visited::Wrong => Ok(()),
    }
}
