//! The programs that `make test` has built, and the operator's tool among them.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
};

/// A program of ours.
pub(crate) fn program(name: &str) -> PathBuf {
    // A test's own program is in a folder beside them.
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join(name);
    assert!(program.is_file(), "{} is missing: `make test` builds it", program.display());
    program
}

/// The operator's tool, with nothing to read.
pub(crate) fn tollgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(program("tollgate"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// All that it printed.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
