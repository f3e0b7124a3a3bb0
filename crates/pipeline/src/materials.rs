//! Public material, kept: each is fetched once, by one task at a time, and again after a day.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tollgate_core::Timestamp;
use tollgate_providers::{Material, MaterialRequest};

use crate::{
    cached::{Cached, Held, Lifetime},
    ports::{Clock, Materials, PortError, PortResult},
};

/// PayPal's certificates serve for years and Plaid's keys until rotated under a new id; a day bounds how long a
/// withdrawn one is trusted.
const TTL_SECONDS: u32 = 86_400;
/// After a failed fetch the next is made this many seconds later at the earliest: a webhook that names what does
/// not exist must not become a fetch each.
const RETRY_SECONDS: u32 = 30;
/// Materials kept. A provider has a handful; past the bound those that failed go first, then the oldest.
const MAX_KEPT: usize = 64;
/// Fetches of what was never had, in [`RETRY_SECONDS`]: names cost their sender nothing, as no signature is checked
/// before its key is there.
const MAX_UNKNOWN: u32 = 16;

/// Another source of material, with a memory.
#[derive(Debug)]
pub struct KeptMaterials<M, C> {
    source: M,
    clock: C,
    kept: Mutex<HashMap<MaterialRequest, Arc<Kept>>>,
    /// Since when unknown names are counted, and how many came.
    unknown: Mutex<(Timestamp, u32)>,
}

#[derive(Debug)]
struct Kept {
    material: Cached<Material>,
}

impl<M: Materials, C: Clock> KeptMaterials<M, C> {
    /// Keeps what `source` fetches.
    pub fn new(source: M, clock: C) -> Self {
        Self { source, clock, kept: Mutex::default(), unknown: Mutex::default() }
    }

    fn kept(&self, request: &MaterialRequest) -> Arc<Kept> {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_KEPT && !all.contains_key(request) {
            // What is being fetched is held by its fetcher too. What was never had has no time, and comes first.
            let idle = all.iter().filter(|(_, kept)| Arc::strong_count(kept) == 1);
            let oldest = idle.min_by_key(|(_, kept)| kept.material.read_at()).map(|(name, _)| name.clone());
            match oldest {
                Some(name) => drop(all.remove(&name)),
                None => return Arc::new(Kept::new()),
            }
        }
        Arc::clone(all.entry(request.clone()).or_insert_with(|| Arc::new(Kept::new())))
    }

    /// Whether one more unknown name may be asked for.
    fn may_ask(&self, now: Timestamp) -> bool {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = &mut *unknown;
        if now.as_second() - since.as_second() >= i64::from(RETRY_SECONDS) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= MAX_UNKNOWN
    }
}

impl<M: Materials, C: Clock> Materials for KeptMaterials<M, C> {
    async fn fetch(&self, request: &MaterialRequest) -> PortResult<Material> {
        let kept = self.kept(request);
        let now = self.clock.now();
        let read = || async {
            if kept.material.read_at().is_none() && !self.may_ask(now) {
                return Err(PortError::retryable("materials", "too many unknown names"));
            }
            self.source.fetch(request).await
        };
        let material = match kept.material.held(now) {
            Held::Fresh(material) => material,
            Held::Due(old) => {
                kept.material.renew(&self.clock, false, read).await.and_then(Result::ok).unwrap_or(old)
            }
            Held::TooOld(_) | Held::Nothing => kept.material.wait(&self.clock, read).await?,
        };
        Ok(Material::clone(&material))
    }
}

