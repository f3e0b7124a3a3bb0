//! Turning an intake batch into payment events, once each.
//!
//! For each event: transaction record → bus → archive queue → ledger `processed`. The ledger comes last, so that a
//! crash at any point leads to a repeat and never to a gap; what is repeated has the same keys and the same `id`.
//! The steps run over many records at a time, because every one of them is a batch call.

mod decode;
mod effects;

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
    fmt::Display,
    sync::Arc,
    thread,
};

use futures_util::{StreamExt, stream};
use rayon::prelude::*;
use tollgate_batch::{Batch, Deadline, Kind, Outcome, Response, Summary, Unreportable};
use tollgate_core::{EndpointId, PaymentEvent};
use tollgate_providers::Endpoint;
use tollgate_risk::Thresholds;
use tracing::warn;

use self::decode::{Decoded, Opened};
use crate::{
    directory::Directory,
    intake::{ClaimCheck, Content, Encoding, QueuedBody, QueuedMessage, attribute},
    ports::{
        ArchiveQueue, Clock, EndpointSource, EventBus, Ledger, PayloadSource, PayloadStore, Poison,
        PortError, Quarantine, Transactions,
    },
};

/// Records that go through the steps together. Enough to fill every batch call many times over, and few enough
/// that the deadline is looked at every second or so.
const STRIDE: usize = 2_000;
/// From so many records on, work on them is shared out: with fewer, to wake the other thread costs what it saves
/// (benches/COMPARE.md).
pub const PARALLEL_FROM: usize = 200;
/// Shares of the work for each thread: several, so that one that begins late leaves some of its own to the others.
const SHARES: usize = 4;
/// Claim-checked bodies of one stride, all in memory together: 16 of the largest that the validator takes (4 MB) are
/// 64 MB.
const CLAIM_CHECKS_A_STRIDE: usize = 16;
/// Claim-checked bodies fetched at once.
const FETCHES_IN_FLIGHT: usize = 8;
/// Messages sent to the quarantine at once.
const QUARANTINED_IN_FLIGHT: usize = 8;

/// Has this thread take part in the work that [`Process::is_parallel`] has it share out. Otherwise it would wait for
/// others to do it. To be called once, by the only thread that runs batches.
pub fn take_part() {
    let threads = thread::available_parallelism().map_or(2, |count| count.get().max(2));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread();
    if let Err(problem) = pool.build_global() {
        warn!(error = %problem, "work is shared out, but not with this thread");
    }
}

/// One message of the batch.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// What a failure is reported by.
    pub message_id: &'a str,
    /// The FIFO group; `None` on a standard queue.
    pub group: Option<&'a str>,
    /// The message body.
    pub body: &'a str,
    /// The same as it stands between quotes in JSON, where it is at hand: it is archived so.
    pub escaped_body: Option<&'a str>,
    /// The message attributes' texts.
    pub attributes: Cow<'a, [(&'a str, &'a str)]>,
}

/// What a batch came to.
#[derive(Debug)]
pub struct Report {
    /// The function's answer.
    pub response: Response,
    /// How the records ended.
    pub summary: Summary,
    /// Events published.
    pub published: usize,
    /// Events that contradicted what their id first said.
    pub conflicts: usize,
}

/// The use case and the ports it needs.
#[derive(Debug)]
pub struct Process<D, C, L, T, B, A, P, Q> {
    /// The endpoints, for their normalisers.
    pub directory: Directory<D, C>,
    /// The time.
    pub clock: C,
    /// The ledger.
    pub ledger: L,
    /// The transaction history.
    pub transactions: T,
    /// The event bus.
    pub bus: B,
    /// The archive queue.
    pub archive: A,
    /// Large bodies.
    pub payloads: P,
    /// Where poison goes.
    pub quarantine: Q,
    /// What makes an amount medium or high.
    pub thresholds: Thresholds,
    /// Whether there is more than one processor to decode on.
    pub is_parallel: bool,
}

