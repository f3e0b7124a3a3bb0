//! The one place where functions read the clock.

use jiff::Timestamp;

/// A function that gives the time. Use cases take it as their clock.
pub type SystemClock = fn() -> Timestamp;

/// [`now`], as a value.
pub const SYSTEM_CLOCK: SystemClock = now;

/// The machine's time, in whole microseconds: what the archive's columns hold, so that a time read back from there
/// is the time that was written everywhere else.
#[allow(clippy::disallowed_methods, reason = "this is the edge that everything else takes its time from")]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
