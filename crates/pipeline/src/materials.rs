//! Public material, kept: certificates and keys that a webhook names and that its provider hands out.
//!
//! Whoever sends a webhook can name what does not exist, since no signature is checked before its key is there. So names
//! that no webhook of the endpoint has been verified with have a budget, for each endpoint and for each sender's network;
//! those that were good have none, and are kept beyond the instance's life ([`MaterialStore`]). What is kept is verified
//! again whenever it is used, as what is fetched is.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    mem,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering::SeqCst},
    },
};

use futures_util::lock::Mutex as AsyncMutex;
use tollgate_core::{EndpointId, Timestamp};
use tollgate_providers::{Material, MaterialRequest};
use tracing::{info, warn};

use crate::{
    cached::{Cached, Due, Held, Lifetime},
    pace::Pace,
    ports::{Clock, MaterialStore, Materials, PortError, PortResult, StoredMaterial},
};

/// PayPal's certificates serve for years and Plaid's keys until rotated under a new id; a day bounds how long a
/// withdrawn one is trusted.
const TTL_SECONDS: u32 = 86_400;
/// A name that could not be had is not asked for again for so long. Unknown names are counted in windows of this length.
const WINDOW_SECONDS: u32 = 30;
const LIFETIME: Lifetime =
    Lifetime { ttl_seconds: TTL_SECONDS, retry_seconds: WINDOW_SECONDS, most_retry_seconds: WINDOW_SECONDS };
/// Unknown names that one endpoint asks for in a window.
const MAX_UNKNOWN: u32 = 64;
/// Unknown names that one network may bring to an endpoint in a window: a provider changes one at a time.
const MAX_UNKNOWN_OF_ONE: u32 = 2;
/// Good names of an endpoint. A provider has a handful.
const MAX_GOOD: usize = 16;
/// Other names of an endpoint that are remembered, with what came of them.
const MAX_OTHERS: usize = 64;
/// The store is read again, for an unknown name, after this many seconds at the earliest: another instance may have
/// learnt it,
const STORE_MIN_AGE_SECONDS: u32 = 10;
/// and after this many where it brings nothing.
const STORE_MAX_AGE_SECONDS: u32 = 300;
/// A network of IPv4, in bits: what one customer is given, at most.
const IPV4_NETWORK_BITS: u32 = 24;
/// A network of IPv6, in bits: what one customer is given, at least (RFC 6177).
const IPV6_NETWORK_BITS: u32 = 64;

/// Who asks for material.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The endpoint.
    pub endpoint: &'a EndpointId,
    /// The sender's address as the front door saw it.
    pub source_ip: &'a str,
}

/// A source of material, with a memory.
#[derive(Debug)]
pub struct KeptMaterials<M, S, C> {
    source: M,
    store: S,
    clock: C,
    shelves: Mutex<HashMap<EndpointId, Arc<Shelf>>>,
    due: Due,
}

/// What is kept for one endpoint.
#[derive(Debug)]
struct Shelf {
    names: Mutex<Names>,
    /// Held while the store is read: those who wait see what was read.
    store: AsyncMutex<StoreReading>,
    /// Whether the store is to be written.
    is_unwritten: AtomicBool,
    writes: Mutex<Pace>,
}

#[derive(Debug, Default)]
struct Names {
    kept: HashMap<String, Arc<Kept>>,
    /// Names that were good and that their provider has withdrawn.
    withdrawn: Vec<String>,
    window: Window,
}

#[derive(Debug)]
struct Kept {
    material: Cached<Material>,
    /// Whether a webhook was verified with it.
    is_good: AtomicBool,
    /// When it was last asked for, in Unix milliseconds.
    used_at: AtomicI64,
    /// When what the store has of it was fetched, in Unix seconds.
    stored_at: AtomicI64,
    /// The request, if it is due to be fetched again.
    due: Mutex<Option<MaterialRequest>>,
}

#[derive(Debug)]
struct StoreReading {
    read_at: Option<Timestamp>,
    pace: Pace,
}

/// Unknown names in the current window.
#[derive(Debug, Default)]
struct Window {
    began: Timestamp,
    asked: u32,
    asked_by: HashMap<Network, u32>,
}

