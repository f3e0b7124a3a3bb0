//! The one place where the tool reads the clock.

use tollgate_core::Timestamp;

/// Now.
#[allow(clippy::disallowed_methods, reason = "this is the edge that everything else takes its time from")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
