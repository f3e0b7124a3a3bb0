//! The endpoints, cached. They are configuration that changes without a deployment: they are read once, and again after a
//! time to live. No request waits for a reading that is merely due: the old one serves, and `keep_current` reads beside the
//! requests. The same goes for their [keys](crate::keys).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tollgate_core::{EndpointId, Timestamp};
use tollgate_providers::Endpoint;
use tracing::error;

use crate::{
    cached::{Cached, Due, Held, Lifetime, MOST_LIVES},
    pace::Pace,
    ports::{CannotServe, Clock, Configured, EndpointSource, PortError, PortResult},
};

/// How long readings serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// Endpoints are read again after this many seconds.
    pub endpoints_ttl_seconds: u32,
    /// Keys are read again after this many seconds.
    pub keys_ttl_seconds: u32,
    /// A bad signature makes keys be read again, and an unknown name the endpoints, since a rotation or an addition may
    /// have happened. The first one does so at once. What brings nothing waits this long the next time, and ever longer
    /// then, up to the time to live, so that forgeries do not turn into a reading each.
    pub min_age_seconds: u32,
    /// After failed readings this many seconds pass at most before the next try.
    pub retry_seconds: u32,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { endpoints_ttl_seconds: 60, keys_ttl_seconds: 300, min_age_seconds: 10, retry_seconds: 5 }
    }
}

/// The first try after a failure, in seconds: a throttled call is not repeated by every request of a cold start.
const FIRST_RETRY_SECONDS: u32 = 1;

impl Freshness {
    pub(crate) fn lifetime(&self, ttl_seconds: u32) -> Lifetime {
        let most_retry_seconds = self.retry_seconds;
        Lifetime { ttl_seconds, retry_seconds: FIRST_RETRY_SECONDS, most_retry_seconds }
    }
}

/// Readings that senders provoke. At its longest the wait is longer than the time to live, so that only that time makes
/// for readings.
pub(crate) fn provoked(min_age_seconds: u32, ttl_seconds: u32) -> Pace {
    Pace::at_once(min_age_seconds, ttl_seconds.saturating_mul(2))
}

/// What a name stands for: an endpoint, or the failure of whoever asks for it. A provider that is answered 404 may give its
/// webhooks up, and a message of an unknown endpoint is set aside, so one that cannot serve is not unknown.
type Named = PortResult<Arc<Endpoint>>;

/// Every endpoint, by name.
#[derive(Debug)]
pub struct Directory<S, C> {
    source: S,
    clock: C,
    ttl_seconds: u32,
    listing: Cached<Known>,
    /// Names that the listing lacks.
    unknown: Mutex<Pace>,
    due: Due,
}

/// What was read.
#[derive(Debug, Clone)]
struct Known {
    version: String,
    endpoints: Arc<BTreeMap<EndpointId, Named>>,
}

impl<S: EndpointSource, C: Clock> Directory<S, C> {
    /// A directory of what `source` holds; nothing is read yet.
    pub fn new(source: S, clock: C, freshness: Freshness) -> Self {
        let ttl_seconds = freshness.endpoints_ttl_seconds;
        Self {
            source,
            clock,
            ttl_seconds,
            listing: Cached::new(freshness.lifetime(ttl_seconds)),
            unknown: Mutex::new(provoked(freshness.min_age_seconds, ttl_seconds)),
            due: Due::default(),
        }
    }

    /// The endpoint called `name`; `None` where there is none.
    ///
    /// # Errors
    ///
    /// The configuration was never read, or the endpoint cannot serve, or nobody knows whether there is one: the last
    /// reading, which lacks it, is older than two times to live.
    pub async fn endpoint(&self, name: &str) -> PortResult<Option<Arc<Endpoint>>> {
        let Ok(id) = EndpointId::new(name) else { return Ok(None) };
        let known = match self.listing.held(self.clock.now()) {
            Held::Fresh(known) => known,
            Held::Due(known) => {
                self.due.mark();
                known
            }
            Held::TooOld(_) | Held::Nothing => self.listing.wait(&self.clock, || self.read()).await?,
        };
        if let Some(named) = known.endpoints.get(&id) {
            return named.clone().map(Some);
        }
        if self.may_look_for_unknown() {
            self.refresh(true).await;
        }
        let found = self.listing.held(self.clock.now()).value();
        match found.and_then(|known| known.endpoints.get(&id).cloned()) {
            Some(named) => named.map(Some),
            None if self.is_too_old() => Err(PortError::retryable("endpoints", "not read for too long")),
            None => Ok(None),
        }
    }

