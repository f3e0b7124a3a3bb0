//! The contestants. Each turns a batch's bytes into [`Outputs`](crate::outputs::Outputs), every time anew.

mod domain;
pub mod tollgate;
pub mod typed;
pub mod value;
pub mod walk;
