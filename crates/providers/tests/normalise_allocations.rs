//! One webhook costs three allocations at most, the list of its events, its metadata and a composite id, and one more
//! each for the aliases, a composite movement and a composite occurrence that its event has.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "normalise/braintree.rs"]
mod braintree;
#[path = "normalise/cases.rs"]
#[allow(dead_code, reason = "the expectations are the other test's")]
mod cases;
#[path = "normalise/describe.rs"]
#[allow(dead_code, reason = "the expectations are the other test's")]
mod describe;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    borrow::Cow,
    cell::Cell,
    hint::black_box,
};

use tollgate_core::Facts;
use tollgate_providers::{Received, Trusted, normalise::Normaliser};

/// The system's allocator, counting what the current thread asks of it.
struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    CALLS.with(|calls| calls.set(calls.get() + 1));
    BYTES.with(|all| all.set(all.get() + bytes));
}

#[expect(unsafe_code, reason = "the only way to count allocations")]
// SAFETY: every call is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Their bodies are not JSON, or (Plaid) their event id needs a token to be decoded.
const OTHERS: [&str; 3] = ["braintree", "nuvei", "plaid"];

/// Orders, whose charges or refunds are read into lists of their own.
const ORDERS: [&str; 2] = ["mercadopago", "pagbank"];

#[test]
fn a_webhook_takes_at_most_three_allocations() {
    let (mut measured, mut over) = (0, Vec::new());
    for case in cases::all() {
        // Texts with escapes and numbers with powers of ten are rewritten before they are read.
        let body = String::from_utf8_lossy(&case.body);
        let escaped = body.contains('\\') || body.contains("1e1");
        // A hash takes one more, in place of ids that every usual webhook has.
        let hashed = case.expected.iter().any(|line| line.contains("sha256-"));
        if escaped || hashed || OTHERS.contains(&&*case.provider) || case.expected.len() > 1 {
            continue;
        }
        let normaliser = Normaliser::named(&case.provider).unwrap();
        let received = Received { headers: &case.headers, query: &case.query, body: &case.body };
        // The lists of ignored event types are read once.
        let _ = normaliser.normalise(Trusted::for_inspection(received), &case.config);
        let before = CALLS.with(Cell::get);
        let events = normaliser.normalise(Trusted::for_inspection(black_box(received)), &case.config);
        let calls = CALLS.with(Cell::get) - before;
        // Only good webhooks are measured.
        if events.is_err() {
            continue;
        }
        measured += 1;
        let owned = |text: &Option<Cow<'_, str>>| usize::from(matches!(text, Some(Cow::Owned(_))));
        let composed = |facts: &Facts<'_>| {
            usize::from(!facts.aliases.is_empty()) + owned(&facts.movement_id) + owned(&facts.occurrence)
        };
        let lists = if ORDERS.contains(&&*case.provider) { 2 } else { 0 };
        if calls > 3 + lists + events.iter().flatten().map(composed).sum::<usize>() {
            over.push(format!("{case}: {calls}"));
        }
    }
    assert!(measured > 100, "{measured} measured");
    assert!(over.is_empty(), "{over:#?}");
}

/// Lists of nothing, half a million elements each, as anyone can send them.
#[test]
fn a_list_of_half_a_million_elements_takes_no_memory() {
    let half_a_megabyte = 1 << 19;
    let zeros = vec!["0"; half_a_megabyte].join(",");
    for (provider, begin) in [
        ("gocardless", r#"{"events":["#),
        ("pagbank", r#"{"charges":["#),
        ("adyen", r#"{"notificationItems":["#),
    ] {
        let body = format!("{begin}{zeros}]}}");
        let headers = tollgate_providers::Headers::new();
        let received = Received { headers: &headers, query: "", body: body.as_bytes() };
        let config = cases::endpoint(provider);
        let endpoint = tollgate_providers::Endpoint::new(config.clone()).unwrap();
        let key = tollgate_providers::Secret::new("0123456789abcdef".repeat(4));
        let keys = endpoint.keys(vec![tollgate_providers::KeyMaterial::new("1", key)]).unwrap();
        let before = BYTES.with(Cell::get);
        // Before anything is verified, and after.
        assert!(endpoint.verify(received, &keys, None, tollgate_core::Timestamp::UNIX_EPOCH).is_err());
        let normaliser = Normaliser::named(provider).unwrap();
        assert!(normaliser.normalise(Trusted::for_inspection(received), &config).is_err());
        let bytes = BYTES.with(Cell::get) - before;
        assert!(bytes < half_a_megabyte, "{provider}: {bytes} bytes");
    }
}
