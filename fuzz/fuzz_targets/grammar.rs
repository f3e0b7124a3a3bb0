//! Signature headers of each provider, mutated from a good one: verified only when it says what was signed.
//!
//! The input's first byte picks the provider, the second the header; the rest replaces that header's value, with
//! `~` standing for the good value.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod common;

fuzz_target!(|data: &[u8]| {
    let [pick, which, rest @ ..] = data else { return };
    let subjects = common::subjects();
    let subject = &subjects[usize::from(*pick) % subjects.len()];
    let Some(signed) = &subject.signed else { return };
    let names: Vec<&str> = signed.headers.iter().map(|(name, _)| name).collect();
    if names.is_empty() {
        return;
    }
    let name = names[usize::from(*which) % names.len()];
    let good = signed.headers.get(name).unwrap_or_default();
    let value = String::from_utf8_lossy(rest).replace('~', good);
    let mut headers = signed.headers.clone();
    headers.remove(name);
    headers.push(name, value.clone());
    let received = tollgate_providers::Received { headers: &headers, query: &signed.query, body: &signed.body };
    let verdict = subject.endpoint.verify(received, &subject.keys, None, common::now());
    let unsigned = ["content-type", "x-shopify-"].iter().any(|begin| name.to_ascii_lowercase().starts_with(begin));
    // A yes needs the good signature within the value: nothing else says the same.
    let signature = good.rsplit(['=', ',', ' ', '/', ':']).find(|part| part.len() >= 40).unwrap_or(good);
    let same = value.to_ascii_lowercase().contains(&signature.to_ascii_lowercase());
    assert!(verdict.is_err() || unsigned || same, "{}: {name}: {value}", subject.endpoint.provider());
});
