//! What makes an event the same event, for every provider: its id decides what it says, and only signed parts decide
//! its id.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "../normalise/braintree.rs"]
mod braintree;
#[path = "../normalise/cases.rs"]
mod cases;
#[path = "../signatures/providers.rs"]
#[allow(dead_code, reason = "the signatures' tests use the rest")]
mod providers;

mod constant;
mod document;
mod mutations;
mod unsigned;
