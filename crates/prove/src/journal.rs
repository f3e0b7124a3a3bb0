//! The sender's journal: what was tried is on the disk before it is sent, and what was answered before anybody counts it.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    sync::mpsc,
    thread,
};

use anyhow::Context;
use serde::Serialize;
use tokio::sync::oneshot;

/// Lines that one write and one fsync take, at most.
const GROUP: usize = 256;

/// A handle on the writer. Its thread ends when the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Journal(mpsc::Sender<Line>);

struct Line {
    text: Vec<u8>,
    written: oneshot::Sender<()>,
}

impl Journal {
    /// Opens it to go on at its end.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || write_all(file, &receiver));
        Ok(Self(sender))
    }

    /// Returns when the line is on the disk.
    ///
    /// # Errors
    ///
    /// When it is not: nothing may be sent then.
    pub(crate) async fn write(&self, line: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let (written, wait) = oneshot::channel();
        self.0.send(Line { text, written }).ok().context("the journal cannot be written")?;
        wait.await.context("the journal cannot be written")
    }
}

/// Ends at the first failure: whoever waits is told by the channel that is gone.
fn write_all(mut file: File, lines: &mpsc::Receiver<Line>) {
    while let Ok(first) = lines.recv() {
        let mut group = vec![first];
        group.extend(lines.try_iter().take(GROUP - 1));
        let text: Vec<u8> = group.iter().flat_map(|line| line.text.iter().copied()).collect();
        if file.write_all(&text).and_then(|()| file.sync_data()).is_err() {
            return;
        }
        for line in group {
            let _ = line.written.send(());
        }
    }
}
