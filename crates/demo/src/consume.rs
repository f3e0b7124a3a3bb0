//! The end of the way: a consumer gets the messages of the consumers' queues.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context;
use serde_json::json;
use tollgate_core::Queue;

/// Keeps the messages in `file`, a JSON line each, and runs `program` on it; whether all was as it must be.
pub(crate) fn consume(messages: &[(Queue, String)], file: &Path, program: &Path) -> anyhow::Result<bool> {
    let writing = || format!("writing {}", file.display());
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(writing)?;
    }
    let line =
        |(queue, body): &(Queue, String)| format!("{}\n", json!({ "queue": queue.stem(), "body": body }));
    fs::write(file, messages.iter().map(line).collect::<String>()).with_context(writing)?;
    let status = Command::new(program).arg(file).stdin(Stdio::null()).status();
    Ok(status.with_context(|| format!("running {}", program.display()))?.success())
}
