//! The keys of one endpoint that are active at once.

use std::fmt;

use super::{decoded::Key, secret::Secret};

/// One active key and the name that is recorded when it verifies.
#[derive(Debug, Clone)]
pub struct KeyMaterial {
    /// The key's name: the provider's, or a secret's version stage. No two keys share one.
    pub id: String,
    /// The key's id at its provider, where the secret gives one. Two versions of a secret may give it to two keys.
    pub provider_id: Option<String>,
    /// The key.
    pub secret: Secret,
}

impl KeyMaterial {
    /// A key that goes by its id at the provider.
    pub fn new(id: impl Into<String>, secret: Secret) -> Self {
        let id = id.into();
        Self { provider_id: Some(id.clone()), id, secret }
    }

    /// A key whose id at the provider, if it has one, is not known.
    pub fn unnamed(id: impl Into<String>, secret: Secret) -> Self {
        Self { id: id.into(), provider_id: None, secret }
    }
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

const NO_ID: &str = "webhooks of this provider name the key that signs them, and this one's id is not known: the secret \
                     must be {\"keys\":[{\"id\":\"…\",\"value\":\"…\"}]}";

/// Every active key of one endpoint, decoded for its scheme and ready to use; never empty.
#[derive(Clone)]
pub struct KeyRing {
    keys: Vec<NamedKey>,
}

#[derive(Clone)]
pub(crate) struct NamedKey {
    pub(crate) id: String,
    pub(crate) provider_id: Option<String>,
    pub(crate) key: Key,
}

impl NamedKey {
    /// What a webhook that it signs calls it.
    pub(crate) fn named(&self) -> &str {
        self.provider_id.as_deref().unwrap_or(&self.id)
    }
}

impl KeyRing {
    pub(crate) fn prepare(
        keys: &[KeyMaterial],
        ids_are_wanted: bool,
        decode: impl Fn(&Secret) -> Result<Key, &'static str>,
    ) -> Result<Self, KeyError> {
        let mut ring: Vec<NamedKey> = Vec::with_capacity(keys.len());
        for KeyMaterial { id, provider_id, secret } in keys {
            let refuse = |problem| KeyError { id: id.clone(), problem };
            if ring.iter().any(|known| known.id == *id) {
                return Err(refuse("its name is given to another key as well"));
            }
            if ids_are_wanted && provider_id.is_none() {
                return Err(refuse(NO_ID));
            }
            let key = decode(secret).map_err(refuse)?;
            ring.push(NamedKey { id: id.clone(), provider_id: provider_id.clone(), key });
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
