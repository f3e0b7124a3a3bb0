//! `tollgate`: the operator's tool. `docs/cli.md` describes it. What is public here is shared with the demo.
//!
//! Exit codes: 0 done or valid, 1 the answer is no (a refused webhook, an invalid signature, a lost event),
//! 2 the question could not be put (usage, a file that does not read, AWS that does not answer).

#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
pub mod out;

mod allow;
mod audit;
mod catalogue;
pub mod clock;
mod conflicts;
mod console;
mod cost;
mod dlq;
mod doctor;
#[cfg(test)]
mod documents;
pub mod endpoints;
pub mod http;
mod inspect;
mod listen;
mod load;
mod manual;
mod metrics;
pub mod progress;
mod provider_cells;
mod providers_page;
mod reconcile;
mod reconciliations;
mod rejected;
mod replay;
mod search;
mod send;
pub mod signer;
mod sought;
mod status;
pub mod table;
pub mod target;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "tollgate",
    version,
    about = "Payment webhooks: configure, send, verify, watch",
    after_long_help = "Exit codes: 0 done or valid; 1 the answer is no; 2 there is no answer."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write, list and rotate endpoints
    Endpoints(endpoints::Args),
    /// Send signed webhooks, as an endpoint's provider would
    Send(send::Args),
    /// Send signed webhooks at a rate and measure the answers
    Load(load::Args),
    /// Say whether a captured request is genuine, and why not
    Verify(verify::Args),
    /// Run a file of signature vectors
    Vectors(catalogue::VectorsArgs),
    /// List the providers and their rules
    Providers(catalogue::ProvidersArgs),
    /// Print the payment events that a body holds
    Normalize(catalogue::NormalizeArgs),
    /// Show the whole way of one webhook, event or payment, and where it stopped
    Inspect(inspect::Args),
    /// Let what was set aside as too old take effect
    Allow(allow::Args),
    /// List who did what to which ids, and why
    Audit(audit::Args),
    /// Count what is in queues, tables and buckets
    Status(status::Args),
    /// Count webhooks by how they ended, and say how long each part takes and what waits
    Metrics(metrics::Args),
    /// Ask an endpoint's provider what it sent, and say what of it is missing here
    Reconcile(reconcile::Args),
    /// List what the reconciler found, once a day, at each endpoint
    Reconciliations(reconciliations::Args),
    /// Say what a time cost, line by line, against the design
    Cost(cost::Args),
    /// Check the platform, and say what to do where something is not as it should be
    Doctor(doctor::Args),
    /// Find webhooks and events in the archive and the tables
    Search(Box<search::Args>),
    /// Serve web pages on this machine that show, find and do the same
    Console(console::Args),
    /// Send webhooks of the archive again, here, to another environment, a file or an address; or read them again
    Replay(Box<replay::Args>),
    /// Print the completions of a shell
    Completions(manual::CompletionsArgs),
    /// Write the manual pages into a folder
    Man(manual::ManArgs),
    /// Look at dead letters, and send them back
    Dlq(dlq::Args),
    /// Look at deliveries that contradict what is known, and say which facts are true
    Conflicts(conflicts::Args),
    /// Follow events as they are published, and forward them to a developer's machine
    Listen(Box<listen::Args>),
    /// Look at webhooks that were refused and kept, and take them in once the cause is mended
    Rejected(rejected::Args),
    /// The former name of `dlq redrive --queue QUEUE`
    Redrive(dlq::Former),
}

/// The whole tool: reads the command line, does what it says, and says how the process ends.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Its text repeats arguments, which may be pasted.
        Err(usage) => {
            let text = usage.render();
            if usage.use_stderr() {
                complain!("{}", text.to_string().trim_end());
            } else {
                show!("{text}");
            }
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(problem) => return refuse(&problem.into()),
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Endpoints(args) => endpoints::run(args).await,
            Command::Send(args) => send::run(args).await,
            Command::Load(args) => load::run(args).await,
            Command::Verify(args) => verify::run(args).await,
            Command::Vectors(args) => catalogue::vectors(&args),
            Command::Providers(args) => catalogue::providers(&args),
            Command::Normalize(args) => catalogue::normalize(&args),
            Command::Inspect(args) => inspect::run(args).await,
            Command::Allow(args) => allow::run(args).await,
            Command::Audit(args) => audit::run(args).await,
            Command::Status(args) => status::run(args).await,
            Command::Metrics(args) => metrics::run(args).await,
            Command::Reconcile(args) => reconcile::run(args).await,
            Command::Reconciliations(args) => reconciliations::run(args).await,
            Command::Cost(args) => cost::run(args).await,
            Command::Doctor(args) => doctor::run(args).await,
            Command::Search(args) => search::run(*args).await,
            Command::Console(args) => console::run(args).await,
            Command::Replay(args) => replay::run(*args).await,
            Command::Completions(args) => manual::completions(&args, Cli::command()),
            Command::Man(args) => manual::man(&args, Cli::command()),
            Command::Dlq(args) => dlq::run(args).await,
            Command::Conflicts(args) => conflicts::run(args).await,
            Command::Listen(args) => listen::run(*args).await,
            Command::Rejected(args) => rejected::run(args).await,
            Command::Redrive(args) => dlq::former(args).await,
        }
    });
    done.unwrap_or_else(|problem| refuse(&problem))
}

fn refuse(problem: &anyhow::Error) -> ExitCode {
    complain!("tollgate: {problem:#}");
    ExitCode::from(2)
}
