//! The endpoints, cached. They are configuration that changes without a deployment: they are read once, and again after a
//! time to live. No request waits for a reading that is merely due: the old one serves, and `keep_current` reads beside the
//! requests. The same goes for their [keys](crate::keys).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tollgate_core::{EndpointId, Timestamp};
use tollgate_providers::Endpoint;
use tracing::error;

use crate::{
    cached::{Cached, Due, Held, Lifetime},
    pace::Pace,
    ports::{CannotServe, Clock, Configured, EndpointLookup, EndpointSource, PortError, PortResult},
};

/// How long readings serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// Endpoints are read again after this many seconds.
    pub endpoints_ttl_seconds: u32,
    /// Keys are read again after this many seconds.
    pub keys_ttl_seconds: u32,
    /// A bad signature makes keys of at least this age be read again, and an unknown name is looked up, since a
    /// rotation or an addition may have happened. What brings nothing waits longer the next time, up to the time to
    /// live, so that forgeries do not turn into a reading each.
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

/// Names that do not exist, looked up while there is no listing yet; further ones wait for it. A listing of 500
/// endpoints takes 50 calls, in which a sender could ask for many names.
const MAX_MISSES: u32 = 4;

impl Freshness {
    pub(crate) fn lifetime(&self, ttl_seconds: u32) -> Lifetime {
        let most_retry_seconds = self.retry_seconds;
        Lifetime { ttl_seconds, retry_seconds: FIRST_RETRY_SECONDS, most_retry_seconds }
    }
}

/// Readings that senders provoke. At its longest the wait is longer than the time to live, so that only that time makes
/// for readings.
pub(crate) fn provoked(min_age_seconds: u32, ttl_seconds: u32) -> Pace {
    Pace::new(min_age_seconds, ttl_seconds.saturating_mul(2))
}

/// What a name stands for: an endpoint, or the failure of whoever asks for it. A provider that is answered 404 may give its
/// webhooks up, and a message of an unknown endpoint is set aside, so one that cannot serve is not unknown.
type Named = PortResult<Arc<Endpoint>>;

type Endpoints = BTreeMap<EndpointId, Named>;

/// Every endpoint, by name.
#[derive(Debug)]
pub struct Directory<S, C> {
    source: S,
    clock: C,
    ttl_seconds: u32,
    listing: Cached<Endpoints>,
    lookups: Mutex<Lookups>,
    due: Due,
}

/// Endpoints that were looked up by name.
#[derive(Debug)]
struct Lookups {
    /// Those that exist, each with the time when looking it up began.
    found: HashMap<EndpointId, (Timestamp, Named)>,
    /// Names that do not exist, since the last listing.
    misses: u32,
    /// How long the last failure holds, and what it was.
    failure: Option<(Timestamp, PortError)>,
    retries: Pace,
    /// Names that the listing lacks.
    unknown: Pace,
}

impl<S: EndpointSource, C: Clock> Directory<S, C> {
    /// A directory of what `source` holds; nothing is read yet.
    pub fn new(source: S, clock: C, freshness: Freshness) -> Self {
        let ttl_seconds = freshness.endpoints_ttl_seconds;
        let lookups = Lookups {
            found: HashMap::new(),
            misses: 0,
            failure: None,
            retries: Pace::new(FIRST_RETRY_SECONDS, freshness.retry_seconds),
            unknown: provoked(freshness.min_age_seconds, ttl_seconds),
        };
        Self {
            source,
            clock,
            ttl_seconds,
            listing: Cached::new(freshness.lifetime(ttl_seconds)),
            lookups: Mutex::new(lookups),
            due: Due::default(),
        }
    }

    /// The endpoint called `id`, by the listing of all; `None` where there is none. The caller waits for the listing where
    /// it is due: for batches.
    ///
    /// # Errors
    ///
    /// The configuration was never read, or the endpoint cannot serve.
    pub async fn listed(&self, id: &EndpointId) -> PortResult<Option<Arc<Endpoint>>> {
        self.refresh(false).await;
        let all = match self.listing.held(self.clock.now()) {
            Held::Fresh(all) | Held::Due(all) => all,
            Held::TooOld(_) | Held::Nothing => self.wait_for_listing().await?,
        };
        if let Some(named) = all.get(id) {
            return named.clone().map(Some);
        }
        if !self.may_look_for_unknown() {
            return Ok(None);
        }
        self.refresh(true).await;
        self.listing.held(self.clock.now()).value().and_then(|all| all.get(id).cloned()).transpose()
    }

