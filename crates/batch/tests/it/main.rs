//! One binary: the reference model, Lambda's rule, the counterparts of Powertools' cases, panics, futures.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod concurrent;
mod edges;
mod lambda;
mod model;
mod panics;
mod powertools;
