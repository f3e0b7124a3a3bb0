//! What would become of dead letters if they were sent back.

use std::fmt;

use anyhow::Context;
use aws_sdk_sqs::Client;
use serde::Serialize;
use tollgate_aws::{
    endpoints::S3Endpoints, ledger::DynamoLedger, payloads::S3Payloads, transactions::DynamoTransactions,
};
use tollgate_core::{EventId, EventType, Fingerprint, LedgerKey, Money, Queue, Timestamp};
use tollgate_pipeline::{
    archive::unpack,
    directory::{Directory, Freshness},
    objects::Objects,
    process::{Before, End, Foreseen, Looking, Nobody, Process, ReadOnly, Receives, Record, Told},
};
use tollgate_risk::Thresholds;

use super::{
    Dead, Source,
    routes::{Onward, Routes},
};
use crate::aws::Aws;

/// The time of day, as the tool's edge reads it.
pub type Clock = fn() -> Timestamp;

/// What would become of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "end", content = "why", rename_all = "snake_case")]
pub enum Prediction {
    /// The processor would process it, and its event takes effect.
    TakesEffect,
    /// The same, behind a later state of its payment that is known already: the event is published as superseded.
    OrderBroken,
    /// Its events are processed: it would be dropped as a duplicate.
    AlreadyProcessed,
    /// Its reader gets it again; what that makes of it nobody knows here.
    Delivered,
    /// The workflow would be started again with it.
    StartedAgain,
    /// It would be set aside again, for its facts contradict those that its event's id was claimed with.
    Conflicts,
    /// It would be set aside again, or come back, for this reason.
    FailsAgain(String),
    /// There is nowhere to send it, for this reason.
    Stays(String),
    /// It stands behind one of its FIFO group that stays: sent now, it would overtake it.
    Waits,
    /// What is asked for this does not answer, or not whoever asks.
    Unknown(String),
}

impl Prediction {
    /// Whether a redrive sends it; `all` has it send what would fail again, too.
    pub fn is_sent(&self, all: bool) -> bool {
        match self {
            Self::TakesEffect
            | Self::OrderBroken
            | Self::AlreadyProcessed
            | Self::Delivered
            | Self::StartedAgain
            | Self::Unknown(_) => true,
            Self::Conflicts | Self::FailsAgain(_) => all,
            Self::Stays(_) | Self::Waits => false,
        }
    }

    fn of(foreseen: &Foreseen) -> Self {
        match foreseen.end {
            End::TakesEffect if foreseen.events.iter().any(|event| event.is_behind == Some(true)) => {
                Self::OrderBroken
            }
            End::TakesEffect => Self::TakesEffect,
            End::Done => Self::AlreadyProcessed,
            End::Refused("conflicting_facts") => Self::Conflicts,
            End::Refused(reason) => Self::FailsAgain(reason.to_owned()),
            End::Unknown(reason) => Self::Unknown(reason.to_owned()),
        }
    }
}

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TakesEffect => f.write_str("takes effect"),
            Self::OrderBroken => f.write_str("takes effect behind a later state of its payment"),
            Self::AlreadyProcessed => f.write_str("already processed: dropped"),
            Self::Delivered => f.write_str("its reader gets it again"),
            Self::StartedAgain => f.write_str("the workflow is started again"),
            Self::Conflicts => f.write_str("conflicts: set aside again"),
            Self::FailsAgain(reason) => write!(f, "fails again: {reason}"),
            Self::Stays(reason) => write!(f, "stays: {reason}"),
            Self::Waits => f.write_str("stays: behind one of its payment that stays"),
            Self::Unknown(reason) => write!(f, "cannot be told: {reason}"),
        }
    }
}

/// What becomes of a dead letter, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// What would become of it.
    pub prediction: Prediction,
    /// The events that its endpoint's normaliser reads now.
    pub events: Vec<EventTold>,
}

/// What an event says of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaymentFacts {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The payment object.
    pub transaction_id: String,
    /// What moved or is to move.
    pub movement_id: String,
    /// Absent where its provider sends none.
    pub amount: Option<Money>,
    /// When it happened; when it arrived, where the provider does not say it.
    pub occurred_at: Timestamp,
}

/// An event of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventTold {
    /// Our id.
    pub id: EventId,
    /// What it says.
    #[serde(flatten)]
    pub facts: PaymentFacts,
    /// The key of its claim: its endpoint and the provider's id.
    pub claim: String,
    /// Why it has no effect.
    pub refused: Option<&'static str>,
    /// Whether a later state of its payment is known.
    pub is_behind: Option<bool>,
    #[serde(skip)]
    pub(crate) key: LedgerKey,
    /// What two deliveries of it must share.
    #[serde(skip)]
    pub(crate) fingerprint: Fingerprint,
    /// It needs this message no more.
    #[serde(skip)]
    pub(crate) is_done: bool,
}

/// Where a dead letter goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// To a queue.
    Queue(Onward),
    /// Into a new run of the workflow.
    Workflow,
    /// Nowhere.
    None,
}

type Looker = Looking<S3Endpoints, Clock, DynamoLedger, DynamoTransactions, S3Payloads>;

