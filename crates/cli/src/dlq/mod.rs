//! `tollgate dlq`: dead letters, looked at, foreseen and sent back.

mod list;
mod purge;
mod redrive;
mod show;
mod which;

use std::process::ExitCode;

use clap::Subcommand;

pub(crate) use redrive::{Former, former};
pub(crate) use which::{brief, days_left, more, span, stop_on_signals};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count what waits in the dead-letter queues, by reason, endpoint and release
    List(list::Args),
    /// Show one dead letter
    Show(show::Args),
    /// Delete dead letters that nobody will send back
    Purge(purge::Args),
    /// Say what would become of dead letters, and send them back
    Redrive(redrive::Args),
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List(args) => list::run(args).await,
        Command::Show(args) => show::run(args).await,
        Command::Redrive(args) => redrive::run(args).await,
        Command::Purge(args) => purge::run(args).await,
    }
}
