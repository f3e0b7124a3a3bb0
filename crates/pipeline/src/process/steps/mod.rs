//! The steps, each over a whole stride.

mod archive;
pub(super) mod claims;
mod effects;
pub(super) mod enrich;
mod history;
mod mark;
mod names;
mod publish;
mod recall;
