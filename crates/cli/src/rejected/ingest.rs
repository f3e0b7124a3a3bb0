//! `tollgate rejected ingest`.

use std::{collections::BTreeMap, process::ExitCode};

use serde::Serialize;
use tollgate_operate::{
    audit::{Act, Reason},
    rejected::{Judged, MOST, Plan, Store, Validator},
};

use super::which::Which;
use crate::{clock, dlq::stop_on_signals, progress::progress, table::Table, target::Target};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Do it; otherwise only what would become of each is said
    #[arg(long, requires = "reason")]
    yes: bool,
    /// Why; it is kept with the record of who did it
    #[arg(long)]
    reason: Option<Reason>,
    /// Webhooks a second, at most
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    rate: u32,
    /// One JSON object for each webhook
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let filter = args.which.filter()?;
    let aws = args.target.connect().await?;
    let store = Store::of(&aws).await?;
    let (names, is_cut) = store.names(&filter, clock::now()).await?;
    let validator = Validator::of(&aws)?;
    let bar = progress(names.len() as u64, "judged");
    let mut counts: BTreeMap<[String; 3], u64> = BTreeMap::new();
    let mut genuine = Vec::new();
    let mut printed = Ok(());
    let mut at = names.iter();
    validator
        .foresee(&names, clock::now, |judged| {
            bar.inc(1);
            let name = at.next();
            if judged.can_be_taken_in() {
                genuine.extend(name.cloned());
            }
            if args.json && !args.yes {
                printed = print(&judged);
            }
            let key = [judged.endpoint.to_string(), judged.refused_for.clone(), judged.summary()];
            *counts.entry(key).or_default() += 1;
        })
        .await?;
    bar.finish_and_clear();
    printed?;
    if !args.json {
        show_counts(counts);
    }
    if is_cut {
        complain!("there are more: the first {MOST} are looked at");
    }
    let Some(reason) = args.reason.filter(|_| args.yes) else {
        if !args.json && !genuine.is_empty() {
            say!("\n{} would be taken in. Say --yes --reason TEXT", genuine.len());
        }
        return Ok(ExitCode::SUCCESS);
    };
    if genuine.is_empty() {
        complain!("tollgate: nothing can be taken in: nothing was done");
        return Ok(ExitCode::FAILURE);
    }
    let stop = stop_on_signals("stopping after the one at hand");
    let plan = Plan { filter, rate: args.rate };
    let mut act = Act::begin(
        &aws,
        clock::now(),
        "rejected ingest",
        reason,
        plan.filter.ids.clone(),
        serde_json::to_value(&plan)?,
    )
    .await?;
    let bar = progress(genuine.len() as u64, "taken in");
    let mut printed = Ok(());
    let done = validator
        .take_in(&genuine, plan.rate, &mut act, clock::now, &stop, |judged| {
            bar.inc(1);
            if args.json && printed.is_ok() {
                printed = print(judged);
            }
        })
        .await;
    bar.finish_and_clear();
    act.end(clock::now(), Vec::new(), serde_json::to_value(&done)?).await?;
    printed?;
    if args.json {
        say!("{}", serde_json::to_string(&Ended { act: act.name(), done: &done })?);
    } else {
        for (summary, count) in &done.counts {
            say!("{count} {summary}");
        }
        if done.stopped {
            say!("stopped: say it again, and it goes on");
        }
        say!("recorded as {}", act.name());
    }
    if let Some(problem) = &done.error {
        complain!("tollgate: {problem}");
        return Ok(ExitCode::from(2));
    }
    Ok(if done.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Serialize)]
struct Ended<'a> {
    act: &'a str,
    #[serde(flatten)]
    done: &'a tollgate_operate::rejected::Done,
}

fn print(judged: &Judged) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string(judged)?);
    Ok(())
}

fn show_counts(counts: BTreeMap<[String; 3], u64>) {
    if counts.is_empty() {
        say!("nothing is kept");
        return;
    }
    let mut table = Table::new(["endpoint", "refused for", "now", "count"]);
    for ([endpoint, reason, now], count) in counts {
        table.row([endpoint, reason, now, count.to_string()]);
    }
    show!("{table}");
}
