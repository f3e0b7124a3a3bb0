//! Events of the crate `aws_lambda_events`: the same results as for the message ids and groups by themselves.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_batch::{Batch, Kind, Outcome, Unreportable, handle_event};

use crate::{
    concurrent::block_on,
    model::{Act, Case, case},
};

/// As the SQS event source mapping sends it. An empty id is left out, as an empty text or as a null.
fn event(case: &Case) -> SqsEvent {
    let arn = match case.kind {
        Kind::Standard => "arn:aws:sqs:eu-west-1:000000000000:orders",
        Kind::Fifo => "arn:aws:sqs:eu-west-1:000000000000:orders.fifo",
    };
    let record = |(index, record): (usize, &crate::model::Record)| {
        let mut message = json!({
            "messageId": record.id, "body": index.to_string(), "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": {}, "eventSource": "aws:sqs", "eventSourceARN": arn, "awsRegion": "eu-west-1",
        });
        if let Some(group) = &record.group {
            message["attributes"]["MessageGroupId"] = group.as_str().into();
        }
        match index % 3 {
            0 if record.id.is_empty() => message["messageId"] = Value::Null,
            1 if record.id.is_empty() => drop(message.as_object_mut().unwrap().remove("messageId")),
            _ => {}
        }
        message
    };
    let records: Vec<Value> = case.records.iter().enumerate().map(record).collect();
    serde_json::from_value(json!({ "Records": records })).unwrap()
}

fn index(message: &SqsMessage) -> usize {
    message.body.as_deref().unwrap().parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_event_is_handled_as_its_ids_and_groups_are(case in case(), at_once in 0..8_usize) {
        let case = Case { budget: usize::from(u16::MAX), ..case };
        let event = event(&case);
        let handled = block_on(handle_event(&event, at_once, || true, |message| {
            let act = case.records[index(message)].act;
            async move { act.perform() }
        }));
        let batch = case.run();
        match (handled, batch.response()) {
            (Ok(handled), Ok(response)) => {
                let ours = serde_json::to_string(&response).unwrap();
                prop_assert_eq!(serde_json::to_string(&handled.response).unwrap(), ours);
                prop_assert_eq!(handled.summary, batch.summary());
                for (index, _) in handled.panics {
                    prop_assert!(matches!(case.records[index].act, Act::Panic));
                }
            }
            (Err(problem), Err(expected)) => prop_assert_eq!(problem, expected),
            (handled, expected) => prop_assert!(false, "{:?} and {:?}", handled, expected),
        }
    }
}

#[test]
fn an_example_of_the_developer_guide_is_answered() {
    // "Using Lambda with Amazon SQS": FIFO event, two messages of one group, values shortened.
    let event: SqsEvent = serde_json::from_value(json!({"Records": [
        {"messageId": "11d6ee51-4cc7-4302-9e22-7cd8afdaadf5", "receiptHandle": "AQEBBX8n==", "body": "Test message.",
         "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1573251510774",
            "SequenceNumber": "18849496460467696128", "MessageGroupId": "1", "SenderId": "AIDAIO23YVJENQZJOL4VO",
            "MessageDeduplicationId": "1", "ApproximateFirstReceiveTimestamp": "1573251510774"},
         "messageAttributes": {}, "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3", "eventSource": "aws:sqs",
         "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:fifo.fifo", "awsRegion": "us-east-2"},
        {"messageId": "2e1424d4-f796-459a-8184-9c92662be6da", "body": "Test message.",
         "attributes": {"MessageGroupId": "1"}, "eventSource": "aws:sqs",
         "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:fifo.fifo", "awsRegion": "us-east-2"},
    ]}))
    .unwrap();
    let mut calls = 0;
    let handled = block_on(handle_event(
        &event,
        10,
        || true,
        |_| {
            calls += 1;
            async { Outcome::Retry("throttled") }
        },
    ))
    .unwrap();
    assert_eq!(calls, 1);
    let mut expected = SqsBatchResponse::default();
    expected.set_failures(["11d6ee51-4cc7-4302-9e22-7cd8afdaadf5", "2e1424d4-f796-459a-8184-9c92662be6da"]);
    assert_eq!(handled.response, expected);
    assert_eq!((handled.summary.retries, handled.summary.blocked), (1, 1));
}

#[test]
fn an_event_without_messages_has_no_failures() {
    let event: SqsEvent = serde_json::from_str(r#"{"Records":[]}"#).unwrap();
    let handled = block_on(handle_event(&event, 1, || true, |_| async { Outcome::Ok })).unwrap();
    assert_eq!(serde_json::to_string(&handled.response).unwrap(), r#"{"batchItemFailures":[]}"#);
}

#[test]
fn a_failed_message_without_an_id_is_an_error() {
    let event: SqsEvent = serde_json::from_str(r#"{"Records":[{"body":"x"}]}"#).unwrap();
    assert_eq!(Batch::from(&event).len(), 1);
    let handled = block_on(handle_event(&event, 1, || true, |_| async { Outcome::Retry("throttled") }));
    assert_eq!(handled.unwrap_err(), Unreportable { index: 0 });
}

/// Runtimes with several threads, and Lambda Managed Instances, want futures that can be sent.
#[test]
fn the_future_can_be_sent() {
    fn is_send(_: impl Send) {}
    async fn handle(message: &SqsMessage) -> Outcome {
        std::future::ready(()).await;
        if message.body.is_some() { Outcome::Ok } else { Outcome::Poison("no_body") }
    }
    let event = SqsEvent::default();
    is_send(handle_event(&event, 10, || true, handle));
}

#[test]
fn groups_are_kept_in_order_where_no_message_names_its_queue() {
    let message = |id: &str, group: &str| json!({"messageId": id, "body": "", "attributes": {"MessageGroupId": group}, "messageAttributes": {}});
    let records = [message("a1", "a"), message("b1", "b"), message("a2", "a")];
    let event: SqsEvent = serde_json::from_value(json!({ "Records": records })).unwrap();
    let outcome = |message: &SqsMessage| match message.message_id.as_deref() {
        Some("a1") => Outcome::Retry("busy"),
        _ => Outcome::Ok,
    };
    let handled = block_on(handle_event(
        &event,
        1,
        || true,
        |message| {
            let outcome = outcome(message);
            async move { outcome }
        },
    ));
    let failed: Vec<_> = handled
        .unwrap()
        .response
        .batch_item_failures
        .into_iter()
        .map(|failure| failure.item_identifier)
        .collect();
    assert_eq!(failed, ["a1", "a2"]);
}
