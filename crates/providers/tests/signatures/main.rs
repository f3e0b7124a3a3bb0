//! Signatures: every row of the catalogue, verified and signed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::type_complexity, reason = "helpers of tests")]

mod classes;
mod custom;
mod endpoints;
mod paypal;
mod properties;
mod providers;
mod vectors;
