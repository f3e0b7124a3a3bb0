//! Whether webhooks can be accepted now, for those who decide where webhooks go: a health check of a DNS record.

use futures_util::{future::join3, lock::Mutex};
use tollgate_core::Timestamp;
use tracing::warn;

use super::Ingest;
use crate::ports::{Answers, IngestPorts};

/// How long an answer serves, in seconds. Route 53 asks every 10 or 30 seconds from each of some 16 places ("How Amazon Route 53
/// determines whether a health check is healthy", developer guide); anybody may ask more often.
const SERVES_SECONDS: i64 = 5;

/// A name that no request is about. A directory that holds no reading asks for it as for any other.
const NO_ENDPOINT: &str = "health";

/// The last answer, and when it was given.
#[derive(Debug, Default)]
pub struct Health(Mutex<Option<(Timestamp, bool)>>);

impl<P: IngestPorts> Ingest<P> {
    /// Whether the endpoints are known and the ledger and both intake queues answer. Keys of single endpoints, certificates and the
    /// payload bucket are not asked: without one of those, other webhooks are accepted. Whoever asks within five seconds has the same
    /// answer; where the caller gives up, that is no until then.
    pub async fn can_accept(&self, now: Timestamp) -> bool {
        let mut last = self.health.0.lock().await;
        if let Some((at, can)) = *last
            && now.duration_since(at).as_secs() < SERVES_SECONDS
        {
            return can;
        }
        *last = Some((now, false));
        let (endpoints, ledger, queues) =
            join3(self.directory.endpoint(NO_ENDPOINT), self.ledger.answers(), self.queue.answers()).await;
        let problems = [endpoints.err(), ledger.err(), queues.err()];
        for problem in problems.iter().flatten() {
            warn!(error = %problem, "webhooks cannot be accepted now");
        }
        let can = problems.iter().all(Option::is_none);
        *last = Some((now, can));
        can
    }
}
