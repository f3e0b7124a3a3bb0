//! A copy's process: it cannot outlive the runner.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::Args;
use rustix::process::{Pid, Signal, getppid, kill_process_group};
use tokio::process::Child;

/// How the runner starts a copy: through itself, so that the child can tie its life to the runner's without
/// `unsafe` code between fork and exec.
#[derive(Debug, Args)]
pub struct Become {
    /// The runner.
    #[arg(long)]
    parent: i32,
    /// The function.
    binary: PathBuf,
    /// What it is given, for a program that starts the function elsewhere.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Become {
    /// Becomes the function's process; returns only when that fails.
    pub fn exec(self) -> anyhow::Error {
        // Kept over exec; it reaches the copy even when the runner is killed with SIGKILL.
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
            return anyhow::Error::new(error).context("cannot tie the copy to the runner");
        }
        if getppid().map(Pid::as_raw_pid) != Some(self.parent) {
            return anyhow::anyhow!("the runner is gone");
        }
        let error = Command::new(&self.binary).args(&self.arguments).exec();
        anyhow::Error::new(error).context(format!("cannot run {}", self.binary.display()))
    }
}

/// Starts `binary` with `arguments` and exactly `environment`, in a process group of its own: a Ctrl-C at the
/// terminal reaches the runner alone, which then stops its copies in order.
pub fn spawn(
    binary: &Path,
    arguments: &[String],
    environment: Vec<(OsString, OsString)>,
) -> std::io::Result<Child> {
    // Not by name: a build may have replaced the file since this process started.
    let mut command = tokio::process::Command::new("/proc/self/exe");
    command
        .args(["copy", "--parent", &std::process::id().to_string(), "--"])
        .arg(binary)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command.spawn()
}

/// Kills the copy and whatever it started.
pub fn kill(pid: u32) {
    if let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // Already gone is what was wanted.
        let _ = kill_process_group(group, Signal::KILL);
    }
}
