//! `tollgate reconcile`: what a provider says it sent, beside what is known of it here.

use std::{path::PathBuf, process::ExitCode};

use serde_json::json;
use tollgate_core::EndpointId;
use tollgate_operate::{
    provider_api::Timing,
    reconcile::{Asked, Finding, Plan, Summary, Verdict, report::Report},
    times::moment,
};

use crate::{clock, dlq::stop_on_signals, progress::counting, table::Table, target::Target};

/// Rows of the table for people.
const MOST_SHOWN: usize = 1_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose provider is asked
    endpoint: String,
    /// From when on, by the provider's clock: 2026-01-31T12:00:00Z, 2026-01-31, or so long ago: 90m, 36h, 7d
    #[arg(long, value_name = "TIME", default_value = "24h")]
    from: String,
    /// Until when; a day is included [default: a quarter of an hour ago]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only this type, as the provider calls it; given several times, any of them [default: what its webhook is sent]
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// What is present, too
    #[arg(long)]
    all: bool,
    /// One JSON object for each event, and last the counts
    #[arg(long)]
    json: bool,
    /// Write every event that was compared into a new Parquet file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Ask the provider's test environment
    #[arg(long)]
    sandbox: bool,
    /// Ask here instead of at the provider's own address
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let aws = args.target.connect().await?;
    let now = clock::now();
    let asked = Asked::of(&aws, &EndpointId::new(&args.endpoint)?).await?;
    let from = moment(&args.from, now, false)?;
    let to = args.to.as_ref().map_or(Ok(now), |to| moment(to, now, true))?;
    let plan = asked.plan(from, to, args.types.clone(), now)?;
    let timing = Timing::new(clock::now);
    let mut client = asked.client(&aws, args.api_url.as_deref(), args.sandbox, timing).await?;
    let mut report = args.report.as_deref().map(|path| Report::create(path, &args.endpoint)).transpose()?;
    let stop = stop_on_signals("stopping behind this page");
    let bar = counting("events");
    let mut shown = Vec::new();
    let mut left_out = 0_u64;
    let summary = asked
        .compare(&aws, &mut client, &plan, now, &stop, |finding| {
            bar.inc(1);
            if let Some(report) = &mut report {
                report.add(&finding)?;
            }
            if !args.all && finding.verdict == Verdict::Present {
                return Ok(());
            }
            if args.json {
                say!("{}", serde_json::to_string(&finding)?);
            } else if shown.len() < MOST_SHOWN {
                shown.push(finding);
            } else {
                left_out += 1;
            }
            Ok(())
        })
        .await;
    bar.finish_and_clear();
    if let Some(report) = report {
        report.finish()?;
    }
    let summary = summary?;
    if args.json {
        say!("{}", json!({ "plan": plan, "summary": summary }));
    } else {
        tell(&plan, &shown, left_out, &summary);
    }
    Ok(if summary.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(plan: &Plan, shown: &[Finding], left_out: u64, summary: &Summary) {
    if !shown.is_empty() {
        let mut table = Table::new(["event", "", "at", "type", "amount", "", "transaction", "here"]);
        for finding in shown {
            table.row(cells(finding));
        }
        say!("{table}");
    }
    if left_out > 0 {
        say!("{left_out} more are not shown: --json or --report has them");
    }
    let counts: Vec<String> = Verdict::ALL
        .iter()
        .map(|verdict| format!("{} {}", summary.count(*verdict), verdict.as_str().replace('_', " ")))
        .collect();
    say!("{}, {} to {}: {}", plan.endpoint, plan.from, plan.to, counts.join(", "));
    if summary.not_subscribed > 0 {
        say!("{} others are of types that were not asked for", summary.not_subscribed);
    }
    for note in &summary.notes {
        complain!("{note}");
    }
    if summary.stopped {
        complain!("stopped: the counts are of a part");
    }
}

fn cells(finding: &Finding) -> [String; 8] {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let here = match (&finding.our_amount, &finding.note) {
        (Some(amount), Some(note)) => format!("{amount}, {note}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => finding.webhook_id.clone().unwrap_or_default(),
    };
    [
        finding.provider_event_id.clone(),
        finding.verdict.as_str().replace('_', " "),
        finding.at.to_string(),
        finding.provider_event_type.clone(),
        text(&finding.amount),
        finding.currency.clone().unwrap_or_default(),
        text(&finding.transaction_id),
        here,
    ]
}
