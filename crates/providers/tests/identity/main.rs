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

mod constant;
mod document;
mod mutations;
