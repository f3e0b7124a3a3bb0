//! The one place that reads the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Since the Unix epoch; zero on a clock set before it.
#[expect(clippy::disallowed_methods, reason = "deadlines and log lines of real processes are real time")]
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Now, as RFC 3339 with milliseconds.
pub fn timestamp() -> String {
    let millis = i64::try_from(since_epoch().as_millis()).unwrap_or_default();
    jiff::Timestamp::from_millisecond(millis).map(|at| format!("{at:.3}")).unwrap_or_default()
}
