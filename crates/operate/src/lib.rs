//! What an operator can find and do in an environment: the same for the command line and the console. Nothing here prints.

mod archived;
pub mod audit;
pub mod aws;
pub mod conflicts;
pub mod cost;
pub mod dead_letters;
pub mod described;
pub mod dlq;
pub mod doctor;
pub mod drift;
pub mod endpoints;
pub mod figures;
pub mod keys;
mod known;
pub mod listen;
pub mod masked;
pub mod origins;
pub mod queues;
pub mod reconcile;
pub mod register;
pub mod rejected;
pub mod replay;
pub mod search;
pub mod secrets;
pub mod shown;
mod tables;
pub mod times;
mod walk;
pub mod way;

pub use tollgate_provider_api as provider_api;
