//! `tollgate rejected ingest`.

use std::{
    collections::{BTreeMap, HashSet},
    process::ExitCode,
    sync::atomic::Ordering,
};

use serde::Serialize;
use tollgate_operate::{
    audit::{Act, Reason},
    aws::Aws,
    rejected::{Done, Judged, MOST, Plan, Store, Validator},
};

use super::which::{Which, are_kept};
use crate::{clock, dlq::stop_on_signals, progress::counting, table::Table, target::Target};

/// Webhooks that the validator judges before it is looked whether somebody stopped it.
const TOGETHER: usize = 100;

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
    let validator = Validator::of(&aws)?;
    let reason = args.reason.clone().filter(|_| args.yes);
    let stop = reason.is_some().then(|| stop_on_signals("stopping after the one at hand"));
    let is_stopped = || stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed));
    let plan = Plan { filter, rate: args.rate };
    let bar = counting("judged");
    let mut counts: BTreeMap<[String; 3], u64> = BTreeMap::new();
    let mut found = HashSet::new();
    let (mut act, mut done, mut ready) = (None, Done::default(), 0);
    // Page by page: what is refused for good stays kept, and must not hide what came later.
    let (mut last, mut is_more) = (None, true);
    while is_more && !is_stopped() && done.error.is_none() {
        let names;
        (names, is_more) = store.page(&plan.filter, clock::now(), last.as_ref(), MOST).await?;
        found.extend(names.iter().map(|name| name.webhook_id.to_string()));
        let mut genuine = Vec::new();
        for some in names.chunks(TOGETHER) {
            if is_stopped() {
                break;
            }
            let (mut at, mut printed) = (some.iter(), Ok(()));
            validator
                .foresee(some, clock::now, |judged| {
                    bar.inc(1);
                    let name = at.next();
                    if judged.can_be_taken_in() {
                        genuine.extend(name.cloned());
                    }
                    if args.json && !args.yes && printed.is_ok() {
                        printed = print(&judged);
                    }
                    let key = [judged.endpoint.to_string(), judged.refused_for.clone(), judged.summary()];
                    *counts.entry(key).or_default() += 1;
                })
                .await?;
            printed?;
        }
        last = names.into_iter().next_back();
        ready += genuine.len();
        if let (Some(reason), Some(stop)) = (&reason, &stop)
            && !genuine.is_empty()
        {
            let act = match &mut act {
                Some(act) => act,
                none => none.insert(begun(&aws, &plan, reason.clone()).await?),
            };
            let mut printed = Ok(());
            let of_page = validator
                .take_in(&genuine, plan.rate, act, clock::now, stop, |judged| {
                    if args.json && printed.is_ok() {
                        printed = print(judged);
                    }
                })
                .await;
            done.add(of_page);
            printed?;
        }
    }
    bar.finish_and_clear();
    if !args.json {
        show_counts(counts);
    }
    let are_kept = is_stopped() || are_kept(&plan.filter, &found);
    if reason.is_none() {
        if !args.json && ready > 0 {
            say!("\n{ready} would be taken in. Say --yes --reason TEXT");
        }
        return Ok(if are_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    done.stopped |= is_stopped();
    let Some(act) = act else {
        let why = if done.stopped { "stopped" } else { "nothing can be taken in" };
        complain!("tollgate: {why}: nothing was done");
        return Ok(ExitCode::FAILURE);
    };
    act.end(clock::now(), Vec::new(), serde_json::to_value(&done)?).await?;
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
    let is_whole = done.is_whole() && !done.stopped && are_kept;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn begun(aws: &Aws, plan: &Plan, reason: Reason) -> anyhow::Result<Act> {
    let ids = plan.filter.ids.clone();
    Act::begin(aws, clock::now(), "rejected ingest", reason, ids, serde_json::to_value(plan)?).await
}

#[derive(Serialize)]
struct Ended<'a> {
    act: &'a str,
    #[serde(flatten)]
    done: &'a Done,
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
