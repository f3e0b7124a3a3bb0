//! Amounts as providers write them: read exactly, or refused with a fixed reason.

use std::borrow::Cow;

use tollgate_core::{Category, Currency, EndpointConfig, EventType, Facts, Money, MoneyError};

use super::fields::{Number, Text};

/// An exact amount, none where the provider sent none, or the fixed reason why it cannot be exact.
pub(super) type Amount = Result<Option<Money>, &'static str>;

/// The reason for an amount without a currency.
pub(super) const NO_CURRENCY: &str = "amount without a currency";
const NOT_A_NUMBER: &str = "amount is not a plain number";
const NOT_WHOLE: &str = "amount is not a whole number of minor units";
const INEXACT: &str = "amount has more decimals than its currency";
const OUT_OF_RANGE: &str = "amount is out of range";
const BAD_CURRENCY: &str = "currency code is malformed";

/// Decimals by which a provider counts a currency where that is not ISO 4217's exponent. Takes the code in
/// upper case.
pub(super) type Exceptions = fn(&str) -> Option<u8>;

/// The provider counts as ISO 4217 does.
pub(super) fn iso(_: &str) -> Option<u8> {
    None
}

/// An integer of minor units.
pub(super) fn minor(units: Number<'_>, currency: &Text<'_>, exceptions: Exceptions) -> Amount {
    let units = match units {
        Number::Absent => return Ok(None),
        Number::Wrong => return Err(NOT_A_NUMBER),
        Number::Bare(text) | Number::Quoted(text) => text,
    };
    minor_units(units, read_currency(currency)?, exceptions).map(Some)
}

/// An integer of minor units of a currency already known.
pub(super) fn minor_units(
    units: &str,
    currency: Currency,
    exceptions: Exceptions,
) -> Result<Money, &'static str> {
    let digits = units.strip_prefix('-').unwrap_or(units);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // `10.00` in place of an integer is probably in major units.
        return Err(NOT_WHOLE);
    }
    let units = units.parse().map_err(|_| OUT_OF_RANGE)?;
    match exceptions(currency.code()) {
        Some(scale) => Money::from_scaled(units, scale, currency),
        None => Money::from_minor(units, currency),
    }
    .map_err(reason)
}

/// A decimal in major units, read from its text.
pub(super) fn decimal(amount: Number<'_>, currency: &Text<'_>) -> Amount {
    decimal_in(amount, || read_currency(currency))
}

/// A decimal in major units of a currency already known.
pub(super) fn decimal_text(amount: &str, currency: Currency) -> Result<Money, &'static str> {
    let plain = plain_decimal(amount).ok_or(NOT_A_NUMBER)?;
    Money::from_decimal(&plain, currency).map_err(reason)
}

/// The currency of an amount.
pub(super) fn read_currency(currency: &Text<'_>) -> Result<Currency, &'static str> {
    match currency {
        Text::Value(code) if !code.is_empty() => Currency::new(code).map_err(reason),
        Text::Absent | Text::Value(_) => Err(NO_CURRENCY),
        Text::Wrong => Err(BAD_CURRENCY),
    }
}

/// A currency code that came as plain text.
pub(super) fn parse_currency(code: &str) -> Result<Currency, &'static str> {
    Currency::new(code).map_err(reason)
}

/// The currency that an event names; where it names none, the endpoint's `default_currency` parameter, if it is set.
pub(super) fn currency_or_default(
    currency: &Text<'_>,
    config: &EndpointConfig,
) -> Result<Currency, &'static str> {
    match (read_currency(currency), config.parameters.get("default_currency")) {
        (Err(NO_CURRENCY), Some(code)) => parse_currency(code),
        (read, _) => read,
    }
}

/// The currency of an endpoint whose webhooks name none: its `default_currency` parameter, else ISO 4217's code
/// for no currency, `XXX`.
pub(super) fn default_currency(config: &EndpointConfig) -> Result<Currency, &'static str> {
    parse_currency(config.parameters.get("default_currency").map_or("XXX", String::as_str))
}

/// A decimal in major units. The currency is asked for only when there is an amount.
pub(super) fn decimal_in(
    amount: Number<'_>,
    currency: impl FnOnce() -> Result<Currency, &'static str>,
) -> Amount {
    match amount {
        Number::Absent => Ok(None),
        Number::Wrong => Err(NOT_A_NUMBER),
        Number::Bare(text) | Number::Quoted(text) => decimal_text(text, currency()?).map(Some),
    }
}

