//! The proxy of this crate as a program.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tollgate_faults::Log;

/// Stands between functions and AWS, and fails as AWS may.
#[derive(Debug, Parser)]
#[command(name = "tollgate-faults", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT.
    Serve(Serve),
}

#[derive(Debug, Args)]
struct Serve {
    /// Where the control port is written, once all listen.
    #[arg(long)]
    port_file: PathBuf,
    /// Where every fault that happens is appended, a line of JSON each.
    #[arg(long)]
    log: PathBuf,
    /// Decides what is left to chance.
    #[arg(long, default_value = "0")]
    seed: String,
    /// A function whose calls to AWS come to a port of its own; may be given again.
    #[arg(long = "function", required = true)]
    functions: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let Command::Serve(options) = Cli::parse().command;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(options))
}

async fn serve(options: Serve) -> anyhow::Result<()> {
    let log = Log::open(&options.log).context("cannot open the log")?;
    let proxy = tollgate_faults::start(&options.functions, &options.seed, Some(log)).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    write_whole(&options.port_file, &proxy.ports.control.to_string())
        .await
        .context("cannot write the port file")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// A reader of the file sees the whole text or no file.
async fn write_whole(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let part = path.with_extension("part");
    tokio::fs::write(&part, text).await?;
    tokio::fs::rename(&part, path).await
}
