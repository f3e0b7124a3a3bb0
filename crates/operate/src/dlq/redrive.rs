//! Dead letters back to where they were to go.
//!
//! SQS's own move task takes a dead-letter queue of a queue alone ("StartMessageMoveTask", API reference), asks nothing
//! beforehand and knows no filter. So each message is received, sent and then deleted here, whichever queue it is in. Whoever
//! stops it loses nothing: at most one message was sent and is still there.

use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Context;
use aws_sdk_sqs::Client;
use serde::Serialize;
use serde_json::json;
use tokio::time::MissedTickBehavior;
use tollgate_core::Timestamp;

use super::{
    Alike, Filter, Letter, Opened, Source,
    forecast::{Clock, Forecaster, Prediction, Way},
    look,
    routes::send,
    sorting::{Bounds, Sorted, Sorting, TOGETHER_BYTES, gather},
};
use crate::{audit::Act, aws::Aws, dead_letters::DeadLetters, queues};

/// Messages a second, at most: as many as SQS's own move task allows.
pub const FASTEST: u32 = 500;
/// Messages that are looked at together, at most: each takes two calls, and over a link on which they take a second all of them are done
/// before they are shown to others again.
const TOGETHER: usize = 100;
/// How long the sending of those that are looked at together may take, in seconds: well under the two minutes for which they
/// are hidden from others.
const TOGETHER_SECONDS: u32 = 20;
/// What is to be sent back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Which.
    pub filter: Filter,
    /// Messages a second, at most; from 1.
    pub rate: u32,
    /// So many of each queue are looked at; as many as wait when it begins, where it is not said.
    pub most: Option<u64>,
    /// What would conflict or fail again is sent, too.
    pub all: bool,
}

/// What became of dead letters that are alike, and for which the same was foreseen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// What they have in common.
    #[serde(flatten)]
    pub alike: Alike,
    /// What was foreseen.
    pub prediction: Prediction,
    /// Sent there and deleted here, by the name of the queue or state machine.
    pub sent: BTreeMap<String, u64>,
    /// Left where they are.
    pub left: u64,
}

/// What a redrive did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// By group and by what was foreseen.
    pub moved: Vec<Moved>,
    /// Sent ones that are among the dead letters again.
    pub came_back: u64,
    /// Waiting for them was stopped: they are not counted.
    pub watch_stopped: bool,
    /// It was stopped: what was not sent is where it was.
    pub stopped: bool,
    /// Why it ended before its end.
    pub error: Option<String>,
}

impl Difference {
    /// How many were sent.
    pub fn sent(&self) -> u64 {
        self.moved.iter().flat_map(|moved| moved.sent.values()).sum()
    }

    /// How many that were wanted were left.
    pub fn left(&self) -> u64 {
        self.moved.iter().map(|moved| moved.left).sum()
    }

    /// Whether anything may come back.
    pub fn is_to_be_watched(&self) -> bool {
        self.sent() > 0 && !self.stopped && self.error.is_none()
    }
}

/// Sends dead letters back, and says what came of it. Before each part of them is sent, a record names it. What is there once
/// more since it began is not sent again. It ends early, with nothing lost, once `stop` says so. `tell` is told of each that was
/// looked at.
pub async fn redrive(
    aws: &Aws,
    clock: Clock,
    plan: &Plan,
    act: &mut Act,
    stop: &AtomicBool,
    mut tell: impl FnMut(&Letter),
) -> (Difference, Sent) {
    let began = clock();
    let mut run = Run {
        aws,
        clock,
        plan,
        act,
        stop,
        began,
        sent: Sent::default(),
        moved: BTreeMap::new(),
        looked_at: 0,
        workflow: None,
    };
    let mut error = None;
    for source in plan.filter.sources() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if let Err(problem) = run.queue(source, &mut tell).await {
            error = Some(format!("{problem:#}"));
            break;
        }
    }
    let moved = run.moved.into_values().collect();
    let stopped = stop.load(Ordering::Relaxed);
    (Difference { moved, stopped, error, ..Difference::default() }, run.sent)
}

/// What was sent, so that it is known again.
#[derive(Debug, Default)]
pub struct Sent {
    began: Option<Timestamp>,
    /// By what names it, however often it is sent.
    known: HashSet<String>,
    /// Whole names of the queues that it was sent to.
    to: HashSet<String>,
    from: HashSet<Source>,
}

impl Sent {
    fn name(letter: &Letter) -> String {
        letter.ids.first().unwrap_or(&letter.body_sha256).clone()
    }

    fn is(&self, letter: &Letter) -> bool {
        self.began.is_some_and(|began| letter.sent_at >= began) && self.known.contains(&Self::name(letter))
    }
}

struct Run<'a> {
    aws: &'a Aws,
    clock: Clock,
    plan: &'a Plan,
    act: &'a mut Act,
    stop: &'a AtomicBool,
    began: Timestamp,
    sent: Sent,
    moved: BTreeMap<(Alike, Prediction), Moved>,
    /// Of the queue that is worked on, without those that came back.
    looked_at: u64,
    /// The state machine's ARN, once it is asked for.
    workflow: Option<String>,
}

