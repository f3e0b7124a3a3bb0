//! Signing keys: a type that cannot be printed.

use std::fmt;

use zeroize::Zeroizing;

/// A signing key's text as its provider gives it. Never shown, wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for the one place that makes a key of it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One active key and the name that is recorded when it verifies.
#[derive(Debug, Clone)]
pub struct KeyMaterial {
    /// The key's name: a secret's version stage, or the provider's key id where its scheme has one.
    pub id: String,
    /// The key.
    pub secret: Secret,
}

/// A key that its scheme cannot use. Says why, never what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {id:?}: {problem}")]
pub struct KeyError {
    /// Which key.
    pub id: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Every active key of one endpoint, decoded for its scheme; never empty.
#[derive(Debug, Clone)]
pub struct KeyRing {
    pub(crate) keys: Vec<KeyMaterial>,
}
