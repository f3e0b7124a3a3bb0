//! The archive: every accepted webhook, its receipt, its events and its outcome.
//!
//! The processor packs [`Row`]s into queue messages, many to a message; the archival function's [`Archiver`]
//! writes a batch of them as one Parquet object a day. `docs/archive.md` says how to read them.

mod columns;
mod object;
mod row;
mod write;

pub use columns::{SCHEMA, schema};
pub use object::{EncodeError, Entry, encode};
pub(crate) use row::write_line;
pub use row::{Outcome, Packing, Row, RowError, unpack};
pub use write::{Archived, Archiver, MAX_OBJECT_BODY_BYTES, Message, Object};
