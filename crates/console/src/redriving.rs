//! Redrives that were begun here. They go on while nobody looks, one at a time, and end where nothing is lost.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use aws_sdk_sqs::Client;
use tollgate_core::Timestamp;
use tollgate_operate::{
    audit::{Act, Reason},
    aws::Aws,
    dlq::{
        Opened,
        forecast::Clock,
        redrive::{Difference, Plan, redrive, watch},
    },
};

use crate::{
    begun::{All, Begun, held},
    guard,
};

/// A redrive.
#[derive(Debug)]
pub(crate) struct Redrive {
    pub(crate) plan: Plan,
    pub(crate) reason: Reason,
    pub(crate) began: Timestamp,
    /// The act of its records.
    pub(crate) act: String,
    /// What a form must have that ends it. It is on each of the page's answers, so it stays the same.
    pub(crate) cancel: String,
    /// How many waited, approximately.
    pub(crate) expected: u64,
    looked_at: AtomicU64,
    is_stopped: AtomicBool,
    is_watching: AtomicBool,
    difference: Mutex<Option<Difference>>,
}

impl Redrive {
    pub(crate) fn looked_at(&self) -> u64 {
        self.looked_at.load(Ordering::Relaxed)
    }

    /// What it did, once it has ended.
    pub(crate) fn difference(&self) -> Option<Difference> {
        held(&self.difference).clone()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    pub(crate) fn is_watching(&self) -> bool {
        self.is_watching.load(Ordering::Relaxed)
    }
}

impl Begun for Redrive {
    fn is_under_way(&self) -> bool {
        self.difference().is_none()
    }

    /// Ends it after the message at hand, or while it waits for what comes back.
    fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }
}

impl All<Redrive> {
    /// Records that a redrive begins, and begins it. For so many `seconds` it waits for what comes back. `None`: another one is
    /// under way.
    pub(crate) async fn redrive(
        &self,
        aws: Aws,
        clock: Clock,
        plan: Plan,
        reason: Reason,
        seconds: u32,
    ) -> anyhow::Result<Option<usize>> {
        let _alone = self.beginning.lock().await;
        if self.is_one_under_way() {
            return Ok(None);
        }
        let (began, details) = (clock(), serde_json::to_value(&plan)?);
        let expected = waiting(&aws, &plan).await?;
        let mut act =
            Act::begin(&aws, began, "dlq redrive", reason.clone(), plan.filter.ids.clone(), details).await?;
        let run = Arc::new(Redrive {
            plan,
            reason,
            began,
            act: act.name().to_owned(),
            cancel: guard::random()?,
            expected,
            looked_at: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
            is_watching: AtomicBool::new(false),
            difference: Mutex::new(None),
        });
        let going = Arc::clone(&run);
        Ok(self.begin(run, async move {
            let run = going;
            let looked_at = |_: &_| {
                run.looked_at.fetch_add(1, Ordering::Relaxed);
            };
            let (mut difference, sent) =
                redrive(&aws, clock, &run.plan, &mut act, &run.is_stopped, looked_at).await;
            if seconds > 0 && difference.is_to_be_watched() {
                run.is_watching.store(true, Ordering::Relaxed);
                watch(&aws, &sent, seconds, &run.is_stopped, &mut difference).await;
            }
            let details = serde_json::to_value(&difference).unwrap_or_default();
            if let Err(problem) = act.end(clock(), Vec::new(), details).await {
                difference.error.get_or_insert(format!("{problem:#}"));
            }
            *held(&run.difference) = Some(difference);
        }))
    }
}

/// How many wait in the plan's queues, approximately.
async fn waiting(aws: &Aws, plan: &Plan) -> anyhow::Result<u64> {
    let sqs = Client::new(&aws.config);
    let mut count = 0;
    for source in plan.filter.sources() {
        let waiting = Opened::of(aws, &sqs, source).await?.waiting;
        count += plan.most.map_or(waiting, |most| most.min(waiting));
    }
    Ok(count)
}
