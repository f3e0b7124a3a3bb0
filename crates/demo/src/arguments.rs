//! The command line.

use std::path::PathBuf;

use tollgate_cli::target::Target;

/// The fewest webhooks that show what is to be shown.
const LEAST_WEBHOOKS: u64 = 300;

/// Send a thousand webhooks of every sort through a local platform and count where they end
#[derive(Debug, clap::Parser)]
#[command(name = "tollgate-demo", version)]
pub(crate) struct Arguments {
    /// How many webhooks
    #[arg(long, default_value_t = 1_200, value_parser = clap::value_parser!(u64).range(LEAST_WEBHOOKS..=100_000))]
    pub(crate) count: u64,
    /// The same seed gives the same webhooks, apart from their time [default: the time]
    #[arg(long)]
    pub(crate) seed: Option<String>,
    /// Requests at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) at_once: u16,
    /// Kill functions at random throughout
    #[arg(long)]
    pub(crate) chaos: bool,
    /// The most seconds to wait until every queue is empty
    #[arg(long, default_value_t = 240)]
    pub(crate) patience: u64,
    /// The program that reads the archive back
    #[arg(long, default_value = "scripts/operate/read-archive")]
    pub(crate) archive_reader: PathBuf,
    /// Where to keep the messages of the consumers' queues, a JSON line each
    #[arg(long, default_value = ".local/demo/messages.jsonl")]
    pub(crate) messages: PathBuf,
    /// The program that consumes them
    #[arg(long, default_value = "consumers/python/demo")]
    pub(crate) consumer: PathBuf,
    #[command(flatten)]
    pub(crate) target: Target,
}
