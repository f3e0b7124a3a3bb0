//! The real functions on a local AWS peer, from the HTTP answer to the archive.
//!
//! `make test` starts the platform and says where it is in `TOLLGATE_PLATFORM`. Without it these tests fail.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod answers;
mod archive;
mod audit;
mod canary;
mod claim_check;
mod cloud;
mod conflicts;
mod console;
mod consumers;
mod contracts;
mod cost;
mod dlq;
mod doctor;
mod duplicates;
mod enrich;
mod fraud;
mod inspect;
mod instances;
mod keys_in_use;
mod kills;
mod listen;
mod logs;
mod metrics;
mod money;
mod operators;
mod poison;
mod reconcile;
mod reconciler;
mod refusals;
mod register;
mod rejected;
mod replay;
mod rotation;
mod routing;
mod search;
mod setting_up;
mod shapes;
mod silence;
mod too_old;
mod tool;
