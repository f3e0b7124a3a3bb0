//! `tollgate status`: what is where in an environment.

use std::process::ExitCode;

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tollgate_operate::{
    aws::Aws,
    described,
    queues::{self, Depth},
};

use crate::{table::Table, target::Target};

/// Calls at once.
const AT_ONCE: usize = 8;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// What an environment holds. Counts of AWS's own are approximate where AWS's are.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Status {
    pub(crate) queues: Vec<Depth>,
    pub(crate) tables: Vec<Count>,
    pub(crate) buckets: Vec<Count>,
}

/// So many of something.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Count {
    pub(crate) name: String,
    pub(crate) count: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let aws = args.target.connect().await?;
    let status = read(&aws).await?;
    if args.json {
        say!("{}", serde_json::to_string(&status)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(["queue", "waiting", "in flight", "delayed"]);
    let (dead, alive): (Vec<_>, Vec<_>) = status.queues.iter().partition(|queue| queue.dead_letters);
    for queue in alive.iter().chain(&dead) {
        table.row([
            queue.name.clone(),
            queue.visible.to_string(),
            queue.in_flight.to_string(),
            queue.delayed.to_string(),
        ]);
    }
    say!("{table}");
    let mut table = Table::new(["table or bucket", "count"]);
    for count in &status.tables {
        table.row([count.name.clone(), format!("{}, up to six hours ago", count.count)]);
    }
    for count in &status.buckets {
        table.row([count.name.clone(), count.count.to_string()]);
    }
    show!("{table}");
    let stranded: u64 = dead.iter().map(|queue| queue.visible).sum();
    if stranded > 0 {
        say!("\n{stranded} dead-lettered: `tollgate dlq list` says why, docs/runbook.md what to do");
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks for everything.
async fn read(aws: &Aws) -> anyhow::Result<Status> {
    let queues = queues::depths(aws).await?;
    let tables = [aws.names.ledger_table(), aws.names.transactions_table()];
    let count = async |name: String| {
        let count = described::table(aws, &name).await?.item_count;
        anyhow::Ok(Count { name, count })
    };
    let tables = stream::iter(tables).map(count).buffered(AT_ONCE).try_collect().await?;
    let account = aws.account().await?;
    let s3 = tollgate_aws::s3_client(&aws.config);
    let buckets = [aws.names.archive_bucket(&account), aws.names.payload_bucket(&account)];
    let buckets = stream::iter(buckets).map(|name| bucket(&s3, name)).buffered(AT_ONCE).try_collect().await?;
    Ok(Status { queues, tables, buckets })
}

async fn bucket(s3: &aws_sdk_s3::Client, name: String) -> anyhow::Result<Count> {
    let mut pages = s3.list_objects_v2().bucket(&name).into_paginator().send();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws_sdk_s3::Error::from).with_context(|| format!("bucket {name}"))?;
        count += u64::try_from(page.contents().len()).unwrap_or(0);
    }
    Ok(Count { name, count })
}
