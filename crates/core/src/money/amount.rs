//! Exact amounts: an integer of minor units, a currency and its exponent.

use std::fmt::{self, Write};

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeStruct};

use super::{currency::Currency, error::MoneyError};

/// The largest magnitude of minor units that [`Money`] holds: 36 digits, so that a sum of a hundred of them
/// still fits an `i128`.
pub const MAX_MINOR_UNITS: i128 = 10_i128.pow(36) - 1;

/// An exact amount of money.
///
/// ```
/// use tollgate_core::{Currency, Money, MoneyError};
///
/// let yen = Money::from_decimal("1200", Currency::new("jpy")?)?;
/// assert_eq!((yen.minor_units(), yen.exponent()), (1200, Some(0)));
/// let dinar = Money::from_decimal("1.5", Currency::new("KWD")?)?;
/// assert_eq!(dinar.minor_units(), 1500);
/// assert_eq!(Money::from_decimal("9.999", Currency::new("USD")?), Err(MoneyError::Inexact));
/// # Ok::<(), MoneyError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor_units: i128,
    currency: Currency,
    /// The currency's own, or for an unlisted currency the number of decimals its sender wrote.
    exponent: Option<u8>,
}

impl Money {
    /// An integer of the currency's own (ISO 4217) minor units.
    ///
    /// # Errors
    ///
    /// [`MoneyError::OutOfRange`].
    pub fn from_minor(minor_units: i128, currency: Currency) -> Result<Self, MoneyError> {
        in_range(minor_units)?;
        Ok(Self { minor_units, currency, exponent: currency.exponent() })
    }

    /// An integer in units of 10^-`scale`, for providers whose exponent for a currency is not ISO's (Stripe
    /// counts UGX in hundredths). Held in ISO's minor units.
    ///
    /// # Errors
    ///
    /// [`MoneyError::Inexact`] when the amount is no whole number of minor units, [`MoneyError::OutOfRange`].
    pub fn from_scaled(units: i128, scale: u8, currency: Currency) -> Result<Self, MoneyError> {
        in_range(units)?;
        let Some(exponent) = currency.exponent() else {
            return Ok(Self { minor_units: units, currency, exponent: Some(scale) });
        };
        let minor_units = if scale > exponent {
            let divisor = power_of_ten(scale - exponent)?;
            if units % divisor != 0 {
                return Err(MoneyError::Inexact);
            }
            units / divisor
        } else {
            units.checked_mul(power_of_ten(exponent - scale)?).ok_or(MoneyError::OutOfRange)?
        };
        Self::from_minor(minor_units, currency)
    }

    /// Decimal text in major units, as written: `-12.50`. Zeros beyond the currency's decimals are accepted,
    /// anything else there is not; no exponents, spaces, separators, plus signs or bare points.
    ///
    /// # Errors
    ///
    /// Any [`MoneyError`] but `Currency`.
    pub fn from_decimal(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(MoneyError::NotADecimal),
            None => (digits, ""),
        };
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return Err(MoneyError::NotADecimal);
        }
        let fraction = match currency.exponent() {
            Some(exponent) if fraction.len() > usize::from(exponent) => {
                let (kept, extra) = fraction.split_at(usize::from(exponent));
                if extra.bytes().any(|b| b != b'0') {
                    return Err(MoneyError::Inexact);
                }
                kept
            }
            _ => fraction,
        };
        let scale = u8::try_from(fraction.len()).map_err(|_| MoneyError::OutOfRange)?;
        let mut units: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            units = units
                .checked_mul(10)
                .and_then(|units| units.checked_add(i128::from(digit - b'0')))
                .ok_or(MoneyError::OutOfRange)?;
        }
        Self::from_scaled(if negative { -units } else { units }, scale, currency)
    }

    /// The amount in minor units of 10^-[`exponent`](Self::exponent).
    pub fn minor_units(&self) -> i128 {
        self.minor_units
    }

    /// The currency.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// Decimals of [`minor_units`](Self::minor_units); `None` when the currency is unlisted and its sender gave
    /// an integer, so that it cannot be known.
    pub fn exponent(&self) -> Option<u8> {
        self.exponent
    }

    /// The amount as decimal text in major units (`10.99`), or `None` where the exponent is unknown.
    pub fn to_decimal(&self) -> Option<String> {
        let exponent = usize::from(self.exponent?);
        let mut text = String::with_capacity(40);
        let sign = if self.minor_units < 0 { "-" } else { "" };
        // Writing into a `String` cannot fail.
        let _ = write!(text, "{sign}{:0>width$}", self.minor_units.unsigned_abs(), width = exponent + 1);
        if exponent > 0 {
            text.insert(text.len() - exponent, '.');
        }
        Some(text)
    }
}

