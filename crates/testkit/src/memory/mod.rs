//! Ports in memory, for tests of the use cases.

pub mod archive;
pub mod bus;
pub mod clock;
pub mod effects;
pub mod ledger;
pub mod objects;
pub mod queues;
pub mod sqs;
pub mod stores;
mod table;
pub mod transactions;
pub mod world;
