//! The endpoints' keys, cached. They rotate while webhooks arrive.

use std::{
    collections::HashMap,
    mem,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt, lock::Mutex as AsyncMutex, stream};
use tollgate_core::{EndpointId, Timestamp};
use tollgate_providers::{Endpoint, KeyMaterial, KeyRing};
use tracing::{error, warn};

use crate::{
    cached::{Cached, Due, Held},
    directory::{Freshness, provoked},
    pace::Pace,
    ports::{Clock, PortError, PortResult, Secrets},
};

/// Keys read at once.
const READS_IN_FLIGHT: usize = 8;

/// The active keys of each endpoint.
#[derive(Debug)]
pub struct Keys<S, C> {
    secrets: S,
    clock: C,
    freshness: Freshness,
    entries: Mutex<HashMap<EndpointId, Arc<Entry>>>,
    due: Due,
}

/// An endpoint's keys as they were read.
#[derive(Debug)]
pub struct ActiveKeys {
    ring: KeyRing,
    read: Vec<KeyMaterial>,
}

impl Deref for ActiveKeys {
    type Target = KeyRing;

    fn deref(&self) -> &KeyRing {
        &self.ring
    }
}

#[derive(Debug)]
struct Entry {
    keys: Cached<ActiveKeys>,
    /// The endpoint, if a request has found its keys due.
    due: Mutex<Option<Arc<Endpoint>>>,
    /// Held while keys are read because of a bad signature: those who wait see what was read.
    early: AsyncMutex<()>,
    /// Bad signatures.
    pace: Mutex<Pace>,
}

impl<S: Secrets, C: Clock> Keys<S, C> {
    /// Keys from `secrets`; nothing is read yet.
    pub fn new(secrets: S, clock: C, freshness: Freshness) -> Self {
        Self { secrets, clock, freshness, entries: Mutex::default(), due: Due::default() }
    }

    /// The endpoint's keys.
    ///
    /// # Errors
    ///
    /// They were never read, or a current one cannot be used with its scheme. A previous one that cannot is left out
    /// with a warning at each reading.
    pub async fn of(&self, endpoint: &Arc<Endpoint>) -> PortResult<Arc<ActiveKeys>> {
        let entry = self.entry(endpoint.id());
        match entry.keys.held(self.clock.now()) {
            Held::Fresh(keys) => Ok(keys),
            Held::Due(keys) => {
                *entry.due.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(endpoint));
                self.due.mark();
                Ok(keys)
            }
            Held::TooOld(_) | Held::Nothing => {
                entry.keys.wait(&self.clock, || self.read(endpoint, &entry)).await
            }
        }
    }

    /// Newer keys than `used`, with which a signature was bad; read again now where the endpoint's budget allows that.
    /// `None` where there are none: other bad signatures have just caused readings that brought nothing, or this one
    /// brings nothing. Then a rotation is noticed when the time to live is
    /// over.
    ///
    /// # Errors
    ///
    /// The last reading failed, this one or the one before it: nobody knows whether the signature is bad.
    pub async fn newer(
        &self,
        endpoint: &Endpoint,
        used: &Arc<ActiveKeys>,
    ) -> PortResult<Option<Arc<ActiveKeys>>> {
        let entry = self.entry(endpoint.id());
        let _one_reads = entry.early.lock().await;
        let keys = match entry.keys.held(self.clock.now()).value() {
            // Another request has read them meanwhile.
            Some(known) if !Arc::ptr_eq(&known, used) => known,
            _ => {
                let read_at = entry.keys.read_at().unwrap_or(Timestamp::MIN);
                if !entry.pace().take(self.clock.now(), read_at) {
                    return entry.keys.problem().map_or(Ok(None), Err);
                }
                entry.keys.read(&self.clock, || self.read(endpoint, &entry)).await?
            }
        };
        Ok((!keys.is_same(used)).then_some(keys))
    }

    /// The endpoint's keys, read now: an operator asks, who has perhaps just changed them.
    ///
    /// # Errors
    ///
    /// They cannot be read, or a current one cannot be used with its scheme.
    pub async fn read_now(&self, endpoint: &Endpoint) -> PortResult<Arc<ActiveKeys>> {
        let entry = self.entry(endpoint.id());
        let began = self.clock.now();
        let keys = self.read(endpoint, &entry).await?;
        Ok(entry.keys.set(keys, began))
    }

    /// The keys of one that is no endpoint, read now and not kept.
    ///
    /// # Errors
    ///
    /// They cannot be read, or used with its scheme.
    pub async fn once(&self, signer: &Endpoint) -> PortResult<KeyRing> {
        let read = self.secrets.keys(&signer.config().secret).await?;
        signer.keys(read).map_err(|_| PortError::permanent("secrets", "keys cannot be used"))
    }

    /// Reads keys again whenever a request finds them due. It never returns, and runs beside the requests.
    pub async fn keep_current(&self) -> ! {
        loop {
            self.due.wait().await;
            self.refresh().await;
        }
    }

    async fn refresh(&self) {
        let entries: Vec<Arc<Entry>> = {
            let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.values().cloned().collect()
        };
        let due: Vec<(Arc<Entry>, Arc<Endpoint>)> = entries
            .into_iter()
            .filter_map(|entry| {
                let endpoint = mem::take(&mut *entry.due.lock().unwrap_or_else(PoisonError::into_inner))?;
                Some((entry, endpoint))
            })
            .collect();
        // Made before any is awaited: a closure that lives across an await would make the future not `Send`.
        let reads: Vec<_> = due.iter().map(|(entry, endpoint)| self.renew(entry, endpoint)).collect();
        stream::iter(reads).buffer_unordered(READS_IN_FLIGHT).collect::<Vec<()>>().await;
    }

    async fn renew(&self, entry: &Entry, endpoint: &Endpoint) {
        // A failure is remembered and logged there.
        let _ = entry.keys.renew(&self.clock, false, || self.read(endpoint, entry)).await;
    }

    fn entry(&self, id: &EndpointId) -> Arc<Entry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let Freshness { keys_ttl_seconds: ttl, min_age_seconds, .. } = self.freshness;
        Arc::clone(entries.entry(*id).or_insert_with(|| {
            Arc::new(Entry {
                keys: Cached::new(self.freshness.lifetime(ttl)),
                due: Mutex::default(),
                early: AsyncMutex::default(),
                pace: Mutex::new(provoked(min_age_seconds, ttl)),
            })
        }))
    }

    async fn read(&self, endpoint: &Endpoint, entry: &Entry) -> PortResult<ActiveKeys> {
        let read = self.secrets.keys(&endpoint.config().secret).await?;
        let ring = endpoint.keys(read.clone()).map_err(|problem| {
            error!(endpoint = %endpoint.id(), error = %problem, "keys cannot be used");
            PortError::permanent("secrets", "keys cannot be used")
        })?;
        for problem in ring.left_out() {
            warn!(endpoint = %endpoint.id(), key_id = problem.id, error = problem.problem, "previous key left out");
        }
        let keys = ActiveKeys { ring, read };
        let before = entry.keys.held(self.clock.now()).value();
        if before.is_some_and(|before| !before.is_same(&keys)) {
            entry.pace().restore();
        }
        Ok(keys)
    }
}

