//! One binary: the reference model, Lambda's rule, the counterparts of Powertools' cases, panics, futures, events.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod concurrent;
mod edges;
#[cfg(feature = "aws_lambda_events")]
mod events;
mod lambda;
mod model;
mod panics;
mod powertools;
