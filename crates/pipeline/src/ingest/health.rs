//! Whether webhooks can be accepted now, for those who decide where webhooks go: a health check of a DNS record.

use futures_util::lock::Mutex;
use tollgate_core::Timestamp;
use tracing::warn;

use crate::ports::PortError;

/// How long an answer serves, in seconds. Route 53 asks every 10 or 30 seconds from each of some 16 places ("How Amazon Route 53
/// determines whether a health check is healthy", developer guide); anybody may ask more often.
const SERVES_SECONDS: i64 = 5;

/// The last answer, and when it was given.
#[derive(Debug, Default)]
pub struct Health(Mutex<Option<(Timestamp, bool)>>);

impl Health {
    /// The answer at `now`: the last one, where it is young enough, or what `ask` finds, the problems of everything that is
    /// asked. Where the caller gives up, that is no until then.
    pub(super) async fn answer(&self, now: Timestamp, ask: impl Future<Output = Vec<PortError>>) -> bool {
        let mut last = self.0.lock().await;
        if let Some((at, can)) = *last
            && now.duration_since(at).as_secs() < SERVES_SECONDS
        {
            return can;
        }
        *last = Some((now, false));
        let problems = ask.await;
        for problem in &problems {
            warn!(error = %problem, "webhooks cannot be accepted now");
        }
        let can = problems.is_empty();
        *last = Some((now, can));
        can
    }
}
