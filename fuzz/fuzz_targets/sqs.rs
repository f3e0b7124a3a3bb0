//! Any bytes as an SQS event: records or an error, never a panic. What is read is what serde_json reads, where it is
//! JSON that names nothing twice.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[allow(dead_code)]
#[path = "../../crates/lambda/src/sqs/mod.rs"]
mod records;

use records::Buffer;

fuzz_target!(|data: &[u8]| {
    let mut buffer = Buffer::default();
    let Ok(records) = records::read(data, &mut buffer, false) else { return };
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    // Written again it is as long, without blanks and with other escapes, unless a name that stands twice was dropped.
    let names = |text: &str| text.matches(':').count();
    let written = value.to_string();
    if names(&written) != names(&String::from_utf8_lossy(data)) {
        return;
    }
    let theirs = value["Records"].as_array().expect("records");
    assert_eq!(records.len(), theirs.len());
    for (ours, theirs) in records.iter().zip(theirs) {
        assert_eq!(Some(ours.body), theirs["body"].as_str());
        assert_eq!(ours.message_id, theirs["messageId"].as_str().unwrap_or_default());
        assert_eq!(ours.group, theirs["attributes"]["MessageGroupId"].as_str());
    }
});
