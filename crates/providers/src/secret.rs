//! Signing keys: types that cannot be printed.

use std::fmt;

use zeroize::Zeroizing;

use crate::scheme::key::Key;

/// A signing key's text as its provider gives it. Never shown, wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Whether both are the same text, in constant time.
    pub fn is_same(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
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

/// Every active key of one endpoint, decoded for its scheme and ready to use; never empty.
#[derive(Clone)]
pub struct KeyRing {
    keys: Vec<NamedKey>,
}

#[derive(Clone)]
pub(crate) struct NamedKey {
    pub(crate) id: String,
    pub(crate) key: Key,
}

impl KeyRing {
    pub(crate) fn prepare(
        keys: &[KeyMaterial],
        decode: impl Fn(&Secret) -> Result<Key, &'static str>,
    ) -> Result<Self, KeyError> {
        let mut ring: Vec<NamedKey> = Vec::with_capacity(keys.len());
        for KeyMaterial { id, secret } in keys {
            let refuse = |problem| KeyError { id: id.clone(), problem };
            if ring.iter().any(|known| known.id == *id) {
                return Err(refuse("its name is given to another key as well"));
            }
            ring.push(NamedKey { id: id.clone(), key: decode(secret).map_err(refuse)? });
        }
        if ring.is_empty() {
            return Err(KeyError { id: String::new(), problem: "no active key" });
        }
        Ok(Self { keys: ring })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &NamedKey> {
        self.keys.iter()
    }

    /// The keys' names, in the order given.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|key| key.id.as_str())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}
