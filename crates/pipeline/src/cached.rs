//! A value that is read now and then. No request waits for a value that is merely due: it is served, and read again
//! beside the requests ([`Due`]).

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Poll,
};

use futures_util::{lock::Mutex as AsyncMutex, task::AtomicWaker};
use tollgate_core::Timestamp;
use tracing::warn;

use crate::{
    pace::Pace,
    ports::{Clock, PortError, PortResult},
};

/// A reading that nobody has tried to renew for so many times to live is served to nobody before a new try: an instance
/// that was idle must not go by what was withdrawn long ago.
pub(crate) const MOST_LIVES: u32 = 2;

/// How long a reading serves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetime {
    /// It is due to be read again after this many seconds.
    pub(crate) ttl_seconds: u32,
    /// After a failure the next try is made after this many seconds,
    pub(crate) retry_seconds: u32,
    /// and after some more failures after this many.
    pub(crate) most_retry_seconds: u32,
}

/// What there is of a value.
#[derive(Debug)]
pub(crate) enum Held<T> {
    Fresh(Arc<T>),
    /// It serves, and is to be read again.
    Due(Arc<T>),
    /// It serves only if it cannot be read again.
    TooOld(Arc<T>),
    Nothing,
}

impl<T> Held<T> {
    /// The value, however old.
    pub(crate) fn value(self) -> Option<Arc<T>> {
        match self {
            Self::Fresh(value) | Self::Due(value) | Self::TooOld(value) => Some(value),
            Self::Nothing => None,
        }
    }
}

/// One cached reading.
#[derive(Debug)]
pub(crate) struct Cached<T> {
    lifetime: Lifetime,
    state: Mutex<State<T>>,
    /// Held by the request that reads while others wait for it.
    waited_for: AsyncMutex<()>,
    /// Held by what reads beside the requests. Lambda may freeze it half-way, so no request that has a value waits for it.
    beside: AsyncMutex<()>,
}

#[derive(Debug)]
struct State<T> {
    reading: Option<Reading<T>>,
    /// How long the last failure holds, and what it was.
    failure: Option<(Timestamp, PortError)>,
    retries: Pace,
}

#[derive(Debug)]
struct Reading<T> {
    value: Arc<T>,
    /// When reading it began.
    read_at: Timestamp,
    /// When reading it again was last begun, whatever came of it.
    tried_at: Timestamp,
}

impl<T> Cached<T> {
    pub(crate) fn new(lifetime: Lifetime) -> Self {
        let retries = Pace::new(lifetime.retry_seconds, lifetime.most_retry_seconds);
        Self {
            lifetime,
            state: Mutex::new(State { reading: None, failure: None, retries }),
            waited_for: AsyncMutex::default(),
            beside: AsyncMutex::default(),
        }
    }

    pub(crate) fn held(&self, now: Timestamp) -> Held<T> {
        let state = self.state();
        let Some(reading) = &state.reading else { return Held::Nothing };
        let value = Arc::clone(&reading.value);
        let ttl = self.lifetime.ttl_seconds;
        if now < after(reading.read_at, ttl) || state.failure(now).is_some() {
            Held::Fresh(value)
        } else if now < after(reading.tried_at, ttl.saturating_mul(MOST_LIVES)) {
            Held::Due(value)
        } else {
            Held::TooOld(value)
        }
    }

    /// When the reading was begun.
    pub(crate) fn read_at(&self) -> Option<Timestamp> {
        self.state().reading.as_ref().map(|reading| reading.read_at)
    }

    /// Keeps what was read, unless there is a reading that was begun later.
    pub(crate) fn set(&self, value: T, began: Timestamp) -> Arc<T> {
        let value = Arc::new(value);
        let mut state = self.state();
        let is_latest = state.reading.as_ref().is_none_or(|known| known.read_at <= began);
        if is_latest {
            state.reading = Some(Reading { value: Arc::clone(&value), read_at: began, tried_at: began });
        }
        state.failure = None;
        state.retries.restore();
        value
    }

    /// Whether the last reading failed and is not to be repeated yet.
    pub(crate) fn is_failing(&self, now: Timestamp) -> bool {
        self.state().failure(now).is_some()
    }

    /// Forgets the reading.
    pub(crate) fn forget(&self) {
        self.state().reading = None;
    }