    /// The same for batches: the caller waits for the listing where it is due.
    ///
    /// # Errors
    ///
    /// Those of [`endpoint`](Self::endpoint).
    pub async fn listed(&self, id: &EndpointId) -> PortResult<Option<Arc<Endpoint>>> {
        self.refresh(false).await;
        self.endpoint(id.as_str()).await
    }

    /// The endpoint as it is configured now: an operator asks, who has perhaps just changed it.
    ///
    /// # Errors
    ///
    /// The configuration cannot be read, or the endpoint cannot serve.
    pub async fn endpoint_now(&self, id: &EndpointId) -> PortResult<Option<Arc<Endpoint>>> {
        let began = self.clock.now();
        let known = self.read().await?;
        self.listing.set(known, began).endpoints.get(id).cloned().transpose()
    }

    /// Reads the configuration where no reading of it serves.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub async fn is_read(&self) -> PortResult<()> {
        match self.listing.held(self.clock.now()) {
            Held::Fresh(_) | Held::Due(_) => Ok(()),
            Held::TooOld(_) | Held::Nothing => {
                self.listing.wait(&self.clock, || self.read()).await.map(|_| ())
            }
        }
    }

    /// Reads the configuration, so that a function that cannot does not start serving.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub async fn warm(&self) -> PortResult<usize> {
        Ok(self.listing.wait(&self.clock, || self.read()).await?.endpoints.len())
    }

    /// Reads the listing again whenever a request finds it due. It never returns, and runs beside the requests.
    pub async fn keep_current(&self) -> ! {
        loop {
            self.due.wait().await;
            self.refresh(false).await;
        }
    }

    /// Reads the listing again if it is due, or `is_wanted` though it is not.
    async fn refresh(&self, is_wanted: bool) {
        let before = self.listing.held(self.clock.now()).value();
        if let Some(Ok(now)) = self.listing.renew(&self.clock, is_wanted, || self.read()).await {
            let is_new = |id| before.as_ref().is_some_and(|before| !before.endpoints.contains_key(id));
            if now.endpoints.keys().any(is_new) {
                self.unknown.lock().unwrap_or_else(PoisonError::into_inner).restore();
            }
        }
    }

    async fn read(&self) -> PortResult<Known> {
        let before = self.listing.held(self.clock.now()).value();
        let version = before.as_ref().map(|known| known.version.as_str());
        let Some(listing) = self.source.endpoints(version).await? else {
            let same = before.as_deref().cloned();
            return same.ok_or_else(|| PortError::permanent("endpoints", "unchanged, and never read"));
        };
        let endpoints = listing.endpoints.into_iter().map(named).collect();
        Ok(Known { version: listing.version, endpoints: Arc::new(endpoints) })
    }

    /// Whether a name that the listing lacks may be looked for: the endpoint may have been added since.
    fn may_look_for_unknown(&self) -> bool {
        let read_at = self.listing.read_at().unwrap_or(Timestamp::MIN);
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner).take(self.clock.now(), read_at)
    }

    fn is_too_old(&self) -> bool {
        let age = |read_at: Timestamp| self.clock.now().as_second() - read_at.as_second();
        let most = i64::from(self.ttl_seconds.saturating_mul(MOST_LIVES));
        self.listing.read_at().is_none_or(|read_at| age(read_at) > most)
    }
}

