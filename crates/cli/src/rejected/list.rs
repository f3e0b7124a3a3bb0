//! `tollgate rejected list`.

use std::process::ExitCode;

use tollgate_operate::rejected::Store;

use super::which::{Which, are_kept};
use crate::{
    clock,
    dlq::{brief, days_left},
    table::Table,
    target::Target,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// One JSON object for each group
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let filter = args.which.filter()?;
    let aws = args.target.connect().await?;
    let store = Store::of(&aws).await?;
    let groups = store.groups(&filter, clock::now()).await?;
    let mut code = ExitCode::SUCCESS;
    if !filter.ids.is_empty() {
        let (names, _) = store.names(&filter, clock::now()).await?;
        if !are_kept(&filter, &names.iter().map(|name| name.webhook_id.to_string()).collect()) {
            code = ExitCode::FAILURE;
        }
    }
    if args.json {
        for group in &groups {
            say!("{}", serde_json::to_string(group)?);
        }
        return Ok(code);
    }
    if groups.is_empty() {
        say!("nothing is kept: an endpoint keeps what it refuses where its row says keep_rejected");
        return Ok(code);
    }
    let mut table = Table::new(["endpoint", "reason", "count", "first", "last", "days left"]);
    for group in &groups {
        table.row([
            group.endpoint.to_string(),
            group.reason.clone(),
            group.count.to_string(),
            brief(group.first),
            brief(group.last),
            days_left(clock::now(), group.until).to_string(),
        ]);
    }
    show!("{table}");
    Ok(code)
}