/// An address without the part that a sender can choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Network {
    V4(u32),
    V6(u128),
    Unknown,
}

impl<M: Materials, S: MaterialStore, C: Clock> KeptMaterials<M, S, C> {
    /// Keeps what `source` fetches, and in `store` what was good.
    pub fn new(source: M, store: S, clock: C) -> Self {
        Self { source, store, clock, shelves: Mutex::default(), due: Due::default() }
    }

    /// The material, from memory, from the store, or fetched now.
    ///
    /// # Errors
    ///
    /// It does not exist (permanent), cannot be had now, or it is one unknown name too many.
    pub async fn fetch(&self, asker: Asker<'_>, request: &MaterialRequest) -> PortResult<Arc<Material>> {
        let (shelf, now) = (self.shelf(asker.endpoint), self.clock.now());
        if shelf.names().is_unknown(request.name(), now) {
            self.read_store(asker.endpoint, &shelf).await;
        }
        let kept = shelf.names().admit(request.name(), asker.source_ip, now)?;
        match kept.material.held(now) {
            Held::Fresh(material) => Ok(material),
            Held::Due(material) => {
                *kept.due.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.clone());
                self.due.mark();
                Ok(material)
            }
            Held::TooOld(_) | Held::Nothing => {
                kept.material.wait(&self.clock, || self.fetch_now(&shelf, &kept, request)).await
            }
        }
    }

    /// A webhook was verified with the material: its name is good, and it is kept beyond the instance's life.
    pub fn proved(&self, endpoint: &EndpointId, request: &MaterialRequest) {
        let shelf = self.shelf(endpoint);
        let Some(kept) = shelf.names().kept.get(request.name()).cloned() else { return };
        let fetched_at = kept.material.read_at().map_or(0, |at| at.as_second());
        let is_stored = fetched_at - kept.stored_at.load(SeqCst) < i64::from(TTL_SECONDS) / 2;
        if kept.is_good.swap(true, SeqCst) && is_stored {
            return;
        }
        shelf.names().bound_good();
        shelf.is_unwritten.store(true, SeqCst);
        self.due.mark();
    }

    /// Fetches again what requests find due, and writes what has proved good. It never returns, and runs beside the
    /// requests.
    pub async fn keep_current(&self) -> ! {
        loop {
            self.due.wait().await;
            self.refresh().await;
        }
    }

    async fn refresh(&self) {
        let shelves: Vec<(EndpointId, Arc<Shelf>)> = {
            let shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
            shelves.iter().map(|(id, shelf)| (*id, Arc::clone(shelf))).collect()
        };
        for (endpoint, shelf) in shelves {
            let kept: Vec<Arc<Kept>> = shelf.names().kept.values().cloned().collect();
            for kept in kept {
                let due = mem::take(&mut *kept.due.lock().unwrap_or_else(PoisonError::into_inner));
                if let Some(request) = due {
                    let fetch = || self.fetch_now(&shelf, &kept, &request);
                    // A failure is remembered and logged there.
                    let _ = kept.material.renew(&self.clock, false, fetch).await;
                }
            }
            if shelf.is_unwritten.load(SeqCst) && shelf.may_write(self.clock.now()) {
                self.write_store(&endpoint, &shelf).await;
            }
        }
    }

    async fn fetch_now(&self, shelf: &Shelf, kept: &Kept, request: &MaterialRequest) -> PortResult<Material> {
        let fetched = self.source.fetch(request).await;
        if let Err(PortError::Permanent { .. }) = &fetched {
            // Its provider has withdrawn it: what we have of it serves no longer.
            kept.material.forget();
            if kept.is_good.swap(false, SeqCst) {
                info!("certificate or key was withdrawn by its provider");
                shelf.names().withdrawn.push(request.name().to_owned());
                shelf.is_unwritten.store(true, SeqCst);
                self.due.mark();
            }
        }
        fetched
    }

    /// Reads the store for an unknown name, unless it was read lately.
    async fn read_store(&self, endpoint: &EndpointId, shelf: &Shelf) {
        let mut reading = shelf.store.lock().await;
        let now = self.clock.now();
        if let Some(read_at) = reading.read_at
            && !reading.pace.take(now, read_at)
        {
            return;
        }
        reading.read_at = Some(now);
        match self.store.load(endpoint).await {
            Ok(stored) => {
                if shelf.names().learn(stored, now) {
                    reading.pace.restore();
                }
            }
            Err(problem) => warn!(%endpoint, error = %problem, "stored certificates were not read"),
        }
    }

    async fn write_store(&self, endpoint: &EndpointId, shelf: &Shelf) {
        shelf.is_unwritten.store(false, SeqCst);
        match self.merge_store(endpoint, shelf).await {
            Ok(()) => shelf.writes().restore(),
            Err(problem) => {
                shelf.is_unwritten.store(true, SeqCst);
                warn!(%endpoint, error = %problem, "certificates and key names were not stored");
            }
        }
    }

    /// Adds what is good to what the store has, which other instances write too.
    async fn merge_store(&self, endpoint: &EndpointId, shelf: &Shelf) -> PortResult<()> {
        let before = self.store.load(endpoint).await?;
        let (withdrawn, good) = {
            let names = shelf.names();
            (names.withdrawn.clone(), names.good())
        };
        let ours = good.iter().map(|(one, _)| one);
        let mut all: Vec<&StoredMaterial> =
            before.iter().filter(|one| !withdrawn.contains(&one.name)).chain(ours).collect();
        // The latest of each name, and the latest names.
        all.sort_by_key(|one| Reverse(one.fetched_at));
        let mut names = HashSet::new();
        all.retain(|one| names.insert(&one.name));
        all.truncate(MAX_GOOD);
        let after: Vec<StoredMaterial> = all.into_iter().cloned().collect();
        if after != before {
            self.store.save(endpoint, &after).await?;
        }
        for (one, kept) in &good {
            kept.stored_at.store(one.fetched_at.as_second(), SeqCst);
        }
        shelf.names().withdrawn.retain(|name| !withdrawn.contains(name));
        Ok(())
    }

    fn shelf(&self, endpoint: &EndpointId) -> Arc<Shelf> {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shelves.entry(*endpoint).or_default())
    }
}

