//! Benchmarks of the processor, and the rivals that it is raced against. See `COMPARE.md`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench: it needs the real clock, and what goes wrong must stop it"
)]

pub mod allocations;
pub mod batch;
pub mod contestants;
pub mod outputs;
pub mod race;