impl<D, C, L, T, B, A, P, Q> Process<D, C, L, T, B, A, P, Q>
where
    D: EndpointSource,
    C: Clock,
    L: Ledger,
    T: Transactions,
    B: EventBus,
    A: ArchiveQueue,
    P: PayloadSource + PayloadStore,
    Q: Quarantine,
{
    /// Processes a batch. What was not begun by the deadline is reported as unprocessed.
    ///
    /// # Errors
    ///
    /// [`Unreportable`]: a record failed that has no message id; the invocation must fail.
    pub async fn run(
        &self,
        kind: Kind,
        records: &[Record<'_>],
        deadline: Deadline,
    ) -> Result<Report, Unreportable> {
        let mut batch = Batch::new(kind, records.iter().map(|record| (record.message_id, record.group)));
        let (mut published, mut conflicts) = (0, 0);
        'waves: while let Some(wave) = batch.next_wave() {
            for stride in strides(&wave, records) {
                if !deadline.has_time(self.now_ms()) {
                    break 'waves;
                }
                let done = self.stride(stride, records, deadline).await;
                published += done.published;
                conflicts += done.conflicts;
                for (index, outcome) in self.quarantined(done.outcomes, records).await {
                    if let Err(problem) = batch.settle(index, outcome) {
                        warn!(error = %problem, "outcome without a record");
                    }
                }
            }
        }
        Ok(Report { response: batch.response()?, summary: batch.summary(), published, conflicts })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.now().as_millisecond()).unwrap_or(0)
    }

    async fn stride(&self, indices: &[usize], records: &[Record<'_>], deadline: Deadline) -> Done {
        let mut done = Done::default();
        let opened = self.open(indices, records, &mut done).await;
        let decoded = self.decode(&opened, &mut done);
        self.effects(decoded, deadline, &mut done).await;
        done
    }

    /// Decodes a batch and shows each event, without any effect: what a batch would do. How many records decoded.
    pub async fn inspect(&self, records: &[Record<'_>], mut show: impl FnMut(&PaymentEvent<'_>)) -> usize {
        let indices: Vec<usize> = (0..records.len()).collect();
        let mut done = Done::default();
        let opened = self.open(&indices, records, &mut done).await;
        let decoded = self.decode(&opened, &mut done);
        decoded.effects.iter().for_each(|effect| show(&effect.event));
        decoded.works.len()
    }

    fn decode<'a>(&self, opened: &'a [Opened<'_>], done: &mut Done) -> Decoded<'a> {
        let mut shares =
            self.shares(opened, SHARES, |share| Decoded::of(share, &self.thresholds)).into_iter();
        let mut decoded = shares.next().unwrap_or_default();
        shares.for_each(|share| decoded.append(share));
        done.outcomes.append(&mut decoded.failed);
        decoded
    }

    /// The messages, their endpoints and their exact bytes.
    async fn open<'r>(
        &self,
        indices: &[usize],
        records: &'r [Record<'_>],
        done: &mut Done,
    ) -> Vec<Opened<'r>> {
        let read = self.shares(indices, SHARES, |share| {
            let record = |&index: &usize| read(index, records.get(index)).map_err(|outcome| (index, outcome));
            share.iter().map(record).collect::<Vec<_>>()
        });
        let read: Vec<Read<'_>> = done.keep(read.into_iter().flatten());
        let mut endpoints = HashMap::new();
        for Read { message, .. } in &read {
            if let Entry::Vacant(entry) = endpoints.entry(message.endpoint) {
                entry.insert(self.endpoint(&message.endpoint).await);
            }
        }
        let claims = read.iter().filter_map(|read| match &read.content {
            Content::ClaimCheck(claim) => Some((read, claim)),
            Content::Inline(_) => None,
        });
        // Made before any is awaited: a closure kept across an await would bar the whole from moving between threads.
        let fetches: Vec<_> =
            claims.map(|(read, claim)| async move { (read.index, self.fetch(claim, read).await) }).collect();
        let mut fetched: HashMap<usize, Result<QueuedBody<'_>, Outcome>> =
            stream::iter(fetches).buffer_unordered(FETCHES_IN_FLIGHT).collect().await;
        done.keep(read.into_iter().map(|read| {
            let index = read.index;
            let endpoint = endpoints.get(&read.message.endpoint).cloned();
            let body = match read.content {
                Content::Inline(body) => Ok(body),
                Content::ClaimCheck(_) => {
                    fetched.remove(&index).unwrap_or(Err(Outcome::Retry("payload_unavailable")))
                }
            };
            let open = || {
                let endpoint = endpoint.unwrap_or(Err(Outcome::Retry("unknown_endpoint")))?;
                let webhook = read.message.webhook(body?, &endpoint);
                let webhook =
                    webhook.map_err(|problem| poison("not_an_intake_message", &problem, read.message_id))?;
                Ok(Opened { index, message: read.message, endpoint, webhook })
            };
            open().map_err(|outcome| (index, outcome))
        }))
    }

    async fn fetch(&self, claim: &ClaimCheck, read: &Read<'_>) -> Result<QueuedBody<'static>, Outcome> {
        let message_id = read.message_id;
        let bytes = self.payloads.get(&claim.key).await.map_err(|problem| match problem {
            PortError::Retryable { .. } => retry("payload_unavailable", &problem),
            PortError::Permanent { .. } => poison("payload_missing", &problem, message_id),
        })?;
        let body = read.message.claim_checked_body(claim, bytes);
        body.map_err(|problem| poison("payload_altered", &problem, message_id))
    }

    /// `work` on items side by side: on all of them at once, or on so many shares for `each_thread`. In order.
    fn shares<'i, I: Sync, O: Send>(
        &self,
        items: &'i [I],
        each_thread: usize,
        work: impl Fn(&'i [I]) -> O + Send + Sync,
    ) -> Vec<O> {
        if self.is_parallel && items.len() >= PARALLEL_FROM {
            let length = items.len().div_ceil(rayon::current_num_threads() * each_thread);
            items.par_chunks(length).map(work).collect()
        } else {
            vec![work(items)]
        }
    }

    async fn endpoint(&self, id: &EndpointId) -> Result<Arc<Endpoint>, Outcome> {
        match self.directory.endpoint(id.as_str()).await {
            Ok(Some(endpoint)) => Ok(endpoint),
            // It was known to the validator: our reading is late, or it was removed and may come back.
            Ok(None) => Err(Outcome::Retry("unknown_endpoint")),
            Err(problem) => Err(retry("endpoints_unavailable", &problem)),
        }
    }

    /// Sends poison to the quarantine; what cannot be sent stays poison and comes back.
    async fn quarantined(
        &self,
        mut outcomes: Vec<(usize, Outcome)>,
        records: &[Record<'_>],
    ) -> Vec<(usize, Outcome)> {
        let is_poison = |(_, outcome): &mut (usize, Outcome)| matches!(outcome, Outcome::Poison(_));
        let poison: Vec<_> = outcomes.extract_if(.., is_poison).collect();
        let set_aside = stream::iter(poison)
            .map(|(index, outcome)| async move { (index, self.set_aside(outcome, records.get(index)).await) })
            .buffer_unordered(QUARANTINED_IN_FLIGHT);
        outcomes.extend(set_aside.collect::<Vec<_>>().await);
        outcomes
    }

    async fn set_aside(&self, outcome: Outcome, record: Option<&Record<'_>>) -> Outcome {
        let (Outcome::Poison(reason), Some(record)) = (outcome, record) else { return outcome };
        let poison = Poison {
            message_id: record.message_id,
            group: record.group,
            body: record.body,
            attributes: &record.attributes,
            reason,
        };
        match self.quarantine.send(poison).await {
            Ok(()) => {
                warn!(message_id = record.message_id, reason, "message set aside");
                Outcome::Quarantined(reason)
            }
            Err(problem) => {
                warn!(error = %problem, reason, "not quarantined");
                outcome
            }
        }
    }
}

/// A message as it was read, its body not yet at hand where it is claim-checked.
struct Read<'r> {
    index: usize,
    message_id: &'r str,
    message: QueuedMessage<'r>,
    content: Content<QueuedBody<'r>>,
}