impl Default for Shelf {
    fn default() -> Self {
        let pace = Pace::new(STORE_MIN_AGE_SECONDS, STORE_MAX_AGE_SECONDS);
        Self {
            names: Mutex::default(),
            store: AsyncMutex::new(StoreReading { read_at: None, pace }),
            is_unwritten: AtomicBool::default(),
            writes: Mutex::new(Pace::new(STORE_MIN_AGE_SECONDS, STORE_MAX_AGE_SECONDS)),
        }
    }
}

impl Shelf {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writes(&self) -> MutexGuard<'_, Pace> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last write that failed is long enough ago.
    fn may_write(&self, now: Timestamp) -> bool {
        self.writes().take(now, Timestamp::MIN)
    }
}

impl Names {
    /// Whether a name is to be fetched that was not good, and whose last failure does not hold any more.
    fn is_unknown(&self, name: &str, now: Timestamp) -> bool {
        self.kept.get(name).is_none_or(|kept| {
            !kept.is_good.load(SeqCst)
                && !kept.material.is_failing(now)
                && matches!(kept.material.held(now), Held::TooOld(_) | Held::Nothing)
        })
    }

    /// The place of a name; an unknown one is counted.
    fn admit(&mut self, name: &str, source_ip: &str, now: Timestamp) -> PortResult<Arc<Kept>> {
        if self.is_unknown(name, now) && !self.window.take(Network::of(source_ip), now) {
            return Err(PortError::retryable("materials", "too many unknown names"));
        }
        let kept = match self.kept.get(name) {
            Some(kept) => Arc::clone(kept),
            None => {
                self.drop_oldest(MAX_OTHERS, false);
                let kept = Arc::new(Kept::new());
                self.kept.insert(name.to_owned(), Arc::clone(&kept));
                kept
            }
        };
        kept.used_at.store(now.as_millisecond(), SeqCst);
        Ok(kept)
    }