fn in_range(units: i128) -> Result<(), MoneyError> {
    if (-MAX_MINOR_UNITS..=MAX_MINOR_UNITS).contains(&units) { Ok(()) } else { Err(MoneyError::OutOfRange) }
}

fn power_of_ten(exponent: u8) -> Result<i128, MoneyError> {
    10_i128.checked_pow(u32::from(exponent)).ok_or(MoneyError::OutOfRange)
}

/// `{"minor_units":1099,"currency":"USD","exponent":2,"value":"10.99"}`. `value` is the exact decimal text for
/// readers whose numbers are doubles; `exponent` and `value` are null where the exponent is unknown.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Money", 4)?;
        out.serialize_field("minor_units", &self.minor_units)?;
        out.serialize_field("currency", self.currency.code())?;
        out.serialize_field("exponent", &self.exponent)?;
        out.serialize_field("value", &self.to_decimal())?;
        out.end()
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(borrow)]
            currency: std::borrow::Cow<'a, str>,
            minor_units: Option<i128>,
            exponent: Option<u8>,
            #[serde(borrow)]
            value: Option<std::borrow::Cow<'a, str>>,
        }
        let wire = Wire::deserialize(deserializer)?;
        let currency = Currency::new(&wire.currency).map_err(serde::de::Error::custom)?;
        let money = match (wire.value, wire.minor_units) {
            (Some(value), _) => Self::from_decimal(&value, currency),
            (None, Some(units)) => match wire.exponent {
                Some(exponent) => Self::from_scaled(units, exponent, currency),
                None => Self::from_minor(units, currency),
            },
            (None, None) => Err(MoneyError::NotADecimal),
        };
        money.map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_decimal() {
            Some(value) => write!(f, "{value} {}", self.currency),
            None => write!(f, "{} minor units of {}", self.minor_units, self.currency),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str, currency: &str) -> Result<(i128, Option<u8>), MoneyError> {
        let money = Money::from_decimal(text, Currency::new(currency)?)?;
        Ok((money.minor_units(), money.exponent()))
    }

    #[test]
    fn decimals_are_read_as_text() {
        let cases = [
            ("0", "USD", Ok((0, Some(2)))),
            ("10.99", "usd", Ok((1099, Some(2)))),
            ("10.9", "USD", Ok((1090, Some(2)))),
            ("10.990", "USD", Ok((1099, Some(2)))),
            ("10.999", "USD", Err(MoneyError::Inexact)),
            ("-0.01", "EUR", Ok((-1, Some(2)))),
            ("1200", "JPY", Ok((1200, Some(0)))),
            ("1200.00", "JPY", Ok((1200, Some(0)))),
            ("1200.5", "JPY", Err(MoneyError::Inexact)),
            ("1.234", "KWD", Ok((1234, Some(3)))),
            ("12345678901234567890123456.78", "USD", Ok((1_234_567_890_123_456_789_012_345_678, Some(2)))),
            ("0.12345678", "BTC", Ok((12_345_678, Some(8)))),
            ("9999999999999999999999999999999999999", "JPY", Err(MoneyError::OutOfRange)),
            ("99999999999999999999999999999999999999999999", "JPY", Err(MoneyError::OutOfRange)),
            ("1e3", "USD", Err(MoneyError::NotADecimal)),
            ("+1", "USD", Err(MoneyError::NotADecimal)),
            (" 1", "USD", Err(MoneyError::NotADecimal)),
            ("1.", "USD", Err(MoneyError::NotADecimal)),
            (".5", "USD", Err(MoneyError::NotADecimal)),
            ("--1", "USD", Err(MoneyError::NotADecimal)),
            ("1,000.00", "USD", Err(MoneyError::NotADecimal)),
            ("١", "USD", Err(MoneyError::NotADecimal)),
            ("", "USD", Err(MoneyError::NotADecimal)),
        ];
        for (text, currency, expected) in cases {
            assert_eq!(money(text, currency), expected, "{text} {currency}");
        }
    }

    #[test]
    fn a_provider_scale_becomes_iso_minor_units_or_an_error() {
        let ugx = Currency::new("UGX").unwrap();
        assert_eq!(Money::from_scaled(500_000, 2, ugx).unwrap().minor_units(), 5_000);
        assert_eq!(Money::from_scaled(500_050, 2, ugx), Err(MoneyError::Inexact));
        assert_eq!(Money::from_scaled(-500_050, 2, ugx), Err(MoneyError::Inexact));
        let kwd = Currency::new("KWD").unwrap();
        assert_eq!(Money::from_scaled(15, 1, kwd).unwrap().minor_units(), 1_500);
    }

    #[test]
    fn an_unlisted_currency_has_no_decimals_to_write() {
        let odd = Currency::new("usdC").unwrap();
        assert_eq!(Money::from_minor(5, odd).unwrap().to_decimal(), None);
    }

    #[test]
    fn amounts_have_bounds() {
        let dollar = Currency::new("USD").unwrap();
        for sign in [1, -1] {
            assert!(Money::from_minor(sign * MAX_MINOR_UNITS, dollar).is_ok());
            assert_eq!(Money::from_minor(sign * (MAX_MINOR_UNITS + 1), dollar), Err(MoneyError::OutOfRange));
        }
        let kwd = Currency::new("KWD").unwrap();
        assert_eq!(Money::from_scaled(MAX_MINOR_UNITS, 2, kwd), Err(MoneyError::OutOfRange));
        let odd = Currency::new("usdC").unwrap();
        assert_eq!(Money::from_scaled(MAX_MINOR_UNITS + 1, 2, odd), Err(MoneyError::OutOfRange));
        assert_eq!(Money::from_scaled(0, 60, dollar), Err(MoneyError::OutOfRange));
        assert_eq!(money(&format!("0.{}", "0".repeat(300)), "usdC"), Err(MoneyError::OutOfRange));
    }

    #[test]
    fn json_is_read_by_its_exact_text_and_else_by_its_units() {
        let cases = [
            (r#"{"currency":"USD","minor_units":1,"exponent":2,"value":"10.99"}"#, Some("10.99 USD")),
            (r#"{"currency":"USD","minor_units":1099,"exponent":2}"#, Some("10.99 USD")),
            (r#"{"currency":"USD","minor_units":10990,"exponent":3}"#, Some("10.99 USD")),
            (r#"{"currency":"USD","minor_units":1099}"#, Some("10.99 USD")),
            (
                r#"{"currency":"usdC","minor_units":5,"exponent":null,"value":null}"#,
                Some("5 minor units of usdC"),
            ),
            (r#"{"currency":"usdC","minor_units":5,"exponent":1,"value":"0.5"}"#, Some("0.5 usdC")),
            (r#"{"currency":"USD","minor_units":10991,"exponent":3}"#, None),
            (r#"{"currency":"USD"}"#, None),
            (r#"{"currency":"U D","minor_units":1}"#, None),
            (r#"{"minor_units":1}"#, None),
        ];
        for (json, expected) in cases {
            let money = serde_json::from_str::<Money>(json).ok().map(|money| money.to_string());
            assert_eq!(money.as_deref(), expected, "{json}");
        }
    }

    proptest! {
        #[test]
        fn text_and_units_round_trip(units in prop_oneof![-1_000_i128..1_000, -MAX_MINOR_UNITS..=MAX_MINOR_UNITS], code in "(USD|JPY|KWD|CLF)") {
            let currency = Currency::new(&code).unwrap();
            let money = Money::from_minor(units, currency).unwrap();
            let text = money.to_decimal().unwrap();
            prop_assert_eq!(text.starts_with('-'), units < 0);
            prop_assert_eq!(Money::from_decimal(&text, currency), Ok(money));
            let json = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        }

        /// Text is read by its digits: an oracle that only moves the point.
        #[test]
        fn a_text_is_its_digits(units in prop_oneof![0..1_000_000_i128, 0..=MAX_MINOR_UNITS], scale in 0..=9_usize, negative: bool, code in "(USD|JPY|KWD|CLF|usdC)") {
            let digits = format!("{units:0>width$}", width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let point = if scale == 0 { "" } else { "." };
            let sign = if negative { "-" } else { "" };
            let signed = if negative { -units } else { units };
            let currency = Currency::new(&code).unwrap();
            let read = Money::from_decimal(&format!("{sign}{whole}{point}{fraction}"), currency);
            let exponent = currency.exponent().map_or(scale, usize::from);
            let kept = fraction.get(..exponent).unwrap_or(fraction);
            let lost = fraction.get(exponent..).unwrap_or_default();
            let expected = format!("{sign}{whole}{kept:0<exponent$}").parse::<i128>().ok();
            if lost.bytes().any(|digit| digit != b'0') {
                prop_assert_eq!(read, Err(MoneyError::Inexact));
            } else if let Some(expected) = expected.filter(|units| units.abs() <= MAX_MINOR_UNITS) {
                let read = read.unwrap();
                prop_assert_eq!((read.minor_units(), read.exponent().map(usize::from)), (expected, Some(exponent)));
                let scale = u8::try_from(scale).unwrap();
                prop_assert_eq!(Money::from_scaled(signed, scale, currency), Ok(read));
            } else {
                prop_assert_eq!(read, Err(MoneyError::OutOfRange));
            }
        }

        #[test]
        fn any_text_is_an_answer_not_a_panic(text in ".*", code in ".*") {
            if let Ok(currency) = Currency::new(&code) {
                let _ = Money::from_decimal(&text, currency);
            }
        }
    }
}
