//! Whole batches of Lambda.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests only")]

use aws_lambda_events::sqs::SqsEvent;
use serde_json::{Value, json};
use tollgate_events::{Consumer, Event, Failure, MemoryStore, core::Timestamp};

const QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:payments";

/// Events of a movement each; `groups` has a letter for each message.
fn sqs(queue: &str, groups: &str) -> SqsEvent {
    let scenarios: Value = serde_json::from_str(include_str!("../../scenarios.json")).unwrap();
    let records = groups.chars().enumerate().map(|(index, group)| {
        let mut event = scenarios["base"].clone();
        event["id"] = format!("evt_{index:032x}").into();
        event["effect_id"] = format!("eff_{index:032x}").into();
        event["movement_id"] = index.to_string().into();
        json!({
            "messageId": format!("m{index}"),
            "body": json!({"detail-type": event["type"], "detail": event}).to_string(),
            "eventSourceARN": queue,
            "attributes": {"MessageGroupId": group.to_string(), "ApproximateReceiveCount": "1"},
        })
    });
    serde_json::from_value(json!({"Records": Vec::from_iter(records)})).unwrap()
}

async fn failures(event: &SqsEvent, wrong: &str) -> Vec<String> {
    let handle = async |event: &Event| match event.id().as_str().ends_with(wrong) {
        true => Err(Failure::NotYet),
        false => Ok(()),
    };
    let consumer = Consumer::new(handle, MemoryStore::default(), || Timestamp::UNIX_EPOCH);
    let response = consumer.batch(event, || true).await.unwrap().response;
    response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
}

#[tokio::test]
async fn the_failed_messages_of_a_batch_come_back() {
    assert_eq!(failures(&sqs(QUEUE, "aaa"), "00001").await, ["m1"]);
    assert!(failures(&sqs(QUEUE, "aaa"), "x").await.is_empty());
}

#[tokio::test]
async fn a_fifo_group_ends_at_its_first_failure_and_no_other_does() {
    assert_eq!(failures(&sqs(&format!("{QUEUE}.fifo"), "abaab"), "00000").await, ["m0", "m2", "m3"]);
}

#[tokio::test]
async fn what_is_no_event_comes_back() {
    let mut event = sqs(QUEUE, "aa");
    event.records[0].body = None;
    assert_eq!(failures(&event, "x").await, ["m0"]);
}
