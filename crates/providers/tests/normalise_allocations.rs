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
    collections::BTreeSet,
    hint::black_box,
};

use serde_json::Value;
use tollgate_core::{Facts, Timestamp};
use tollgate_providers::{Endpoint, KeyMaterial, Received, Secret, Trusted, normalise::Normaliser};

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

/// `value` with each of its lists in turn replaced by one of as many `element`s as fit into 64 KiB. A body
/// may have 1 MiB, and takes as many times more.
fn with_long_lists(value: &Value, element: &str, is_new: &mut dyn FnMut(&str) -> bool) -> Vec<String> {
    const PLACE: &str = "the list";
    let long = format!("[{}]", vec![element; (1 << 16) / (element.len() + 1)].join(","));
    let mut lists: Vec<String> = Vec::new();
    let mut open = vec![String::new()];
    while let Some(path) = open.pop() {
        match value.pointer(&path) {
            Some(Value::Array(elements)) => {
                open.extend((0..elements.len()).map(|index| format!("{path}/{index}")));
                lists.extend(Some(path).filter(|path| is_new(path)));
            }
            Some(Value::Object(members)) => open.extend(members.keys().map(|name| format!("{path}/{name}"))),
            _ => {}
        }
    }
    let replaced = lists.iter().map(|path| {
        let mut value = value.clone();
        *value.pointer_mut(path).unwrap() = PLACE.into();
        value.to_string().replace(&format!("\"{PLACE}\""), &long)
    });
    replaced.collect()
}

/// A list may come from anyone who has a key, and some before anything is verified.
#[test]
fn a_long_list_takes_little_memory() {
    // What the most events of a delivery take, and an item of each that may come before one is verified.
    const EVENTS: usize = 1 << 18;
    let (mut measured, mut over, mut known) = (0, Vec::new(), BTreeSet::new());
    for case in cases::all() {
        let Ok(value) = serde_json::from_slice::<Value>(&case.body) else { continue };
        let normaliser = Normaliser::named(&case.provider).unwrap();
        let endpoint = Endpoint::new(case.config.clone()).ok();
        let key = KeyMaterial::new("1", Secret::new("0123456789abcdef".repeat(4)));
        let keys = endpoint.as_ref().and_then(|endpoint| endpoint.keys(vec![key]).ok());
        let mut bodies = Vec::new();
        for element in ["0", "{}"] {
            let mut is_new = |path: &str| known.insert((&case.provider, path.to_owned(), element));
            bodies.extend(with_long_lists(&value, element, &mut is_new));
        }
        for body in bodies {
            let received = Received { headers: &case.headers, query: &case.query, body: body.as_bytes() };
            let before = BYTES.with(Cell::get);
            if let (Some(endpoint), Some(keys)) = (&endpoint, &keys) {
                let _ = endpoint.verify(received, keys, None, Timestamp::UNIX_EPOCH);
            }
            let _ = black_box(normaliser.normalise(Trusted::for_inspection(received), &case.config));
            measured += 1;
            let bytes = BYTES.with(Cell::get) - before;
            if bytes > body.len() + EVENTS {
                over.push(format!(
                    "{case}: {bytes} bytes of {:.60}",
                    body.replace("0,", "").replace("{},", "")
                ));
            }
        }
    }
    assert!(measured > 60, "{measured} measured");
    assert!(over.is_empty(), "{over:#?}");
}
