//! What the tests of the other crates are built from: [`memory`] has every port in memory, [`failure`] makes any
//! port fail at any call, [`aws`] refuses what AWS refuses, [`webhook`] makes signed webhooks, [`contract`] is what every implementation of a port
//! must do, [`provider_api`] and [`provider_objects`] stand in for providers' APIs, [`loopback`] serves HTTP, [`schema`] checks published events,
//! [`events_page`] writes their documentation, [`schemes_page`] that of endpoints' settings, and [`sample_events`] those that the consumers' packages are tested with.
//! A dev-dependency only.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests only"
)]

pub mod aws;
pub mod contract;
pub mod events_page;
pub mod failure;
pub mod loopback;
pub mod memory;
pub mod provider_api;
pub mod provider_objects;
mod provider_webhooks;
pub mod sample_events;
pub mod schema;
pub mod schemes_page;
pub mod webhook;
