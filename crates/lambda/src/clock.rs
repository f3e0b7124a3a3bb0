//! The one place where functions read the clock.

use tollgate_core::Timestamp;
use tollgate_pipeline::ports::Clock;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the edge that everything else takes its time from")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
