//! What is read and seldom written: endpoints, secrets, materials, payloads.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tollgate_core::{EndpointConfig, EndpointId};
use tollgate_pipeline::ports::{
    EndpointLookup, EndpointSource, Materials, PayloadSource, PayloadStore, PortError, PortResult, Secrets,
};
use tollgate_providers::{KeyMaterial, Material, MaterialRequest, Secret};

/// Endpoint configuration.
#[derive(Debug, Default)]
pub struct MemoryEndpoints(Mutex<Vec<EndpointConfig>>);

impl MemoryEndpoints {
    /// These endpoints.
    pub fn new(endpoints: Vec<EndpointConfig>) -> Self {
        Self(Mutex::new(endpoints))
    }

    /// These endpoints from now on.
    pub fn set(&self, endpoints: Vec<EndpointConfig>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = endpoints;
    }
}

impl EndpointSource for &MemoryEndpoints {
    async fn endpoints(&self) -> PortResult<Vec<EndpointConfig>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl EndpointLookup for &MemoryEndpoints {
    async fn endpoint(&self, id: &EndpointId) -> PortResult<Option<EndpointConfig>> {
        let endpoints = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(endpoints.iter().find(|endpoint| endpoint.id == *id).cloned())
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

/// No material at all: for endpoints that need none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMaterials;

impl Materials for NoMaterials {
    async fn fetch(&self, _request: &MaterialRequest) -> PortResult<Material> {
        Err(PortError::permanent("materials", "none here"))
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), bytes);
        Ok(())
    }
}

impl PayloadSource for &MemoryPayloadBucket {
    async fn get(&self, key: &str) -> PortResult<Vec<u8>> {
        let objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        objects.get(key).cloned().ok_or_else(|| PortError::permanent("s3", "NoSuchKey"))
    }
}
