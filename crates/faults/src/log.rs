//! Every fault that happened: one line of JSON each.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::Path,
};

use serde::Serialize;
use tollgate_lambda::clock;

use crate::{call::Call, rule::Fault};

/// An open log; every line is one append.
#[derive(Debug)]
pub struct Log(File);

#[derive(Serialize)]
struct Line<'l> {
    at: String,
    rule: &'l str,
    kind: crate::rule::Kind,
    function: &'l str,
    service: &'l str,
    operation: &'l str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<usize>,
}

/// What more a line says.
#[derive(Debug, Clone, Copy, Default)]
pub struct More {
    /// The process that was killed.
    pub pid: Option<u32>,
    /// So many entries or records of the batch.
    pub entries: Option<usize>,
}

impl Log {
    /// Opens or creates the file.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        OpenOptions::new().create(true).append(true).open(path).map(Self)
    }

    /// Writes what happened, before anybody can see it happen.
    pub fn write(&self, fault: &Fault, call: &Call, more: More) -> std::io::Result<()> {
        let line = Line {
            at: format!("{:.3}", clock::now()),
            rule: &fault.rule,
            kind: fault.kind,
            function: &call.function,
            service: &call.service,
            operation: &call.operation,
            pid: more.pid,
            entries: more.entries,
        };
        let mut line = serde_json::to_vec(&line)?;
        line.push(b'\n');
        (&self.0).write_all(&line)
    }
}