    /// The value for a request that cannot go on without it: read now, unless it was meanwhile. Where reading fails, an old
    /// value serves on.
    ///
    /// # Errors
    ///
    /// Reading failed, now or just before, and there is no value.
    pub(crate) async fn wait<F>(&self, clock: &impl Clock, read: impl FnOnce() -> F) -> PortResult<Arc<T>>
    where
        F: Future<Output = PortResult<T>>,
    {
        let _one_reads = self.waited_for.lock().await;
        // A first reading may be under way beside the requests.
        let _none_beside = match self.held(clock.now()) {
            Held::Nothing => Some(self.beside.lock().await),
            _ => None,
        };
        let began = clock.now();
        if let Held::Fresh(value) | Held::Due(value) = self.held(began) {
            return Ok(value);
        }
        if let Some(problem) = self.state().failure(began) {
            return Err(problem.clone());
        }
        // What the failure made forget serves no longer.
        self.read(clock, read).await.or_else(|problem| self.held(began).value().ok_or(problem))
    }

    /// Reads again what is due, or not due where it `is_wanted`; beside the requests. `None` where there was nothing to do
    /// or it is being done.
    pub(crate) async fn renew<F>(
        &self,
        clock: &impl Clock,
        is_wanted: bool,
        read: impl FnOnce() -> F,
    ) -> Option<PortResult<Arc<T>>>
    where
        F: Future<Output = PortResult<T>>,
    {
        let _one_reads = self.beside.try_lock()?;
        let now = clock.now();
        let is_due = match self.held(now) {
            Held::Fresh(_) => false,
            Held::Due(_) | Held::TooOld(_) => true,
            Held::Nothing => self.state().failure(now).is_none(),
        };
        if is_due || is_wanted { Some(self.read(clock, read).await) } else { None }
    }

    /// Why the last reading failed, until one succeeds.
    pub(crate) fn problem(&self) -> Option<PortError> {
        self.state().failure.as_ref().map(|(_, problem)| problem.clone())
    }

