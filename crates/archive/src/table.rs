//! Reports of the operator's tool as Parquet: columns of text, row after row.

use std::{io::Write, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    file::{metadata::KeyValue, properties::WriterProperties},
};

use crate::EncodeError;

/// Rows that are held before they are written.
const HELD: usize = 4_096;

/// A table that is being written. All its columns are texts that may be null.
pub struct TextTable<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: SchemaRef,
    rows: Vec<Vec<Option<String>>>,
}

impl<W: Write + Send> TextTable<W> {
    /// A table without rows. `form` is kept in its metadata under `schema`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`], where nothing can be written.
    pub fn new(to: W, form: &str, columns: &[&str]) -> Result<Self, EncodeError> {
        let fields = columns.iter().map(|name| Field::new(*name, DataType::Utf8, true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_key_value_metadata(Some(vec![KeyValue::new("schema".to_owned(), form.to_owned())]))
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(to, Arc::clone(&schema), options)?;
        Ok(Self { writer, schema, rows: Vec::new() })
    }

    /// Adds a row. Cells that it lacks are null.
    ///
    /// # Errors
    ///
    /// [`EncodeError`].
    pub fn row(&mut self, cells: Vec<Option<String>>) -> Result<(), EncodeError> {
        self.rows.push(cells);
        if self.rows.len() < HELD { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), EncodeError> {
        let rows = std::mem::take(&mut self.rows);
        let column = |at: usize| {
            let cells = rows.iter().map(|row| row.get(at).and_then(Option::as_deref));
            Arc::new(cells.collect::<StringArray>()) as ArrayRef
        };
        let columns = (0..self.schema.fields().len()).map(column).collect();
        self.writer.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?)?;
        Ok(())
    }

    /// Writes what is held, and the footer. Without it, what was written is no Parquet.
    ///
    /// # Errors
    ///
    /// [`EncodeError`].
    pub fn finish(mut self) -> Result<W, EncodeError> {
        self.flush()?;
        Ok(self.writer.into_inner()?)
    }
}
