//! `tollgate cost`: what a time cost, line by line, against the design.

use std::process::ExitCode;

use tollgate_operate::{cost, times::moment};

use crate::{clock, table::Table, target::Target};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The time until now: 24h, 7d, 30d
    #[arg(long, value_name = "SPAN", default_value = "24h", conflicts_with_all = ["from", "to"])]
    last: String,
    /// From when on: 2026-01-31T12:00:00Z, 2026-01-31, or so long ago: 36h, 7d
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until when [default: now]
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let now = clock::now();
    let from = moment(args.from.as_ref().unwrap_or(&args.last), now, false)?;
    let to = args.to.as_ref().map_or(Ok(now), |to| moment(to, now, true))?;
    let cost = cost::of(&args.target.connect().await?, from, to, now).await?;
    if args.json {
        say!("{}", serde_json::to_string(&cost)?);
        return Ok(ExitCode::SUCCESS);
    }
    say!(
        "from {} to {}: {} webhooks accepted; prices of {}, * looked up nowhere\n",
        cost.from,
        cost.to,
        cost.accepted,
        cost.prices_of
    );
    let mut table = Table::new(["price", "units", "USD", "USD a million", "design, a million", "counted by"]);
    for line in &cost.lines {
        let star = if line.from_memory { "*" } else { "" };
        let units = line.milli_units.map_or_else(|| "-".to_owned(), thousandths);
        table.row([
            format!("{}{star}", line.price),
            units,
            dollars(line.micro_usd),
            dollars(line.micro_usd_a_million),
            dollars(Some(line.design_micro_usd_a_million)),
            line.counted.clone(),
        ]);
    }
    table.row([
        "sum of what is counted".to_owned(),
        String::new(),
        dollars(Some(cost.micro_usd)),
        dollars(cost.micro_usd_a_million),
        dollars(Some(cost.design_micro_usd_a_million)),
        format!("the design with all its lines: {}", dollars(Some(cost.design_of_all_micro_usd_a_million))),
    ]);
    show!("{table}");
    Ok(ExitCode::SUCCESS)
}

fn dollars(micro: Option<u64>) -> String {
    let Some(micro) = micro else { return "-".to_owned() };
    format!("{}.{:04}", micro / 1_000_000, micro % 1_000_000 / 100)
}

fn thousandths(milli: u64) -> String {
    match milli % 1_000 {
        0 => (milli / 1_000).to_string(),
        rest => format!("{}.{rest:03}", milli / 1_000),
    }
}