    /// Reads the configuration, so that a function that cannot does not start serving.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub async fn warm(&self) -> PortResult<usize> {
        Ok(self.wait_for_listing().await?.len())
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
        let began = self.clock.now();
        if let Some(Ok(all)) = self.listing.renew(&self.clock, is_wanted, || self.list()).await {
            let is_larger = before.is_some_and(|before| all.keys().any(|id| !before.contains_key(id)));
            self.lookups().listed(began, is_larger);
        }
    }

    async fn wait_for_listing(&self) -> PortResult<Arc<Endpoints>> {
        let began = self.clock.now();
        let all = self.listing.wait(&self.clock, || self.list()).await?;
        self.lookups().listed(began, false);
        Ok(all)
    }

    async fn list(&self) -> PortResult<Endpoints> {
        let mut all = Endpoints::new();
        for configured in self.source.endpoints().await? {
            let (id, named) = named(configured);
            match named {
                Ok(_) => _ = all.insert(id, named),
                // Another parameter may hold a good one of this name.
                Err(_) => _ = all.entry(id).or_insert(named),
            }
        }
        Ok(all)
    }

    /// Whether a name that the listing lacks may be looked for: the endpoint may have been added since.
    fn may_look_for_unknown(&self) -> bool {
        let read_at = self.listing.read_at().unwrap_or(Timestamp::MIN);
        self.lookups().unknown.take(self.clock.now(), read_at)
    }

    fn lookups(&self) -> MutexGuard<'_, Lookups> {
        self.lookups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: EndpointLookup, C: Clock> Directory<S, C> {
    /// The endpoint called `name`; `None` where there is none. While there is no listing that serves, it alone is looked
    /// up, so that a request waits for one call, however many endpoints there are.
    ///
    /// # Errors
    ///
    /// It cannot be read, and never was, or cannot serve.
    pub async fn endpoint(&self, name: &str) -> PortResult<Option<Arc<Endpoint>>> {
        let Ok(id) = EndpointId::new(name) else { return Ok(None) };
        match self.listing.held(self.clock.now()) {
            Held::Fresh(all) => self.of_listing(&all, &id).await,
            Held::Due(all) => {
                self.due.mark();
                self.of_listing(&all, &id).await
            }
            Held::TooOld(all) => {
                self.due.mark();
                match self.without_listing(&id).await {
                    Err(problem) => all.get(&id).cloned().unwrap_or(Err(problem)).map(Some),
                    found => found,
                }
            }
            Held::Nothing => {
                self.due.mark();
                self.without_listing(&id).await
            }
        }
    }

    async fn of_listing(&self, all: &Endpoints, id: &EndpointId) -> PortResult<Option<Arc<Endpoint>>> {
        let now = self.clock.now();
        if let Some(named) = all.get(id).cloned().or_else(|| self.lookups().known(id, now, self.ttl_seconds))
        {
            return named.map(Some);
        }
        if !self.may_look_for_unknown() {
            return Ok(None);
        }
        self.look_up(id).await
    }

    async fn without_listing(&self, id: &EndpointId) -> PortResult<Option<Arc<Endpoint>>> {
        let now = self.clock.now();
        let has_missed = {
            let lookups = self.lookups();
            if let Some(named) = lookups.known(id, now, self.ttl_seconds) {
                return named.map(Some);
            }
            if let Some(problem) = lookups.failure(now) {
                return lookups.old(id).unwrap_or(Err(problem)).map(Some);
            }
            lookups.misses >= MAX_MISSES && !lookups.found.contains_key(id)
        };
        if has_missed {
            return self.wait_for_listing().await?.get(id).cloned().transpose();
        }
        self.look_up(id).await
    }

    async fn look_up(&self, id: &EndpointId) -> PortResult<Option<Arc<Endpoint>>> {
        let began = self.clock.now();
        let answer = self.source.endpoint(id).await;
        let mut lookups = self.lookups();
        match answer {
            Ok(configured) => {
                let named = configured.map(|configured| named(configured).1);
                lookups.looked_up(id, began, named.clone());
                named.transpose()
            }
            Err(problem) => {
                let now = self.clock.now();
                lookups.failed(now, &problem);
                lookups.old(id).unwrap_or(Err(problem)).map(Some)
            }
        }
    }
}

impl Lookups {
    fn known(&self, id: &EndpointId, now: Timestamp, ttl_seconds: u32) -> Option<Named> {
        let (at, named) = self.found.get(id)?;
        (now.as_second() - at.as_second() < i64::from(ttl_seconds)).then(|| named.clone())
    }

