//! Every normaliser over any bytes: the first byte picks it, the second the headers that come along.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tollgate_core::{EndpointConfig, EventType};
use tollgate_providers::{Headers, Received, Trusted, normalise::Normaliser};

static NORMALISERS: LazyLock<Vec<Normaliser>> = LazyLock::new(|| Normaliser::all().collect());
static CONFIG: LazyLock<EndpointConfig> = LazyLock::new(|| {
    serde_json::from_str(r#"{"id":"fuzz","scheme":"generic","secret":"ssm:fuzz"}"#).expect("a configuration")
});

fuzz_target!(|data: &[u8]| {
    let [pick, with_headers, body @ ..] = data else { return };
    let normaliser = NORMALISERS[usize::from(*pick) % NORMALISERS.len()];
    let headers: Headers = match with_headers & 1 {
        0 => Headers::new(),
        _ => normaliser.headers().iter().map(|name| (*name, "value-1")).collect(),
    };
    let trusted = Trusted::for_inspection(Received { headers: &headers, query: "", body });
    let Ok(events) = normaliser.normalise(trusted, &CONFIG) else {
        return;
    };
    assert!(!events.is_empty());
    for facts in events {
        assert!(!facts.event_id.is_empty());
        assert_eq!(facts.unrecognized.is_some(), facts.kind == EventType::PaymentUnrecognized);
        assert!(facts.unrecognized.is_none() || facts.amount.is_none());
        assert!(facts.metadata.len() <= 50);
    }
});
