//! Dead letters back to their queue, as an operator would send them after killing functions too often.

use std::sync::atomic::AtomicBool;

use anyhow::bail;
use tollgate_cli::clock;
use tollgate_core::Queue;
use tollgate_operate::{
    audit::Act,
    aws::Aws,
    dlq::{
        Filter, Source,
        letter::UNREAD,
        redrive::{FASTEST, Plan, redrive as send_back},
    },
};

/// Sends back what was dead-lettered by too many receives; what was quarantined with a reason stays. How many.
pub(crate) async fn redrive(aws: &Aws) -> anyhow::Result<u64> {
    let queues = Queue::ALL.iter().filter(|queue| !queue.is_for_consumers());
    let filter = Filter {
        queues: queues.map(|queue| Source::Of(*queue)).collect(),
        reason: Some(UNREAD.to_owned()),
        ..Filter::default()
    };
    let plan = Plan { filter, rate: FASTEST, most: None, all: true };
    let reason = "the killing is over".parse()?;
    let mut act =
        Act::begin(aws, clock::now(), "dlq redrive", reason, Vec::new(), serde_json::to_value(&plan)?)
            .await?;
    let (done, _) = send_back(aws, clock::now, &plan, &mut act, &AtomicBool::new(false), |_| {}).await;
    act.end(clock::now(), Vec::new(), serde_json::to_value(&done)?).await?;
    match &done.error {
        Some(problem) => bail!("{problem}"),
        None => Ok(done.sent()),
    }
}
