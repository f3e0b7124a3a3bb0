//! Endpoints and their keys, cached.
//!
//! Endpoints are configuration that changes without a deployment, and keys rotate while webhooks arrive. Both are
//! read once and again after a time to live; while a fresh reading is under way, or fails, the old one serves.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use tollgate_core::EndpointId;
use tollgate_providers::{Endpoint, KeyRing};
use tracing::{error, warn};

use crate::cached::Cached;
use crate::ports::{Clock, EndpointSource, PortError, PortResult, Secrets};

/// How long readings serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// Endpoints are read again after this many seconds.
    pub endpoints_ttl_seconds: u32,
    /// Keys are read again after this many seconds.
    pub keys_ttl_seconds: u32,
    /// A bad signature makes keys of at least this age be read again, once, and an unknown name endpoints: a
    /// rotation or an addition may have happened. The bound keeps forgeries from turning into a reading each.
    pub min_age_seconds: u32,
    /// After a failed reading the old one serves for this many seconds more before the next try.
    pub retry_seconds: u32,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { endpoints_ttl_seconds: 60, keys_ttl_seconds: 300, min_age_seconds: 10, retry_seconds: 5 }
    }
}

type Endpoints = BTreeMap<EndpointId, Arc<Endpoint>>;

/// Every endpoint, by name.
#[derive(Debug)]
pub struct Directory<S, C> {
    source: S,
    clock: C,
    freshness: Freshness,
    endpoints: Cached<Endpoints>,
}

impl<S: EndpointSource, C: Clock> Directory<S, C> {
    /// A directory of what `source` holds; nothing is read yet.
    pub fn new(source: S, clock: C, freshness: Freshness) -> Self {
        Self { source, clock, freshness, endpoints: Cached::default() }
    }

    /// The endpoint called `name`; `None` where there is none.
    ///
    /// # Errors
    ///
    /// When the configuration was never read.
    pub async fn endpoint(&self, name: &str) -> PortResult<Option<Arc<Endpoint>>> {
        let Ok(id) = EndpointId::new(name) else { return Ok(None) };
        if let Some(endpoint) = self.all().await?.get(&id) {
            return Ok(Some(Arc::clone(endpoint)));
        }
        // The endpoint may have been added after we last read the configuration.
        if self.endpoints.expire(self.clock.now(), self.freshness.min_age_seconds) {
            return Ok(self.all().await?.get(&id).cloned());
        }
        Ok(None)
    }

    /// Reads the configuration, so that a function that cannot does not start serving.
    ///
    /// # Errors
    ///
    /// As for [`endpoint`](Self::endpoint).
    pub async fn warm(&self) -> PortResult<usize> {
        Ok(self.all().await?.len())
    }

    async fn all(&self) -> PortResult<Arc<Endpoints>> {
        let Freshness { endpoints_ttl_seconds: ttl, retry_seconds: retry, .. } = self.freshness;
        self.endpoints
            .get(&self.clock, ttl, retry, || async {
                let mut endpoints = Endpoints::new();
                for config in self.source.endpoints().await? {
                    // One endpoint that cannot serve must not take the others with it.
                    match Endpoint::new(config) {
                        Ok(endpoint) => {
                            endpoints.insert(*endpoint.id(), Arc::new(endpoint));
                        }
                        Err(problem) => error!(error = %problem, "endpoint left out"),
                    }
                }
                Ok(endpoints)
            })
            .await
    }
}

/// The active keys of each endpoint.
#[derive(Debug)]
pub struct Keys<S, C> {
    secrets: S,
    clock: C,
    freshness: Freshness,
    rings: Mutex<HashMap<EndpointId, Arc<Cached<KeyRing>>>>,
}

impl<S: Secrets, C: Clock> Keys<S, C> {
    /// Keys from `secrets`; nothing is read yet.
    pub fn new(secrets: S, clock: C, freshness: Freshness) -> Self {
        Self { secrets, clock, freshness, rings: Mutex::new(HashMap::new()) }
    }

    /// The endpoint's keys.
    ///
    /// # Errors
    ///
    /// When they were never read, or a current one cannot be used with its scheme. A previous one that cannot is left out
    /// with a warning at each reading.
    pub async fn of(&self, endpoint: &Endpoint) -> PortResult<Arc<KeyRing>> {
        let cached = self.cached(endpoint.id());
        let Freshness { keys_ttl_seconds: ttl, retry_seconds: retry, .. } = self.freshness;
        cached.get(&self.clock, ttl, retry, || self.read(endpoint)).await
    }

    /// The endpoint's keys read again after a bad signature; `None` where the last reading is too recent for a
    /// rotation to have been missed, or nothing newer can be had.
    pub async fn again(&self, endpoint: &Endpoint) -> Option<Arc<KeyRing>> {
        let cached = self.cached(endpoint.id());
        let read_at = cached.read_at()?;
        if !cached.expire(self.clock.now(), self.freshness.min_age_seconds) {
            return None;
        }
        let Freshness { keys_ttl_seconds: ttl, retry_seconds: retry, .. } = self.freshness;
        let ring = cached.get(&self.clock, ttl, retry, || self.read(endpoint)).await.ok()?;
        (cached.read_at() != Some(read_at)).then_some(ring)
    }

    fn cached(&self, id: &EndpointId) -> Arc<Cached<KeyRing>> {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(rings.entry(*id).or_default())
    }

    async fn read(&self, endpoint: &Endpoint) -> PortResult<KeyRing> {
        let keys = self.secrets.keys(&endpoint.config().secret).await?;
        let ring = endpoint.keys(keys).map_err(|problem| {
            error!(endpoint = %endpoint.id(), error = %problem, "keys cannot be used");
            PortError::permanent("secrets", "keys cannot be used")
        })?;
        for problem in ring.left_out() {
            warn!(endpoint = %endpoint.id(), key_id = problem.id, error = problem.problem, "previous key left out");
        }
        Ok(ring)
    }
}
