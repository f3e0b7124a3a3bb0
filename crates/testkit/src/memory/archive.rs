//! The archive and the payload bucket in memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tollgate_pipeline::ports::{Archive, PayloadSource, PortError, PortResult, Stored};

/// A write-once store.
#[derive(Debug, Default)]
pub struct MemoryArchive {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    failures: Mutex<Vec<PortError>>,
}

impl MemoryArchive {
    /// Makes the next write fail; called again, the one after it.
    pub fn fail(&self, problem: PortError) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
    }

    /// Everything that was written, by key.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Archive for &MemoryArchive {
    async fn put_new(&self, key: &str, bytes: Vec<u8>) -> PortResult<Stored> {
        if let Some(problem) = self.failures.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Err(problem);
        }
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        if objects.contains_key(key) {
            return Ok(Stored::Existed);
        }
        objects.insert(key.to_owned(), bytes);
        Ok(Stored::New)
    }
}

/// Claim-checked bodies, or the failure to have them.
#[derive(Debug, Default)]
pub struct MemoryPayloads {
    bodies: BTreeMap<String, PortResult<Vec<u8>>>,
}

impl MemoryPayloads {
    /// What fetching `key` gives.
    pub fn insert(&mut self, key: impl Into<String>, body: PortResult<Vec<u8>>) {
        self.bodies.insert(key.into(), body);
    }
}

impl PayloadSource for &MemoryPayloads {
    async fn get(&self, key: &str) -> PortResult<Vec<u8>> {
        let missing = || Err(PortError::permanent("payloads", "NoSuchKey"));
        self.bodies.get(key).cloned().unwrap_or_else(missing)
    }
}
