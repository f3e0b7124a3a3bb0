//! `tollgate rejected`: webhooks that were refused and kept, explained, verified again and taken in.

mod ingest;
mod list;
mod show;
mod verify;
mod which;

use std::process::ExitCode;

use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count what is kept, by endpoint and reason
    List(list::Args),
    /// Show one that is kept, and explain why it is refused
    Show(show::Args),
    /// Verify what is kept again, with the endpoint's keys or another one
    Verify(verify::Args),
    /// Say what would be taken in now, and take it in
    Ingest(ingest::Args),
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List(args) => list::run(args).await,
        Command::Show(args) => show::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Ingest(args) => ingest::run(args).await,
    }
}