/// What the latest movement added to a running sum: `total` less the sum `before` it. None where the sum before is not
/// known, unless the total is zero, and where the sum became smaller, since nothing was added then.
pub(super) fn added(total: Amount, before: Amount) -> Amount {
    let (Some(total), before) = (total?, before?) else { return Ok(None) };
    let before = match before {
        Some(before) => before.minor_units(),
        None if total.minor_units() == 0 => 0,
        None => return Ok(None),
    };
    let units = total.minor_units() - before;
    if units < 0 {
        return Ok(None);
    }
    Money::from_minor(units, total.currency()).map(Some).map_err(reason)
}

/// The sum of two amounts of one currency with the same exponent; none of others, or when it is out of range.
pub(super) fn sum(one: Money, other: Money) -> Option<Money> {
    let is_like = one.currency() == other.currency() && one.exponent() == other.exponent();
    let units = one.minor_units().checked_add(other.minor_units()).filter(|_| is_like)?;
    match one.exponent() {
        Some(exponent) => Money::from_scaled(units, exponent, one.currency()).ok(),
        None => Money::from_minor(units, one.currency()).ok(),
    }
}

/// Sets the amount, or makes the event unrecognized for the amount's reason. An amount without a currency costs only
/// itself: what happened is known.
///
/// The amount of a refund or a dispute is never negative. Where nothing was due, or the amount is the payer's credit,
/// nothing was paid; a refund of nothing gave nothing back. Such an event is an update. An invoice of nothing is paid all
/// the same: a subscription's trial begins with one.
pub(super) fn with_amount(mut facts: Facts<'_>, amount: Amount) -> Facts<'_> {
    match amount {
        Ok(amount) => {
            facts.amount = match facts.kind.category() {
                Category::Refund | Category::Dispute => {
                    amount.map(|amount| magnitude(amount).unwrap_or(amount))
                }
                _ => amount,
            };
            let moved = facts.amount.is_none_or(|amount| amount.minor_units() > 0);
            facts.kind = match facts.kind {
                kind if moved => kind,
                EventType::PaymentAuthorized | EventType::PaymentSucceeded => EventType::PaymentUpdated,
                EventType::RefundSucceeded => EventType::RefundUpdated,
                kind => kind,
            };
        }
        Err(NO_CURRENCY) => facts.amount_problem = Some(NO_CURRENCY),
        // It is unrecognized already, for a better reason.
        Err(_) if facts.unrecognized.is_some() => {}
        Err(why) => {
            facts.kind = EventType::PaymentUnrecognized;
            facts.unrecognized = Some(why);
        }
    }
    facts
}

/// Whether there was nothing to move.
pub(super) fn is_zero(amount: &Amount) -> bool {
    matches!(amount, Ok(Some(amount)) if amount.minor_units() == 0)
}

/// The same amount without its sign.
fn magnitude(amount: Money) -> Option<Money> {
    let units = amount.minor_units().checked_abs()?;
    match amount.exponent() {
        Some(exponent) => Money::from_scaled(units, exponent, amount.currency()).ok(),
        None => Money::from_minor(units, amount.currency()).ok(),
    }
}

fn reason(error: MoneyError) -> &'static str {
    match error {
        MoneyError::NotADecimal => NOT_A_NUMBER,
        MoneyError::Inexact => INEXACT,
        MoneyError::OutOfRange => OUT_OF_RANGE,
        MoneyError::Currency => BAD_CURRENCY,
    }
}

