//! `tollgate reconciliations`: what the reconciler found, day by day.

use std::process::ExitCode;

use tollgate_operate::{
    reconcile::{
        Verdict,
        daily::{Daily, State},
        past,
    },
    times::moment,
};

use crate::{clock, table::Table, target::Target};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Runs from this moment on: 2026-01-31T12:00:00Z, 2026-01-31, or so long ago: 90m, 36h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d")]
    from: String,
    /// Until when; a day is included [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// One JSON object for each run: its report, whole
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let now = clock::now();
    let from = moment(&args.from, now, false)?;
    let to = args.to.as_ref().map_or(Ok(now), |to| moment(to, now, true))?;
    let aws = args.target.connect().await?;
    let (mut is_good, mut count) = (true, 0_u64);
    let mut table =
        Table::new(["began", "endpoint", "state", "present", "missing", "unfinished", "differing", ""]);
    for found in past::all(&aws, from, to).await? {
        match found.report {
            Ok(report) => {
                count += 1;
                is_good &= report.is_finished() && report.missing() == 0;
                if args.json {
                    say!("{}", serde_json::to_string(&report)?);
                } else {
                    rows(&mut table, &report);
                }
            }
            Err(problem) => {
                is_good = false;
                complain!("not read: {}: {problem}", found.key);
            }
        }
    }
    if !args.json && count > 0 {
        show!("{table}");
    } else if !args.json {
        say!("no run from {from} to {to}: docs/deploy.md, step 8, says how to have one a day");
    }
    Ok(if is_good && count > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rows(table: &mut Table, report: &Daily) {
    for one in &report.endpoints {
        let count = |verdicts: &[Verdict]| match one.state {
            State::NoKey => "-".to_owned(),
            _ => one.count(verdicts).to_string(),
        };
        table.row([
            report.began.to_string(),
            one.endpoint.to_string(),
            one.state.as_str().replace('_', " "),
            count(&[Verdict::Present]),
            count(&[Verdict::Missing, Verdict::RefusedByUs]),
            count(&[Verdict::Unfinished]),
            count(&[Verdict::Conflicting, Verdict::AmountDiffers]),
            one.why.clone().unwrap_or_default(),
        ]);
    }
    if report.endpoints.is_empty() {
        table.row([report.began.to_string(), "-".to_owned(), "no endpoint can be asked for".to_owned()]);
    }
}
