//! Tiers at their boundaries, the built-in limits, and the JSON form.

use proptest::prelude::*;
use tollgate_core::{Currency, Money, RiskTier, money::MAX_MINOR_UNITS};
use tollgate_risk::{Thresholds, ThresholdsError};

use RiskTier::{High, Low, Medium, Unrated};

fn money(text: &str, currency: &str) -> Money {
    Money::from_decimal(text, Currency::new(currency).unwrap()).unwrap()
}

fn check(thresholds: &Thresholds, cases: &[(&str, &str, RiskTier)]) {
    for (text, currency, expected) in cases {
        assert_eq!(thresholds.tier(&money(text, currency)), *expected, "{text} {currency}");
    }
}

#[test]
fn boundaries_belong_to_the_medium_tier() {
    let huge = "9".repeat(34);
    check(
        &Thresholds::default(),
        &[
            ("0", "USD", Low),
            ("0.01", "USD", Low),
            ("999.99", "USD", Low),
            ("1000", "USD", Medium),
            ("1000.00", "EUR", Medium),
            ("1000.01", "USD", Medium),
            ("10000", "USD", Medium),
            ("10000.00", "USD", Medium),
            ("10000.01", "USD", High),
            (&huge, "USD", High),
        ],
    );
}

#[test]
fn negative_amounts_count_by_their_magnitude() {
    let huge = format!("-{}", "9".repeat(34));
    check(
        &Thresholds::default(),
        &[
            ("-999.99", "USD", Low),
            ("-1000", "USD", Medium),
            ("-10000.01", "USD", High),
            ("-99999", "JPY", Low),
            (&huge, "USD", High),
        ],
    );
}

#[test]
fn currencies_are_held_to_limits_of_about_the_same_worth() {
    check(
        &Thresholds::default(),
        &[
            ("99999", "JPY", Low),
            ("100000", "JPY", Medium),
            ("1000000", "JPY", Medium),
            ("1000001", "JPY", High),
            ("299.999", "KWD", Low),
            ("300.000", "KWD", Medium),
            ("3000", "KWD", Medium),
            ("3000.001", "KWD", High),
            ("24.9999", "CLF", Low),
            ("25", "CLF", Medium),
            ("9999999", "VND", Low),
            ("10000000", "VND", Medium),
            ("0.00999999", "BTC", Low),
            ("0.01", "BTC", Medium),
            ("0.10000001", "BTC", High),
            ("0.5", "btc", High),
        ],
    );
}

#[test]
fn an_absent_amount_is_unrated_and_zero_is_not() {
    let thresholds = Thresholds::default();
    assert_eq!(thresholds.tier_of(None), Unrated);
    assert_eq!(thresholds.tier_of(Some(&money("0", "USD"))), Low);
}

#[test]
fn an_unlisted_currency_is_rated_by_its_decimal_value_or_else_too_high() {
    let thresholds = Thresholds::default();
    check(
        &thresholds,
        &[("999.999999", "USDC", Low), ("1000.000000", "USDC", Medium), ("10000.000001", "X", High)],
    );
    let integer = |units| Money::from_minor(units, Currency::new("USDC").unwrap()).unwrap();
    assert_eq!(integer(999).exponent(), None);
    assert_eq!(thresholds.tier(&integer(999)), Low);
    assert_eq!(thresholds.tier(&integer(1_000)), Medium);
    // Perhaps one cent: it cannot be known.
    assert_eq!(thresholds.tier(&integer(10_001)), High);
}

#[test]
fn the_table_in_the_documentation_is_the_table_in_the_code() {
    let source = include_str!("../../src/thresholds.rs");
    let rows: Vec<Vec<&str>> = source
        .lines()
        .filter_map(|line| line.strip_prefix("/// |"))
        .skip(2)
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let thresholds = Thresholds::default();
    let mut codes = Vec::new();
    for row in &rows {
        for code in row[2].split(' ') {
            let limits = thresholds.limits(Currency::new(code).unwrap());
            assert_eq!(limits.medium, row[0].replace(',', "").parse().unwrap(), "{code}");
            assert_eq!(limits.high, row[1].replace(',', "").parse().unwrap(), "{code}");
            codes.push(code);
        }
    }
    let count = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!((rows.len(), count), (10, codes.len()), "a currency stands in two rows");

    // Taking every row away must take every currency away: the code has none that the page does not name.
    let in_code = source.split_once("const BUILT_IN").unwrap().1.split_once("];").unwrap().0;
    let in_code = in_code.split('"').skip(1).step_by(2).flat_map(|codes| codes.split([' ', '\\', '\n']));
    let mut in_code: Vec<&str> = in_code.filter(|code| !code.is_empty()).collect();
    in_code.sort_unstable();
    assert_eq!(in_code, codes);
    for listed in codes.iter().filter(|code| !["BTC", "ETH"].contains(code)) {
        assert!(Currency::new(listed).unwrap().is_known(), "{listed}");
    }
}

