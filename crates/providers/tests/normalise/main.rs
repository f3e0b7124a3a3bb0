//! What each provider's webhooks say: every case of `tests/bodies/*.txt`, and what holds for any bytes.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod braintree;
mod cases;
mod describe;
mod generic;
mod hostile;

use cases::Case;
use tollgate_providers::normalise::Normaliser;

#[test]
fn every_case_says_what_is_written_beside_it() {
    let mut failures = Vec::new();
    for case in cases::all() {
        let said = case.normalise();
        if said != case.expected {
            failures.push(format!("{case}\n  expected {:#?}\n  said     {said:#?}", case.expected));
        }
    }
    assert!(failures.is_empty(), "{} cases differ\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_provider_has_cases() {
    let cases = cases::all();
    for normaliser in Normaliser::all() {
        let of = |case: &&Case| case.provider == normaliser.name();
        let known = cases.iter().filter(of).count();
        assert!(known >= 3, "{}: {known} cases", normaliser.name());
        // The generic endpoint's senders are told instead.
        if normaliser.name() == "generic" {
            continue;
        }
        let unrecognized =
            |case: &&Case| case.expected.iter().any(|line| line.contains("payment.unrecognized"));
        assert!(
            cases.iter().filter(of).any(|case| unrecognized(&case)),
            "{}: no unknown event",
            normaliser.name()
        );
    }
}
