//! The screens, a file for each.

pub(crate) mod audit;
pub(crate) mod conflicts;
pub(crate) mod dead_letters;
pub(crate) mod endpoints;
pub(crate) mod find;
pub(crate) mod now;
pub(crate) mod payment;
pub(crate) mod refusals;
pub(crate) mod way;
pub(crate) mod webhooks;
