//! The archive: every accepted webhook, its receipt, its events and its outcome, as Parquet.
//!
//! The processor packs [`Row`]s into queue messages, many to a message ([`tollgate_pipeline::archive`]). The archival
//! function's [`Archiver`] writes a batch of them as one object a day. `docs/archive.md` says how to read them.
//!
//! [`Row`]: tollgate_pipeline::archive::Row

mod archiver;
mod columns;
mod entry;
mod object;
#[cfg(feature = "read")]
pub mod read;
#[cfg(feature = "read")]
pub mod table;

pub use archiver::{Archived, Archiver, MAX_OBJECT_BODY_BYTES, Message, Object};
pub use columns::{IDS, SCHEMA, schema};
pub use entry::Entry;
pub use object::{EncodeError, encode};
