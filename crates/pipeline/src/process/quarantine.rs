//! Where poison goes.

use futures_util::{StreamExt, stream};
use tollgate_batch::Outcome;
use tracing::warn;

use super::{Ended, Process, Record};
use crate::ports::{Poison, ProcessPorts, Quarantine};

/// Messages sent to the quarantine at once.
const IN_FLIGHT: usize = 8;

impl<P: ProcessPorts> Process<P> {
    /// Sends poison to the quarantine. Poison that cannot be sent stays poison, and its message comes back.
    pub(super) async fn quarantine_poison(
        &self,
        mut ended: Vec<Ended>,
        records: &[Record<'_>],
    ) -> Vec<Ended> {
        let is_poison = |(_, outcome): &mut Ended| matches!(outcome, Outcome::Poison(_));
        let poison: Vec<_> = ended.extract_if(.., is_poison).collect();
        let sent =
            stream::iter(poison)
                .map(|(index, outcome)| async move {
                    (index, self.quarantine_one(records.get(index), outcome).await)
                })
                .buffer_unordered(IN_FLIGHT);
        ended.extend(sent.collect::<Vec<_>>().await);
        ended
    }

    async fn quarantine_one(&self, record: Option<&Record<'_>>, outcome: Outcome) -> Outcome {
        let (Some(record), Outcome::Poison(reason)) = (record, outcome) else { return outcome };
        let message_id = record.message_id;
        let poison = Poison {
            message_id,
            group: record.group,
            body: record.body,
            attributes: &record.attributes,
            reason,
        };
        match self.quarantine.send(poison).await {
            Ok(()) => {
                warn!(message_id, reason, "message quarantined");
                Outcome::Quarantined(reason)
            }
            Err(problem) => {
                warn!(error = %problem, message_id, reason, "message not quarantined");
                outcome
            }
        }
    }
}
