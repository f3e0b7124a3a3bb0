//! Risk: how large an amount is for its currency, and whether a payment looks like fraud.
//!
//! Two functions of their arguments alone:
//!
//! - [`Thresholds::tier`] sorts an amount into the [`RiskTier`](tollgate_core::RiskTier) that routes its event.
//! - [`assess`] weighs a payment against [`Rules`] and the customer's [`History`] and gives a [`Decision`]: a
//!   score, what to do, and every reason.
//!
//! Pure and exact: no clock, no I/O, no floating point. The same input gives the same answer on every machine.

mod assess;
mod countries;
mod decimal;
mod rules;
mod thresholds;

pub use assess::{Decision, History, Verdict, assess};
pub use decimal::{Decimal, DecimalError, MAX_DIGITS};
pub use rules::{Levels, Reason, Rules, RulesError, Weights};
pub use thresholds::{Limits, Thresholds, ThresholdsError};
