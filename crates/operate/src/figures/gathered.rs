//! What a source tells, put together.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use tollgate_core::{EndpointId, Timestamp};

use super::{
    histogram::Histogram,
    model::{Archived, Counts, Figures, Latency, OfEndpoint, Part, Processed, Source, Step, Wanted},
};

/// Lengths of a step, in seconds. CloudWatch has none below a minute.
pub(super) const STEPS: [u32; 6] = [1, 10, 60, 300, 3_600, 86_400];
/// Steps of one answer, where none is asked for.
const USUAL_STEPS: i64 = 120;
/// Steps of one answer at most.
const MOST_STEPS: i64 = 10_000;

/// Steps of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) from: i64,
    pub(super) step: u32,
    pub(super) steps: usize,
}

impl Grid {
    /// Steps that cover what is wanted, none shorter than `least` seconds.
    pub(super) fn of(wanted: &Wanted, least: u32) -> anyhow::Result<Self> {
        let (from, to) = (wanted.from.as_second(), wanted.to.as_second());
        ensure!(from < to, "the time ends before it begins");
        let usual = u32::try_from((to - from) / USUAL_STEPS).unwrap_or(u32::MAX);
        let asked = wanted.step_seconds.unwrap_or(usual).max(least);
        let step = STEPS.into_iter().find(|step| *step >= asked).unwrap_or(86_400);
        let length = i64::from(step);
        let from = from - from.rem_euclid(length);
        let steps = (to - from + length - 1) / length;
        ensure!(steps <= MOST_STEPS, "more than {MOST_STEPS} steps of {step} seconds");
        Ok(Self { from, step, steps: usize::try_from(steps)? })
    }

    pub(super) fn end(&self) -> i64 {
        self.from + self.steps as i64 * i64::from(self.step)
    }

    /// Which step a moment is in.
    pub(super) fn step_of(&self, at: i64) -> Option<usize> {
        let step = usize::try_from((at - self.from).div_euclid(i64::from(self.step))).ok()?;
        (step < self.steps).then_some(step)
    }
}

/// How a webhook ended at the validator, as its metric says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Accepted,
    Duplicate,
    Refused,
}

impl Outcome {
    pub(super) fn of(text: &str) -> Option<Self> {
        match text {
            "accepted" => Some(Self::Accepted),
            "duplicate" => Some(Self::Duplicate),
            "rejected" => Some(Self::Refused),
            _ => None,
        }
    }
}

impl Counts {
    fn add(&mut self, outcome: Outcome, count: u64) {
        let one = match outcome {
            Outcome::Accepted => &mut self.accepted,
            Outcome::Duplicate => &mut self.duplicates,
            Outcome::Refused => &mut self.refused,
        };
        *one = one.saturating_add(count);
    }
}

/// What a source has told so far.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) grid: Grid,
    only: Option<EndpointId>,
    endpoints: BTreeMap<String, OfEndpoint>,
    steps: Vec<Counts>,
    processed: BTreeMap<String, Processed>,
    pub(super) archived: Archived,
    latency: BTreeMap<Part, Histogram>,
    notes: Vec<String>,
}

impl Gathered {
    pub(super) fn new(grid: Grid, only: Option<EndpointId>) -> Self {
        Self {
            grid,
            only,
            endpoints: BTreeMap::new(),
            steps: vec![Counts::default(); grid.steps],
            processed: BTreeMap::new(),
            archived: Archived::default(),
            latency: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn webhooks(
        &mut self,
        step: usize,
        endpoint: &str,
        outcome: Outcome,
        reason: &str,
        count: u64,
    ) {
        if count == 0 || self.only.is_some_and(|only| only.as_str() != endpoint) {
            return;
        }
        if let Some(step) = self.steps.get_mut(step) {
            step.add(outcome, count);
        }
        let of_endpoint = self
            .endpoints
            .entry(endpoint.to_owned())
            .or_insert_with(|| OfEndpoint { endpoint: endpoint.to_owned(), ..OfEndpoint::default() });
        of_endpoint.counts.add(outcome, count);
        if outcome == Outcome::Refused {
            *of_endpoint.refused_by.entry(reason.to_owned()).or_default() += count;
        }
    }

    pub(super) fn processed(&mut self, queue: &str) -> &mut Processed {
        let new = || Processed { queue: queue.to_owned(), ..Processed::default() };
        self.processed.entry(queue.to_owned()).or_insert_with(new)
    }

    pub(super) fn latency(&mut self, part: Part) -> &mut Histogram {
        self.latency.entry(part).or_default()
    }

    pub(super) fn figures(mut self, source: Source) -> anyhow::Result<Figures> {
        let at = |second| Timestamp::from_second(second).context("the time is out of range");
        let (mut webhooks, mut refused_by) = (Counts::default(), BTreeMap::<String, u64>::new());
        for one in self.endpoints.values() {
            webhooks.accepted += one.counts.accepted;
            webhooks.duplicates += one.counts.duplicates;
            webhooks.refused += one.counts.refused;
            for (reason, count) in &one.refused_by {
                *refused_by.entry(reason.clone()).or_default() += count;
            }
        }
        let (grid, length) = (self.grid, i64::from(self.grid.step));
        let steps = (0..)
            .zip(&self.steps)
            .map(|(number, counts)| Ok(Step { at: at(grid.from + number * length)?, counts: *counts }));
        let latency = |part| {
            let histogram = self.latency.remove(&part).unwrap_or_default();
            Latency {
                part,
                count: histogram.count(),
                p50: histogram.quantile(500),
                p90: histogram.quantile(900),
                p99: histogram.quantile(990),
                max: histogram.max(),
                histogram,
            }
        };
        Ok(Figures {
            source,
            from: at(grid.from)?,
            to: at(grid.end())?,
            step_seconds: grid.step,
            webhooks,
            refused_by,
            steps: steps.collect::<anyhow::Result<_>>()?,
            latency: Part::ALL.map(latency).into(),
            endpoints: self.endpoints.into_values().collect(),
            processed: self.processed.into_values().filter(|one| one.records > 0).collect(),
            archived: self.archived,
            notes: self.notes,
        })
    }
}
