//! A clock that a test sets.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::SeqCst},
};

use tollgate_core::Timestamp;
use tollgate_pipeline::ports::Clock;

/// Stands still until it is moved, or told to tick; clones show the same time.
#[derive(Debug, Clone)]
pub struct HandClock {
    now_ms: Arc<AtomicI64>,
    tick_ms: Arc<AtomicI64>,
}

impl HandClock {
    /// A clock that shows `at`, to the millisecond.
    pub fn at(at: Timestamp) -> Self {
        let now_ms = Arc::new(AtomicI64::new(at.as_millisecond()));
        Self { now_ms, tick_ms: Arc::default() }
    }

    /// Has every look at it move it on by so many milliseconds, so that a deadline can strike between any two steps.
    pub fn tick_ms(&self, milliseconds: i64) {
        self.tick_ms.store(milliseconds, SeqCst);
    }

    /// What it shows. A stand-in for a service reads it so: its own clock makes nobody's time pass.
    pub fn reading(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now_ms.load(SeqCst)).unwrap_or(Timestamp::MAX)
    }

    /// Moves it on by so many milliseconds.
    pub fn advance_ms(&self, milliseconds: i64) {
        self.now_ms.fetch_add(milliseconds, SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        let now_ms = self.now_ms.fetch_add(self.tick_ms.load(SeqCst), SeqCst);
        Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::MAX)
    }
}