    /// Adds what the store has; whether any of it is new.
    fn learn(&mut self, stored: Vec<StoredMaterial>, now: Timestamp) -> bool {
        let mut is_new = false;
        for one in stored.into_iter().take(MAX_GOOD).filter(|one| one.fetched_at <= now) {
            let kept = self.kept.entry(one.name).or_insert_with(|| Arc::new(Kept::new()));
            is_new |= !kept.is_good.swap(true, SeqCst);
            kept.stored_at.fetch_max(one.fetched_at.as_second(), SeqCst);
            if let Some(certificate) = one.certificate {
                kept.material.set(Material(certificate.into_bytes()), one.fetched_at);
            }
        }
        self.bound_good();
        is_new
    }

    /// What is good, as it is stored.
    fn good(&self) -> Vec<(StoredMaterial, Arc<Kept>)> {
        let good = self.kept.iter().filter(|(_, kept)| kept.is_good.load(SeqCst));
        good.filter_map(|(name, kept)| Some((kept.as_stored(name)?, Arc::clone(kept)))).collect()
    }

    fn bound_good(&mut self) {
        while self.drop_oldest(MAX_GOOD + 1, true) {}
    }

    /// Where there are `most` names, good ones or others, drops the one that was not asked for for longest.
    fn drop_oldest(&mut self, most: usize, is_good: bool) -> bool {
        let those = || self.kept.iter().filter(|(_, kept)| kept.is_good.load(SeqCst) == is_good);
        if those().count() < most {
            return false;
        }
        // What is being fetched is held by its fetcher too.
        let idle = those().filter(|(_, kept)| Arc::strong_count(kept) == 1);
        let oldest = idle.min_by_key(|(_, kept)| kept.used_at.load(SeqCst)).map(|(name, _)| name.clone());
        oldest.is_some_and(|name| self.kept.remove(&name).is_some())
    }
}

impl Kept {
    fn new() -> Self {
        Self {
            material: Cached::new(LIFETIME),
            is_good: AtomicBool::default(),
            used_at: AtomicI64::default(),
            stored_at: AtomicI64::default(),
            due: Mutex::default(),
        }
    }

    /// A certificate is signed by its authority, and is stored whole. A bare key is only as good as the connection over
    /// which it came, so of that its name alone is stored.
    fn as_stored(&self, name: &str) -> Option<StoredMaterial> {
        let fetched_at = self.material.read_at();
        let material = fetched_at.and_then(|at| self.material.held(at).value());
        let certificate = material
            .and_then(|material| String::from_utf8(material.0.clone()).ok())
            .filter(|text| text.contains("-----BEGIN CERTIFICATE-----"));
        let known_since = Timestamp::from_second(self.stored_at.load(SeqCst)).ok();
        Some(StoredMaterial { name: name.to_owned(), fetched_at: fetched_at.or(known_since)?, certificate })
    }
}

impl Window {
    /// Counts one unknown name of a network; whether it may be asked for.
    fn take(&mut self, network: Network, now: Timestamp) -> bool {
        if now.as_second() - self.began.as_second() >= i64::from(WINDOW_SECONDS) {
            *self = Self { began: now, ..Self::default() };
        }
        let by_this = self.asked_by.get(&network).copied().unwrap_or(0);
        if self.asked >= MAX_UNKNOWN || by_this >= MAX_UNKNOWN_OF_ONE {
            return false;
        }
        self.asked += 1;
        self.asked_by.insert(network, by_this + 1);
        true
    }
}

impl Network {
    fn of(address: &str) -> Self {
        match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(address)) => Self::V4(address.to_bits() >> (u32::BITS - IPV4_NETWORK_BITS)),
            Ok(IpAddr::V6(address)) => Self::V6(address.to_bits() >> (u128::BITS - IPV6_NETWORK_BITS)),
            Err(_) => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_providers::{Endpoint, Headers, KeyMaterial, Received, Secret, ToSign};

    use super::*;
    use crate::hand::Hand;

    /// Knows every name but those with `none`, and those that were withdrawn.
    #[derive(Debug, Default)]
    struct Source {
        fetched: AtomicI64,
        withdrawn: Mutex<Option<String>>,
    }

