//! `tollgate console`: the same as web pages, on this machine alone.

use std::process::ExitCode;

use tollgate_console::Settings;

use crate::{clock, search::Tools, target::Target};

const GB: u64 = 1_000_000_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The port on 127.0.0.1; 0: any that is free
    #[arg(long, default_value_t = 8717)]
    port: u16,
    /// Allow what changes something; each act asks for a reason, and is recorded
    #[arg(long)]
    write: bool,
    /// Gigabytes of the archive that one page may read
    #[arg(long, default_value_t = 10, value_name = "N")]
    most_gb: u64,
    /// Ask providers here instead of at their own addresses, for Reconciliation
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
    #[command(flatten)]
    tools: Tools,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let aws = args.target.connect().await?;
    let bucket = aws.names.archive_bucket(&aws.account().await?);
    let settings = Settings {
        clock: clock::now,
        is_writing: args.write,
        engine: args.tools.engine(&aws, &args.target, &bucket)?,
        most_bytes: args.most_gb.saturating_mul(GB),
        api_url: args.api_url,
        replays: ".".into(),
        searches: args.tools.searches_file()?,
        tell: |address| say!("open {address}"),
        aws,
    };
    let stopped = async {
        // Where it cannot be heard it ends the process at once.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        complain!("ending what is under way where nothing is lost; Ctrl-C again ends it at once");
        tokio::spawn(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(130);
            }
        });
    };
    tollgate_console::serve(settings, args.port, stopped).await?;
    Ok(ExitCode::SUCCESS)
}
