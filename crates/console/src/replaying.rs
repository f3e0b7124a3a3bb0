//! Webhooks that were chosen, sent again from the archive: it goes on while nobody looks.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use tollgate_core::{Timestamp, WebhookId};
use tollgate_operate::{
    audit::{Act, Reason},
    aws::Aws,
    dlq::forecast::Clock,
    replay::{Genuine, Lines, Onward, Progress, Run, Validator},
    search::Filters,
};
use tollgate_pipeline::replay::Mode;

use crate::{
    begun::{Begun, held},
    guard,
};

/// Webhooks a second, at most.
pub(crate) const FASTEST: u32 = 50;

/// A replay that was begun here.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) chosen: Vec<WebhookId>,
    pub(crate) reason: Reason,
    pub(crate) began: Timestamp,
    /// The act of its records.
    pub(crate) act: String,
    /// What a form must have that ends it.
    pub(crate) cancel: String,
    pub(crate) done: AtomicUsize,
    pub(crate) stop: AtomicBool,
    pub(crate) became: Mutex<Vec<Became>>,
    pub(crate) ended: Mutex<Option<Option<String>>>,
}

/// What became of one, or would.
#[derive(Debug, Clone)]
pub(crate) struct Became {
    pub(crate) webhook_id: WebhookId,
    pub(crate) what: Vec<String>,
}

impl Begun for Replay {
    fn is_under_way(&self) -> bool {
        held(&self.ended).is_none()
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Became {
    fn of(webhook_id: WebhookId, progress: &Progress) -> Self {
        let what: Vec<String> = progress.counts.values().flat_map(|of| of.keys().cloned()).collect();
        let what = if what.is_empty() { vec!["not in the archive".to_owned()] } else { what };
        Self { webhook_id, what }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.what.iter().all(|what| matches!(what.as_str(), "genuine" | "accepted" | "known before"))
    }
}

/// Sends one, wherever `onward` leads.
async fn one<O: Onward>(
    aws: &Aws,
    clock: Clock,
    webhook_id: WebhookId,
    onward: O,
    act: Option<&mut Act>,
) -> anyhow::Result<Became> {
    let query = Filters { id: Some(webhook_id.to_string()), ..Filters::default() }.query(clock())?;
    let stop = AtomicBool::new(false);
    let acts = act.into_iter().collect();
    let mut run = Run { source: aws, query: &query, onward, rate: FASTEST, stop: &stop, acts, clock };
    let ended = run.go(Progress::default(), |_| Ok(())).await;
    match ended.error {
        Some(problem) => Err(problem),
        None => Ok(Became::of(webhook_id, &ended.progress)),
    }
}

/// What would become of one, if it was sent again.
pub(crate) async fn foresee(aws: &Aws, clock: Clock, webhook_id: WebhookId) -> anyhow::Result<Became> {
    let judge = Validator::of(aws, "foreseen", Mode::Foresee)?;
    one(aws, clock, webhook_id, Genuine { judge, to: None::<Lines> }, None).await
}

impl Replay {
    /// One that was recorded, and that is to go on.
    pub(crate) fn new(
        chosen: Vec<WebhookId>,
        reason: Reason,
        act: &Act,
        began: Timestamp,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            chosen,
            reason,
            began,
            act: act.name().to_owned(),
            cancel: guard::random()?,
            done: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            became: Mutex::default(),
            ended: Mutex::new(None),
        })
    }

    /// Sends them, one after the other.
    pub(crate) async fn go(&self, aws: &Aws, clock: Clock, rate: u32, mut act: Act) {
        let error = self.send(aws, clock, rate, &mut act).await;
        *held(&self.ended) = Some(error);
    }

    /// Why it ended before its end.
    async fn send(&self, aws: &Aws, clock: Clock, rate: u32, act: &mut Act) -> Option<String> {
        let mut pace = interval(Duration::from_secs(1) / rate.max(1));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut error = None;
        for webhook_id in &self.chosen {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            pace.tick().await;
            let sent = async {
                let validator = Validator::of(aws, act.name().to_owned(), Mode::Take)?;
                one(aws, clock, *webhook_id, validator, Some(act)).await
            };
            match sent.await {
                Ok(became) => held(&self.became).push(became),
                Err(problem) => {
                    error = Some(format!("{webhook_id}: {problem:#}"));
                    break;
                }
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        let mut counts = BTreeMap::<String, u64>::new();
        for what in held(&self.became).iter().flat_map(|one| one.what.clone()) {
            *counts.entry(what).or_default() += 1;
        }
        let details =
            json!({ "counts": counts, "stopped": self.stop.load(Ordering::Relaxed), "error": error });
        match act.end(clock(), Vec::new(), details).await {
            Ok(()) => error,
            Err(problem) => Some(error.unwrap_or_else(|| format!("{problem:#}"))),
        }
    }
}
