//! Turning an intake batch into payment events, once each.
//!
//! For each event: transaction record → bus → archive queue → ledger `processed`. The ledger comes last, so that a
//! crash at any point leads to a repeat and never to a gap; what is repeated has the same keys and the same `id`.
//! The steps run over many records at a time, because every one of them is a batch call.

mod decode;
mod effects;

use std::{borrow::Cow, sync::Arc};

use futures_util::{StreamExt, stream};
use tollgate_batch::{Batch, Deadline, Kind, Outcome, Response, Summary, Unreportable};
use tollgate_providers::Endpoint;
use tollgate_risk::Thresholds;
use tracing::warn;

use self::decode::{Opened, Work};
use crate::{
    directory::Directory,
    intake::{Content, Encoding, IntakeMessage, attribute},
    ports::{
        ArchiveQueue, Clock, EndpointSource, EventBus, Ledger, PayloadSource, PayloadStore, Poison,
        PortError, Quarantine, Transactions,
    },
};

/// Records that go through the steps together. Enough to fill every batch call many times over, and few enough
/// that the deadline is looked at every second or so.
const STRIDE: usize = 500;
/// Claim-checked bodies of one stride, all in memory together: 16 of the largest that the validator takes (4 MB) are
/// 64 MB.
const CLAIM_CHECKS_A_STRIDE: usize = 16;
/// Claim-checked bodies fetched at once.
const FETCHES_IN_FLIGHT: usize = 8;
/// Messages sent to the quarantine at once.
const QUARANTINED_IN_FLIGHT: usize = 8;

/// One message of the batch.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// What a failure is reported by.
    pub message_id: &'a str,
    /// The FIFO group; `None` on a standard queue.
    pub group: Option<&'a str>,
    /// The message body.
    pub body: &'a str,
    /// The message attributes' texts.
    pub attributes: Vec<(&'a str, &'a str)>,
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
                let outcomes: Vec<(usize, Outcome)> = stream::iter(done.outcomes)
                    .map(|(index, outcome)| async move {
                        (index, self.quarantined(outcome, records.get(index)).await)
                    })
                    .buffered(QUARANTINED_IN_FLIGHT)
                    .collect()
                    .await;
                for (index, outcome) in outcomes {
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
        let opened: Vec<(usize, Result<Opened, Outcome>)> = stream::iter(indices)
            .map(|&index| async move {
                match records.get(index) {
                    Some(record) => (index, self.open(record).await),
                    None => (index, Err(Outcome::Retry("no_such_record"))),
                }
            })
            .buffered(FETCHES_IN_FLIGHT)
            .collect()
            .await;
        let mut done = Done::default();
        let mut works = Vec::with_capacity(opened.len());
        for (index, opened) in &opened {
            let decoded = opened.as_ref().map_err(|outcome| *outcome).and_then(|opened| {
                tollgate_batch::guard(|| decode::decode(*index, opened, &self.thresholds)).map_err(|panic| {
                    warn!(error = %panic, "record panicked");
                    Outcome::from(panic)
                })
            });
            match decoded {
                Ok(work) => works.push(work),
                Err(outcome) => done.outcomes.push((*index, outcome)),
            }
        }
        self.effects(works, deadline, &mut done).await;
        done
    }

    /// The message, its endpoint and its exact bytes.
    async fn open(&self, record: &Record<'_>) -> Result<Opened, Outcome> {
        let attribute = |name: &str| {
            let found = record.attributes.iter().find(|(known, _)| *known == name);
            found.map(|(_, text)| Cow::Borrowed(*text))
        };
        let poison = |problem: &dyn std::fmt::Display, reason| {
            warn!(error = %problem, message_id = record.message_id, reason, "message set aside");
            Outcome::Poison(reason)
        };
        let message = IntakeMessage::read(record.body, attribute)
            .map_err(|problem| poison(&problem, "not_an_intake_message"))?;
        let endpoint = self.endpoint(&message).await?;
        let content = message.inline_bytes().map_err(|problem| poison(&problem, "body_undecodable"))?;
        let bytes = match content {
            Content::Inline(bytes) => bytes.into_owned(),
            Content::Claimed(claim) => {
                let bytes = self.payloads.get(&claim.key).await.map_err(|problem| match problem {
                    PortError::Retryable { .. } => retry("payload_unavailable", &problem),
                    PortError::Permanent { .. } => poison(&problem, "payload_missing"),
                })?;
                claim.check(&bytes).map_err(|problem| poison(&problem, "payload_altered"))?;
                bytes
            }
        };
        Ok(Opened { message, endpoint, bytes })
    }

    async fn endpoint(&self, message: &IntakeMessage) -> Result<Arc<Endpoint>, Outcome> {
        match self.directory.endpoint(message.endpoint.as_str()).await {
            Ok(Some(endpoint)) => Ok(endpoint),
            // It was known to the validator: our reading is late, or it was removed and may come back.
            Ok(None) => Err(Outcome::Retry("unknown_endpoint")),
            Err(problem) => Err(retry("endpoints_unavailable", &problem)),
        }
    }

    /// Sends poison to the quarantine; what cannot be sent stays poison and comes back.
    async fn quarantined(&self, outcome: Outcome, record: Option<&Record<'_>>) -> Outcome {
        let (Outcome::Poison(reason), Some(record)) = (outcome, record) else { return outcome };
        let poison = Poison {
            message_id: record.message_id,
            group: record.group,
            body: record.body,
            attributes: &record.attributes,
            reason,
        };
        match self.quarantine.send(poison).await {
            Ok(()) => Outcome::Quarantined(reason),
            Err(problem) => {
                warn!(error = %problem, reason, "not quarantined");
                outcome
            }
        }
    }
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

fn retry(reason: &'static str, problem: &PortError) -> Outcome {
    warn!(error = %problem, reason, "record will be retried");
    Outcome::Retry(reason)
}