    /// Reads, whether it is due or not, and remembers what came of it.
    pub(crate) async fn read<F>(&self, clock: &impl Clock, read: impl FnOnce() -> F) -> PortResult<Arc<T>>
    where
        F: Future<Output = PortResult<T>>,
    {
        let began = clock.now();
        if let Some(reading) = &mut self.state().reading {
            reading.tried_at = began;
        }
        match read().await {
            Ok(value) => Ok(self.set(value, began)),
            Err(problem) => {
                let now = clock.now();
                let mut state = self.state();
                let wait = state.retries.after_failure(now);
                state.failure = Some((after_ms(now, wait), problem.clone()));
                if state.reading.is_some() {
                    warn!(error = %problem, "reading again failed; the old reading serves on");
                }
                Err(problem)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// The last failure, while it holds.
    fn failure(&self, now: Timestamp) -> Option<&PortError> {
        self.failure.as_ref().filter(|(until, _)| now < *until).map(|(_, problem)| problem)
    }
}

/// Wakes what reads beside the requests.
#[derive(Debug, Default)]
pub(crate) struct Due {
    is_marked: AtomicBool,
    waker: AtomicWaker,
}

impl Due {
    /// Something is to be read.
    pub(crate) fn mark(&self) {
        self.is_marked.store(true, SeqCst);
        self.waker.wake();
    }

    /// Returns once something is.
    pub(crate) async fn wait(&self) {
        poll_fn(|context| {
            self.waker.register(context.waker());
            if self.is_marked.swap(false, SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn after(now: Timestamp, seconds: u32) -> Timestamp {
    after_ms(now, i64::from(seconds) * 1_000)
}

fn after_ms(now: Timestamp, ms: i64) -> Timestamp {
    now.checked_add(jiff::SignedDuration::from_millis(ms)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU32};

    use super::*;

    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.0.load(SeqCst)).unwrap()
        }
    }

    struct Fixture {
        cached: Cached<u32>,
        clock: Hand,
        calls: AtomicU32,
    }

    fn fixture() -> Fixture {
        let lifetime = Lifetime { ttl_seconds: 10, retry_seconds: 1, most_retry_seconds: 3 };
        Fixture { cached: Cached::new(lifetime), clock: Hand::default(), calls: AtomicU32::new(0) }
    }

    impl Fixture {
        fn at(&self, second: i64) -> &Self {
            self.clock.0.store(second, SeqCst);
            self
        }

        /// As a request asks that cannot go on without the value.
        async fn wait(&self, answer: PortResult<u32>) -> PortResult<u32> {
            self.cached.wait(&self.clock, || self.answered(answer)).await.map(|value| *value)
        }

        async fn renew(&self, answer: PortResult<u32>) {
            self.cached.renew(&self.clock, false, || self.answered(answer)).await;
        }

        async fn answered(&self, answer: PortResult<u32>) -> PortResult<u32> {
            self.calls.fetch_add(1, SeqCst);
            answer
        }

        fn held(&self) -> (&'static str, Option<u32>) {
            let held = self.cached.held(self.clock.now());
            let name = match held {
                Held::Fresh(_) => "fresh",
                Held::Due(_) => "due",
                Held::TooOld(_) => "too old",
                Held::Nothing => "nothing",
            };
            (name, held.value().map(|value| *value))
        }

        fn calls(&self) -> u32 {
            self.calls.load(SeqCst)
        }
    }

    fn down() -> PortResult<u32> {
        Err(PortError::retryable("secrets", "down"))
    }

    #[tokio::test]
    async fn a_reading_serves_until_due_and_beyond_when_the_next_fails() {
        let it = fixture();
        assert_eq!(it.wait(Ok(1)).await, Ok(1));
        assert_eq!(it.at(9).held(), ("fresh", Some(1)));
        assert_eq!(it.at(10).held(), ("due", Some(1)));
        it.renew(down()).await;
        assert_eq!(it.held(), ("fresh", Some(1)), "not tried again at once");
        assert_eq!(it.at(11).held(), ("due", Some(1)));
        it.renew(Ok(2)).await;
        assert_eq!((it.held(), it.calls()), (("fresh", Some(2)), 3));
    }

    #[tokio::test]
    async fn a_failed_first_reading_is_remembered_for_a_moment() {
        let it = fixture();
        assert_eq!(it.wait(down()).await, down());
        assert_eq!((it.wait(Ok(1)).await, it.calls()), (down(), 1), "nobody tries again at once");
        it.renew(Ok(1)).await;
        assert_eq!((it.held(), it.calls()), (("nothing", None), 1));
        assert_eq!((it.at(1).wait(Ok(1)).await, it.calls()), (Ok(1), 2));
    }

    #[tokio::test]
    async fn what_nobody_tried_to_renew_for_long_is_read_before_it_serves() {
        let it = fixture();
        it.wait(Ok(1)).await.unwrap();
        assert_eq!(it.at(20).held(), ("too old", Some(1)));
        assert_eq!(it.wait(down()).await, Ok(1), "while reading fails, the old one serves");
        assert_eq!(it.wait(Ok(2)).await, Ok(1), "and is not tried at once");
        assert_eq!(it.at(21).held(), ("due", Some(1)), "the next tries hold no request");
        it.at(60);
        assert_eq!((it.wait(Ok(3)).await, it.calls()), (Ok(3), 3));
    }

    #[tokio::test]
    async fn one_reads_beside_and_nobody_waits_for_it() {
        let it = fixture();
        it.wait(Ok(1)).await.unwrap();
        it.at(10);
        let (go, frozen) = tokio::sync::oneshot::channel::<()>();
        let beside = it.cached.renew(&it.clock, false, || async {
            let _ = frozen.await;
            Ok(2)
        });
        let others = async {
            it.renew(Ok(9)).await;
            assert_eq!((it.held(), it.calls()), (("due", Some(1)), 1), "one reads at a time");
            // An hour later, in the next invocation.
            it.at(3_600);
            assert_eq!(it.wait(Ok(3)).await, Ok(3));
            let _ = go.send(());
        };
        futures_util::join!(beside, others);
        assert_eq!(it.held(), ("fresh", Some(3)), "what was begun earlier is older");
    }

    #[tokio::test]
    async fn many_that_wait_are_one_reading() {
        let it = fixture();
        let slow = it.cached.wait(&it.clock, || async {
            tokio::task::yield_now().await;
            Ok(1)
        });
        let (first, second) = futures_util::join!(slow, it.wait(Ok(2)));
        assert_eq!((first.as_deref(), second, it.calls()), (Ok(&1), Ok(1), 0));
    }

    #[tokio::test]
    async fn a_mark_is_seen_before_and_after_the_wait_begins() {
        let due = Due::default();
        due.mark();
        due.wait().await;
        futures_util::join!(due.wait(), async { due.mark() });
    }

    #[tokio::test]
    async fn a_first_reading_beside_the_requests_is_not_made_twice() {
        let it = fixture();
        let beside = it.cached.renew(&it.clock, false, || async {
            tokio::task::yield_now().await;
            Ok(1)
        });
        let (_, waited) = futures_util::join!(beside, it.wait(Ok(2)));
        assert_eq!((waited, it.calls()), (Ok(1), 0));
    }
}
