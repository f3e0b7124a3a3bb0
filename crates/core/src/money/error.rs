//! Why money cannot be read.

/// Why an amount is not money that can be held exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text is not a plain decimal: digits, at most one point, an optional leading minus.
    #[error("amount is not a plain decimal")]
    NotADecimal,
    /// More decimals than the currency has, and the extra ones are not zero.
    #[error("amount has more decimals than its currency")]
    Inexact,
    /// Beyond [`MAX_MINOR_UNITS`](super::MAX_MINOR_UNITS).
    #[error("amount is out of range")]
    OutOfRange,
    /// The currency code is not one.
    #[error("currency code is malformed")]
    Currency,
}
