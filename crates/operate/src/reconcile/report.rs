//! Every event that was compared, as a Parquet file.

use std::{fs::File, io::Write, path::Path};

use anyhow::Context;
use tollgate_archive::table::TextTable;

use super::model::Finding;

/// Version of the columns. They are only ever added under one version.
pub const FORM: &str = "tollgate.reconciliation/1";

const COLUMNS: [&str; 12] = [
    "endpoint",
    "verdict",
    "provider_event_id",
    "provider_event_type",
    "at",
    "type",
    "transaction_id",
    "amount",
    "currency",
    "our_amount",
    "webhook_id",
    "note",
];

/// A report that is being written.
pub struct Report<W: Write + Send> {
    table: TextTable<W>,
}

impl Report<File> {
    /// A new file; one that is there is not replaced.
    ///
    /// # Errors
    ///
    /// When the file is there, or cannot be made.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        Self::new(File::create_new(path).with_context(|| format!("making {}", path.display()))?)
    }
}

impl<W: Write + Send> Report<W> {
    /// A report without events.
    ///
    /// # Errors
    ///
    /// When nothing can be written.
    pub fn new(to: W) -> anyhow::Result<Self> {
        Ok(Self { table: TextTable::new(to, FORM, &COLUMNS)? })
    }

    /// Adds an event of an endpoint.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn add(&mut self, endpoint: &str, finding: &Finding) -> anyhow::Result<()> {
        let Finding {
            verdict,
            provider_event_id,
            provider_event_type,
            at,
            kind,
            transaction_id,
            amount,
            currency,
            our_amount,
            webhook_id,
            note,
        } = finding.clone();
        self.table.row(vec![
            Some(endpoint.to_owned()),
            Some(verdict.as_str().to_owned()),
            Some(provider_event_id),
            Some(provider_event_type),
            Some(at.to_string()),
            kind,
            transaction_id,
            amount,
            currency,
            our_amount,
            webhook_id,
            note,
        ])?;
        Ok(())
    }

    /// Makes it whole.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn finish(self) -> anyhow::Result<W> {
        Ok(self.table.finish()?)
    }
}
