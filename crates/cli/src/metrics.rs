//! `tollgate metrics`: what a platform does, in numbers.

use std::{collections::BTreeMap, process::ExitCode};

use serde::Serialize;
use tollgate_core::{EndpointId, Timestamp};
use tollgate_operate::{
    figures::{self, Backlog, Figures, Heard, Source, Wanted},
    times::moment,
};

use crate::{
    clock,
    table::Table,
    target::{Target, endpoint_id},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The time until now: 15m, 1h, 7d
    #[arg(long, value_name = "SPAN", default_value = "1h", conflicts_with_all = ["from", "to"])]
    last: String,
    /// From when on: 2026-01-31T12:00:00Z, 2026-01-31, or so long ago: 90m, 36h, 7d
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until when [default: now]
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// Only webhooks of this endpoint
    #[arg(long, value_parser = endpoint_id)]
    endpoint: Option<EndpointId>,
    /// The length of a step in `--json`, in seconds, at least [default: some hundred steps]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    step: Option<u32>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Serialize)]
struct All {
    #[serde(flatten)]
    figures: Figures,
    queues: Vec<Backlog>,
    heard: Vec<Heard>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let now = clock::now();
    let wanted = Wanted {
        from: moment(args.from.as_ref().unwrap_or(&args.last), now, false)?,
        to: args.to.as_ref().map_or(Ok(now), |to| moment(to, now, true))?,
        endpoint: args.endpoint,
        step_seconds: args.step,
    };
    let aws = args.target.connect().await?;
    let (figures, queues, mut heard) = tokio::try_join!(
        figures::read(&aws, &wanted, now),
        figures::backlogs(&aws, now),
        figures::heard(&aws, now),
    )?;
    heard.retain(|one| args.endpoint.is_none_or(|only| only == one.endpoint));
    let all = All { figures, queues, heard };
    if args.json {
        say!("{}", serde_json::to_string(&all)?);
    } else {
        show(&all, now);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(all: &All, now: Timestamp) {
    let figures = &all.figures;
    let source = match figures.source {
        Source::Cloudwatch => "CloudWatch",
        Source::Logs => "the functions' logs",
    };
    say!("from {} to {}, of {source}\n", figures.from, figures.to);
    let seconds = u64::try_from(figures.to.as_second() - figures.from.as_second()).unwrap_or(0).max(1);
    let counts = figures.webhooks;
    let mut table = Table::new(["webhooks", "count", "a second"]);
    for (name, count) in
        [("accepted", counts.accepted), ("duplicates", counts.duplicates), ("refused", counts.refused)]
    {
        let hundredths = count.saturating_mul(100) / seconds;
        let rate = format!("{}.{:02}", hundredths / 100, hundredths % 100);
        table.row([name.to_owned(), count.to_string(), rate]);
    }
    show!("{table}");
    if !figures.endpoints.is_empty() {
        let mut table = Table::new(["endpoint", "accepted", "duplicates", "refused", "refused by"]);
        for one in &figures.endpoints {
            table.row([
                one.endpoint.clone(),
                one.counts.accepted.to_string(),
                one.counts.duplicates.to_string(),
                one.counts.refused.to_string(),
                reasons(&one.refused_by),
            ]);
        }
        show!("\n{table}");
    }
    let mut table =
        Table::new(["part, of all endpoints", "webhooks", "p50 ms", "p90 ms", "p99 ms", "max ms"]);
    for one in &figures.latency {
        let value = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        table.row([
            one.part.as_str().to_owned(),
            one.count.to_string(),
            value(one.p50),
            value(one.p90),
            value(one.p99),
            value(one.max),
        ]);
    }
    show!("\n{table}");
    show_processed(figures);
    show_queues(&all.queues);
    show_heard(&all.heard, now);
    for note in &figures.notes {
        say!("\nnote: {note}");
    }
}

fn reasons(refused_by: &BTreeMap<String, u64>) -> String {
    let mut reasons: Vec<(&String, &u64)> = refused_by.iter().collect();
    reasons.sort_by(|one, other| other.1.cmp(one.1));
    reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect::<Vec<_>>().join(", ")
}

fn show_processed(figures: &Figures) {
    if !figures.processed.is_empty() {
        let mut table = Table::new([
            "processor",
            "receives",
            "processed",
            "duplicates",
            "set aside",
            "come back",
            "published",
            "conflicts",
        ]);
        for one in &figures.processed {
            let counts = [
                one.records,
                one.processed,
                one.duplicates,
                one.quarantined,
                one.failed,
                one.published,
                one.conflicts,
            ];
            table.row(std::iter::once(one.queue.clone()).chain(counts.map(|count| count.to_string())));
        }
        show!("\n{table}");
    }
    let archived = &figures.archived;
    say!(
        "\narchived: {} rows in {} objects of {} bytes together; {} messages come back",
        archived.rows,
        archived.objects,
        archived.bytes,
        archived.failures
    );
}

fn show_queues(queues: &[Backlog]) {
    let mut table = Table::new(["queue", "waiting", "in flight", "delayed", "oldest"]);
    let (dead, alive): (Vec<_>, Vec<_>) = queues.iter().partition(|queue| queue.depth.dead_letters);
    for queue in alive.into_iter().chain(dead) {
        let depth = &queue.depth;
        let oldest = match queue.oldest_seconds {
            Some(seconds) => span(seconds),
            None if depth.all() > 0 => "not known".to_owned(),
            None => String::new(),
        };
        table.row([
            depth.name.clone(),
            depth.visible.to_string(),
            depth.in_flight.to_string(),
            depth.delayed.to_string(),
            oldest,
        ]);
    }
    show!("\n{table}");
}

fn show_heard(heard: &[Heard], now: Timestamp) {
    if heard.is_empty() {
        return;
    }
    let mut table = Table::new(["endpoint", "heard last", "in 7 days", "usual longest gap", "state"]);
    for one in heard {
        let ago = |at: Timestamp| span(u64::try_from(now.as_second() - at.as_second()).unwrap_or(0));
        let last = match one.last {
            Some(at) if one.within_seconds > 1 => format!("in the hour from {at}"),
            Some(at) => format!("{} ago", ago(at)),
            None => "never, as far as is kept".to_owned(),
        };
        let state = match (one.silence, one.quiet_after_hours) {
            (Some(silence), _) => match silence.usual {
                Some(usual) => format!("SILENT: {} h, in which {usual} are usual", silence.hours),
                None => format!("SILENT: {} h, by its setting", silence.hours),
            },
            (None, Some(0)) => "never told".to_owned(),
            (None, _) => String::new(),
        };
        table.row([
            one.endpoint.to_string(),
            last,
            one.of_a_week.to_string(),
            one.longest_gap_hours.map(|hours| format!("{hours} h")).unwrap_or_default(),
            state,
        ]);
    }
    show!("\n{table}");
}

/// A length of time, in the two largest of its units.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}
