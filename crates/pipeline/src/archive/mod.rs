//! The archive: every accepted webhook, its receipt, its events and its outcome.
//!
//! The processor packs [`Row`]s into queue messages, many to a message; the archival function writes a batch of
//! them as one object.

mod row;

pub use row::{Outcome, Packed, Row, RowError, pack, unpack};
