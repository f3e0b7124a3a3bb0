//! The use cases, free of AWS: [`ingest`] takes a webhook in, [`process`] turns intake batches into payment
//! events, [`fraud`] assesses payments, [`silence`] finds endpoints that hear nothing,
//! [`rejected`] keeps what is refused. Each is given the [`ports`] it needs and no others. [`intake`] and [`archive`]
//! are the messages between the functions, [`endpoints`] the document that configures them.

pub mod archive;
mod cached;
pub mod directory;
pub mod endpoints;
pub mod fraud;
#[cfg(test)]
mod hand;
pub mod ingest;
pub mod intake;
pub mod keys;
pub mod materials;
mod normalising;
pub mod objects;
mod pace;
pub mod ports;
pub mod process;
pub mod rejected;
pub mod replay;
pub mod retrieved;
pub mod silence;
