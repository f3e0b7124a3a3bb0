//! The proxy before servers of the tests' own, as a client of AWS and as a caller of functions see it.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests only"
)]

mod connections;
mod errors;
mod invocations;
mod kills;
mod partial;
mod passing;
mod rules;
mod stale;
mod support;
