//! Any text as a Lambda event of the validator: a request or an error, never a panic. What is a request reads the same
//! once it is written again.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../crates/validator/src/event.rs"]
mod event;

use event::Request;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(request) = Request::read(text) else { return };
    // A JSON value has no number that is out of a double's range, which our reader skips.
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return };
    let again = value.to_string();
    assert_eq!(Request::read(&again).expect("the same event").body, request.body);
});
