//! `tollgate redrive`: dead letters back to where they were to go.

use std::process::ExitCode;

use aws_sdk_sqs::Client;
use tollgate_operate::{
    queues,
    redrive::{Bounds, FASTEST, Moved, Routes, send_back, source},
};

use crate::target::Target;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A dead-letter queue, with or without the environment's suffix (payments-queue-dlq, eventbridge-dlq, …)
    queue: String,
    /// Do it; otherwise only what would be done is said
    #[arg(long)]
    yes: bool,
    /// Messages a second, at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(FASTEST)))]
    rate: u32,
    /// Messages, at most [default: as many as wait when it begins]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let aws = args.target.connect().await?;
    let sqs = Client::new(&aws.config);
    let (name, source) = source(&aws, &args.queue)?;
    let waiting = queues::depth(&sqs, name.clone(), true).await?.visible;
    let most = args.limit.map_or(waiting, |limit| limit.min(waiting));
    if !args.yes {
        let to = source.map_or("the queue that each one was for".to_owned(), |queue| aws.names.queue(queue));
        say!(
            "{name}: {waiting} wait; {most} would be sent to {to}, {} a second at most. Say --yes",
            args.rate
        );
        return Ok(ExitCode::SUCCESS);
    }
    let from = queues::url(&sqs, &name).await?;
    let bounds = Bounds { most, rate: args.rate };
    let routes = Routes::find(&aws, &sqs, source).await?;
    let moved = send_back(&sqs, &from, bounds, |message| routes.of(message)).await?;
    for (url, count) in &moved.sent {
        say!("{count} sent to {}", url.rsplit('/').next().unwrap_or(url));
    }
    for (reason, count) in &moved.left {
        say!("{count} left in {name}: {reason}");
    }
    if moved == Moved::default() {
        say!("{name}: nothing waits");
    }
    Ok(if moved.left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
