//! The one place where functions read the clock.

use tollgate_core::Timestamp;
use tollgate_pipeline::ports::Clock;

/// The machine's clock, in whole microseconds: what the archive's columns hold, so that a time read back from there
/// is the time that was written everywhere else.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the edge that everything else takes its time from")]
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }
}
