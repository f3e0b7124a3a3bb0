//! Ports in memory, for tests of the use cases.

pub mod archive;
