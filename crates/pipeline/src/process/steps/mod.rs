//! The steps, each over a whole stride.

mod archive;
pub(super) mod claims;
mod effects;
mod history;
mod mark;
mod names;
mod publish;
