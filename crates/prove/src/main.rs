//! What `make prove` plans and sends. `scripts/prove/prove` calls it.

mod endpoints;
mod journal;
mod plan;
mod record;
mod send;
mod templates;

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tollgate_core::Timestamp;

#[derive(Debug, Parser)]
#[command(name = "tollgate-prove", version, about = "Plan and send the webhooks of a campaign")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write endpoints.toml, and a new key of each endpoint into keys/
    Endpoints {
        /// The campaign's folder
        #[arg(long)]
        folder: PathBuf,
    },
    /// Write a new key of one endpoint
    Key {
        /// The campaign's folder
        #[arg(long)]
        folder: PathBuf,
        /// The endpoint's name
        #[arg(long)]
        endpoint: String,
        /// The file
        #[arg(long)]
        to: PathBuf,
    },
    /// Print the plan, a JSON line for each webhook with its right outcome
    Plan {
        /// The campaign's folder
        #[arg(long)]
        folder: PathBuf,
        /// The same seed, endpoints, number and day make the same plan
        #[arg(long)]
        seed: String,
        /// How many webhooks
        #[arg(long, default_value_t = 2_000)]
        webhooks: u64,
        /// How long sending them takes
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// The plan's moment, in RFC 3339 [default: now]
        #[arg(long)]
        now: Option<Timestamp>,
    },
    /// Send a phase of the plan
    Send(send::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Into::into);
    match done.and_then(|runtime| runtime.block_on(run(cli.command))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            tollgate_cli::complain!("tollgate-prove: {problem:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Endpoints { folder } => endpoints::write(&folder),
        Command::Key { folder, endpoint, to } => endpoints::write_new_key(&folder, &endpoint, &to),
        Command::Plan { folder, seed, webhooks, seconds, now } => {
            let now = now.unwrap_or_else(tollgate_cli::clock::now);
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            for line in plan::lines(&endpoints::read(&folder)?, &seed, webhooks, seconds, now)? {
                writeln!(out, "{}", serde_json::to_string(&line)?)?;
            }
            Ok(out.flush()?)
        }
        Command::Send(args) => send::run(args).await,
    }
}
