//! `tollgate audit`: who did what to which ids, and why.

use std::{ops::ControlFlow, process::ExitCode};

use anyhow::{Context, ensure};
use jiff::Span;
use tollgate_core::Timestamp;
use tollgate_operate::{
    audit::{self, Record, Step, Wanted},
    times::moment,
};

use crate::{clock, table::Table, target::Target};

/// How far back is looked where nothing is said, in hours.
const LOOK_BACK_HOURS: i64 = 7 * 24;
/// Records of one table: columns are as wide as what they hold, so a table is printed when it is full.
const TOGETHER: usize = 200;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// From then on: 2026-01-31T12:00:00Z, 2026-01-31, or so long ago: 90m, 36h, 7d [default: seven days before --to]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before then; a day is included [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only of this command (`dlq`, `dlq redrive`, `allow`, …)
    #[arg(long, value_name = "COMMAND")]
    action: Option<String>,
    /// Only what names this id, of a webhook, an event, a message or an act
    #[arg(long)]
    id: Option<String>,
    /// One JSON object for each record, whole
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (from, to) = span(args.from.as_deref(), args.to.as_deref(), clock::now())?;
    let aws = args.target.connect().await?;
    let wanted = Wanted { from, to, action: args.action, id: args.id };
    let (mut records, mut unread, mut count) = (Vec::new(), Vec::new(), 0_u64);
    let mut printed = Ok(());
    audit::each(&aws, &wanted, |found| {
        match found.record {
            Ok(record) => {
                count += 1;
                records.push(record);
            }
            Err(problem) => unread.push(format!("{}: {problem}", found.key)),
        }
        if args.json || records.len() >= TOGETHER {
            printed = show(&mut records, args.json);
        }
        if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .await?;
    printed?;
    show(&mut records, args.json)?;
    for problem in &unread {
        complain!("not read: {problem}");
    }
    if count == 0 && !args.json {
        say!("no such record from {from} to {to}");
    }
    Ok(if unread.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// From when on and until when.
fn span(from: Option<&str>, to: Option<&str>, now: Timestamp) -> anyhow::Result<(Timestamp, Timestamp)> {
    let to = to.map_or(Ok(now), |text| moment(text, now, true)).context("--to")?;
    let from = match from {
        Some(text) => moment(text, now, false).context("--from")?,
        None => to.checked_sub(Span::new().hours(LOOK_BACK_HOURS)).context("--to is too early")?,
    };
    ensure!(from < to, "--from is not before --to");
    Ok((from, to))
}

fn show(records: &mut Vec<Record>, as_json: bool) -> anyhow::Result<()> {
    let mut table = Table::new(["at", "act", "step", "command", "ids", "who", "why"]);
    for record in records.iter() {
        if as_json {
            say!("{}", serde_json::to_string(record)?);
        } else {
            let step = match record.step {
                Step::Begun => "begun".to_owned(),
                Step::Part(number) => format!("part {number}"),
                Step::Ended => "ended".to_owned(),
            };
            table.row([
                record.at.to_string(),
                record.act.clone(),
                step,
                record.action.clone(),
                record.ids.len().to_string(),
                record.actor.clone(),
                record.reason.to_string(),
            ]);
        }
    }
    if !as_json && !records.is_empty() {
        show!("{table}");
    }
    records.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_every_command() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-01-31T12:00:00Z");
        for (from, to, expected) in [
            (None, None, Some(("2026-01-24T12:00:00Z", "2026-01-31T12:00:00Z"))),
            (Some("7d"), None, Some(("2026-01-24T12:00:00Z", "2026-01-31T12:00:00Z"))),
            (Some("2026-01-30"), Some("2026-01-30"), Some(("2026-01-30T00:00:00Z", "2026-01-31T00:00:00Z"))),
            (None, Some("2026-01-30T00:00:00Z"), Some(("2026-01-23T00:00:00Z", "2026-01-30T00:00:00Z"))),
            (Some("1h"), Some("2h"), None),
            (Some("yesterday"), None, None),
        ] {
            let expected = expected.map(|(from, to)| (at(from), at(to)));
            assert_eq!(span(from, to, now).ok(), expected, "{from:?} {to:?}");
        }
    }
}
