//! `tollgate`: the operator's tool. `docs/cli.md` describes it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tollgate_cli::run()
}
