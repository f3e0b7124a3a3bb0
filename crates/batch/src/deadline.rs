//! How long a function may still begin new work.

use std::time::Duration;

/// The time after which no record is begun: the invocation's end minus a reserve. In the reserve the records that were
/// begun can end and the response can be sent. The caller gives the time, in milliseconds since any fixed origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    stop_at_ms: u64,
}

impl Deadline {
    /// `remaining_ms` are left at `now_ms`; the last `reserve_ms` of them are the reserve. If the reserve is longer
    /// than `remaining_ms`, no time is left.
    pub fn new(now_ms: u64, remaining_ms: u64, reserve_ms: u64) -> Self {
        Self { stop_at_ms: now_ms.saturating_add(remaining_ms.saturating_sub(reserve_ms)) }
    }

    /// From the invocation's end as Lambda gives it, in milliseconds since 1970. `now_ms` is then Unix time.
    pub fn at(end_ms: u64, reserve_ms: u64) -> Self {
        Self { stop_at_ms: end_ms.saturating_sub(reserve_ms) }
    }

    /// Whether a record may still be begun at `now_ms`.
    pub fn has_time(self, now_ms: u64) -> bool {
        now_ms < self.stop_at_ms
    }

    /// The time from `now_ms` until no record may be begun: an upper bound for a call's time-out.
    pub fn time_left(self, now_ms: u64) -> Duration {
        Duration::from_millis(self.stop_at_ms.saturating_sub(now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_kept_free() {
        let deadline = Deadline::new(1_000, 500, 200);
        assert_eq!(deadline, Deadline::at(1_500, 200));
        for (now, left) in [(0, 1_300), (1_000, 300), (1_299, 1), (1_300, 0), (9_999, 0)] {
            assert_eq!(deadline.has_time(now), left > 0, "{now}");
            assert_eq!(deadline.time_left(now), Duration::from_millis(left), "{now}");
        }
    }

    #[test]
    fn a_reserve_longer_than_the_rest_leaves_no_time() {
        assert!(!Deadline::new(1_000, 100, 200).has_time(1_000));
        assert!(!Deadline::at(100, 200).has_time(0));
        assert!(Deadline::new(u64::MAX - 1, u64::MAX, 0).has_time(u64::MAX - 1));
    }
}