/// The same number without an exponent: JSON serialisers may write `1E+2` for a hundred.
fn plain_decimal(text: &str) -> Option<Cow<'_, str>> {
    let Some((mantissa, power)) = text.split_once(['e', 'E']) else {
        return Some(Cow::Borrowed(text));
    };
    let power: i32 = power.parse().ok().filter(|power| (-40..=40).contains(power))?;
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let point = i32::try_from(whole.len()).ok()? + power;
    let plain = match usize::try_from(point) {
        Ok(point) if point >= digits.len() => format!("{sign}{digits:0<point$}"),
        Ok(point) if point > 0 => {
            let (whole, fraction) = digits.split_at(point);
            format!("{sign}{whole}.{fraction}")
        }
        _ => {
            let width = digits.len() + usize::try_from(-point).ok()?;
            format!("{sign}0.{digits:0>width$}")
        }
    };
    Some(Cow::Owned(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(code: &str) -> Text<'_> {
        Text::Value(code.into())
    }

    #[test]
    fn minor_units_are_whole() {
        let cases: [(&str, &str, Result<&str, &str>); 12] = [
            ("1099", "usd", Ok("10.99 USD")),
            ("1099", "JPY", Ok("1099 JPY")),
            ("1099", "KWD", Ok("1.099 KWD")),
            ("-5", "EUR", Ok("-0.05 EUR")),
            ("1099.0", "USD", Err(NOT_WHOLE)),
            ("1.099e3", "USD", Err(NOT_WHOLE)),
            ("1234567890123456789012345678", "USD", Ok("12345678901234567890123456.78 USD")),
            ("10.99", "USD", Err(NOT_WHOLE)),
            ("1e-2", "USD", Err(NOT_WHOLE)),
            ("+5", "USD", Err(NOT_WHOLE)),
            ("", "USD", Err(NOT_WHOLE)),
            ("9999999999999999999999999999999999999", "USD", Err(OUT_OF_RANGE)),
        ];
        for (units, code, expected) in cases {
            let money = minor(Number::Bare(units), &text(code), iso).map(|money| money.unwrap().to_string());
            assert_eq!(money.as_deref().map_err(|e| *e), expected, "{units} {code}");
        }
    }

    #[test]
    fn decimals_are_read_from_their_text() {
        let cases: [(&str, &str, Result<&str, &str>); 11] = [
            ("10.99", "USD", Ok("10.99 USD")),
            ("10", "USD", Ok("10.00 USD")),
            ("1E+2", "USD", Ok("100.00 USD")),
            ("1.5e-1", "USD", Ok("0.15 USD")),
            ("-125e-2", "USD", Ok("-1.25 USD")),
            ("1200.00", "JPY", Ok("1200 JPY")),
            ("1.5", "KWD", Ok("1.500 KWD")),
            ("99999999999999999999999999.99", "USD", Ok("99999999999999999999999999.99 USD")),
            ("10.999", "USD", Err(INEXACT)),
            ("0.1", "JPY", Err(INEXACT)),
            ("1,5", "EUR", Err(NOT_A_NUMBER)),
        ];
        for (amount, code, expected) in cases {
            let money = decimal(Number::Bare(amount), &text(code)).map(|money| money.unwrap().to_string());
            assert_eq!(money.as_deref().map_err(|e| *e), expected, "{amount} {code}");
        }
    }

    #[test]
    fn an_amount_needs_a_currency_and_no_amount_needs_none() {
        assert_eq!(decimal(Number::Absent, &Text::Absent), Ok(None));
        assert_eq!(decimal(Number::Bare("1"), &Text::Absent), Err(NO_CURRENCY));
        assert_eq!(minor(Number::Bare("1"), &text("U$D"), iso), Err(BAD_CURRENCY));
        assert_eq!(minor(Number::Wrong, &text("USD"), iso), Err(NOT_A_NUMBER));
    }

    #[test]
    fn an_amount_says_whether_money_moved() {
        use EventType::*;
        let cases = [
            (PaymentSucceeded, "1", PaymentSucceeded, "0.01 USD"),
            (PaymentSucceeded, "0", PaymentUpdated, "0.00 USD"),
            (PaymentAuthorized, "0", PaymentUpdated, "0.00 USD"),
            (PaymentSucceeded, "-500", PaymentUpdated, "-5.00 USD"),
            (InvoicePaid, "0", InvoicePaid, "0.00 USD"),
            (PaymentCanceled, "0", PaymentCanceled, "0.00 USD"),
            (RefundSucceeded, "-500", RefundSucceeded, "5.00 USD"),
            (RefundSucceeded, "0", RefundUpdated, "0.00 USD"),
            (DisputeOpened, "-500", DisputeOpened, "5.00 USD"),
            (PayoutSucceeded, "-500", PayoutSucceeded, "-5.00 USD"),
        ];
        for (kind, units, expected, amount) in cases {
            let facts = Facts::new("evt_1", "x", kind);
            let facts = with_amount(facts, minor(Number::Bare(units), &text("USD"), iso));
            assert_eq!(
                (facts.kind, facts.amount.unwrap().to_string().as_str()),
                (expected, amount),
                "{units}"
            );
        }
    }
}
