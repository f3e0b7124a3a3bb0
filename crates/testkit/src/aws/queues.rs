//! SQS and EventBridge: "Amazon SQS message quotas" (developer guide), "Amazon EventBridge quotas" and "Calculating
//! PutEvents event entry size" (user guide), and the operations' pages (API reference). Of the announcement "serverless
//! services now support payloads up to 1 MB" (AWS Compute Blog, January 2026) the smaller megabyte is taken.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::checked::{Checked, ensure, refuse};
use crate::memory::sqs;

/// The messages of a SendMessageBatch together, in bytes.
const BATCH_BYTES: usize = 1_048_576;
/// The entries of a PutEvents together, in bytes.
const EVENTS_BYTES: usize = 1_000_000;
/// An entry's time, in bytes.
const TIME_BYTES: usize = 14;

pub(super) fn send(request: &Value) -> Checked {
    message(request)
}

/// Up to ten messages of a mebibyte together, each with an id of its own.
pub(super) fn send_batch(request: &Value) -> Checked {
    let entries = entries(request);
    ensure(!entries.is_empty(), "AWS.SimpleQueueService.EmptyBatchRequest", "no entry")?;
    ensure(entries.len() <= 10, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "ten entries")?;
    let ids: BTreeSet<&str> = entries.iter().filter_map(|entry| entry["Id"].as_str()).collect();
    ensure(ids.len() == entries.len(), "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "ids")?;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_id = |id: &&str| (1..=80).contains(&id.len()) && id.bytes().all(is_part);
    ensure(ids.iter().all(is_id), "AWS.SimpleQueueService.InvalidBatchEntryId", "an id")?;
    let bytes: usize = entries.iter().map(|entry| draft(entry).size()).sum();
    ensure(bytes <= BATCH_BYTES, "AWS.SimpleQueueService.BatchRequestTooLong", "bytes")
}

/// One message of a batch, which has a result of its own.
pub(super) fn entry(entry: &Value) -> Checked {
    message(entry)
}

/// Up to ten entries of a megabyte together.
pub(super) fn put_events(request: &Value) -> Checked {
    const INVALID: &str = "ValidationException";
    let entries = entries(request);
    ensure((1..=10).contains(&entries.len()), INVALID, "1 to 10 entries")?;
    let text = |entry: &Value, name: &str| entry[name].as_str().map_or(0, str::len);
    let size = |entry: &Value| {
        let texts = ["Source", "DetailType", "Detail"].map(|name| text(entry, name));
        let time = if entry.get("Time").is_some() { TIME_BYTES } else { 0 };
        texts.into_iter().sum::<usize>() + time
    };
    ensure(entries.iter().map(size).sum::<usize>() <= EVENTS_BYTES, INVALID, "bytes")
}

/// One entry, which has a result of its own (PutEventsResultEntry).
pub(super) fn event(entry: &Value) -> Checked {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    ensure((1..=128).contains(&text("DetailType").len()), "InvalidArgument", "detail type")?;
    let source = text("Source");
    ensure(!source.is_empty() && !source.starts_with("aws."), "NotAuthorizedForSourceException", "source")?;
    let detail = serde_json::from_str::<Map<String, Value>>(text("Detail"));
    ensure(detail.is_ok(), "MalformedDetail", "detail")
}

fn entries(request: &Value) -> &[Value] {
    request["Entries"].as_array().map_or(&[][..], Vec::as_slice)
}

fn message(request: &Value) -> Checked {
    let attributes = request["MessageAttributes"].as_object().into_iter().flat_map(Map::values);
    for attribute in attributes {
        ensure(attribute["DataType"] == "String", "InvalidParameterValue", "an attribute that is no text")?;
    }
    match sqs::check(&draft(request)) {
        Ok(()) => Ok(()),
        Err(code) => refuse(code, "the message"),
    }
}

fn draft(request: &Value) -> sqs::Draft {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let attributes = request["MessageAttributes"].as_object().into_iter().flatten();
    sqs::Draft {
        body: text(&request["MessageBody"]),
        attributes: attributes.map(|(name, it)| (name.clone(), text(&it["StringValue"]))).collect(),
        group: request.get("MessageGroupId").map(text),
        deduplication_id: request.get("MessageDeduplicationId").map(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::aws::{bad_entries, refusal};

    #[test]
    fn what_sqs_refuses_of_a_batch_is_refused() {
        let batch = |bodies: Vec<String>| {
            let entry = |(n, body)| json!({"Id": format!("{n}"), "MessageBody": body});
            json!({"Entries": bodies.into_iter().enumerate().map(entry).collect::<Vec<_>>()})
        };
        let code = |batch| refusal("SendMessageBatch", &batch).map(|refusal| refusal.code);
        let half = "x".repeat(BATCH_BYTES / 2);
        assert_eq!(code(batch(vec![half.clone(), half.clone()])), None);
        for (bad, problem) in [
            (batch(vec![half.clone(), half, "x".to_owned()]), "BatchRequestTooLong"),
            (batch(vec!["x".to_owned(); 11]), "TooManyEntriesInBatchRequest"),
            (batch(vec![]), "EmptyBatchRequest"),
            (
                json!({"Entries": [{"Id": "a", "MessageBody": "x"}, {"Id": "a", "MessageBody": "y"}]}),
                "BatchEntryIdsNotDistinct",
            ),
            (json!({"Entries": [{"Id": "a b", "MessageBody": "x"}]}), "InvalidBatchEntryId"),
        ] {
            assert!(code(bad).is_some_and(|code| code.ends_with(problem)), "{problem}");
        }
        let mixed = batch(vec!["good".to_owned(), "\u{b}".to_owned(), String::new()]);
        assert_eq!(code(mixed.clone()), None);
        let bad = bad_entries("SendMessageBatch", &mixed);
        assert_eq!(bad, [(1, "InvalidMessageContents"), (2, "InvalidParameterValue")]);
    }

    #[test]
    fn what_eventbridge_refuses_is_refused() {
        let entry = |detail: &str| json!({"Source": "tollgate", "DetailType": "t", "Detail": detail});
        let long = |bytes: usize| entry(&format!("{{\"a\":\"{}\"}}", "x".repeat(bytes)));
        let code = |entries: Vec<Value>| refusal("PutEvents", &json!({"Entries": entries})).map(|it| it.code);
        // Source, type and the quotes and braces: 8 + 1 + 8.
        assert_eq!(code(vec![long(EVENTS_BYTES - 17)]), None);
        for bad in [vec![], vec![entry("{}"); 11], vec![long(EVENTS_BYTES - 16)], vec![long(600_000); 2]] {
            assert_eq!(code(bad), Some("ValidationException"));
        }
        let mut aws = entry("{}");
        aws["Source"] = json!("aws.s3");
        let entries = json!({"Entries": [entry("{}"), entry("[]"), entry("no JSON"), aws, {"Source": "s", "Detail": "{}"}]});
        let bad: Vec<usize> =
            bad_entries("PutEvents", &entries).into_iter().map(|(index, _)| index).collect();
        assert_eq!(bad, [1, 2, 3, 4]);
    }
}