    impl Materials for &Source {
        async fn fetch(&self, request: &MaterialRequest) -> PortResult<Material> {
            self.fetched.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
            let name = request.name();
            if name.starts_with("none") {
                return Err(PortError::retryable("test", "not found"));
            }
            if self.withdrawn.lock().unwrap().as_deref() == Some(name) {
                return Err(PortError::permanent("test", "withdrawn"));
            }
            Ok(material(name))
        }
    }

    #[derive(Debug, Default)]
    struct Store {
        stored: Mutex<Vec<StoredMaterial>>,
        loads: AtomicI64,
        saves: AtomicI64,
    }

    impl MaterialStore for &Store {
        async fn load(&self, _: &EndpointId) -> PortResult<Vec<StoredMaterial>> {
            self.loads.fetch_add(1, SeqCst);
            Ok(self.stored.lock().unwrap().clone())
        }

        async fn save(&self, _: &EndpointId, materials: &[StoredMaterial]) -> PortResult<()> {
            self.saves.fetch_add(1, SeqCst);
            *self.stored.lock().unwrap() = materials.to_vec();
            Ok(())
        }
    }

    /// What outlives an instance.
    #[derive(Debug, Default)]
    struct World {
        source: Source,
        store: Store,
        clock: Hand,
    }

    type Instance<'w> = KeptMaterials<&'w Source, &'w Store, &'w Hand>;

    const ATTACKER: &str = "198.51.100.7";
    const PROVIDER: &str = "203.0.113.9";

    impl World {
        fn instance(&self) -> Instance<'_> {
            KeptMaterials::new(&self.source, &self.store, &self.clock)
        }

        fn later(&self, seconds: u32) {
            self.clock.0.fetch_add(i64::from(seconds), SeqCst);
        }

        fn fetched(&self) -> i64 {
            self.source.fetched.load(SeqCst)
        }

