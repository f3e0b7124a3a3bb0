//! What the tests of the other crates are built from: [`memory`] has every port in memory, [`failure`] makes any
//! port fail at any call, [`webhook`] makes signed webhooks, [`contract`] is what every implementation of a port
//! must do, [`schema`] checks published events, and
//! [`events_page`] writes their documentation. A dev-dependency only.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests only"
)]

pub mod contract;
pub mod events_page;
pub mod failure;
pub mod memory;
pub mod schema;
pub mod webhook;
