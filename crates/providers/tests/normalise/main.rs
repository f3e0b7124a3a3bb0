//! The facts of each provider's webhooks: every case of `tests/bodies/*.txt`, and what holds for any bytes.

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
mod sensitive;
mod thin;

use cases::Case;
use describe::describe;
use tollgate_providers::{Endpoint, Received, Trusted, normalise::Normaliser};

/// One line an event, or one line `error: …`.
fn normalise(case: &Case) -> Vec<String> {
    let normaliser = Normaliser::named(&case.provider).expect("a known provider");
    let received = Received { headers: &case.headers, query: &case.query, body: &case.body };
    match normaliser.normalise(Trusted::for_inspection(received), &case.config) {
        Ok(events) => events.iter().map(describe).collect(),
        Err(error) => vec![format!("error: {error}")],
    }
}

#[test]
fn every_case_gives_the_facts_beside_it() {
    let mut failures = Vec::new();
    for case in cases::all() {
        let got = normalise(case);
        if got != case.expected {
            failures.push(format!("{case}\n  expected {:#?}\n  got      {got:#?}", case.expected));
        }
    }
    assert!(failures.is_empty(), "{} cases differ\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn what_is_kept_of_the_request_gives_the_same_facts() {
    for case in cases::all() {
        let Ok(endpoint) = Endpoint::new(case.config.clone()) else { continue };
        let mut sent = case.clone();
        sent.headers.push("Cookie", "a=b");
        let query = format!("token=secret&{}", case.query);
        let (headers, query) = (endpoint.kept_headers(&sent.headers), endpoint.kept_query(&query));
        assert!(headers.get("Cookie").is_none() && !query.contains("secret"), "{case}");
        assert_eq!(normalise(&Case { headers, query, ..sent }), normalise(case), "{case}");
    }
}

#[test]
fn every_provider_has_cases() {
    let cases = cases::all();
    for normaliser in Normaliser::all() {
        let of = |case: &&Case| case.provider == normaliser.name();
        let known = cases.iter().filter(of).count();
        assert!(known >= 3, "{}: {known} cases", normaliser.name());
        // A generic endpoint refuses unknown events.
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
