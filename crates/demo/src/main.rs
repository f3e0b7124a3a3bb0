//! The demo: real webhooks through a whole platform, counted where they end. `docs/cli.md` describes it.
//!
//! Exit codes: 0 all is as it must be, 1 it is not, 2 the demo could not be run.

mod arguments;
mod census;
mod chaos;
mod consume;
mod deliver;
mod plan;
mod redrive;
mod report;
mod run;
mod verdict;

use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Into::into);
    done.and_then(|runtime| runtime.block_on(interruptible(&arguments))).unwrap_or_else(
        |problem: anyhow::Error| {
            tollgate_cli::complain!("demo: {problem:#}");
            ExitCode::from(2)
        },
    )
}

async fn interruptible(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    tokio::select! {
        done = run::demonstrate(arguments) => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}
