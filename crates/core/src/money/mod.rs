//! Exact money: an integer of minor units, a currency and its exponent. No floating point anywhere.

mod amount;
mod currency;
mod error;

pub use self::{
    amount::{MAX_MINOR_UNITS, Money},
    currency::{Currency, MAX_CURRENCY_LEN},
    error::MoneyError,
};
