//! Turning an intake batch into payment events, once each.
//!
//! Records go through the steps in strides, because every step is a batch call: look up the claims, claim the effects,
//! write the history, publish, archive, mark as processed. The ledger is marked last, so that a crash at any point
//! leads to a repeat and never to a gap. What is repeated has the same keys, the same `id` and the same `restates`.
//!
//! Success is proven: a record that no step finished comes back.

mod admit;
mod answers;
mod assemble;
mod decode;
mod open;
mod parallel;
mod quarantine;
mod record;
mod steps;
mod stride;
mod strides;
mod use_case;

use tollgate_batch::{Batch, Deadline, Kind, Outcome, Response, Summary, Unreportable};
use tollgate_core::PaymentEvent;
use tracing::warn;

use self::{
    assemble::assemble,
    decode::Decoded,
    open::Opened,
    parallel::SHARES,
    record::{Ended, Indexed},
    strides::strides,
};
use crate::ports::ProcessPorts;

pub use self::{
    parallel::{PARALLEL_FROM, init_thread_pool},
    record::Record,
    use_case::Process,
};

/// The result of a batch.
#[derive(Debug)]
pub struct Report {
    /// The function's answer.
    pub response: Response,
    /// How the records ended.
    pub summary: Summary,
    /// Events published.
    pub published: usize,
    /// Conflicts: events with other facts than their id was claimed with.
    pub conflicts: usize,
}

impl<P: ProcessPorts> Process<P> {
    /// Processes a batch. Records that were not begun by the deadline are reported as failed.
    ///
    /// # Errors
    ///
    /// [`Unreportable`]: a record failed that has no message id; the invocation must fail.
    ///
    /// # Panics
    ///
    /// On an index that is wrong, which is a bug: the invocation fails, and SQS delivers the batch again.
    pub async fn run(
        &self,
        kind: Kind,
        records: &[Record<'_>],
        deadline: Deadline,
    ) -> Result<Report, Unreportable> {
        let mut batch = Batch::new(kind, records.iter().map(|record| (record.message_id, record.group)));
        let (mut published, mut conflicts) = (0, 0);
        'waves: while let Some(wave) = batch.next_wave() {
            let indexed = |index| {
                records.get(index).map(|record| Indexed { index, record }).ok_or(Unreportable { index })
            };
            let wave = wave.into_iter().map(indexed).collect::<Result<Vec<_>, _>>()?;
            for stride in strides(&wave) {
                if !deadline.has_time(self.now_ms()) {
                    break 'waves;
                }
                let done = self.stride(stride, deadline).await;
                published += done.published;
                conflicts += done.conflicts;
                for (index, outcome) in self.quarantine_poison(done.ended, records).await {
                    if let Err(problem) = batch.settle(index, outcome) {
                        warn!(error = %problem, "outcome without a record");
                    }
                }
            }
        }
        Ok(Report { response: batch.response()?, summary: batch.summary(), published, conflicts })
    }

    /// The steps, in the order of SEMANTICS §5.
    async fn stride(&self, records: &[Indexed<'_, '_>], deadline: Deadline) -> StrideResult {
        let mut ended = Vec::with_capacity(records.len());
        let opened = self.open(records, &mut ended).await;
        let decoded = self.decode(&opened, &mut ended);
        let claims = self.look_up_claims(&decoded).await;
        let mut stride = assemble(decoded, claims);
        self.claim_effects(&mut stride).await;
        self.write_history(&mut stride).await;
        // So far everything is idempotent. Past this point, what was begun is finished.
        if !deadline.has_time(self.now_ms()) {
            ended.extend(stride.messages.iter().map(|message| (message.index, Outcome::Retry("deadline"))));
            return StrideResult { ended, published: 0, conflicts: 0 };
        }
        let published = self.publish(&mut stride.events).await;
        self.archive_rows(&mut stride).await;
        self.mark_processed(&mut stride).await;
        self.release_effects(&stride).await;
        ended.extend(stride.ended());
        StrideResult { ended, published, conflicts: stride.conflicts() }
    }

    fn decode<'a>(&self, opened: &'a [Opened<'_>], ended: &mut Vec<Ended>) -> Decoded<'a> {
        let shares = self.shares(opened, SHARES, |share| Decoded::decode(share, &self.thresholds));
        let mut decoded = Decoded::default();
        for share in shares {
            decoded.append(share);
        }
        ended.append(&mut decoded.ended);
        decoded
    }

    /// Decodes a batch without any effect and calls `show` with each event. Returns how many records were decoded.
    pub async fn inspect(&self, records: &[Record<'_>], mut show: impl FnMut(&PaymentEvent<'_>)) -> usize {
        let records: Vec<_> =
            records.iter().enumerate().map(|(index, record)| Indexed { index, record }).collect();
        let mut ended = Vec::new();
        let opened = self.open(&records, &mut ended).await;
        let decoded = self.decode(&opened, &mut ended);
        decoded.events.iter().for_each(|event| show(&event.payment));
        decoded.messages.len()
    }
}

/// The result of a stride.
struct StrideResult {
    ended: Vec<Ended>,
    published: usize,
    conflicts: usize,
}