/// One endpoint that cannot serve must not take the others with it.
fn named(configured: Configured) -> (EndpointId, Named) {
    let cannot_serve = || PortError::permanent("endpoints", "the endpoint's configuration cannot serve");
    match configured {
        Ok(config) => {
            let id = config.id;
            let endpoint = Endpoint::new(config).map_err(|problem| {
                error!(error = %problem, "endpoint cannot serve");
                cannot_serve()
            });
            (id, endpoint.map(Arc::new))
        }
        Err(CannotServe { id }) => (id, Err(cannot_serve())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

    use tollgate_core::EndpointConfig;

    use super::*;
    use crate::{hand::Hand, ports::Listing};

    /// A store of endpoints, with a count of what it was asked and of what it sent.
    #[derive(Debug, Default)]
    struct Cloud {
        endpoints: Mutex<Vec<EndpointConfig>>,
        is_down: AtomicBool,
        /// Whether a reading is never answered.
        hangs: AtomicBool,
        readings: AtomicU32,
        sent: AtomicU32,
        clock: Hand,
    }

    impl Cloud {
        fn new(endpoints: &[&str]) -> Self {
            let cloud = Self::default();
            endpoints.iter().for_each(|id| cloud.add(id));
            cloud
        }

        fn add(&self, id: &str) {
            let config = format!(r#"{{"id":"{id}","scheme":"stripe","secret":"ssm:{id}"}}"#);
            self.endpoints.lock().unwrap().push(serde_json::from_str(&config).unwrap());
        }

        fn at(&self, second: i64) {
            self.clock.0.store(second, SeqCst);
        }

        fn asked(&self) -> u32 {
            self.readings.load(SeqCst)
        }

        fn directory(&self) -> Directory<&Self, &Hand> {
            Directory::new(self, &self.clock, Freshness::default())
        }
    }

    fn down() -> PortError {
        PortError::retryable("s3", "SlowDown")
    }

    impl EndpointSource for &Cloud {
        async fn endpoints(&self, known: Option<&str>) -> PortResult<Option<Listing>> {
            self.readings.fetch_add(1, SeqCst);
            if self.hangs.load(SeqCst) {
                std::future::pending::<()>().await;
            }
            if self.is_down.load(SeqCst) {
                return Err(down());
            }
            let endpoints = self.endpoints.lock().unwrap();
            let version = serde_json::to_string(&*endpoints).unwrap();
            if known == Some(&version) {
                return Ok(None);
            }
            self.sent.fetch_add(1, SeqCst);
            Ok(Some(Listing { version, endpoints: endpoints.iter().cloned().map(Ok).collect() }))
        }
    }

    async fn is_found(directory: &Directory<&Cloud, &Hand>, name: &str) -> PortResult<bool> {
        directory.endpoint(name).await.map(|endpoint| endpoint.is_some())
    }

    #[tokio::test]
    async fn all_that_wait_for_the_first_reading_have_it_by_one_call() {
        let cloud = Cloud::new(&["a", "b"]);
        let directory = cloud.directory();
        let names = ["a", "a", "b"];
        let found = futures_util::future::join_all(names.map(|name| is_found(&directory, name))).await;
        assert_eq!(found, [Ok(true), Ok(true), Ok(true)]);
        assert_eq!(cloud.asked(), 1);
        assert_eq!(is_found(&directory, "none").await, Ok(false));
        assert_eq!(cloud.asked(), 2, "it may have been added since");
    }

    #[tokio::test]
    async fn no_request_waits_for_a_reading_that_is_due() {
        let cloud = Cloud::new(&["a"]);
        let directory = cloud.directory();
        assert_eq!(is_found(&directory, "a").await, Ok(true));
        cloud.hangs.store(true, SeqCst);
        cloud.at(60);
        let work = async {
            for _ in 0..3 {
                assert_eq!(is_found(&directory, "a").await, Ok(true));
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = work => {}
            _ = directory.keep_current() => unreachable!(),
        }
        assert_eq!(cloud.asked(), 2);
    }

    #[tokio::test]
    async fn what_has_not_changed_is_not_sent_again() {
        let cloud = Cloud::new(&["a"]);
        let directory = cloud.directory();
        let first = directory.endpoint("a").await.unwrap().unwrap();
        for round in 1..=5 {
            cloud.at(round * 60);
            directory.refresh(false).await;
        }
        assert_eq!((cloud.asked(), cloud.sent.load(SeqCst)), (6, 1));
        assert!(Arc::ptr_eq(&directory.endpoint("a").await.unwrap().unwrap(), &first));
        cloud.add("b");
        cloud.at(360);
        directory.refresh(false).await;
        assert_eq!(cloud.sent.load(SeqCst), 2);
        assert_eq!(is_found(&directory, "b").await, Ok(true));
    }

    #[tokio::test]
    async fn made_up_names_make_for_readings_that_grow_rarer() {
        let cloud = Cloud::new(&["a"]);
        let directory = cloud.directory();
        assert_eq!(is_found(&directory, "a").await, Ok(true));
        let mut asked = vec![cloud.asked()];
        for second in 1..=600 {
            cloud.at(second);
            for number in 0..10 {
                assert_eq!(is_found(&directory, &format!("made-up-{second}-{number}")).await, Ok(false));
            }
            directory.refresh(false).await;
            if second % 60 == 0 {
                asked.push(cloud.asked());
            }
        }
        // At 1, 11 and 51 s by made-up names; from then on each time to live, as without them.
        assert_eq!(asked, [1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        // Nobody asks for two minutes: a name is looked for at once again.
        cloud.at(600 + 120);
        directory.refresh(false).await;
        let before = cloud.asked();
        assert_eq!(is_found(&directory, "made-up").await, Ok(false));
        assert_eq!(cloud.asked(), before + 1);
    }

    #[tokio::test]
    async fn an_added_endpoint_is_found_within_the_time_to_live_whatever_others_ask_for() {
        for attackers in [0, 10] {
            let cloud = Cloud::new(&["a"]);
            let directory = cloud.directory();
            assert_eq!(is_found(&directory, "a").await, Ok(true));
            let (mut added_at, mut found_at) = (0, None);
            for second in 1..=240 {
                cloud.at(second);
                if second == 100 {
                    cloud.add("added");
                    added_at = second;
                }
                for number in 0..attackers {
                    assert_eq!(is_found(&directory, &format!("made-up-{number}")).await, Ok(false));
                }
                directory.refresh(false).await;
                if second >= 100 && is_found(&directory, "added").await.unwrap() {
                    found_at.get_or_insert(second);
                }
            }
            let waited = found_at.unwrap() - added_at;
            let most = if attackers == 0 { 0 } else { 60 };
            assert!(waited <= most, "{attackers} attackers: {waited} s");
            assert_eq!(is_found(&directory, "added").await, Ok(true));
        }
    }

    #[tokio::test]
    async fn a_cold_start_without_the_document_is_no_stampede() {
        let cloud = Cloud::new(&["a"]);
        cloud.is_down.store(true, SeqCst);
        let directory = cloud.directory();
        for _ in 0..100 {
            assert_eq!(is_found(&directory, "a").await, Err(down()));
            directory.refresh(false).await;
        }
        assert_eq!(cloud.asked(), 1);
        cloud.at(i64::from(FIRST_RETRY_SECONDS));
        cloud.is_down.store(false, SeqCst);
        assert_eq!(is_found(&directory, "a").await, Ok(true));
    }

    #[tokio::test]
    async fn while_the_document_cannot_be_read_what_was_known_serves_and_nobody_is_unknown() {
        let cloud = Cloud::new(&["a"]);
        let directory = cloud.directory();
        assert_eq!(is_found(&directory, "a").await, Ok(true));
        cloud.is_down.store(true, SeqCst);
        let too_long = PortError::retryable("endpoints", "not read for too long");
        for second in [1, 59, 60, 119, 120, 121, 3_600, 3_601] {
            cloud.at(second);
            assert_eq!(is_found(&directory, "a").await, Ok(true), "{second}");
            // It may have been added since.
            let unknown = if second <= 120 { Ok(false) } else { Err(too_long.clone()) };
            assert_eq!(is_found(&directory, "none").await, unknown, "{second}");
            directory.refresh(false).await;
        }
    }

    #[tokio::test]
    async fn an_idle_instance_looks_before_it_goes_by_what_was_removed() {
        let cloud = Cloud::new(&["a"]);
        let directory = cloud.directory();
        directory.warm().await.unwrap();
        cloud.endpoints.lock().unwrap().clear();
        cloud.at(3_600);
        assert_eq!(is_found(&directory, "a").await, Ok(false));
    }

    #[tokio::test]
    async fn an_endpoint_that_cannot_serve_is_not_unknown_and_harms_no_other() {
        let cloud = Cloud::new(&["a", "b"]);
        let repaired = cloud.endpoints.lock().unwrap().clone();
        cloud.endpoints.lock().unwrap()[1].scheme = "no-such-provider".into();
        let directory = cloud.directory();
        let b = EndpointId::new("b").unwrap();
        let cannot_serve = PortError::permanent("endpoints", "the endpoint's configuration cannot serve");
        for _ in 0..2 {
            assert_eq!(is_found(&directory, "a").await, Ok(true));
            assert_eq!(is_found(&directory, "b").await, Err(cannot_serve.clone()));
            assert_eq!(is_found(&directory, "none").await, Ok(false));
        }
        assert_eq!(directory.listed(&b).await.unwrap_err(), cannot_serve);
        *cloud.endpoints.lock().unwrap() = repaired;
        cloud.at(60);
        directory.refresh(false).await;
        assert_eq!(is_found(&directory, "b").await, Ok(true), "without a deployment");
        assert!(directory.listed(&b).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn batches_wait_for_what_is_due() {
        let cloud = Cloud::new(&["a"]);
        let directory = cloud.directory();
        let is_found = async |name: &str| {
            directory.listed(&EndpointId::new(name).unwrap()).await.map(|endpoint| endpoint.is_some())
        };
        cloud.is_down.store(true, SeqCst);
        assert_eq!(is_found("a").await, Err(down()));
        assert_eq!(is_found("a").await, Err(down()));
        assert_eq!(cloud.asked(), 1);
        cloud.is_down.store(false, SeqCst);
        cloud.at(1);
        assert_eq!(is_found("a").await, Ok(true));
        cloud.add("b");
        assert_eq!(is_found("b").await, Ok(true), "though the listing was read in the same second");
        assert_eq!(cloud.asked(), 3);
        cloud.endpoints.lock().unwrap().pop();
        cloud.at(71);
        assert_eq!(is_found("b").await, Ok(false), "read before it is asked");
    }
}