        fn stored(&self) -> Vec<String> {
            self.store.stored.lock().unwrap().iter().map(|one| one.name.clone()).collect()
        }
    }

    fn material(name: &str) -> Material {
        Material(format!("-----BEGIN CERTIFICATE-----\n{name}").into_bytes())
    }

    fn certificate(name: &str) -> MaterialRequest {
        MaterialRequest::Certificate { url: name.to_owned() }
    }

    async fn ask(
        it: &Instance<'_>,
        endpoint: &str,
        source_ip: &str,
        name: &str,
    ) -> PortResult<Arc<Material>> {
        let endpoint = EndpointId::new(endpoint).unwrap();
        it.fetch(Asker { endpoint: &endpoint, source_ip }, &certificate(name)).await
    }

    /// Fetches it, and verifies a webhook with it.
    async fn prove(it: &Instance<'_>, name: &str) {
        assert_eq!(ask(it, "paypal", PROVIDER, name).await.as_deref(), Ok(&material(name)));
        it.proved(&EndpointId::new("paypal").unwrap(), &certificate(name));
    }

    fn busy() -> PortResult<Arc<Material>> {
        Err(PortError::retryable("materials", "too many unknown names"))
    }

    #[tokio::test]
    async fn many_at_once_are_one_fetch() {
        let world = World::default();
        let it = world.instance();
        let (first, second) =
            tokio::join!(ask(&it, "paypal", PROVIDER, "a"), ask(&it, "paypal", PROVIDER, "a"));
        assert_eq!((first.as_deref(), second.as_deref()), (Ok(&material("a")), Ok(&material("a"))));
        assert_eq!(world.fetched(), 1);
    }

    #[tokio::test]
    async fn what_does_not_exist_is_not_fetched_each_time() {
        let world = World::default();
        let it = world.instance();
        for fetched in [1, 1, 1] {
            assert!(ask(&it, "paypal", PROVIDER, "none").await.is_err());
            assert_eq!(world.fetched(), fetched);
        }
        world.later(WINDOW_SECONDS);
        assert!(ask(&it, "paypal", PROVIDER, "none").await.is_err());
        assert_eq!(world.fetched(), 2);
    }

    #[tokio::test]
    async fn invented_names_shut_out_neither_other_senders_nor_other_endpoints() {
        let world = World::default();
        let it = world.instance();
        prove(&it, "good").await;
        for id in 0..10_000 {
            assert!(ask(&it, "paypal", ATTACKER, &format!("none-{id}")).await.is_err());
        }
        assert_eq!(world.fetched(), 1 + i64::from(MAX_UNKNOWN_OF_ONE));
        assert_eq!(world.store.loads.load(SeqCst), 1, "no call of the store for each name");
        let names = it.shelf(&EndpointId::new("paypal").unwrap()).names().kept.len();
        assert!(names <= MAX_GOOD + MAX_OTHERS, "{names} names are kept");
        let neighbour = "198.51.100.8";
        assert_eq!(
            ask(&it, "paypal", neighbour, "new").await,
            busy(),
            "who has one address may have the next"
        );
        assert!(ask(&it, "paypal", PROVIDER, "new").await.is_ok(), "a new name of another sender");
        assert!(ask(&it, "paypal", ATTACKER, "good").await.is_ok(), "what was good has no budget");
        assert!(ask(&it, "plaid", ATTACKER, "new").await.is_ok(), "another endpoint");
        world.later(WINDOW_SECONDS);
        assert!(ask(&it, "paypal", ATTACKER, "newer").await.is_ok(), "behind one proxy, the next window");
    }

    #[tokio::test]
    async fn an_endpoint_asks_for_so_many_unknown_names_from_however_many_senders() {
        let world = World::default();
        let it = world.instance();
        prove(&it, "good").await;
        for network in 0..1_000 {
            let address = format!("2001:db8:0:{network:x}::1");
            let _ = ask(&it, "paypal", &address, &format!("none-{network}")).await;
        }
        assert_eq!(world.fetched(), i64::from(MAX_UNKNOWN));
        assert_eq!(ask(&it, "paypal", PROVIDER, "new").await, busy());
        world.later(TTL_SECONDS * 2);
        for network in 0..1_000 {
            let address = format!("2001:db8:0:{network:x}::1");
            let _ = ask(&it, "paypal", &address, &format!("none-{network}")).await;
        }
        assert!(ask(&it, "paypal", PROVIDER, "good").await.is_ok(), "it is fetched again all the same");
    }

    #[tokio::test]
    async fn what_was_good_outlives_the_instance() {
        let world = World::default();
        let first = world.instance();
        prove(&first, "a").await;
        assert_eq!(world.stored(), [] as [&str; 0], "no request waits for the store");
        first.refresh().await;
        assert_eq!(world.stored(), ["a"]);
        let next = world.instance();
        assert_eq!(ask(&next, "paypal", PROVIDER, "a").await.as_deref(), Ok(&material("a")));
        assert_eq!((world.fetched(), world.store.saves.load(SeqCst)), (1, 1));
        // Another instance's is found, too, when one of these asks for it.
        prove(&next, "b").await;
        world.later(STORE_MIN_AGE_SECONDS);
        next.refresh().await;
        assert_eq!(ask(&first, "paypal", PROVIDER, "b").await.as_deref(), Ok(&material("b")));
        assert_eq!(world.fetched(), 2);
        // A webhook with what is stored already writes nothing.
        prove(&first, "b").await;
        first.refresh().await;
        assert_eq!(world.store.saves.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn what_was_fetched_and_never_good_is_not_stored() {
        let world = World::default();
        let it = world.instance();
        assert!(ask(&it, "paypal", ATTACKER, "a").await.is_ok());
        it.refresh().await;
        assert_eq!((world.stored(), world.store.saves.load(SeqCst)), (Vec::new(), 0));
    }

    #[tokio::test]
    async fn the_best_known_are_kept_and_their_number_is_bounded() {
        let world = World::default();
        let it = world.instance();
        for id in 0..MAX_GOOD * 2 {
            world.later(WINDOW_SECONDS);
            prove(&it, &format!("{id:02}")).await;
            it.refresh().await;
        }
        let latest: Vec<String> = (MAX_GOOD..MAX_GOOD * 2).rev().map(|id| format!("{id:02}")).collect();
        assert_eq!(world.stored(), latest);
    }

    #[tokio::test]
    async fn a_day_old_certificate_serves_while_it_is_fetched_again() {
        let world = World::default();
        let it = world.instance();
        prove(&it, "a").await;
        it.refresh().await;
        world.later(TTL_SECONDS);
        assert!(ask(&it, "paypal", PROVIDER, "a").await.is_ok());
        assert_eq!(world.fetched(), 1, "no request waits for it");
        it.refresh().await;
        assert_eq!(world.fetched(), 2);
        prove(&it, "a").await;
        it.refresh().await;
        let stored = world.store.stored.lock().unwrap().clone();
        assert_eq!(stored[0].fetched_at.as_second(), i64::from(TTL_SECONDS), "the store has the newer one");
    }

    #[tokio::test]
    async fn what_its_provider_has_withdrawn_serves_no_longer_anywhere() {
        let world = World::default();
        let it = world.instance();
        prove(&it, "a").await;
        it.refresh().await;
        *world.source.withdrawn.lock().unwrap() = Some("a".to_owned());
        world.later(TTL_SECONDS);
        assert!(ask(&it, "paypal", PROVIDER, "a").await.is_ok(), "until it was asked for");
        it.refresh().await;
        let withdrawn = Err(PortError::permanent("test", "withdrawn"));
        assert_eq!(ask(&it, "paypal", PROVIDER, "a").await, withdrawn);
        it.refresh().await;
        assert_eq!(world.stored(), [] as [&str; 0]);
        // An instance that was idle asks before it goes by what it has.
        let idle = world.instance();
        *world.source.withdrawn.lock().unwrap() = None;
        prove(&idle, "b").await;
        *world.source.withdrawn.lock().unwrap() = Some("b".to_owned());
        world.later(TTL_SECONDS * 2);
        assert_eq!(ask(&idle, "paypal", PROVIDER, "b").await, withdrawn);
    }

    /// Its authority's signature does not speak for a bare key, so the store is not asked what it is.
    #[tokio::test]
    async fn of_a_bare_key_the_name_alone_is_stored() {
        let jwk = r#"{"kid":"k-1","kty":"EC","crv":"P-256","alg":"ES256","expired_at":null,
            "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
            "d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
        let config = r#"{"id":"paypal","scheme":"plaid","secret":"ssm:bank"}"#;
        let endpoint = Endpoint::new(serde_json::from_str(config).unwrap()).unwrap();
        let ring = |text: &str| endpoint.keys(vec![KeyMaterial::new("current", Secret::new(text))]).unwrap();
        let to_sign = ToSign { headers: &Headers::new(), query: "", body: b"{}", url: None };
        let now = Timestamp::UNIX_EPOCH;
        let signed = endpoint.sign(to_sign, &ring(jwk), now).unwrap();
        let received = Received { headers: &signed.headers, query: "", body: &signed.body };
        let request = endpoint.material_for(received, &ring("client:secret"), now).unwrap().unwrap();

        struct Keys;
        impl Materials for Keys {
            async fn fetch(&self, _: &MaterialRequest) -> PortResult<Material> {
                Ok(Material(b"{\"key\":{}}".to_vec()))
            }
        }
        let world = World::default();
        let instance = || KeptMaterials::new(Keys, &world.store, &world.clock);
        let (first, asker) = (instance(), Asker { endpoint: endpoint.id(), source_ip: ATTACKER });
        first.fetch(asker, &request).await.unwrap();
        first.proved(endpoint.id(), &request);
        first.refresh().await;
        let stored = world.store.stored.lock().unwrap().clone();
        assert_eq!((stored[0].name.as_str(), &stored[0].certificate), ("k-1", &None));
        // The next instance fetches it, whatever others have asked for.
        let next = instance();
        for id in 0..MAX_UNKNOWN_OF_ONE {
            next.fetch(asker, &certificate(&id.to_string())).await.unwrap();
        }
        assert!(next.fetch(asker, &certificate("one more")).await.is_err());
        assert!(next.fetch(asker, &request).await.is_ok());
    }
}
