//! Exact non-negative decimals, and how they compare with money.

use std::{cmp::Ordering, str::FromStr};

use tollgate_core::Money;

/// The most digits that a [`Decimal`] has, before and after the point together: as many as the largest
/// [`Money`].
pub const MAX_DIGITS: usize = 36;

/// An exact number of major units, zero or more: `units` × 10^-`scale`. Read from text like `1000` or `0.05`.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    units: u128,
    scale: u8,
}

/// A text that is not a [`Decimal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a plain decimal: up to 36 digits with at most one point between them, and no sign")]
pub struct DecimalError;

impl Decimal {
    pub(crate) const fn new(units: u128, scale: u8) -> Self {
        Self { units, scale }
    }

    /// How the magnitude of `amount`, without its sign, compares with this. An amount without a known exponent is
    /// taken for whole major units: the largest amount that it can be.
    pub fn compare_magnitude(self, amount: &Money) -> Ordering {
        let magnitude = amount.minor_units().unsigned_abs();
        compare(magnitude, amount.exponent().unwrap_or(0), self.units, self.scale)
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(DecimalError),
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits = || whole.bytes().chain(fraction.bytes());
        if whole.is_empty() || digits().count() > MAX_DIGITS || !digits().all(|b| b.is_ascii_digit()) {
            return Err(DecimalError);
        }
        // 36 digits are below 2^128, and 36 below 2^8.
        let units = digits().fold(0_u128, |units, digit| units * 10 + u128::from(digit - b'0'));
        let scale = u8::try_from(fraction.len()).map_err(|_| DecimalError)?;
        Ok(Self { units, scale })
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.units, self.scale, other.units, other.scale)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By value: `1.0` is `1`.
impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

/// `left` × 10^-`left_scale` against `right` × 10^-`right_scale`. The coarser side is converted to the finer scale.
/// If that does not fit 128 bits, it is the larger one.
fn compare(left: u128, left_scale: u8, right: u128, right_scale: u8) -> Ordering {
    if left_scale < right_scale {
        return compare(right, right_scale, left, left_scale).reverse();
    }
    if right == 0 {
        return left.cmp(&0);
    }
    let factor = 10_u128.checked_pow(u32::from(left_scale - right_scale));
    match factor.and_then(|factor| right.checked_mul(factor)) {
        Some(right) => left.cmp(&right),
        None => Ordering::Less,
    }
}
