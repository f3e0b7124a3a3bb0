//! Arbitrary webhooks at every provider's endpoint: an answer, never a panic, and never a yes.
//!
//! The input's first byte picks the provider; the rest is lines of headers, an empty line, and the body, with the
//! query first.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod common;

fuzz_target!(|data: &[u8]| {
    let Some((&pick, rest)) = data.split_first() else { return };
    let subjects = common::subjects();
    let subject = &subjects[usize::from(pick) % subjects.len()];
    let mut lines = rest.splitn(2, |b| *b == b'\n');
    let query = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let rest = lines.next().unwrap_or_default();
    let at = rest.windows(2).position(|pair| pair == b"\n\n").unwrap_or(rest.len());
    let body = rest.get(at + 2..).unwrap_or_default();
    let headers = String::from_utf8_lossy(&rest[..at])
        .lines()
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    let received = tollgate_providers::Received { headers: &headers, query: &query, body };
    let verdict = subject.endpoint.verify(received, &subject.keys, None, common::now());
    // The keys cannot be guessed, so a yes is a finding; tokens are in the corpus of no one.
    assert!(verdict.is_err(), "{}: verified", subject.endpoint.provider());
    let _ = subject.endpoint.material_for(received, &subject.keys, common::now());
    let _ = subject.endpoint.handshake("GET", &query, &subject.keys);
    let _ = subject.endpoint.explain(received, &subject.keys, None, common::now());
});
