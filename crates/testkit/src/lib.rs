//! Fixtures, signers and failure-injecting ports for tests. A dev-dependency only.

pub mod memory;
