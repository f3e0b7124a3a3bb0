//! How often something is tried that senders can provoke, or that fails.

use tollgate_core::Timestamp;

/// Each fruitless try makes the wait for the next one this many times as long.
const GROWTH: i64 = 4;
/// A wait that is lengthened is at least this long, in milliseconds, though the first one may be none, and though settings may
/// say 0.
const LEAST_MS: i64 = 1_000;
/// A longer wait is shortened by up to this part of it, so that instances do not try all at once.
const JITTER_PART: i64 = 4;

/// The wait before a next try: short at first, and longer after each one that brought nothing.
#[derive(Debug)]
pub(crate) struct Pace {
    first_ms: i64,
    /// What a first wait that is none grows to.
    second_ms: i64,
    most_ms: i64,
    wait_ms: i64,
    tried_at: Timestamp,
    asked_at: Timestamp,
}

impl Pace {
    /// Waits from `first_seconds` to `most_seconds`, which is the longer one or the same.
    pub(crate) fn new(first_seconds: u32, most_seconds: u32) -> Self {
        let first_ms = i64::from(first_seconds) * 1_000;
        Self {
            first_ms,
            second_ms: LEAST_MS,
            most_ms: first_ms.max(i64::from(most_seconds) * 1_000),
            wait_ms: first_ms,
            tried_at: Timestamp::MIN,
            asked_at: Timestamp::MIN,
        }
    }

    /// Waits not at all, then `second_seconds`, and up to `most_seconds`.
    pub(crate) fn at_once(second_seconds: u32, most_seconds: u32) -> Self {
        let second_ms = LEAST_MS.max(i64::from(second_seconds) * 1_000);
        Self { second_ms, most_ms: second_ms.max(i64::from(most_seconds) * 1_000), ..Self::new(0, 0) }
    }

    /// Whether a try may be made now, where the value was last read at `read_at`. It is then taken for fruitless, until
    /// [`restore`](Self::restore). Where nobody has asked for as long as the longest wait, the first wait holds again.
    pub(crate) fn take(&mut self, now: Timestamp, read_at: Timestamp) -> bool {
        if since(self.asked_at, now) >= self.most_ms {
            self.restore();
        }
        self.asked_at = now;
        if since(self.tried_at.max(read_at), now) < self.wait_ms {
            return false;
        }
        self.tried_at = now;
        self.lengthen(now);
        true
    }

    /// The wait that a failure at `now` brings, in milliseconds. The next failure's is longer.
    pub(crate) fn after_failure(&mut self, now: Timestamp) -> i64 {
        let wait = self.wait_ms;
        self.lengthen(now);
        wait
    }

    /// A try has brought something: the first wait holds again.
    pub(crate) fn restore(&mut self) {
        self.wait_ms = self.first_ms;
    }

    fn lengthen(&mut self, now: Timestamp) {
        let longer = self.wait_ms.saturating_mul(GROWTH).max(self.second_ms).min(self.most_ms);
        // The clock's microseconds are the chance: instances do not have the same.
        let chance = i64::from(now.subsec_nanosecond() / 1_000 % 1_000);
        self.wait_ms = (longer - longer / JITTER_PART * chance / 1_000).max(self.first_ms);
    }
}

/// Milliseconds from one time to a later one; at most those that fit.
fn since(then: Timestamp, now: Timestamp) -> i64 {
    now.as_millisecond().saturating_sub(then.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_760_000_000_000 + ms).unwrap()
    }

    /// The seconds at which tries are made, of one ask a second.
    fn tries(pace: &mut Pace, seconds: std::ops::Range<i64>) -> Vec<i64> {
        seconds.filter(|second| pace.take(at(second * 1_000), at(0))).collect()
    }

    #[test]
    fn fruitless_tries_grow_rarer_up_to_a_bound() {
        let mut pace = Pace::new(10, 300);
        assert_eq!(tries(&mut pace, 0..1_000), [10, 50, 210, 510, 810]);
    }

    #[test]
    fn the_first_try_can_be_made_at_once() {
        let mut pace = Pace::at_once(10, 300);
        assert_eq!(tries(&mut pace, 0..1_000), [0, 10, 50, 210, 510, 810]);
        pace.restore();
        assert_eq!(tries(&mut pace, 1_000..1_020), [1_000, 1_010]);
    }

    #[test]
    fn a_try_that_brings_something_or_a_quiet_time_starts_over() {
        let mut pace = Pace::new(10, 300);
        assert_eq!(tries(&mut pace, 0..60), [10, 50]);
        pace.restore();
        assert_eq!(tries(&mut pace, 60..70), [60], "as after the first wait");
        assert_eq!(tries(&mut pace, 70..100), [] as [i64; 0]);
        assert_eq!(tries(&mut pace, 399..440), [399, 439], "nobody asked for 300 s");
    }

    #[test]
    fn a_value_that_was_just_read_is_not_read_again() {
        let mut pace = Pace::new(10, 300);
        assert!(!pace.take(at(109_999), at(100_000)));
        assert!(pace.take(at(110_000), at(100_000)));
    }

    #[test]
    fn longer_waits_differ_from_instance_to_instance() {
        let wait = |microseconds: i64| {
            let (mut pace, now) = (Pace::new(10, 300), Timestamp::from_microsecond(microseconds).unwrap());
            pace.after_failure(now);
            pace.after_failure(now)
        };
        assert_eq!((wait(0), wait(500), wait(999)), (40_000, 35_000, 30_010));
    }
}
