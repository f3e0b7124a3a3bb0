//! A webhook as it is archived.

use tollgate_pipeline::archive::Row;

/// A webhook as it is archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Everything but the bytes; its `encoding` and `body` are the queue's and are not archived.
    pub row: Row<'static>,
    /// The exact bytes that the provider sent.
    pub body: Vec<u8>,
}
