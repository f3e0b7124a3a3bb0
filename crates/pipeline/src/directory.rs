//! Endpoints and their keys, cached.
//!
//! Endpoints are configuration that changes without a deployment, and keys rotate while webhooks arrive. Both are
//! read once and again after a time to live; while a fresh reading is under way, or fails, the old one serves.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::lock::Mutex as AsyncMutex;
use tollgate_core::{EndpointId, Timestamp};
use tollgate_providers::{Endpoint, KeyRing};
use tracing::{error, warn};

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

/// One cached reading: shared while it is fresh, read by one task at a time when it is not.
#[derive(Debug)]
struct Cached<T> {
    reading: Mutex<Option<Reading<T>>>,
    refresh: AsyncMutex<()>,
}

#[derive(Debug)]
struct Reading<T> {
    value: Arc<T>,
    read_at: Timestamp,
    /// When it is due to be read again.
    due_at: Timestamp,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self { reading: Mutex::new(None), refresh: AsyncMutex::new(()) }
    }
}

impl<T> Cached<T> {
    /// The value if a reading of it serves still; the flag says whether it is due.
    fn current(&self, now: Timestamp) -> Option<(Arc<T>, bool)> {
        let reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        reading.as_ref().map(|r| (Arc::clone(&r.value), now >= r.due_at))
    }

    fn read_at(&self) -> Option<Timestamp> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|r| r.read_at)
    }

    fn set(&self, value: Arc<T>, now: Timestamp, ttl_seconds: u32) {
        let reading = Reading { value, read_at: now, due_at: after(now, ttl_seconds) };
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
    }

    fn postpone(&self, now: Timestamp, seconds: u32) {
        if let Some(reading) = self.reading.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            reading.due_at = after(now, seconds);
        }
    }

    /// Makes a reading of at least `min_age` seconds due at once; false where it is younger, or there is none.
    fn expire(&self, now: Timestamp, min_age: u32) -> bool {
        let is_aged = self.read_at().is_some_and(|read_at| now >= after(read_at, min_age));
        if is_aged {
            self.postpone(now, 0);
        }
        is_aged
    }

    /// The value: fresh, or read now; the old one while another task reads it or when reading fails.
    async fn get<F>(
        &self,
        clock: &impl Clock,
        ttl: u32,
        retry: u32,
        read: impl FnOnce() -> F,
    ) -> PortResult<Arc<T>>
    where
        F: Future<Output = PortResult<T>>,
    {
        let stale = match self.current(clock.now()) {
            Some((value, false)) => return Ok(value),
            Some((value, true)) => Some(value),
            None => None,
        };
        let guard = match (&stale, self.refresh.try_lock()) {
            (_, Some(guard)) => guard,
            (Some(value), None) => return Ok(Arc::clone(value)),
            (None, None) => self.refresh.lock().await,
        };
        // Whoever held the lock before us may have just read it.
        if let Some((value, false)) = self.current(clock.now()) {
            return Ok(value);
        }
        let result = read().await;
        let now = clock.now();
        let answer = match (result, stale) {
            (Ok(value), _) => {
                let value = Arc::new(value);
                self.set(Arc::clone(&value), now, ttl);
                Ok(value)
            }
            (Err(problem), Some(value)) => {
                warn!(error = %problem, "reading again failed; the old reading serves on");
                self.postpone(now, retry);
                Ok(value)
            }
            (Err(problem), None) => Err(problem),
        };
        drop(guard);
        answer
    }
}

fn after(now: Timestamp, seconds: u32) -> Timestamp {
    now.checked_add(jiff::SignedDuration::from_secs(i64::from(seconds))).unwrap_or(Timestamp::MAX)
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
        let Ok(id) = EndpointId::new(name.to_owned()) else { return Ok(None) };
        if let Some(endpoint) = self.all().await?.get(&id) {
            return Ok(Some(Arc::clone(endpoint)));
        }
        // Whoever sent or enqueued this may know of an endpoint that was added since our reading.
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
                            endpoints.insert(endpoint.id().clone(), Arc::new(endpoint));
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
    /// When they were never read, or cannot be used with its scheme.
    pub async fn of(&self, endpoint: &Endpoint) -> PortResult<Arc<KeyRing>> {
        let cached = self.cached(endpoint.id());
        let Freshness { keys_ttl_seconds: ttl, retry_seconds: retry, .. } = self.freshness;
        cached.get(&self.clock, ttl, retry, || self.read(endpoint)).await
    }

    /// The endpoint's keys read again after a bad signature; `None` where the reading at hand is too young for a
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
        Arc::clone(rings.entry(id.clone()).or_default())
    }

    async fn read(&self, endpoint: &Endpoint) -> PortResult<KeyRing> {
        let keys = self.secrets.keys(&endpoint.config().secret).await?;
        endpoint.keys(keys).map_err(|problem| {
            error!(endpoint = %endpoint.id(), error = %problem, "keys cannot be used");
            PortError::permanent("secrets", "keys cannot be used")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::SeqCst};

    use super::*;

    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.0.load(SeqCst)).unwrap()
        }
    }

    async fn read(
        cached: &Cached<u32>,
        clock: &Hand,
        answer: PortResult<u32>,
        calls: &AtomicU32,
    ) -> PortResult<u32> {
        let reading = || async {
            calls.fetch_add(1, SeqCst);
            answer
        };
        cached.get(clock, 10, 3, reading).await.map(|value| *value)
    }

    #[tokio::test]
    async fn a_reading_serves_until_due_and_beyond_when_the_next_fails() {
        let (cached, clock, calls) = (Cached::default(), Hand::default(), AtomicU32::new(0));
        let down = || Err(PortError::retryable("secrets", "down"));
        assert_eq!(read(&cached, &clock, down(), &calls).await, down());
        assert_eq!(read(&cached, &clock, Ok(1), &calls).await, Ok(1));
        clock.0.store(9, SeqCst);
        assert_eq!(read(&cached, &clock, Ok(2), &calls).await, Ok(1));
        assert_eq!(calls.load(SeqCst), 2);
        clock.0.store(10, SeqCst);
        assert_eq!(read(&cached, &clock, down(), &calls).await, Ok(1), "stale if error");
        clock.0.store(12, SeqCst);
        assert_eq!(read(&cached, &clock, Ok(3), &calls).await, Ok(1), "not tried again at once");
        clock.0.store(13, SeqCst);
        assert_eq!(read(&cached, &clock, Ok(3), &calls).await, Ok(3));
        assert_eq!(calls.load(SeqCst), 4);
    }

    #[tokio::test]
    async fn one_task_reads_and_the_others_are_served_the_old_value() {
        let (cached, clock) = (Arc::new(Cached::default()), Hand::default());
        cached.set(Arc::new(1), clock.now(), 10);
        clock.0.store(20, SeqCst);
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let calls = AtomicU32::new(0);
        let slow = cached.get(&clock, 10, 3, || async {
            calls.fetch_add(1, SeqCst);
            let _ = wait.await;
            Ok(2)
        });
        let quick = async {
            let value =
                cached.get(&clock, 10, 3, || async { Err(PortError::permanent("x", "second read")) }).await;
            assert_eq!(value.as_deref(), Ok(&1));
            let _ = go.send(());
        };
        let (slow, ()) = tokio::join!(slow, quick);
        assert_eq!((slow.as_deref(), calls.load(SeqCst)), (Ok(&2), 1));
    }
}