/// Foresees what becomes of the dead letters of one queue, one after the other.
pub struct Forecaster {
    source: Source,
    routes: Option<Routes>,
    process: Process<Looker>,
    before: Before,
}

impl fmt::Debug for Forecaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forecaster").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Forecaster {
    /// For the dead letters of `source`. Endpoints are read, so that one that is missing is known to be.
    ///
    /// # Errors
    ///
    /// When the endpoints cannot be read, a queue is missing, or AWS does not answer.
    pub async fn new(aws: &Aws, sqs: &Client, clock: Clock, source: Source) -> anyhow::Result<Self> {
        let account = aws.account().await?;
        let dynamodb = aws_sdk_dynamodb::Client::new(&aws.config);
        let endpoints =
            S3Endpoints::new(aws.config.clone(), aws.names.endpoints_bucket(&account), aws.names.suffix());
        let process = Process {
            directory: Directory::new(endpoints, clock, Freshness::default()),
            clock,
            ledger: DynamoLedger::new(dynamodb.clone(), aws.names.ledger_table()),
            effects: Nobody,
            transactions: DynamoTransactions::new(dynamodb, aws.names.transactions_table()),
            bus: Nobody,
            archive: Nobody,
            payloads: ReadOnly(S3Payloads::new(aws.config.clone(), aws.names.payload_bucket(&account))),
            objects: Objects::new(Nobody, Nobody, clock, Freshness::default()),
            quarantine: Nobody,
            receives: Receives { tries: 1, last: 1 },
            // The tier of an amount decides nothing of what becomes of a message.
            thresholds: Thresholds::default(),
            is_parallel: false,
        };
        if source.is_intake() {
            process.directory.is_read().await.context("reading the endpoints")?;
        }
        let routes = Routes::find(aws, sqs, source).await?;
        Ok(Self { source, routes, process, before: Before::default() })
    }

    /// What would become of each, in their order, behind those that were asked for before, and where it goes.
    pub async fn foresee(&mut self, letters: &[Dead]) -> Vec<(Prediction, Way)> {
        let ways = letters.iter().map(|dead| self.way(dead));
        if !self.source.is_intake() {
            return ways.collect();
        }
        let ways: Vec<(Prediction, Way)> = ways.collect();
        let records: Vec<Record<'_>> = letters.iter().map(|dead| dead.record(self.source)).collect();
        let foreseen = self.process.foresee(&records, &mut self.before).await;
        let foreseen = foreseen.iter().map(Prediction::of);
        foreseen.zip(ways).map(|(prediction, (_, way))| (prediction, way)).collect()
    }

    /// The same of one, with the events that decoding it finds.
    pub async fn explain(&mut self, dead: &Dead) -> Explained {
        let (prediction, _) = self.way(dead);
        if !self.source.is_intake() {
            return Explained { prediction, events: Vec::new() };
        }
        let foreseen = self.process.foresee(&[dead.record(self.source)], &mut self.before).await;
        let Some(foreseen) = foreseen.into_iter().next() else {
            return Explained {
                prediction: Prediction::Unknown("unresolved".to_owned()),
                events: Vec::new(),
            };
        };
        let event = |told: &Told| EventTold {
            id: told.id,
            facts: PaymentFacts {
                kind: told.kind,
                transaction_id: told.transaction_id.clone(),
                movement_id: told.movement_id.clone(),
                amount: told.amount,
                occurred_at: told.occurred_at,
            },
            claim: told.key.as_str().to_owned(),
            key: told.key.clone(),
            refused: told.refused,
            is_behind: told.is_behind,
            fingerprint: told.fingerprint,
            is_done: told.is_done,
        };
        let events = foreseen.events.iter().map(event).collect();
        Explained { prediction: Prediction::of(&foreseen), events }
    }

    fn way(&self, dead: &Dead) -> (Prediction, Way) {
        match (&self.routes, self.source) {
            (Some(routes), source) => match routes.of(&dead.message) {
                Ok(onward) if source == Source::Of(Queue::Archive) && has_no_row(dead.body()) => {
                    (Prediction::FailsAgain("not_rows".to_owned()), Way::Queue(onward))
                }
                Ok(onward) => (Prediction::Delivered, Way::Queue(onward)),
                Err(reason) => (Prediction::Stays(reason), Way::None),
            },
            (None, Source::Workflow) if is_event(dead.body()) => (Prediction::StartedAgain, Way::Workflow),
            (None, Source::Workflow) => {
                (Prediction::Stays("it is no payment event: not the workflow's".to_owned()), Way::None)
            }
            (None, _) => (
                Prediction::Stays(
                    "an asynchronous invocation, which was in no queue: the next hour's takes its place. Purge it"
                        .to_owned(),
                ),
                Way::None,
            ),
        }
    }
}

/// Whether a line of it is none that this version's archival function reads.
fn has_no_row(body: &str) -> bool {
    unpack(body).any(|(_, line)| line.is_err())
}

/// Whether it is one of our payment events, as the workflow takes them.
fn is_event(body: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        schema: std::borrow::Cow<'a, str>,
    }
    serde_json::from_str::<Event<'_>>(body)
        .is_ok_and(|event| event.schema.starts_with("tollgate.payment-event/"))
}
