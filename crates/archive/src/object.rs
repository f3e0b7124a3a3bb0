//! One archive object: rows as Parquet, under a key that is a function of the rows.

use std::fmt::Write;

use arrow_schema::ArrowError;
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};
use tollgate_core::{Timestamp, id::hex_sha256};

use crate::{
    columns::{IDS, SCHEMA, of_event, record_batch, schema},
    entry::Entry,
};

/// Rows that Parquet cannot hold.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A column is not as the schema says.
    #[error("archive columns: {0}")]
    Columns(#[from] ArrowError),
    /// The writer failed.
    #[error("archive object: {0}")]
    Parquet(#[from] ParquetError),
}

/// `entries` as one Parquet object of one row group.
///
/// # Errors
///
/// [`EncodeError`]; not to be expected of rows that were unpacked.
pub fn encode(entries: &[Entry]) -> Result<Vec<u8>, EncodeError> {
    let batch = record_batch(entries)?;
    let events = entries.iter().map(|entry| entry.events().len()).sum();
    let options = ArrowWriterOptions::new()
        .with_properties(properties(events)?)
        // Arrow's own copy of the schema: Parquet's says all there is to say.
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema(), options)?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

/// `webhooks/date=2026-01-31/235959-….parquet`: the day and the time (UTC) of the earliest row, and a name that
/// depends on the rows alone, so that writing the same rows again finds them there.
pub(super) fn key<'a>(earliest: Timestamp, digests: impl Iterator<Item = &'a str>) -> String {
    let mut name = String::new();
    digests.for_each(|digest| name.push_str(digest));
    let mut name = hex_sha256(name.as_bytes());
    name.truncate(32);
    let mut key = partition(earliest);
    // Writing to a `String` does not fail.
    let _ = write!(key, "/{}-{name}.parquet", earliest.strftime("%H%M%S"));
    key
}

/// The partition's folder.
pub(super) fn partition(received_at: Timestamp) -> String {
    format!("webhooks/date={}", received_at.strftime("%Y-%m-%d"))
}

/// Columns whose values repeat from row to row.
const REPETITIVE: [&str; 18] = [
    "endpoint",
    "provider",
    "source_ip",
    "authenticity",
    "key_id",
    "outcome",
    "reason",
    "replayed_by",
    "headers.list.element.name",
    "events.list.element.type",
    "events.list.element.category",
    "events.list.element.provider_event_type",
    "events.list.element.currency",
    "events.list.element.exponent",
    "events.list.element.risk_tier",
    "events.list.element.customer_country",
    "events.list.element.method_type",
    "events.list.element.method_brand",
];

/// Columns by which a reader can leave an object out. Nothing else has statistics: they are values, and a body
/// has no business in a footer.
const SEARCHABLE: [&str; 7] = [
    "webhook_id",
    "received_at",
    "endpoint",
    "provider",
    "outcome",
    "events.list.element.type",
    "events.list.element.occurred_at",
];

/// The chance that a reader opens an object for an id that is not in it. A filter has some ten bits for each id then.
const IN_VAIN: f64 = 0.01;

fn properties(events: usize) -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        // One row group: an object is at most tens of megabytes, which is what readers take a row group to be.
        .set_max_row_group_row_count(None)
        // Ids, digests and bodies do not repeat, and a dictionary of them is all cost.
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        // Page limits are looked at once a write batch. Bodies reach megabytes, so that the default of 1,024
        // values could make a page of a gigabyte.
        .set_write_batch_size(32)
        .set_key_value_metadata(Some(vec![KeyValue::new("schema".to_owned(), SCHEMA.to_owned())]));
    for column in REPETITIVE {
        properties = properties.set_column_dictionary_enabled(path(column), true);
    }
    for column in SEARCHABLE {
        properties = properties.set_column_statistics_enabled(path(column), EnabledStatistics::Chunk);
    }
    // What it is made for at first: of a million by default, which takes a megabyte for each column.
    let most = u64::try_from(events).unwrap_or(u64::MAX).max(1);
    for column in IDS.map(of_event) {
        properties = properties
            .set_column_bloom_filter_fpp(path(&column), IN_VAIN)
            .set_column_bloom_filter_max_ndv(path(&column), most);
    }
    Ok(properties.build())
}

fn path(column: &str) -> ColumnPath {
    ColumnPath::new(column.split('.').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_of_columns_that_exist() {
        let columns = parquet::arrow::ArrowSchemaConverter::new().convert(&schema()).unwrap();
        let columns: Vec<String> = columns.columns().iter().map(|column| column.path().string()).collect();
        let named = REPETITIVE.iter().chain(&SEARCHABLE).map(|&column| column.to_owned());
        for column in named.chain(IDS.map(of_event)) {
            assert!(columns.contains(&column), "{column}: {columns:?}");
        }
    }
}
