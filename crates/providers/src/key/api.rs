//! Keys of providers' APIs: they verify nothing, and are sent along.

use std::fmt;

use zeroize::Zeroizing;

/// A key of a provider's API. Never shown, wiped when dropped.
#[derive(Clone)]
pub struct ApiKey(Zeroizing<String>);

/// A text that is no such key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is no key of an API")]
pub struct ApiKeyError;

impl ApiKey {
    /// Takes a stored value's text; the line's end that editors add is no part of it.
    ///
    /// # Errors
    ///
    /// [`ApiKeyError`] when it cannot be part of a header.
    pub fn new(text: &str) -> Result<Self, ApiKeyError> {
        let text = text.trim();
        let is_one = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        if is_one { Ok(Self(Zeroizing::new(text.to_owned()))) } else { Err(ApiKeyError) }
    }

    /// The text, for the header that carries it and nothing else.
    pub fn header_text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}
