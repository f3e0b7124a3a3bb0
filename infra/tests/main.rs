//! The templates against what they watch and deploy, the metrics that the code emits, and the runbook. Needs no platform.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod context;
mod monitoring;
mod queues;
mod rules;
mod runbook;
mod template;