    /// What was found however long ago.
    fn old(&self, id: &EndpointId) -> Option<Named> {
        self.found.get(id).map(|(_, named)| named.clone())
    }

    fn failure(&self, now: Timestamp) -> Option<PortError> {
        self.failure.as_ref().filter(|(until, _)| now < *until).map(|(_, problem)| problem.clone())
    }

    fn looked_up(&mut self, id: &EndpointId, began: Timestamp, named: Option<Named>) {
        self.failure = None;
        self.retries.restore();
        match named {
            Some(named) => {
                self.unknown.restore();
                self.found.insert(*id, (began, named));
            }
            None => {
                self.found.remove(id);
                self.misses += 1;
            }
        }
    }

    fn failed(&mut self, now: Timestamp, problem: &PortError) {
        let wait = jiff::SignedDuration::from_millis(self.retries.after_failure(now));
        self.failure = Some((now.checked_add(wait).unwrap_or(Timestamp::MAX), problem.clone()));
    }

    /// A listing that was begun at `began` is there. What was looked up since may be newer than it.
    fn listed(&mut self, began: Timestamp, has_new: bool) {
        self.found.retain(|_, (at, _)| *at > began);
        self.misses = 0;
        if has_new {
            self.unknown.restore();
        }
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
    use crate::hand::Hand;

    /// Parameter Store, with a count of what it was asked.
    #[derive(Debug, Default)]
    struct Cloud {
        endpoints: Mutex<Vec<EndpointConfig>>,
        is_down: AtomicBool,
        /// Whether a listing is never answered.
        hangs: AtomicBool,
        listings: AtomicU32,
        lookups: AtomicU32,
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

        fn asked(&self) -> (u32, u32) {
            (self.listings.load(SeqCst), self.lookups.load(SeqCst))
        }

        fn is_up(&self) -> PortResult<()> {
            if self.is_down.load(SeqCst) { Err(down()) } else { Ok(()) }
        }

        fn directory(&self) -> Directory<&Self, &Hand> {
            Directory::new(self, &self.clock, Freshness::default())
        }
    }

    fn down() -> PortError {
        PortError::retryable("ssm", "ThrottlingException")
    }

    impl EndpointSource for &Cloud {
        async fn endpoints(&self) -> PortResult<Vec<Configured>> {
            self.listings.fetch_add(1, SeqCst);
            if self.hangs.load(SeqCst) {
                std::future::pending::<()>().await;
            }
            self.is_up()?;
            Ok(self.endpoints.lock().unwrap().iter().cloned().map(Ok).collect())
        }
    }

    impl EndpointLookup for &Cloud {
        async fn endpoint(&self, id: &EndpointId) -> PortResult<Option<Configured>> {
            self.lookups.fetch_add(1, SeqCst);
            self.is_up()?;
            Ok(self.endpoints.lock().unwrap().iter().find(|config| config.id == *id).cloned().map(Ok))
        }
    }

    async fn is_found(directory: &Directory<&Cloud, &Hand>, name: &str) -> PortResult<bool> {
        directory.endpoint(name).await.map(|endpoint| endpoint.is_some())
    }

    #[tokio::test]
    async fn the_first_request_waits_for_its_own_endpoint_alone() {
        let cloud = Cloud::new(&["a", "b"]);
        cloud.hangs.store(true, SeqCst);
        let directory = cloud.directory();
        let work = async {
            for name in ["a", "a", "b", "none"] {
                assert_eq!(is_found(&directory, name).await, Ok(name != "none"), "{name}");
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = work => {}
            _ = directory.keep_current() => unreachable!(),
        }
        assert_eq!(cloud.asked(), (1, 3), "what was found is not looked up again");
    }

    #[tokio::test]
    async fn made_up_names_cost_no_listing_and_look_ups_that_grow_rarer() {
        let cloud = Cloud::new(&["a"]);
        let directory = cloud.directory();
        assert_eq!(is_found(&directory, "a").await, Ok(true));
        directory.refresh(false).await;
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
        // A listing each time to live, as without them; and three look-ups.
        let expected =
            [(1, 1), (2, 3), (3, 3), (4, 3), (5, 3), (6, 3), (7, 3), (8, 3), (9, 3), (10, 3), (11, 3)];
        assert_eq!(asked, expected);
        // Nobody asks for two minutes: the first wait holds again.
        cloud.at(600 + 120);
        directory.refresh(false).await;
        cloud.at(600 + 130);
        assert_eq!(is_found(&directory, "made-up").await, Ok(false));
        assert_eq!(cloud.asked(), (12, 4));
    }

    #[tokio::test]
    async fn an_added_endpoint_is_found_within_the_time_to_live_whatever_others_ask_for() {
        for attackers in [0, 10] {
            let cloud = Cloud::new(&["a"]);
            let directory = cloud.directory();
            assert_eq!(is_found(&directory, "a").await, Ok(true));
            directory.refresh(false).await;
            let mut found_at = None;
            for second in 1..=180 {
                cloud.at(second);
                if second == 100 {
                    cloud.add("added");
                }
                for number in 0..attackers {
                    assert_eq!(is_found(&directory, &format!("made-up-{number}")).await, Ok(false));
                }
                directory.refresh(false).await;
                if second >= 100 && is_found(&directory, "added").await.unwrap() {
                    found_at.get_or_insert(second);
                }
            }
            let expected = if attackers == 0 { 100 } else { 120 };
            assert_eq!(found_at, Some(expected), "{attackers} attackers");
            assert_eq!(is_found(&directory, "added").await, Ok(true));
        }
    }

    #[tokio::test]
    async fn while_there_is_no_listing_many_made_up_names_wait_for_it() {
        let cloud = Cloud::new(&["a"]);
        let directory = cloud.directory();
        for number in 0..1_000 {
            assert_eq!(is_found(&directory, &format!("made-up-{number}")).await, Ok(false));
        }
        assert_eq!(cloud.asked(), (1, MAX_MISSES));
        assert_eq!(is_found(&directory, "a").await, Ok(true));
    }

    #[tokio::test]
    async fn a_cold_start_without_parameter_store_is_no_stampede() {
        let cloud = Cloud::new(&["a"]);
        cloud.is_down.store(true, SeqCst);
        let directory = cloud.directory();
        for _ in 0..100 {
            assert_eq!(is_found(&directory, "a").await, Err(down()));
            directory.refresh(false).await;
        }
        assert_eq!(cloud.asked(), (1, 1));
        cloud.at(i64::from(FIRST_RETRY_SECONDS));
        cloud.is_down.store(false, SeqCst);
        assert_eq!(is_found(&directory, "a").await, Ok(true));
    }

    #[tokio::test]
    async fn while_parameter_store_is_down_what_was_known_serves() {
        let cloud = Cloud::new(&["a"]);
        let directory = cloud.directory();
        assert_eq!(is_found(&directory, "a").await, Ok(true));
        directory.refresh(false).await;
        cloud.is_down.store(true, SeqCst);
        for second in [1, 59, 60, 119, 3_600, 3_601] {
            cloud.at(second);
            assert_eq!(is_found(&directory, "a").await, Ok(true), "{second}");
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
        let (before, after) = (cloud.directory(), cloud.directory());
        after.warm().await.unwrap();
        let b = EndpointId::new("b").unwrap();
        let cannot_serve = PortError::permanent("endpoints", "the endpoint's configuration cannot serve");
        for directory in [&before, &after] {
            for _ in 0..2 {
                assert_eq!(is_found(directory, "a").await, Ok(true));
                assert_eq!(is_found(directory, "b").await, Err(cannot_serve.clone()));
                assert_eq!(is_found(directory, "none").await, Ok(false));
            }
        }
        assert_eq!(after.listed(&b).await.unwrap_err(), cannot_serve);
        *cloud.endpoints.lock().unwrap() = repaired;
        cloud.at(60);
        for directory in [&before, &after] {
            directory.refresh(false).await;
            assert_eq!(is_found(directory, "b").await, Ok(true), "without a deployment");
        }
        assert!(after.listed(&b).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn batches_go_by_the_listing() {
        let cloud = Cloud::new(&["a"]);
        let directory = cloud.directory();
        let is_found = async |name: &str| {
            directory.listed(&EndpointId::new(name).unwrap()).await.map(|endpoint| endpoint.is_some())
        };
        cloud.is_down.store(true, SeqCst);
        assert_eq!(is_found("a").await, Err(down()));
        assert_eq!(is_found("a").await, Err(down()));
        assert_eq!(cloud.asked(), (1, 0));
        cloud.is_down.store(false, SeqCst);
        cloud.at(1);
        assert_eq!(is_found("a").await, Ok(true));
        cloud.add("b");
        assert_eq!(is_found("b").await, Ok(false));
        cloud.at(11);
        assert_eq!(is_found("b").await, Ok(true));
        assert_eq!(cloud.asked(), (3, 0));
    }
}
