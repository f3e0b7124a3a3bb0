//! Decimals against a model that cannot round or overflow: digits padded on both sides and compared as text.

use std::cmp::Ordering;

use proptest::prelude::*;
use tollgate_core::{Currency, Money, money::MAX_MINOR_UNITS};
use tollgate_risk::{Decimal, DecimalError, MAX_DIGITS};

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// A decimal as 300 digits before and 300 after the point.
fn padded(text: &str) -> String {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole:0>300}.{fraction:0<300}")
}

#[test]
fn texts_that_are_decimals_and_texts_that_are_not() {
    let longest = "9".repeat(MAX_DIGITS);
    for good in ["0", "00", "1000", "0.05", "1000.00", &longest, &format!("0.{}", "1".repeat(MAX_DIGITS - 1))]
    {
        assert!(good.parse::<Decimal>().is_ok(), "{good}");
    }
    for bad in [
        "",
        ".",
        "1.",
        ".5",
        "-1",
        "+1",
        "1e3",
        "1,000",
        " 1",
        "1 ",
        "1.2.3",
        "١",
        "NaN",
        "0x1",
        &format!("{longest}0"),
    ] {
        assert_eq!(bad.parse::<Decimal>(), Err(DecimalError), "{bad}");
    }
    assert_eq!(decimal("1000"), decimal("1000.00"));
    assert_eq!(decimal("0"), decimal("0.000"));
    assert!(decimal("0.1") > decimal("0.09"));
}

#[test]
fn scales_that_no_integer_can_bridge() {
    // 10^-255 of an unlisted coin, and the largest amount there is, against both ends of what a text can say.
    let coin = Currency::new("COIN").unwrap();
    let dust = Money::from_scaled(1, 255, coin).unwrap();
    let heap = Money::from_scaled(MAX_MINOR_UNITS, 0, coin).unwrap();
    let smallest = decimal("0.00000000000000000000000000000000001");
    let largest = decimal(&"9".repeat(MAX_DIGITS));
    assert_eq!(smallest.compare_magnitude(&dust), Ordering::Less);
    assert_eq!(decimal("0").compare_magnitude(&dust), Ordering::Greater);
    assert_eq!(largest.compare_magnitude(&dust), Ordering::Less);
    assert_eq!(smallest.compare_magnitude(&heap), Ordering::Greater);
    assert_eq!(largest.compare_magnitude(&heap), Ordering::Equal);
    let nothing = Money::from_scaled(0, 255, coin).unwrap();
    assert_eq!(decimal("0").compare_magnitude(&nothing), Ordering::Equal);
    assert_eq!(smallest.compare_magnitude(&nothing), Ordering::Less);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn decimals_order_like_their_digits(a in "[0-9]{1,18}(\\.[0-9]{1,18})?", b in "[0-9]{1,18}(\\.[0-9]{1,18})?") {
        prop_assert_eq!(decimal(&a).cmp(&decimal(&b)), padded(&a).cmp(&padded(&b)));
        prop_assert_eq!(decimal(&a) == decimal(&b), padded(&a) == padded(&b));
    }

    #[test]
    fn amounts_order_like_their_digits(
        units in prop_oneof![-MAX_MINOR_UNITS..=MAX_MINOR_UNITS, -200_000_i128..200_000],
        scale in prop_oneof![0..6_u8, any::<u8>()],
        limit in prop_oneof!["[0-9]{1,18}(\\.[0-9]{1,18})?", "1[0-9]{0,3}(\\.0{0,2}[0-9])?"],
    ) {
        let amount = Money::from_scaled(units, scale, Currency::new("COIN").unwrap()).unwrap();
        let text = amount.to_decimal().unwrap();
        let magnitude = text.strip_prefix('-').unwrap_or(&text);
        prop_assert_eq!(decimal(&limit).compare_magnitude(&amount), padded(magnitude).cmp(&padded(&limit)));
    }

    #[test]
    fn an_amount_is_equal_to_its_own_text(units in 0..=MAX_MINOR_UNITS, code in "(USD|JPY|KWD|CLF)") {
        let amount = Money::from_minor(units, Currency::new(&code).unwrap()).unwrap();
        let own = decimal(&amount.to_decimal().unwrap());
        prop_assert_eq!(own.compare_magnitude(&amount), Ordering::Equal);
    }

    #[test]
    fn any_text_is_an_answer_and_no_panic(text in "[0-9.+-]{0,50}|.*") {
        let _ = text.parse::<Decimal>();
    }
}
