//! Turning an intake batch into payment events, once each.
//!
//! Records go through the steps in strides, because every step is a batch call: look up the claims, fetch what webhooks only
//! name, claim the effects, write the history, and then, section by section, publish, archive, mark as processed. The ledger is marked last, so
//! that a crash at any point leads to a repeat and never to a gap. What is repeated has the same keys, the same `id` and
//! the same `restates`.
//!
//! Success is proven: a record that no step finished comes back.

mod admit;
mod answers;
mod assemble;
mod decode;
mod foresee;
mod open;
mod parallel;
mod record;
mod refusal;
mod set_aside;
mod steps;
mod stride;
mod strides;
mod use_case;

use std::{collections::HashSet, mem};

use tollgate_batch::{Batch, Deadline, Kind, Response, Summary, Unreportable};
use tollgate_core::{LedgerKey, PaymentEvent};
use tracing::warn;

use self::{
    assemble::assemble,
    decode::Decoded,
    open::Opened,
    parallel::SHARES,
    record::{Ended, Indexed, Tries},
    steps::enrich::Shared,
    strides::strides,
};
use crate::ports::ProcessPorts;

pub use self::{
    foresee::{Before, End, Foreseen, Looking, Nobody, ReadOnly, Told},
    parallel::{PARALLEL_FROM, init_thread_pool},
    record::{Receives, Record},
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
        let tries = Tries::new(self.receives, kind, records);
        let mut batch = Batch::new(kind, records.iter().map(|record| (record.message_id, record.group)));
        let (mut published, mut conflicts) = (0, 0);
        let mut shared = Shared::default();
        'waves: while let Some(wave) = batch.next_wave() {
            let indexed = |index| {
                records.get(index).map(|record| Indexed { index, record }).ok_or(Unreportable { index })
            };
            let wave = wave.into_iter().map(indexed).collect::<Result<Vec<_>, _>>()?;
            for stride in strides(&wave) {
                if !deadline.has_time(self.now_ms()) {
                    break 'waves;
                }
                let done = self.stride(stride, &tries, &mut shared, deadline).await;
                published += done.published;
                conflicts += done.conflicts;
                let judge = |(index, outcome)| (index, tries.judge(index, outcome));
                let ended = done.ended.into_iter().map(judge).collect();
                let ended = self.set_aside(kind, ended, &done.accepted, records, deadline).await;
                self.note_aside(done.too_old, &ended).await;
                for (index, outcome) in ended {
                    if let Err(problem) = batch.settle(index, outcome) {
                        warn!(error = %problem, "outcome without a record");
                    }
                }
            }
        }
        Ok(Report { response: batch.response()?, summary: batch.summary(), published, conflicts })
    }

    /// The steps, in the order of SEMANTICS §5.
    async fn stride(
        &self,
        records: &[Indexed<'_, '_>],
        tries: &Tries<'_, '_>,
        shared: &mut Shared,
        deadline: Deadline,
    ) -> StrideResult {
        let mut ended = Vec::with_capacity(records.len());
        let opened = self.open(records, &mut ended).await;
        let decoded = self.decode(&opened, &mut ended);
        let mut claims = self.look_up_claims(&decoded, tries).await;
        let too_old = mem::take(&mut claims.allowed.told);
        let assembled = assemble(decoded, claims, tries);
        let fetched = self.fetch_objects(&assembled, &opened, tries, shared, deadline).await;
        // Its events borrow from what was fetched.
        let mut stride = assembled;
        self.enrich(&mut stride, &opened, &fetched);
        self.claim_effects(&mut stride).await;
        self.write_history(&mut stride, deadline).await;
        self.fit_rows(&mut stride, deadline).await;
        let mut published = 0;
        // So far everything is idempotent. What a section publishes is archived and marked before the next one is begun.
        for section in stride.sections(SECTION) {
            if deadline.has_time(self.now_ms()) {
                published += self.publish(&mut stride, &section).await;
                self.archive_rows(&mut stride, &section).await;
                self.mark_processed(&mut stride, &section).await;
            } else {
                stride.put_off(&section);
            }
        }
        // A claim that is not released is another delivery's when its lease is over.
        if deadline.has_time(self.now_ms()) {
            self.release_effects(&stride, tries).await;
        }
        ended.extend(stride.ended());
        let accepted = stride.messages().filter(|(message, _)| message.is_accepted);
        let accepted = accepted.map(|(message, _)| message.index).collect();
        StrideResult { ended, accepted, too_old, published, conflicts: stride.conflicts() }
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

/// Messages that are published, archived and marked before more are published: enough to keep each step's calls in flight
/// for a while, and few enough that a slow bus leaves little behind the deadline.
const SECTION: usize = 500;

/// The result of a stride.
struct StrideResult {
    ended: Vec<Ended>,
    /// The messages whose seal a claim has, by their records' index.
    accepted: HashSet<usize>,
    /// The claims of what is too old, with the index of the message's record.
    too_old: Vec<(usize, LedgerKey)>,
    published: usize,
    conflicts: usize,
}
