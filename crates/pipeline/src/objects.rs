//! Fetching what a webhook only names: with the endpoint's key, which is cached, and with pauses while its provider
//! cannot answer or refuses the key.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::SignedDuration;
use tollgate_core::{EndpointId, Timestamp};
use tollgate_providers::{ApiKey, Endpoint, NamedObject};
use tracing::warn;

use crate::{
    cached::{Cached, Held},
    directory::Freshness,
    pace::Pace,
    ports::{ApiKeys, Clock, PortError, PortResult, ProviderObjects, Unfetched},
};

/// The pause behind a failure of a provider, in seconds; longer behind each further one.
const FIRST_PAUSE_SECONDS: u32 = 1;
const LONGEST_PAUSE_SECONDS: u32 = 60;
/// Whoever asks for a longer pause is asked again after this one: some message has to find out.
const LONGEST_ASKED_FOR: Duration = Duration::from_secs(300);
/// The key is good, and may not read this (RFC 9110 15.5.4).
const FORBIDDEN: u16 = 403;
/// What is paused by itself, at most, of an endpoint. Where there is more, the endpoint is paused.
const MOST_PAUSES: usize = 1_000;

/// The providers' APIs, as the endpoints may ask them.
#[derive(Debug)]
pub struct Objects<K, A, C> {
    keys: K,
    api: A,
    clock: C,
    freshness: Freshness,
    asked: Mutex<HashMap<EndpointId, Arc<Asked>>>,
}

/// Why nothing was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFetched {
    /// The endpoint has no key of its provider's API.
    NoKey,
    /// Whether it has one cannot be told.
    KeyUnavailable(PortError),
    /// The provider was not asked: it could not answer a moment ago, or refused the key.
    Paused,
    /// It was asked.
    Unfetched(Unfetched),
}

#[derive(Debug)]
struct Asked {
    key: Cached<Option<ApiKey>>,
    pauses: Mutex<Pauses>,
}

/// What a key is asked for: a kind of object, and on whose behalf. One that may not read this may read other things.
type What = (&'static str, Option<String>);

/// When nothing is asked for.
#[derive(Debug)]
struct Pauses {
    /// Of the endpoint as a whole.
    all: Pause,
    /// Of what its key may not read.
    of: HashMap<What, Pause>,
}

#[derive(Debug)]
struct Pause {
    until: Timestamp,
    pace: Pace,
}

impl<K: ApiKeys, A: ProviderObjects, C: Clock> Objects<K, A, C> {
    /// Nothing is read yet. Keys are read again as signing keys are.
    pub fn new(keys: K, api: A, clock: C, freshness: Freshness) -> Self {
        Self { keys, api, clock, freshness, asked: Mutex::default() }
    }

    /// The object, as the endpoint's provider tells it now.
    ///
    /// # Errors
    ///
    /// [`NotFetched`]
    pub async fn fetch(&self, endpoint: &Endpoint, object: &NamedObject<'_>) -> Result<Vec<u8>, NotFetched> {
        let asked = self.of(endpoint.id());
        let what: What = (object.kind, object.context.as_deref().map(str::to_owned));
        if asked.pauses().is_paused(&what, self.clock.now()) {
            return Err(NotFetched::Paused);
        }
        let key = self.key(&asked, endpoint.id()).await.map_err(NotFetched::KeyUnavailable)?;
        let Some(key) = key.as_ref() else { return Err(NotFetched::NoKey) };
        let fetched = self.api.fetch(endpoint.provider(), key, object).await;
        let now = self.clock.now();
        match &fetched {
            Err(Unfetched::Unavailable(wanted)) => asked.pauses().all.lengthen(now, *wanted),
            Err(Unfetched::Refused(status)) => {
                // Another one may be there by then.
                asked.key.forget();
                asked.pauses().lengthen((*status == FORBIDDEN).then_some(what), now);
            }
            Ok(_) | Err(Unfetched::NotFound | Unfetched::NotAsDocumented(_)) => {
                let mut pauses = asked.pauses();
                pauses.all.pace.restore();
                pauses.of.remove(&what);
            }
        }
        fetched.map_err(NotFetched::Unfetched)
    }

    async fn key(&self, asked: &Asked, endpoint: &EndpointId) -> PortResult<Arc<Option<ApiKey>>> {
        let read = || async {
            let key = self.keys.api_key(endpoint).await?;
            if key.is_none() {
                warn!(%endpoint, "there is no key of its provider's API: its events say what its webhooks say");
            }
            Ok(key)
        };
        // A batch waits for what is due. A failure is remembered there, and the old one serves on.
        let _ = asked.key.renew(&self.clock, false, read).await;
        let key = match asked.key.held(self.clock.now()) {
            Held::Fresh(key) | Held::Due(key) => key,
            Held::TooOld(_) | Held::Nothing => asked.key.wait(&self.clock, read).await?,
        };
        match asked.key.problem() {
            // One may have been stored meanwhile, and an event that is told without it is never told again.
            Some(problem) if key.is_none() => Err(problem),
            _ => Ok(key),
        }
    }

    fn of(&self, endpoint: &EndpointId) -> Arc<Asked> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(asked.entry(*endpoint).or_insert_with(|| {
            Arc::new(Asked {
                key: Cached::new(self.freshness.lifetime(self.freshness.keys_ttl_seconds)),
                pauses: Mutex::new(Pauses { all: Pause::default(), of: HashMap::new() }),
            })
        }))
    }
}

impl Asked {
    fn pauses(&self) -> MutexGuard<'_, Pauses> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pauses {
    fn is_paused(&self, what: &What, now: Timestamp) -> bool {
        now < self.all.until || self.of.get(what).is_some_and(|pause| now < pause.until)
    }

    /// After a refusal: of `what` alone where there is room, else of everything.
    fn lengthen(&mut self, what: Option<What>, now: Timestamp) {
        if self.of.len() >= MOST_PAUSES {
            self.of.retain(|_, pause| now < pause.until);
        }
        match what {
            Some(what) if self.of.len() < MOST_PAUSES || self.of.contains_key(&what) => {
                self.of.entry(what).or_default().lengthen(now, None);
            }
            _ => self.all.lengthen(now, None),
        }
    }
}

impl Default for Pause {
    fn default() -> Self {
        let pace = Pace::new(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS);
        Self { until: Timestamp::MIN, pace }
    }
}

impl Pause {
    /// Of several requests that failed at once the first one counts.
    fn lengthen(&mut self, now: Timestamp, wanted: Option<Duration>) {
        if now < self.until {
            return;
        }
        let own = SignedDuration::from_millis(self.pace.after_failure(now));
        let wanted = wanted.unwrap_or_default().min(LONGEST_ASKED_FOR);
        let pause = own.max(SignedDuration::try_from(wanted).unwrap_or(SignedDuration::ZERO));
        self.until = now.checked_add(pause).unwrap_or(Timestamp::MAX);
    }
}