impl Run<'_> {
    async fn queue(&mut self, source: Source, tell: &mut impl FnMut(&Letter)) -> anyhow::Result<()> {
        let sqs = Client::new(&self.aws.config);
        let opened = Opened::of(self.aws, &sqs, source).await?;
        let mut letters = DeadLetters::new(&sqs, &opened.url);
        let redriven = self.letters(&sqs, &opened, &mut letters, tell).await;
        let given_back = letters.give_back().await;
        redriven.and(given_back).with_context(|| format!("redriving {}", opened.name))
    }

    async fn letters(
        &mut self,
        sqs: &Client,
        opened: &Opened,
        letters: &mut DeadLetters<'_>,
        tell: &mut impl FnMut(&Letter),
    ) -> anyhow::Result<()> {
        let rate = self.plan.rate.clamp(1, FASTEST);
        let together = usize::try_from(rate.saturating_mul(TOGETHER_SECONDS))?.min(TOGETHER);
        let bounds = Bounds { most: together, bytes: TOGETHER_BYTES };
        let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
        // What took longer is not made up for.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut forecaster = Forecaster::new(self.aws, sqs, self.clock, opened.source).await?;
        let mut sorting = Sorting::default();
        let most = self.plan.most.unwrap_or(opened.waiting).min(opened.waiting);
        self.looked_at = 0;
        let mut nothing_new = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let batch =
                gather(letters, &bounds, most.saturating_sub(self.looked_at), &mut nothing_new).await?;
            if batch.is_empty() {
                break;
            }
            let sorted =
                sorting.sort(opened, &self.plan.filter, &mut forecaster, batch, self.plan.all).await?;
            let ids = sorted.iter().filter(|one| one.prediction.is_sent(self.plan.all));
            let ids: Vec<String> = ids.flat_map(|one| named(&one.letter)).collect();
            if !ids.is_empty() {
                self.act.part((self.clock)(), ids, json!({ "queue": opened.name })).await?;
            }
            for one in sorted {
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                tell(&one.letter);
                self.one(sqs, opened, letters, &mut pace, one).await?;
            }
        }
        Ok(())
    }

    async fn one(
        &mut self,
        sqs: &Client,
        opened: &Opened,
        letters: &mut DeadLetters<'_>,
        pace: &mut tokio::time::Interval,
        one: Sorted,
    ) -> anyhow::Result<()> {
        let Sorted { dead, letter, prediction, way } = one;
        if self.sent.is(&letter) {
            return Ok(());
        }
        self.looked_at += 1;
        let key = (letter.alike.clone(), prediction.clone());
        let to = match way {
            _ if !prediction.is_sent(self.plan.all) => None,
            Way::None => None,
            Way::Queue(onward) => {
                pace.tick().await;
                send(sqs, &onward, &dead.message).await?;
                let name = onward.url.rsplit('/').next().unwrap_or(&onward.url).to_owned();
                self.sent.to.insert(name.clone());
                Some(name)
            }
            Way::Workflow => {
                pace.tick().await;
                Some(self.start(dead.body()).await?)
            }
        };
        let moved = self.moved.entry(key).or_insert_with(|| Moved {
            alike: letter.alike.clone(),
            prediction,
            sent: BTreeMap::new(),
            left: 0,
        });
        let Some(to) = to else {
            moved.left += 1;
            return Ok(());
        };
        self.sent.began = Some(self.began);
        self.sent.known.insert(Sent::name(&letter));
        self.sent.from.insert(opened.source);
        letters.delete(&dead.id).await?;
        *moved.sent.entry(to).or_default() += 1;
        Ok(())
    }

    /// Starts the workflow with a payment event. Its decision on an event stands, so a second run tells the alert again at most.
    async fn start(&mut self, event: &str) -> anyhow::Result<String> {
        let name = self.aws.names.state_machine();
        let arn = match &self.workflow {
            Some(arn) => arn.clone(),
            None => {
                let actor = self.aws.actor().await?;
                let partition = actor.split(':').nth(1).unwrap_or("aws");
                let region = self.aws.config.region().context("no region")?;
                let account = self.aws.account().await?;
                let arn = format!("arn:{partition}:states:{region}:{account}:stateMachine:{name}");
                self.workflow.insert(arn).clone()
            }
        };
        let sfn = aws_sdk_sfn::Client::new(&self.aws.config);
        let started = sfn.start_execution().state_machine_arn(arn).input(event).send().await;
        started.map_err(aws_sdk_sfn::Error::from).context("starting the workflow again")?;
        Ok(name)
    }
}

/// The ids that a record has of a dead letter: SQS's, and those that it names.
pub(super) fn named(letter: &Letter) -> Vec<String> {
    [std::slice::from_ref(&letter.message_id), &letter.ids].concat()
}

/// Waits until the queues that were sent to are empty, `seconds` at most, and adds what is among the dead letters again. That it
/// could not be looked for is no reason to forget what was done. `stop` ends it within a second.
pub async fn watch(aws: &Aws, sent: &Sent, seconds: u32, stop: &AtomicBool, difference: &mut Difference) {
    match came_back(aws, sent, seconds, stop).await {
        Ok(Some(count)) => difference.came_back = count,
        Ok(None) => difference.watch_stopped = true,
        Err(problem) => difference.error = Some(format!("looking for what came back: {problem:#}")),
    }
}

/// `None`: it was stopped.
async fn came_back(aws: &Aws, sent: &Sent, seconds: u32, stop: &AtomicBool) -> anyhow::Result<Option<u64>> {
    let is_stopped = || stop.load(Ordering::Relaxed);
    let sqs = Client::new(&aws.config);
    let mut rest = sent.to.clone();
    for _ in 0..seconds {
        let mut busy = HashSet::new();
        for name in rest {
            let depth = queues::depth(&sqs, name.clone(), false).await?;
            if depth.visible + depth.in_flight + depth.delayed > 0 {
                busy.insert(name);
            }
        }
        rest = busy;
        if rest.is_empty() || is_stopped() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut count = 0;
    for source in &sent.from {
        let opened = Opened::of(aws, &sqs, *source).await?;
        look(&sqs, &opened, super::MOST, |dead| {
            count += u64::from(sent.is(&dead.letter(&opened)?));
            Ok(!is_stopped())
        })
        .await?;
    }
    Ok((!is_stopped()).then_some(count))
}
