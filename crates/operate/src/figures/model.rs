//! Figures, whichever source they come from.

use std::collections::BTreeMap;

use serde::Serialize;
use tollgate_core::{EndpointId, Timestamp};

use super::{backlog::Backlog, histogram::Histogram};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// From this moment on, rounded down to a step.
    pub from: Timestamp,
    /// Before this moment, rounded up to a step.
    pub to: Timestamp,
    /// Only webhooks of this endpoint are counted. How long things take is not known by endpoint.
    pub endpoint: Option<EndpointId>,
    /// The length of a step, in seconds, at least; `None`: some hundred steps.
    pub step_seconds: Option<u32>,
}

/// Where the figures come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// CloudWatch's metrics.
    Cloudwatch,
    /// The functions' logs of a local platform.
    Logs,
}

/// Webhooks by how they ended at the validator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Accepted and durable.
    pub accepted: u64,
    /// Known before.
    pub duplicates: u64,
    /// Refused, or not taken for want of something.
    pub refused: u64,
}

impl Counts {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.accepted.saturating_add(self.duplicates).saturating_add(self.refused)
    }
}

/// The webhooks of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When it begins.
    pub at: Timestamp,
    /// Its webhooks.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The webhooks of one endpoint. `unknown` stands for all names that are no endpoint's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OfEndpoint {
    /// Its name.
    pub endpoint: String,
    /// Its webhooks.
    #[serde(flatten)]
    pub counts: Counts,
    /// Those that were refused, by the reason.
    pub refused_by: BTreeMap<String, u64>,
}

/// What the processor did with the messages of one intake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Processed {
    /// `intake` or `intake-ordered`.
    pub queue: String,
    /// Receives of messages.
    pub records: u64,
    /// Those that took effect.
    pub processed: u64,
    /// Those whose events were processed before.
    pub duplicates: u64,
    /// Those that were set aside.
    pub quarantined: u64,
    /// Those that come back.
    pub failed: u64,
    /// Events on the bus.
    pub published: u64,
    /// Events that contradict what their id first said.
    pub conflicts: u64,
}

/// What the archival function wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Archived {
    /// Rows.
    pub rows: u64,
    /// Objects.
    pub objects: u64,
    /// Their size.
    pub bytes: u64,
    /// Messages that come back.
    pub failures: u64,
}

/// How long a part of a webhook's way takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    /// Which part.
    pub part: Part,
    /// Webhooks.
    pub count: u64,
    /// Milliseconds that half of them took at most.
    pub p50: Option<u64>,
    /// That nine of ten took at most.
    pub p90: Option<u64>,
    /// That 99 of a hundred took at most.
    pub p99: Option<u64>,
    /// That the slowest took.
    pub max: Option<u64>,
    /// All of them.
    pub histogram: Histogram,
}

/// A part of a webhook's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// From a request's arrival in the validator to its answer.
    Validator,
    /// From its arrival until the processor begins with the batch that it is in.
    QueueWait,
    /// From its arrival until the processor is done with it: its events are published and marked, and its archive row waits.
    EndToEnd,
}

impl Part {
    /// All of them, in the order of the way.
    pub const ALL: [Self; 3] = [Self::Validator, Self::QueueWait, Self::EndToEnd];

    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validator => "validator",
            Self::QueueWait => "queue wait",
            Self::EndToEnd => "end to end",
        }
    }
}

/// The figures of a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Where they come from.
    pub source: Source,
    /// From this moment on.
    pub from: Timestamp,
    /// Before this moment.
    pub to: Timestamp,
    /// The length of a step.
    pub step_seconds: u32,
    /// All webhooks.
    pub webhooks: Counts,
    /// All that were refused, by the reason.
    pub refused_by: BTreeMap<String, u64>,
    /// By endpoint, in the order of their names.
    pub endpoints: Vec<OfEndpoint>,
    /// By time: every step, without gaps.
    pub steps: Vec<Step>,
    /// Of each intake that had something.
    pub processed: Vec<Processed>,
    /// What was archived.
    pub archived: Archived,
    /// By part.
    pub latency: Vec<Latency>,
    /// What is not known, in words.
    pub notes: Vec<String>,
}

/// The last minutes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Now {
    /// The last two minutes, second by second; on AWS the last fifteen minutes, minute by minute.
    #[serde(flatten)]
    pub figures: Figures,
    /// What waits in each queue.
    pub queues: Vec<Backlog>,
}
