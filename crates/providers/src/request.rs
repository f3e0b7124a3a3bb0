//! A webhook as it arrived.

use crate::{headers::Headers, refusal::Refusal};

/// A webhook as it arrived: nothing of it is believed yet.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// Every header, in any letter case.
    pub headers: &'a Headers,
    /// The query string as sent, percent-encoded, without the `?`; empty when there was none.
    pub query: &'a str,
    /// The exact bytes.
    pub body: &'a [u8],
}

impl<'a> Received<'a> {
    /// The one value of a header; an empty one counts as absent.
    ///
    /// # Errors
    ///
    /// [`Refusal::Duplicate`].
    pub(crate) fn one_header(self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let mut values =
            self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Refusal::Duplicate(name.to_owned())),
            (Some(""), None) | (None, None) => Ok(None),
            (Some(value), None) => Ok(Some(value)),
        }
    }

    /// Whether a header is there and not empty.
    pub(crate) fn has_header(self, name: &str) -> bool {
        self.headers.get(name).is_some_and(|value| !value.is_empty())
    }
}
