//! What was sent, for those who send it again as it was. A later phase is another process: it is in a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tollgate_cli::http::Parcel;
use tollgate_core::Timestamp;

use crate::record::Body;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    n: u64,
    /// When it was last signed and sent.
    at: Timestamp,
    uri: String,
    headers: Vec<(String, String)>,
    body: Body,
}

/// The parcels that a replay asks for.
#[derive(Debug)]
pub(super) struct Parcels {
    wanted: BTreeSet<u64>,
    kept: Mutex<(BTreeMap<u64, Kept>, File)>,
}

impl Parcels {
    /// Those of the file, and of what is sent from now on those of `wanted`.
    ///
    /// # Errors
    ///
    /// When the file does not read.
    pub(super) fn open(path: &Path, wanted: BTreeSet<u64>) -> anyhow::Result<Self> {
        let text = if path.exists() { std::fs::read_to_string(path)? } else { String::new() };
        let mut kept = BTreeMap::new();
        for line in text.lines() {
            let one: Kept = serde_json::from_str(line)?;
            kept.insert(one.n, one);
        }
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        Ok(Self { wanted, kept: Mutex::new((kept, file)) })
    }

    /// Keeps it, if it is wanted.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn keep(&self, n: u64, at: Timestamp, parcel: &Parcel) -> anyhow::Result<()> {
        if !self.wanted.contains(&n) {
            return Ok(());
        }
        let headers =
            parcel.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let one = Kept { n, at, uri: parcel.uri.to_string(), headers, body: Body::new(&parcel.body) };
        let (kept, file) = &mut *self.locked();
        writeln!(file, "{}", serde_json::to_string(&one)?)?;
        kept.insert(n, one);
        Ok(())
    }

    /// The last one of webhook `n`, and when it was sent.
    ///
    /// # Errors
    ///
    /// When what was kept is no request.
    pub(super) fn get(&self, n: u64) -> anyhow::Result<Option<(Timestamp, Parcel)>> {
        let Some(one) = self.locked().0.get(&n).cloned() else { return Ok(None) };
        let headers = one.headers.iter().map(|(name, value)| (name, value)).collect();
        Ok(Some((one.at, Parcel { uri: one.uri.parse()?, headers, body: one.body.bytes()?.into() })))
    }

    fn locked(&self) -> MutexGuard<'_, (BTreeMap<u64, Kept>, File)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
