//! Fetching what a webhook only names: with the endpoint's key, which is cached, and with pauses while its provider
//! cannot answer or refuses the key.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
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
    pause: Mutex<Pause>,
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
        if self.clock.now() < asked.pause().until {
            return Err(NotFetched::Paused);
        }
        let key = self.key(&asked, endpoint.id()).await.map_err(NotFetched::KeyUnavailable)?;
        let Some(key) = key.as_ref() else { return Err(NotFetched::NoKey) };
        let fetched = self.api.fetch(endpoint.provider(), key, object).await;
        match &fetched {
            Err(Unfetched::Unavailable(wanted)) => asked.pause().lengthen(self.clock.now(), *wanted),
            Err(Unfetched::Refused(_)) => {
                // Another one may be there by then.
                asked.key.forget();
                asked.pause().lengthen(self.clock.now(), None);
            }
            Ok(_) | Err(Unfetched::NotFound | Unfetched::NotAsDocumented(_)) => asked.pause().pace.restore(),
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
        match asked.key.held(self.clock.now()) {
            Held::Fresh(key) | Held::Due(key) => Ok(key),
            Held::TooOld(_) | Held::Nothing => asked.key.wait(&self.clock, read).await,
        }
    }

    fn of(&self, endpoint: &EndpointId) -> Arc<Asked> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(asked.entry(*endpoint).or_insert_with(|| {
            Arc::new(Asked {
                key: Cached::new(self.freshness.lifetime(self.freshness.keys_ttl_seconds)),
                pause: Mutex::new(Pause {
                    until: Timestamp::MIN,
                    pace: Pace::new(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS),
                }),
            })
        }))
    }
}

impl Asked {
    fn pause(&self) -> std::sync::MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
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
