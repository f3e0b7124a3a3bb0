//! Providers' APIs, and the keys that they are asked with.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tollgate_core::{EndpointId, ProviderId};
use tollgate_pipeline::ports::{ApiKeys, PortResult, ProviderObjects, Unfetched};
use tollgate_providers::{ApiKey, NamedObject};

/// The endpoints' keys of their providers' APIs.
#[derive(Debug, Default)]
pub struct MemoryApiKeys(Mutex<BTreeMap<EndpointId, String>>);

impl MemoryApiKeys {
    /// The endpoint has this key from now on.
    pub fn set(&self, endpoint: &str, key: &str) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(EndpointId::new(endpoint).expect("a name"), key.to_owned());
    }

    /// It has none from now on.
    pub fn remove(&self, endpoint: &str) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|id, _| id.as_str() != endpoint);
    }
}

impl ApiKeys for &MemoryApiKeys {
    async fn api_key(&self, endpoint: &EndpointId) -> PortResult<Option<ApiKey>> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(keys.get(endpoint).map(|key| ApiKey::new(key).expect("a key")))
    }
}

/// Objects by kind and id, for whoever has the one key; and what was asked.
#[derive(Debug, Default)]
pub struct MemoryObjects(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    key: String,
    objects: BTreeMap<(String, String), Vec<u8>>,
    failures: Vec<Unfetched>,
    asked: Vec<(String, String)>,
}

impl MemoryObjects {
    /// This key is taken, and no other one.
    pub fn take(&self, key: &str) {
        self.known().key = key.to_owned();
    }

    /// The object is this from now on.
    pub fn set(&self, kind: &str, id: &str, object: &serde_json::Value) {
        self.known().objects.insert((kind.to_owned(), id.to_owned()), object.to_string().into_bytes());
    }

    /// Requests fail so from now on, one after the other, before any is answered.
    pub fn fail(&self, failures: impl IntoIterator<Item = Unfetched>) {
        self.known().failures.extend(failures);
    }

    /// What was asked for so far: kinds and ids.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.known().asked.clone()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProviderObjects for &MemoryObjects {
    async fn fetch(
        &self,
        _: &ProviderId,
        key: &ApiKey,
        object: &NamedObject<'_>,
    ) -> Result<Vec<u8>, Unfetched> {
        let mut known = self.known();
        let named = (object.kind.to_owned(), object.id.to_string());
        known.asked.push(named.clone());
        if !known.failures.is_empty() {
            return Err(known.failures.remove(0));
        }
        if key.header_text() != known.key {
            return Err(Unfetched::Refused(401));
        }
        known.objects.get(&named).cloned().ok_or(Unfetched::NotFound)
    }
}
