//! `tollgate dlq purge`.

use std::{process::ExitCode, sync::atomic::AtomicBool};

use anyhow::{Context, bail};
use tollgate_operate::{
    audit::{Act, Reason},
    dlq::{
        MOST,
        purge::{Plan, Purged, purge},
    },
};

use super::which::{STOPPING, Which, stop_on_signals};
use crate::{clock, progress::progress, table::Table, target::Target};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Do it; otherwise only what would be deleted is said
    #[arg(long, requires_all = ["reason", "expect"])]
    yes: bool,
    /// Why; it is kept with the record of who did it
    #[arg(long)]
    reason: Option<Reason>,
    /// How many go, as it said without --yes: where it is another number by now, none does
    #[arg(long, value_name = "N")]
    expect: Option<u64>,
    /// Messages of each queue that are looked at, at most
    #[arg(long, value_name = "N", default_value_t = MOST)]
    most: u64,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let aws = args.target.connect().await?;
    let filter = args.which.filter(&aws)?;
    if filter.queues.is_empty() || filter.is_of_whole_queues() {
        bail!(
            "which? name the queue (--queue), and why, of whom or since when its messages are there, or their ids"
        );
    }
    let plan = Plan { filter, most: args.most };
    let not_stopped = AtomicBool::new(false);
    let found = purge(&aws, clock::now, &plan, None, &not_stopped, |_| {}).await;
    let Some(reason) = args.reason.filter(|_| args.yes && found.error.is_none()) else {
        return told(&found, None, args.json);
    };
    if args.expect != Some(found.count) {
        complain!("tollgate: {} would be deleted, and not what --expect says: nothing was", found.count);
        return Ok(ExitCode::FAILURE);
    }
    let stop = stop_on_signals(STOPPING);
    let details = serde_json::to_value(&plan)?;
    let mut act =
        Act::begin(&aws, clock::now(), "dlq purge", reason, plan.filter.ids.clone(), details).await?;
    let bar = progress(found.count, "deleted");
    let purged = purge(&aws, clock::now, &plan, Some(&mut act), &stop, |_| bar.inc(1)).await;
    bar.finish_and_clear();
    act.end(clock::now(), Vec::new(), serde_json::to_value(&purged)?).await?;
    told(&purged, Some(&act), args.json)
}

fn told(purged: &Purged, act: Option<&Act>, as_json: bool) -> anyhow::Result<ExitCode> {
    if as_json {
        let mut object = serde_json::to_value(purged)?;
        let act = act.map(|act| act.name().into()).unwrap_or_default();
        object.as_object_mut().context("no object")?.insert("act".to_owned(), act);
        say!("{object}");
    } else {
        if !purged.kept.is_empty() {
            let mut table = Table::new(["kept", "queue", "names", "why"]);
            for kept in &purged.kept {
                let letter = &kept.letter;
                table.row([
                    letter.message_id.clone(),
                    letter.alike.queue.clone(),
                    letter.ids.join(", "),
                    kept.why.clone(),
                ]);
            }
            say!("{table}");
        }
        match act {
            Some(act) => say!("{} deleted; recorded as {}", purged.count, act.name()),
            None => {
                say!("{} would be deleted. Say --yes --reason TEXT --expect {}", purged.count, purged.count)
            }
        }
        if purged.stopped {
            say!("stopped: say it again, and it goes on");
        }
    }
    if let Some(problem) = &purged.error {
        complain!("tollgate: {problem}");
        return Ok(ExitCode::from(2));
    }
    let is_whole = purged.kept.is_empty() && !purged.stopped;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
