//! One log file for each function: what its copies write, and the result of each invocation.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::Path,
};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

use crate::clock;

/// The longest line kept whole, in bytes: CloudWatch Logs' largest event. Longer ones are broken up.
const MAX_LINE: usize = 256 * 1024;

/// An open log file; every line is one append.
#[derive(Debug)]
pub struct Log(File);

impl Log {
    /// Opens or creates `{folder}/{function}.log`.
    pub fn open(folder: &Path, function: &str) -> std::io::Result<Self> {
        let path = folder.join(format!("{function}.log"));
        OpenOptions::new().create(true).append(true).open(path).map(Self)
    }

    /// Writes one line; a full disk must not stop the functions.
    pub fn line(&self, copy: usize, text: &[u8]) {
        let mut line = format!("{} [{copy}] ", clock::timestamp()).into_bytes();
        line.extend_from_slice(text);
        line.push(b'\n');
        let _ = (&self.0).write_all(&line);
    }

    /// Copies `from` to the log until it ends.
    pub async fn forward(&self, copy: usize, from: impl AsyncRead + Unpin) {
        let mut from = BufReader::with_capacity(64 * 1024, from);
        let mut line = Vec::new();
        while let Ok(available) = from.fill_buf().await {
            if available.is_empty() {
                break;
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(available.len(), |at| at + 1);
            line.extend(available.iter().take(end.unwrap_or(taken)));
            from.consume(taken);
            if end.is_some() || line.len() >= MAX_LINE {
                self.line(copy, &line);
                line.clear();
            }
        }
        if !line.is_empty() {
            self.line(copy, &line);
        }
    }
}