impl Entry {
    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ActiveKeys {
    fn is_same(&self, other: &Self) -> bool {
        let is_same = |(a, b): (&KeyMaterial, &KeyMaterial)| {
            (&a.id, &a.provider_id, a.is_previous) == (&b.id, &b.provider_id, b.is_previous)
                && a.secret.is_same(&b.secret)
        };
        self.read.len() == other.read.len() && self.read.iter().zip(&other.read).all(is_same)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

    use futures_util::future::join_all;
    use tollgate_providers::Secret;

    use super::*;
    use crate::hand::Hand;

    /// Secrets Manager with one secret, and a count of what it was asked.
    #[derive(Debug, Default)]
    struct Vault {
        key: Mutex<String>,
        readings: AtomicU32,
        is_away: AtomicBool,
        clock: Hand,
    }

    impl Vault {
        fn new() -> Self {
            let vault = Self::default();
            vault.rotate("0");
            vault
        }

        fn rotate(&self, key: &str) {
            *self.key.lock().unwrap() = format!("a-key-of-32-bytes-or-some-more-{key}");
        }

        fn at(&self, second: i64) {
            self.clock.0.store(second, SeqCst);
        }

        fn second(&self) -> i64 {
            self.clock.0.load(SeqCst)
        }

        fn keys(&self) -> Keys<&Self, &Hand> {
            Keys::new(self, &self.clock, Freshness::default())
        }
    }

    impl Secrets for &Vault {
        async fn keys(&self, _: &str) -> PortResult<Vec<KeyMaterial>> {
            self.readings.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
            if self.is_away.load(SeqCst) {
                return Err(PortError::retryable("secrets", "away"));
            }
            let key = self.key.lock().unwrap().clone();
            Ok(vec![KeyMaterial::unnamed("current", Secret::new(key))])
        }
    }

    fn endpoint() -> Arc<Endpoint> {
        let config = r#"{"id":"a","scheme":"stripe","secret":"ssm:a"}"#;
        Arc::new(Endpoint::new(serde_json::from_str(config).unwrap()).unwrap())
    }

    /// The seconds at which forged webhooks make keys be read, of one each second.
    async fn readings_of_forgeries(vault: &Vault, keys: &Keys<&Vault, &Hand>, seconds: i64) -> Vec<i64> {
        let endpoint = endpoint();
        let mut read_at = Vec::new();
        for second in vault.second()..seconds {
            vault.at(second);
            let before = vault.readings.load(SeqCst);
            let used = keys.of(&endpoint).await.unwrap();
            assert!(keys.newer(&endpoint, &used).await.unwrap().is_none());
            keys.refresh().await;
            if vault.readings.load(SeqCst) > before {
                read_at.push(second);
            }
        }
        read_at
    }

    #[tokio::test]
    async fn forgeries_read_keys_ever_more_rarely() {
        let vault = Vault::new();
        let keys = vault.keys();
        // 0, and 300 s after each reading: by the time to live.
        assert_eq!(readings_of_forgeries(&vault, &keys, 1_200).await, [0, 10, 50, 210, 510, 810, 1_110]);
    }

    #[tokio::test]
    async fn a_newer_key_restores_what_forgeries_have_spent() {
        let vault = Vault::new();
        let (keys, endpoint) = (vault.keys(), endpoint());
        readings_of_forgeries(&vault, &keys, 200).await;
        vault.rotate("1");
        vault.at(210);
        let used = keys.of(&endpoint).await.unwrap();
        assert!(keys.newer(&endpoint, &used).await.unwrap().is_some());
        vault.rotate("2");
        let used = keys.of(&endpoint).await.unwrap();
        assert!(keys.newer(&endpoint, &used).await.unwrap().is_some(), "at once, as at first");
    }

    /// As in an instance that started just before.
    #[tokio::test]
    async fn a_rotation_is_noticed_though_the_keys_were_read_in_the_same_second() {
        let vault = Vault::new();
        let (keys, endpoint) = (vault.keys(), endpoint());
        let used = keys.of(&endpoint).await.unwrap();
        vault.rotate("1");
        assert!(keys.newer(&endpoint, &used).await.unwrap().is_some());
    }

    /// Nobody can tell a forgery from a webhook that is signed with the new key, and the vault is asked no oftener for it.
    #[tokio::test]
    async fn nothing_is_called_forged_while_the_keys_cannot_be_read() {
        let vault = Vault::new();
        let (keys, endpoint) = (vault.keys(), endpoint());
        let used = keys.of(&endpoint).await.unwrap();
        vault.rotate("1");
        vault.is_away.store(true, SeqCst);
        for (second, readings) in [(1, 2), (2, 2), (10, 2), (11, 3)] {
            vault.at(second);
            assert!(keys.newer(&endpoint, &used).await.is_err(), "{second}");
            assert_eq!(vault.readings.load(SeqCst), readings, "{second}");
        }
        vault.is_away.store(false, SeqCst);
        vault.at(51);
        assert!(keys.newer(&endpoint, &used).await.unwrap().is_some());
        let newer = keys.of(&endpoint).await.unwrap();
        assert!(keys.newer(&endpoint, &newer).await.unwrap().is_none(), "it is forged");
    }

    /// Several webhooks that are signed with the new key, at once in one process.
    #[tokio::test]
    async fn one_reads_the_new_key_and_all_that_came_meanwhile_have_it() {
        let vault = Vault::new();
        let (keys, endpoint) = (vault.keys(), endpoint());
        let used = keys.of(&endpoint).await.unwrap();
        vault.rotate("1");
        vault.at(10);
        let found = join_all((0..4).map(|_| keys.newer(&endpoint, &used))).await;
        assert!(found.iter().all(|found| found.as_ref().unwrap().is_some()));
        assert_eq!(vault.readings.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn keys_that_are_due_serve_and_are_read_beside() {
        let vault = Vault::new();
        let (keys, endpoint) = (vault.keys(), endpoint());
        let first = keys.of(&endpoint).await.unwrap();
        vault.rotate("1");
        vault.at(300);
        assert!(Arc::ptr_eq(&keys.of(&endpoint).await.unwrap(), &first));
        assert_eq!(vault.readings.load(SeqCst), 1, "no request reads them");
        keys.refresh().await;
        assert!(!keys.of(&endpoint).await.unwrap().is_same(&first));
        keys.refresh().await;
        assert_eq!(vault.readings.load(SeqCst), 2);
        vault.rotate("2");
        vault.at(3_600);
        let last = keys.of(&endpoint).await.unwrap();
        assert_eq!(vault.readings.load(SeqCst), 3, "an idle instance reads before it goes by a key");
        assert!(!last.is_same(&first));
    }
}
