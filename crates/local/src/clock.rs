//! The one place that reads the clock.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Since the Unix epoch; zero on a clock set before it.
#[expect(clippy::disallowed_methods, reason = "deadlines and log lines of real processes are real time")]
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The seconds that a clock's file holds (scripts/prove/clock.c); none where it cannot be read.
pub fn seconds_apart(file: &Path) -> i64 {
    let bytes = std::fs::read(file).unwrap_or_default();
    bytes.first_chunk().map_or(0, |bytes| i64::from_ne_bytes(*bytes))
}

/// Now, as RFC 3339 with milliseconds.
pub fn timestamp() -> String {
    let millis = i64::try_from(since_epoch().as_millis()).unwrap_or_default();
    jiff::Timestamp::from_millisecond(millis).map(|at| format!("{at:.3}")).unwrap_or_default()
}
