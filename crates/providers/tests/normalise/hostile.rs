//! Any bytes give facts or an error, never a panic, and never an event without an id.

use proptest::prelude::*;
use tollgate_core::{EndpointConfig, id::hex_sha256};
use tollgate_providers::{ContentError, Headers, Received, Trusted, normalise::Normaliser};

use super::{cases, describe::describe};

fn headers() -> Headers {
    let names = Normaliser::all().flat_map(|normaliser| normaliser.headers().iter());
    names.map(|name| (*name, "value-1")).collect()
}

fn config() -> EndpointConfig {
    cases::endpoint("generic")
}

fn normalise_with_all(headers: &Headers, config: &EndpointConfig, body: &[u8]) {
    for normaliser in Normaliser::all() {
        let received = Received { headers, query: "", body };
        let Ok(events) = normaliser.normalise(Trusted::for_inspection(received), config) else { continue };
        assert!(!events.is_empty(), "{normaliser:?} gave no event");
        for facts in events {
            assert!(!facts.event_id.is_empty(), "{normaliser:?}");
            assert_eq!(
                facts.unrecognized.is_some(),
                facts.kind == tollgate_core::EventType::PaymentUnrecognized,
                "{normaliser:?}"
            );
            assert!(facts.metadata.len() <= 50);
        }
    }
}

#[test]
fn deep_nesting_exhausts_no_stack() {
    let (headers, config) = (headers(), config());
    for body in [
        "[".repeat(100_000),
        r#"{"data":"#.repeat(100_000),
        format!(r#"{{"id":"x","x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000)),
        format!(r#"{{"metadata":{}{}}}"#, r#"{"a":"#.repeat(50_000), "}".repeat(50_000)),
        "<a>".repeat(100_000),
        "&".repeat(100_000),
        "a=&".repeat(100_000),
    ] {
        normalise_with_all(&headers, &config, body.as_bytes());
    }
}

/// Providers whose deliveries hold several events: what stands around them, and one event.
pub const LISTS: [(&str, [&str; 2], &str); 3] = [
    (
        "gocardless",
        [r#"{"events":["#, "]}"],
        r#"{"id":"EV1","resource_type":"payments","action":"paid_out"}"#,
    ),
    ("pagbank", [r#"{"id":"ORDE_1","charges":["#, "]}"], r#"{"id":"CHAR_1","status":"PAID"}"#),
    (
        "adyen",
        [r#"{"live":"true","notificationItems":["#, "]}"],
        r#"{"NotificationRequestItem":{"pspReference":"P1","eventCode":"CAPTURE","success":"true"}}"#,
    ),
];

#[test]
fn a_delivery_of_more_events_than_any_provider_sends_is_not_understood() {
    for (provider, [begin, end], event) in LISTS {
        let normaliser = Normaliser::named(provider).unwrap();
        let told = |count: usize, event: &str| {
            let body = format!("{begin}{}{end}", vec![event; count].join(","));
            let received = Received { headers: &Headers::new(), query: "", body: body.as_bytes() };
            let events = normaliser.normalise(Trusted::for_inspection(received), &config());
            events.map(|events| events.len())
        };
        assert_eq!(told(250, event), Ok(250), "{provider}");
        assert_eq!(told(251, event), Err(ContentError::TooManyEvents), "{provider}");
        assert_eq!(told(100_000, "0"), Err(ContentError::TooManyEvents), "{provider}");
    }
}

/// Where each value of a JSON text begins and ends, its own first, then those within it.
fn values(text: &str, at: usize, found: &mut Vec<std::ops::Range<usize>>) {
    use serde_json::value::RawValue;
    found.push(at..at + text.len());
    let members = serde_json::from_str::<std::collections::BTreeMap<String, &RawValue>>(text)
        .map(|members| members.into_values().collect::<Vec<_>>());
    for part in members.or_else(|_| serde_json::from_str::<Vec<&RawValue>>(text)).unwrap_or_default() {
        let begin = part.get().as_ptr() as usize - text.as_ptr() as usize;
        values(part.get(), at + begin, found);
    }
}

/// The events of a body of `case`, without the number and the body's hash, which are each body's own.
fn told(case: &cases::Case, body: &str, number: &str) -> String {
    let received = Received { headers: &case.headers, query: &case.query, body: body.as_bytes() };
    let normaliser = Normaliser::named(&case.provider).unwrap();
    let events = normaliser.normalise(Trusted::for_inspection(received), &case.config);
    let events = events.map(|events| events.iter().map(describe).collect::<Vec<_>>());
    format!("{events:?}").replace(number, "a number").replace(&hex_sha256(body.as_bytes()), "its hash")
}

#[test]
fn no_number_is_too_large_to_read_the_rest() {
    let (mut places, mut read) = (0, 0);
    for case in cases::all() {
        let Ok(text) = std::str::from_utf8(&case.body) else { continue };
        let mut found = Vec::new();
        if text.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
            values(text, 0, &mut found);
        }
        for place in found.into_iter().skip(1) {
            let with = |number: &str| [&text[..place.start], number, &text[place.end..]].concat();
            for (ordinary, beyond) in [("1e99", "1e999"), ("-7.5e88", "-7.5e8888")] {
                let (expected, actual) =
                    (told(case, &with(ordinary), ordinary), told(case, &with(beyond), beyond));
                assert_eq!(actual, expected, "{case}: {}", with(beyond));
                places += 1;
                read += usize::from(actual.starts_with("Ok"));
            }
        }
    }
    assert!(places > 3_500 && read > places / 2, "{read} of {places} read");
}

#[test]
fn only_metadata_that_is_text_is_kept_and_at_most_fifty() {
    let many: Vec<_> = (0..200).map(|n| format!(r#""k{n}":"v""#)).collect();
    let body = format!(
        r#"{{"event_id":"e","transaction_type":"payment","amount":1,"timestamp":"2026-01-02T03:04:05Z",
        "metadata":{{"n":1,"o":{{}},"l":[],"b":true,{}}}}}"#,
        many.join(",")
    );
    let headers = Headers::new();
    let received = Received { headers: &headers, query: "", body: body.as_bytes() };
    let config = config();
    let events =
        Normaliser::named("generic").unwrap().normalise(Trusted::for_inspection(received), &config).unwrap();
    assert_eq!(events[0].metadata.len(), 50);
    assert_eq!(events[0].metadata[0], ("k0".into(), "v".into()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_answered(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        normalise_with_all(&headers(), &config(), &body);
    }

    #[test]
    fn mutated_bodies_are_answered(
        pick in any::<prop::sample::Index>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let cases = cases::all();
        let case = pick.get(cases);
        let mut body = case.body.clone();
        if body.is_empty() {
            return Ok(());
        }
        for (at, byte) in edits {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        normalise_with_all(&case.headers, &case.config, &body);
    }
}
