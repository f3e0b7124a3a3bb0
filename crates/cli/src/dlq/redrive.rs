//! `tollgate dlq redrive`.

use std::process::ExitCode;

use anyhow::{Context, ensure};
use tollgate_operate::{
    audit::{Act, Reason},
    aws::Aws,
    dlq::{
        Filter, MOST, Opened, hidden,
        outlook::{Outlook, foresee},
        redrive::{Difference, FASTEST, Plan, redrive, watch},
    },
};

use super::which::{STOPPING, Which, brief, days_left, none, not_seen, stop_on_signals};
use crate::{clock, progress::progress, table::Table, target::Target};

/// How long is waited for what comes back, in seconds, where nothing is said. What fails by itself comes back only after three
/// receives, some 12 minutes; poison comes back at once.
const WATCH_SECONDS: u32 = 30;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Of all dead-letter queues: --yes wants that, or a queue or another filter
    #[arg(long, conflicts_with = "queues")]
    all_queues: bool,
    #[command(flatten)]
    how: How,
    /// JSON: an object for each group beforehand, one object with what was done afterwards
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Args)]
struct How {
    /// Do it; otherwise only what would become of each is said
    #[arg(long, requires = "reason")]
    yes: bool,
    /// Why; it is kept with the record of who did it
    #[arg(long)]
    reason: Option<Reason>,
    /// Messages a second, at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(FASTEST)))]
    rate: u32,
    /// Messages of each queue, at most [default: as many as wait when it begins]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Send what would conflict or fail again, too
    #[arg(long)]
    all: bool,
    /// How many seconds to wait afterwards for what comes back
    #[arg(long, value_name = "SECONDS", default_value_t = WATCH_SECONDS)]
    watch: u32,
}

/// `tollgate redrive QUEUE`, as it was called before there was `dlq redrive`.
#[derive(Debug, clap::Args)]
pub(crate) struct Former {
    /// A dead-letter queue, with or without the environment's suffix (payments-queue-dlq, eventbridge-dlq, …)
    queue: String,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn former(args: Former) -> anyhow::Result<ExitCode> {
    let Former { queue, how, target } = args;
    let which = Which { queues: vec![queue], ..Which::default() };
    run(Args { which, all_queues: false, how, json: false, target }).await
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let aws = args.target.connect().await?;
    let filter = args.which.filter(&aws)?;
    let Some(reason) = args.how.reason.clone().filter(|_| args.how.yes) else {
        let hidden = hidden(&aws, &filter).await?;
        let outlook = foresee(&aws, clock::now, &filter, args.how.limit.unwrap_or(MOST)).await?;
        let code = foretell(&outlook, &filter, args.json)?;
        if let Some(text) = not_seen(hidden) {
            complain!("{text}");
        }
        return Ok(code);
    };
    is_meant(&filter, args.all_queues)?;
    let plan = Plan { filter, rate: args.how.rate, most: args.how.limit, all: args.how.all };
    let stop = stop_on_signals(STOPPING);
    let details = serde_json::to_value(&plan)?;
    let mut act =
        Act::begin(&aws, clock::now(), "dlq redrive", reason, plan.filter.ids.clone(), details).await?;
    let bar = progress(waiting(&aws, &plan).await?, "looked at");
    let (mut difference, sent) = redrive(&aws, clock::now, &plan, &mut act, &stop, |_| bar.inc(1)).await;
    bar.finish_and_clear();
    if args.how.watch > 0 && difference.is_to_be_watched() {
        watch(&aws, &sent, args.how.watch, &stop, &mut difference).await;
    }
    act.end(clock::now(), Vec::new(), serde_json::to_value(&difference)?).await?;
    told(&difference, &act, args.json)
}

/// That nobody sends everything of every queue who has not said so.
fn is_meant(filter: &Filter, all_queues: bool) -> anyhow::Result<()> {
    ensure!(
        all_queues || *filter != Filter::default(),
        "which? name a queue (--queue), or another filter, or say --all-queues"
    );
    Ok(())
}

/// How many wait in the plan's queues, approximately.
async fn waiting(aws: &Aws, plan: &Plan) -> anyhow::Result<u64> {
    let sqs = aws_sdk_sqs::Client::new(&aws.config);
    let mut count = 0;
    for source in plan.filter.sources() {
        let waiting = Opened::of(aws, &sqs, source).await?.waiting;
        count += plan.most.map_or(waiting, |most| most.min(waiting));
    }
    Ok(count)
}

fn foretell(outlook: &Outlook, filter: &Filter, as_json: bool) -> anyhow::Result<ExitCode> {
    if as_json {
        for group in &outlook.groups {
            say!("{}", serde_json::to_string(group)?);
        }
    } else if outlook.groups.is_empty() {
        say!("{}", none(filter));
    } else {
        let mut table =
            Table::new(["queue", "reason", "endpoint", "count", "what would happen", "first", "days left"]);
        let mut sent = 0;
        for foretold in &outlook.groups {
            let group = &foretold.group;
            for one in &foretold.predictions {
                sent += if one.prediction.is_sent(false) { one.count } else { 0 };
                table.row([
                    group.alike.queue.clone(),
                    group.alike.reason.clone(),
                    group.alike.endpoint.clone().unwrap_or_else(|| "unknown".to_owned()),
                    one.count.to_string(),
                    one.prediction.to_string(),
                    brief(group.first),
                    days_left(clock::now(), group.expires_at).to_string(),
                ]);
            }
        }
        say!(
            "{table}\n{sent} would be sent. Say --yes --reason TEXT; --all sends what would fail again, too"
        );
    }
    for queue in &outlook.cut {
        complain!(
            "{queue} has more than was looked at: of a payment's messages the first ten are, and with --yes those behind them go, too"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn told(difference: &Difference, act: &Act, as_json: bool) -> anyhow::Result<ExitCode> {
    if as_json {
        let mut object = serde_json::to_value(difference)?;
        object.as_object_mut().context("no object")?.insert("act".to_owned(), act.name().into());
        say!("{object}");
    } else {
        for moved in &difference.moved {
            let what = format!("({}: {})", moved.alike.reason, moved.prediction);
            for (to, count) in &moved.sent {
                say!("{count} sent to {to} {what}");
            }
            if moved.left > 0 {
                say!("{} left in {} {what}", moved.left, moved.alike.queue);
            }
        }
        if difference.moved.is_empty() {
            say!("nothing waits");
        }
        if difference.came_back > 0 {
            say!("{} came back", difference.came_back);
        }
        if difference.watch_stopped {
            say!("what came back was not counted: that was stopped");
        }
        if difference.stopped {
            say!("stopped: say it again, and it goes on");
        }
        say!("recorded as {}", act.name());
    }
    if let Some(problem) = &difference.error {
        complain!("tollgate: {problem}");
        return Ok(ExitCode::from(2));
    }
    let is_stopped = difference.stopped || difference.watch_stopped;
    let is_whole = difference.left() == 0 && difference.came_back == 0 && !is_stopped;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use tollgate_operate::dlq::Source;

    use super::*;

    #[test]
    fn every_queue_is_sent_back_by_nobody_who_has_not_said_so() {
        let of_queue = Filter { queues: vec![Source::EventBridge], ..Filter::default() };
        let of_endpoint = Filter { endpoint: Some("acme".to_owned()), ..Filter::default() };
        for (filter, all_queues, is_meant) in [
            (Filter::default(), false, false),
            (Filter::default(), true, true),
            (of_queue, false, true),
            (of_endpoint, false, true),
        ] {
            assert_eq!(super::is_meant(&filter, all_queues).is_ok(), is_meant, "{filter:?}");
        }
    }
}
