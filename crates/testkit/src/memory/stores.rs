//! What is read and seldom written: endpoints, secrets, materials, payloads.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tollgate_core::{EndpointConfig, EndpointId, Timestamp};
use tollgate_pipeline::{
    endpoints::EndpointsDocument,
    ports::{
        EndpointSource, EndpointStore, Listing, MaterialStore, Materials, ObjectStore, PayloadSource,
        PayloadStore, PortError, PortResult, RejectedBudget, Secrets, Stored, StoredEndpoints,
        StoredMaterial,
    },
};
use tollgate_providers::{KeyMaterial, Material, MaterialRequest, Secret};

/// Endpoint configuration: the document, with the number of its version.
#[derive(Debug, Default)]
pub struct MemoryEndpoints(Mutex<Option<(u64, Vec<u8>)>>);

impl MemoryEndpoints {
    /// These endpoints.
    pub fn new(endpoints: Vec<EndpointConfig>) -> Self {
        let new = Self::default();
        new.set(endpoints);
        new
    }

    /// These endpoints from now on.
    pub fn set(&self, endpoints: Vec<EndpointConfig>) {
        let mut document = EndpointsDocument::default();
        endpoints.iter().for_each(|endpoint| document.put(endpoint).unwrap());
        self.set_document(document.write().unwrap());
    }

    /// This document from now on, whatever it is.
    pub fn set_document(&self, document: Vec<u8>) {
        let mut stored = self.stored();
        let version = stored.as_ref().map_or(0, |(version, _)| version + 1);
        *stored = Some((version, document));
    }

    fn stored(&self) -> MutexGuard<'_, Option<(u64, Vec<u8>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EndpointSource for &MemoryEndpoints {
    async fn endpoints(&self, known: Option<&str>) -> PortResult<Option<Listing>> {
        let stored = self.load().await?.ok_or_else(|| PortError::retryable("endpoints", "no document"))?;
        if known == Some(stored.version.as_str()) {
            return Ok(None);
        }
        let document = EndpointsDocument::read(&stored.document)
            .map_err(|problem| PortError::permanent("endpoints", problem.to_string()))?;
        Ok(Some(Listing { version: stored.version, endpoints: document.configured(|_| true) }))
    }
}

impl EndpointStore for &MemoryEndpoints {
    async fn load(&self) -> PortResult<Option<StoredEndpoints>> {
        let stored = self.stored().clone();
        Ok(stored.map(|(version, document)| StoredEndpoints { version: version.to_string(), document }))
    }

    async fn replace(&self, document: Vec<u8>, replaced: Option<&str>) -> PortResult<bool> {
        let mut stored = self.stored();
        let version = stored.as_ref().map(|(version, _)| *version);
        if version.map(|version| version.to_string()).as_deref() != replaced {
            return Ok(false);
        }
        *stored = Some((version.map_or(0, |version| version + 1), document));
        Ok(true)
    }
}

/// Secrets by reference, with the version before the current one.
#[derive(Debug, Default)]
pub struct MemorySecrets(Mutex<BTreeMap<String, Vec<Secret>>>);

impl MemorySecrets {
    /// Makes `value` current; what was current becomes the previous one, and what was previous is forgotten.
    pub fn rotate(&self, reference: impl Into<String>, value: impl Into<String>) {
        let mut secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let versions = secrets.entry(reference.into()).or_default();
        versions.insert(0, Secret::new(value));
        versions.truncate(2);
    }
}

impl Secrets for &MemorySecrets {
    async fn keys(&self, reference: &str) -> PortResult<Vec<KeyMaterial>> {
        let secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let versions = secrets.get(reference).ok_or_else(|| PortError::permanent("secrets", "not found"))?;
        let mut keys = Vec::new();
        if let Some(current) = versions.first() {
            keys.push(KeyMaterial::unnamed("current", current.clone()));
        }
        if let Some(previous) = versions.get(1) {
            keys.push(KeyMaterial::unnamed("previous", previous.clone()).previous());
        }
        Ok(keys)
    }
}

/// Material by its name; what is not here does not exist.
#[derive(Debug, Default)]
pub struct MemoryMaterials(Mutex<BTreeMap<String, Material>>);

impl MemoryMaterials {
    /// Hands out `material` under `name` from now on.
    pub fn publish(&self, name: impl Into<String>, material: impl Into<Vec<u8>>) {
        let mut materials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        materials.insert(name.into(), Material(material.into()));
    }

    /// Hands it out no longer.
    pub fn withdraw(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

impl Materials for &MemoryMaterials {
    async fn fetch(&self, request: &MaterialRequest) -> PortResult<Material> {
        let materials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        materials.get(request.name()).cloned().ok_or_else(|| PortError::permanent("materials", "none here"))
    }
}

/// What is kept of material, by endpoint.
#[derive(Debug, Default)]
pub struct MemoryMaterialStore(Mutex<BTreeMap<EndpointId, Vec<StoredMaterial>>>);

impl MemoryMaterialStore {
    /// Puts another certificate in the place of each one of an endpoint.
    pub fn overwrite(&self, endpoint: &str, certificate: &str) {
        let mut stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_endpoint = stored.iter_mut().filter(|(id, _)| id.as_str() == endpoint);
        for one in of_endpoint.flat_map(|(_, materials)| materials) {
            one.certificate = Some(certificate.to_owned());
        }
    }
}

impl MaterialStore for &MemoryMaterialStore {
    async fn load(&self, endpoint: &EndpointId) -> PortResult<Vec<StoredMaterial>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(endpoint).cloned().unwrap_or_default())
    }

    async fn save(&self, endpoint: &EndpointId, materials: &[StoredMaterial]) -> PortResult<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(*endpoint, materials.to_vec());
        Ok(())
    }
}

/// The payload bucket.
#[derive(Debug, Default)]
pub struct MemoryPayloadBucket(Mutex<BTreeMap<String, Vec<u8>>>);

impl MemoryPayloadBucket {
    /// Every object, by key.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl PayloadStore for &MemoryPayloadBucket {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> PortResult<()> {
        // "Naming Amazon S3 objects", user guide.
        if !(1..=1_024).contains(&key.len()) {
            return Err(PortError::permanent("s3", "KeyTooLongError"));
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), bytes);
        Ok(())
    }
}

impl ObjectStore for &MemoryPayloadBucket {
    async fn keep(&self, key: &str, bytes: Vec<u8>) -> PortResult<Stored> {
        let mut objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if objects.contains_key(key) {
            return Ok(Stored::Existed);
        }
        objects.insert(key.to_owned(), bytes);
        Ok(Stored::New)
    }
}

impl PayloadSource for &MemoryPayloadBucket {
    async fn get(&self, key: &str) -> PortResult<Vec<u8>> {
        let objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        objects.get(key).cloned().ok_or_else(|| PortError::permanent("s3", "NoSuchKey"))
    }
}

/// The budgets for keeping refused webhooks: how many parts are taken, by endpoint and day.
#[derive(Debug, Default)]
pub struct MemoryRejected(Mutex<BTreeMap<(EndpointId, i64), u32>>);

impl RejectedBudget for &MemoryRejected {
    async fn take_part(&self, endpoint: &EndpointId, parts: u32, now: Timestamp) -> PortResult<bool> {
        let day = now.as_second().div_euclid(86_400);
        let mut days = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = days.entry((*endpoint, day)).or_default();
        let is_left = *taken < parts;
        *taken += u32::from(is_left);
        Ok(is_left)
    }
}