#[test]
fn json_replaces_what_it_names_and_nothing_else() {
    let json = r#"{"default":{"medium":"50","high":"60.5"},"jpy":{"medium":"7","high":"7"},"usdc":{"medium":"0","high":"1"}}"#;
    check(
        &Thresholds::from_json(json).unwrap(),
        &[
            ("49.99", "USD", Low),
            ("50", "USD", Medium),
            ("60.50", "USD", Medium),
            ("60.51", "USD", High),
            ("6", "JPY", Low),
            ("7", "JPY", Medium),
            ("8", "JPY", High),
            ("299", "KWD", Low),
            ("0", "USDC", Medium),
            ("1.000001", "UsdC", High),
        ],
    );
    assert_eq!(Thresholds::from_json("{}").unwrap(), Thresholds::default());
    assert_eq!(
        Thresholds::from_json(r#"{"default":{"medium":"1000","high":"10000.0"}}"#).unwrap(),
        Thresholds::default()
    );
}

/// Limits finer than the currency's minor unit: nothing is rounded to either side.
#[test]
fn limits_between_two_minor_units() {
    let thresholds = Thresholds::from_json(r#"{"JPY":{"medium":"10.5","high":"20.5"}}"#).unwrap();
    check(
        &thresholds,
        &[("10", "JPY", Low), ("11", "JPY", Medium), ("20", "JPY", Medium), ("21", "JPY", High)],
    );
}

#[test]
fn mistakes_are_told_apart() {
    let error = |json: &str| Thresholds::from_json(json).unwrap_err();
    let shape = [
        "",
        "[]",
        "{",
        r#"{"default":{"medium":"1","high":"2","hihg":"3"}}"#,
        r#"{"default":{"medium":"1"}}"#,
        r#"{"default":{"medium":"1","medium":"1","high":"2"}}"#,
        r#"{"default":{"medium":1000,"high":"10000"}}"#,
        r#"{"default":{"medium":"1","high":null}}"#,
        r#"{"default":"1"}"#,
        r#"{} {}"#,
    ];
    for json in shape {
        assert!(matches!(error(json), ThresholdsError::Json(_)), "{json}");
    }
    assert!(
        matches!(error(r#"{"U$D":{"medium":"1","high":"2"}}"#), ThresholdsError::Key { key } if key == "U$D")
    );
    assert!(matches!(error(r#"{"":{"medium":"1","high":"2"}}"#), ThresholdsError::Key { .. }));
    for json in [
        r#"{"JPY":{"medium":"1","high":"2"},"jpy":{"medium":"1","high":"2"}}"#,
        r#"{"usdc":{"medium":"1","high":"2"},"USDC":{"medium":"1","high":"2"}}"#,
        r#"{"default":{"medium":"1","high":"2"},"default":{"medium":"1","high":"2"}}"#,
    ] {
        assert!(matches!(error(json), ThresholdsError::Repeated { .. }), "{json}");
    }
    for (field, json) in [
        ("medium", r#"{"JPY":{"medium":"1e3","high":"2"}}"#),
        ("high", r#"{"JPY":{"medium":"1","high":"-2"}}"#),
    ] {
        assert!(matches!(error(json), ThresholdsError::Decimal { field: f, .. } if f == field), "{json}");
    }
    assert!(
        matches!(error(r#"{"JPY":{"medium":"2.01","high":"2"}}"#), ThresholdsError::Order { key } if key == "JPY")
    );
    let message = error(r#"{"JPY":{"medium":"x","high":"2"}}"#).to_string();
    assert_eq!(
        message,
        "thresholds: medium of \"JPY\" is not a plain decimal: up to 36 digits with at most one point between them, \
         and no sign"
    );
}

proptest! {
    #[test]
    fn more_money_is_never_a_lower_tier(
        a in 0..=MAX_MINOR_UNITS,
        b in prop_oneof![0..=MAX_MINOR_UNITS, 0..20_000_000_i128],
        code in "(USD|JPY|KWD|CLF|IDR|USDC|BTC)",
    ) {
        let thresholds = Thresholds::default();
        let tier = |units| thresholds.tier(&Money::from_minor(units, Currency::new(&code).unwrap()).unwrap());
        prop_assert!(tier(a.min(b)) <= tier(a.max(b)));
        prop_assert_eq!(tier(a), tier(-a));
    }

    #[test]
    fn limits_read_back_exactly(units in 1..10_i128.pow(20), code in "(USD|JPY|KWD|CLF)") {
        let currency = Currency::new(&code).unwrap();
        let at = |units| Money::from_minor(units, currency).unwrap();
        let limit = at(units).to_decimal().unwrap();
        let json = format!(r#"{{"{code}":{{"medium":"{limit}","high":"{limit}"}}}}"#);
        let thresholds = Thresholds::from_json(&json).unwrap();
        prop_assert_eq!(thresholds.tier(&at(units - 1)), Low);
        prop_assert_eq!(thresholds.tier(&at(units)), Medium);
        prop_assert_eq!(thresholds.tier(&at(units + 1)), High);
    }

    #[test]
    fn any_text_is_thresholds_or_an_error(text in ".*") {
        let _ = Thresholds::from_json(&text);
    }
}
