//! The screens, a file for each.

pub(crate) mod audit;
pub(crate) mod conflicts;
pub(crate) mod cost;
pub(crate) mod dead_letters;
pub(crate) mod endpoints;
mod files;
pub(crate) mod find;
pub(crate) mod now;
pub(crate) mod payment;
pub(crate) mod reconciliation;
pub(crate) mod refusals;
pub(crate) mod replay;
pub(crate) mod runs;
mod scheduled;
pub(crate) mod tail;
pub(crate) mod way;
pub(crate) mod webhooks;
