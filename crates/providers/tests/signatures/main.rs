//! Signatures: every row of the catalogue, verified and signed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::type_complexity,
    reason = "helpers of tests"
)]

mod classes;
mod custom;
mod endpoints;
mod forged;
mod kept;
mod paypal;
mod plain_hashes;
mod properties;
mod providers;
mod strict;
mod vectors;
mod weak_keys;
