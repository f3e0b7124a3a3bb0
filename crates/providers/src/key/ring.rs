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
    /// Whether it is of a version before the current one.
    pub is_previous: bool,
}

impl KeyMaterial {
    /// A key that goes by its id at the provider.
    pub fn new(id: impl Into<String>, secret: Secret) -> Self {
        let id = id.into();
        Self { provider_id: Some(id.clone()), id, secret, is_previous: false }
    }

    /// A key whose id at the provider, if it has one, is not known.
    pub fn unnamed(id: impl Into<String>, secret: Secret) -> Self {
        Self { id: id.into(), provider_id: None, secret, is_previous: false }
    }

    /// The same key, of a version before the current one.
    pub fn previous(self) -> Self {
        Self { is_previous: true, ..self }
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

/// Every active key of one endpoint, decoded for its scheme and ready to use; never without a current one.
#[derive(Clone)]
pub struct KeyRing {
    keys: Vec<NamedKey>,
    left_out: Vec<KeyError>,
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
    /// Leaves out a previous key that cannot be used: webhooks signed with the current one must not be refused for it.
    ///
    /// # Errors
    ///
    /// The first current key that cannot be used, or the absence of any.
    pub(crate) fn prepare(
        keys: &[KeyMaterial],
        ids_are_wanted: bool,
        decode: impl Fn(&Secret) -> Result<Key, &'static str>,
    ) -> Result<Self, KeyError> {
        if keys.iter().all(|key| key.is_previous) {
            return Err(KeyError { id: String::new(), problem: "no current key" });
        }
        let mut ring = Self { keys: Vec::with_capacity(keys.len()), left_out: Vec::new() };
        // The current keys first: a previous one must not take a name from them.
        let (previous, current): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.is_previous);
        for material in current.into_iter().chain(previous) {
            let KeyMaterial { id, provider_id, secret, is_previous } = material;
            let key = if ring.ids().any(|known| known == id) {
                Err("its name is given to another key as well")
            } else if ids_are_wanted && provider_id.is_none() {
                Err(NO_ID)
            } else {
                decode(secret)
            };
            match key.map_err(|problem| KeyError { id: id.clone(), problem }) {
                Ok(key) => {
                    ring.keys.push(NamedKey { id: id.clone(), provider_id: provider_id.clone(), key });
                }
                Err(problem) if *is_previous => ring.left_out.push(problem),
                Err(problem) => return Err(problem),
            }
        }
        Ok(ring)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &NamedKey> {
        self.keys.iter()
    }

    /// The previous keys that cannot be used, each with what is wrong with it.
    pub fn left_out(&self) -> &[KeyError] {
        &self.left_out
    }

    /// The keys' names, in the order given, the current ones first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|key| key.id.as_str())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}
