//! Short text that is copied like a number.

use std::{cmp::Ordering, fmt, hash};

/// Text form, printing and JSON form of a type around an [`Inline`]; `$read` makes it of a text, or gives an error that
/// can be shown.
macro_rules! inline_text {
    ($name:ident, $read:expr) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.0)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                $read(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use inline_text;

/// Text of at most `N` (and 255) bytes, kept in place: ids are copied into every event, and each copy on the heap
/// would be an allocation.
#[derive(Clone, Copy)]
pub(crate) struct Inline<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Inline<N> {
    /// `None` for longer text.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; N];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { bytes, len: u8::try_from(text.len()).ok()? })
    }

    /// Text that fills it. What is no UTF-8 reads as no text.
    pub(crate) fn ascii(bytes: [u8; N]) -> Self {
        const { assert!(N <= 255) };
        Self { bytes, len: N as u8 }
    }

    pub(crate) fn as_str(&self) -> &str {
        let text = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }

    /// Changes the letters, never the length.
    pub(crate) fn make_ascii_uppercase(&mut self) {
        self.bytes.make_ascii_uppercase();
    }
}

impl<const N: usize> PartialEq for Inline<N> {
    fn eq(&self, other: &Self) -> bool {
        // What lies beyond the text is always zero.
        self.bytes == other.bytes
    }
}

impl<const N: usize> Eq for Inline<N> {}

impl<const N: usize> PartialOrd for Inline<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Inline<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl<const N: usize> hash::Hash for Inline<N> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl<const N: usize> fmt::Debug for Inline<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_fits_or_is_refused_whole() {
        assert_eq!(Inline::<4>::new("abcd").map(|text| text.as_str().to_owned()).as_deref(), Some("abcd"));
        assert_eq!(Inline::<4>::new("").map(|text| text.as_str().len()), Some(0));
        assert!(Inline::<4>::new("abcde").is_none());
        assert!(Inline::<4>::new("abé").is_some() && Inline::<3>::new("abé").is_none());
        assert!(Inline::<4>::new("ab") < Inline::<4>::new("abc"));
        assert_ne!(Inline::<4>::new("ab"), Inline::<4>::new("abc"));
    }
}
