//! One binary: exact decimals, tiers at their boundaries, rules and decisions.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod decimals;
mod decisions;
mod settings;
mod tiers;
