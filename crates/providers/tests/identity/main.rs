//! What holds for every provider: an event's id decides what it says, only signed parts decide its id, and each event
//! type that is published is mapped or ignored on purpose.

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
mod coverage;
mod document;
mod mutations;
mod readings;
mod signed_fields;
mod unsigned;
