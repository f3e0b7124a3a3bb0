//! Arbitrary tables as custom schemes: refused with a place and a reason, or able to verify what they sign.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_providers::{Endpoint, KeyMaterial, Received, Secret};

mod common;

fuzz_target!(|data: &[u8]| {
    let Ok(table) = serde_json::from_slice::<serde_json::Value>(data) else { return };
    let Some(config) = common::config(table) else { return };
    let endpoint = match Endpoint::new(config) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            assert!(!error.field.is_empty() && !error.problem.is_empty());
            return;
        }
    };
    let material = KeyMaterial::new("1", Secret::new("5ac35ac35ac35ac35ac35ac35ac35ac3"));
    let Ok(keys) = endpoint.keys(vec![material]) else { return };
    if let Some(signed) = common::sign(&endpoint, &keys, br#"{"a":"b"}"#) {
        let received = Received { headers: &signed.headers, query: &signed.query, body: &signed.body };
        let _ = endpoint.verify(received, &keys, None, common::now());
        let _ = endpoint.explain(received, &keys, None, common::now());
    }
});