impl Kept {
    fn new() -> Self {
        let (ttl_seconds, retry_seconds) = (TTL_SECONDS, RETRY_SECONDS);
        Self {
            material: Cached::new(Lifetime { ttl_seconds, retry_seconds, most_retry_seconds: retry_seconds }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::SeqCst};

    use super::*;

    #[derive(Debug, Default)]
    struct Hand(AtomicI64);

    impl Clock for &Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.0.load(SeqCst)).unwrap()
        }
    }

    /// Knows every key but `none`, and counts.
    #[derive(Debug, Default)]
    struct Source(AtomicU32);

    impl Materials for &Source {
        async fn fetch(&self, request: &MaterialRequest) -> PortResult<Material> {
            self.0.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
            match request {
                MaterialRequest::Certificate { url } if url.starts_with("none") => {
                    Err(PortError::retryable("test", "not found"))
                }
                _ => Ok(Material(b"key".to_vec())),
            }
        }
    }

    fn key(id: &str) -> MaterialRequest {
        MaterialRequest::Certificate { url: id.to_owned() }
    }

    #[tokio::test]
    async fn many_at_once_are_one_fetch() {
        let (source, clock) = (Source::default(), Hand::default());
        let kept = KeptMaterials::new(&source, &clock);
        let request = key("a");
        let (first, second) = tokio::join!(kept.fetch(&request), kept.fetch(&request));
        assert_eq!((first, second), (Ok(Material(b"key".to_vec())), Ok(Material(b"key".to_vec()))));
        assert_eq!(source.0.load(SeqCst), 1);
        clock.0.store(i64::from(TTL_SECONDS), SeqCst);
        assert!(kept.fetch(&request).await.is_ok());
        assert_eq!(source.0.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn what_does_not_exist_is_not_fetched_each_time() {
        let (source, clock) = (Source::default(), Hand::default());
        let kept = KeptMaterials::new(&source, &clock);
        for _ in 0..5 {
            assert!(kept.fetch(&key("none")).await.is_err());
        }
        assert_eq!(source.0.load(SeqCst), 1);
        clock.0.store(i64::from(RETRY_SECONDS), SeqCst);
        assert!(kept.fetch(&key("none")).await.is_err());
        assert_eq!(source.0.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let (source, clock) = (Source::default(), Hand::default());
        let kept = KeptMaterials::new(&source, &clock);
        for id in 0..MAX_KEPT * 3 {
            clock.0.fetch_add(i64::from(RETRY_SECONDS), SeqCst);
            assert!(kept.fetch(&key(&id.to_string())).await.is_ok());
        }
        assert!(kept.kept.lock().unwrap().len() <= MAX_KEPT);
        assert!(kept.fetch(&key("191")).await.is_ok());
        assert_eq!(source.0.load(SeqCst), 192, "the newest are kept");
    }

    #[tokio::test]
    async fn names_that_do_not_exist_push_nothing_out_and_are_asked_for_seldom() {
        let (source, clock) = (Source::default(), Hand::default());
        let kept = KeptMaterials::new(&source, &clock);
        assert!(kept.fetch(&key("a")).await.is_ok());
        for id in 0..MAX_KEPT * 3 {
            assert!(kept.fetch(&key(&format!("none-{id}"))).await.is_err());
        }
        assert_eq!(source.0.load(SeqCst), MAX_UNKNOWN);
        assert!(kept.fetch(&key("a")).await.is_ok());
        assert_eq!(source.0.load(SeqCst), MAX_UNKNOWN, "it was not forgotten");
        let busy = Err(PortError::retryable("materials", "too many unknown names"));
        assert_eq!(kept.fetch(&key("b")).await, busy);
        clock.0.fetch_add(i64::from(RETRY_SECONDS), SeqCst);
        assert!(kept.fetch(&key("b")).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_being_fetched_is_fetched_once_however_many_others_come() {
        let (source, clock) = (Source::default(), Hand::default());
        let kept = KeptMaterials::new(&source, &clock);
        let request = key("a");
        let others = async {
            for id in 0..MAX_KEPT * 2 {
                let _ = kept.kept(&key(&id.to_string()));
            }
            kept.fetch(&request).await
        };
        let (first, second) = tokio::join!(kept.fetch(&request), others);
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(source.0.load(SeqCst), 1);
    }
}
