//! A clock that the unit tests set by hand.

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use tollgate_core::Timestamp;

use crate::ports::Clock;

/// Shows so many seconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct Hand(pub(crate) AtomicI64);

impl Clock for &Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(SeqCst)).unwrap()
    }
}
