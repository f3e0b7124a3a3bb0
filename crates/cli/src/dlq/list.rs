//! `tollgate dlq list`.

use std::process::ExitCode;

use tollgate_operate::dlq::{MOST, Waiting, hidden, waiting};

use super::which::{Which, brief, days_left, more, none, not_seen};
use crate::{clock, table::Table, target::Target};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Messages of each queue that are looked at, at most
    #[arg(long, value_name = "N", default_value_t = MOST)]
    most: u64,
    /// One JSON object for each group
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let aws = args.target.connect().await?;
    let filter = args.which.filter(&aws)?;
    let hidden = hidden(&aws, &filter).await?;
    let Waiting { groups, cut } = waiting(&aws, &filter, args.most).await?;
    if args.json {
        for group in &groups {
            say!("{}", serde_json::to_string(group)?);
        }
    } else if groups.is_empty() {
        say!("{}", none(&filter));
    } else {
        let mut table =
            Table::new(["queue", "reason", "endpoint", "release", "count", "first", "last", "days left"]);
        for group in &groups {
            let unknown = || "unknown".to_owned();
            table.row([
                group.alike.queue.clone(),
                group.alike.reason.clone(),
                group.alike.endpoint.clone().unwrap_or_else(unknown),
                group.alike.release.clone().unwrap_or_else(unknown),
                group.count.to_string(),
                brief(group.first),
                brief(group.last),
                days_left(clock::now(), group.expires_at).to_string(),
            ]);
        }
        show!("{table}");
    }
    for queue in &cut {
        complain!("{}", more(queue, args.most));
    }
    if let Some(text) = not_seen(hidden) {
        complain!("{text}");
    }
    Ok(ExitCode::SUCCESS)
}
