//! `tollgate dlq purge`.

use std::process::ExitCode;

use anyhow::{Context, bail};
use tollgate_operate::{
    audit::{Act, Reason},
    dlq::{
        MOST,
        purge::{Plan, Purged, choose, purge},
    },
};

use super::which::{STOPPING, Which, more, stop_on_signals};
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
    let chosen = choose(&aws, &plan).await?;
    for queue in &chosen.cut {
        complain!("{}", more(queue, args.most));
    }
    let count = chosen.letters.len() as u64;
    let Some(reason) = args.reason.filter(|_| args.yes) else {
        return told(&chosen.into(), None, args.json);
    };
    if args.expect != Some(count) {
        complain!("tollgate: {count} would be deleted, and not what --expect says: nothing was");
        return Ok(ExitCode::FAILURE);
    }
    let stop = stop_on_signals(STOPPING);
    let details = serde_json::to_value(&plan)?;
    let mut act =
        Act::begin(&aws, clock::now(), "dlq purge", reason, plan.filter.ids.clone(), details).await?;
    let bar = progress(count, "deleted");
    let purged = purge(&aws, clock::now, &plan, chosen, &mut act, &stop, |_| bar.inc(1)).await;
    bar.finish_and_clear();
    act.end(clock::now(), Vec::new(), serde_json::to_value(&purged)?).await?;
    told(&purged, Some((&act, count)), args.json)
}

/// What came of it. Of an act also how many were to go.
fn told(purged: &Purged, act: Option<(&Act, u64)>, as_json: bool) -> anyhow::Result<ExitCode> {
    if as_json {
        let mut object = serde_json::to_value(purged)?;
        let act = act.map(|(act, _)| act.name().into()).unwrap_or_default();
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
            Some((act, _)) => say!("{} deleted; recorded as {}", purged.count, act.name()),
            None => {
                say!("{} would be deleted. Say --yes --reason TEXT --expect {}", purged.count, purged.count)
            }
        }
        if let Some(how) = act.and_then(|(_, count)| goes_on(purged, count)) {
            say!("{how}");
        }
    }
    if let Some(problem) = &purged.error {
        complain!("tollgate: {problem}");
        return Ok(ExitCode::from(2));
    }
    let is_whole = purged.kept.is_empty() && purged.missed == 0 && !purged.stopped;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How it goes on where not all of `count` went.
fn goes_on(purged: &Purged, count: u64) -> Option<String> {
    let left = count.saturating_sub(purged.count);
    match purged.stopped {
        true => Some(format!("stopped: say it again with --expect {left}, and it goes on")),
        false if purged.missed > 0 => Some(format!(
            "{} were not met again: somebody else looks at them, or took them. See what is left in two minutes, without --yes",
            purged.missed
        )),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stopped_goes_on_with_the_number_that_is_said() {
        let of = |count, missed, stopped| Purged { count, missed, stopped, ..Purged::default() };
        assert_eq!(goes_on(&of(12, 0, false), 12), None);
        assert!(goes_on(&of(5, 0, true), 12).unwrap().contains("--expect 7,"));
        assert!(goes_on(&of(11, 1, false), 12).unwrap().starts_with("1 were not met again"));
    }
}
