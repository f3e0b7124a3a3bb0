//! The screens, a file for each.

pub(crate) mod audit;
pub(crate) mod find;
pub(crate) mod payment;
pub(crate) mod way;
pub(crate) mod webhooks;