fn read<'r>(index: usize, record: Option<&'r Record<'_>>) -> Result<Read<'r>, Outcome> {
    let record = record.ok_or(Outcome::Retry("no_such_record"))?;
    let message = QueuedMessage::read(record.body, &record.attributes)
        .map_err(|problem| poison("not_an_intake_message", &problem, record.message_id))?;
    let message = QueuedMessage { escaped_body: record.escaped_body, ..message };
    let content =
        message.content().map_err(|problem| poison("body_undecodable", &problem, record.message_id))?;
    Ok(Read { index, message_id: record.message_id, message, content })
}

/// Cuts a wave into strides.
fn strides<'w>(wave: &'w [usize], records: &[Record<'_>]) -> Vec<&'w [usize]> {
    let is_claim_check = |index: &usize| {
        let encoding = |record: &Record<'_>| {
            let named = record.attributes.iter().find(|(name, _)| *name == attribute::ENCODING);
            named.is_some_and(|(_, text)| *text == Encoding::ClaimCheck.as_str())
        };
        records.get(*index).is_some_and(encoding)
    };
    let (mut length, mut claim_checks) = (0, 0);
    let mut strides = Vec::new();
    let mut rest = wave;
    for index in wave {
        let adds = usize::from(is_claim_check(index));
        if length == STRIDE || claim_checks + adds > CLAIM_CHECKS_A_STRIDE {
            let (stride, after) = rest.split_at(length);
            strides.push(stride);
            (rest, length, claim_checks) = (after, 0, 0);
        }
        length += 1;
        claim_checks += adds;
    }
    strides.push(rest);
    strides
}

/// What a stride came to.
#[derive(Debug, Default)]
struct Done {
    outcomes: Vec<(usize, Outcome)>,
    published: usize,
    conflicts: usize,
}

impl Done {
    /// What went well; the rest is done.
    fn keep<T>(&mut self, results: impl Iterator<Item = Result<T, (usize, Outcome)>>) -> Vec<T> {
        let mut kept = Vec::with_capacity(results.size_hint().1.unwrap_or_default());
        for result in results {
            match result {
                Ok(value) => kept.push(value),
                Err(outcome) => self.outcomes.push(outcome),
            }
        }
        kept
    }
}

fn poison(reason: &'static str, problem: &dyn Display, message_id: &str) -> Outcome {
    warn!(error = %problem, message_id, reason, "message refused");
    Outcome::Poison(reason)
}

fn retry(reason: &'static str, problem: &PortError) -> Outcome {
    warn!(error = %problem, reason, "record will be retried");
    Outcome::Retry(reason)
}
