//! A value that is read now and then: the reading serves until it is due; while a fresh one is under way, or fails,
//! the old one serves on.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::lock::Mutex as AsyncMutex;
use tollgate_core::Timestamp;
use tracing::warn;

use crate::ports::{Clock, PortResult};

/// One cached reading: shared while it is fresh, read by one task at a time when it is not.
#[derive(Debug)]
pub(crate) struct Cached<T> {
    reading: Mutex<Option<Reading<T>>>,
    refresh: AsyncMutex<()>,
}

#[derive(Debug)]
struct Reading<T> {
    value: Arc<T>,
    read_at: Timestamp,
    /// When reading was last tried, whatever came of it.
    tried_at: Timestamp,
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
    pub(crate) fn current(&self, now: Timestamp) -> Option<(Arc<T>, bool)> {
        let reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        reading.as_ref().map(|r| (Arc::clone(&r.value), now >= r.due_at))
    }

    pub(crate) fn read_at(&self) -> Option<Timestamp> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|r| r.read_at)
    }

    pub(crate) fn set(&self, value: Arc<T>, now: Timestamp, ttl_seconds: u32) {
        let reading = Reading { value, read_at: now, tried_at: now, due_at: after(now, ttl_seconds) };
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
    }

    fn postpone(&self, now: Timestamp, seconds: u32) {
        if let Some(reading) = self.reading.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            reading.tried_at = now;
            reading.due_at = after(now, seconds);
        }
    }

    /// Makes a reading due at once if none was tried for `min_age` seconds; false otherwise, or where there is none.
    pub(crate) fn expire(&self, now: Timestamp, min_age: u32) -> bool {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let aged = reading.as_mut().filter(|reading| now >= after(reading.tried_at, min_age));
        aged.map(|reading| reading.due_at = now).is_some()
    }

    /// The value: fresh, or read now; the old one while another task reads it or when reading fails.
    pub(crate) async fn get<F>(
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
        // The task that held the lock before us may have just read it.
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::SeqCst};

    use super::*;
    use crate::ports::PortError;

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
