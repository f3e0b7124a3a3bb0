//! Lambda Managed Instances: one process is handed several invocations at once. Each real function serves them on a
//! Runtime API and an AWS endpoint of the test's own, where a call of each invocation waits for the same call of all
//! the others: a function that takes one after the other never gets past it.

use serde_json::{Map, Value, json};
use tollgate_lambda::clock;
use tollgate_testkit::webhook::{KEY, Payment, Sender, config};

use crate::cloud::{self, ENDPOINT, Run, Setup};

/// `AWS_LAMBDA_MAX_CONCURRENCY`.
const AT_ONCE: usize = 4;
/// So that what invocations leave to later ones, buffers and caches, is used again.
const ROUNDS: usize = 3;
const EVENTS: usize = AT_ONCE * ROUNDS;

/// Hands `events` to the real binary of `function`, [`AT_ONCE`] at once.
async fn run(function: &str, meets_at: &'static str, events: Vec<Value>) -> Run {
    run_with(function, meets_at, events, Vec::new()).await
}

/// The same, with these items in the ledger.
async fn run_with(function: &str, meets_at: &'static str, events: Vec<Value>, claims: Vec<Value>) -> Run {
    let aws = Box::new(move |operation: &str, request: &Value| cloud::aws(operation, request, &claims));
    let setup = Setup { function, at_once: AT_ONCE, meets_at: Some(meets_at), settings: &[], aws };
    cloud::run(setup, events).await
}

/// What each invocation reported as failed.
fn failures(run: &Run) -> Vec<Value> {
    run.answers.iter().map(|answer| answer["batchItemFailures"].clone()).collect()
}

fn http_event(number: usize, sender: &Sender) -> Value {
    let (id, now) = (format!("evt_{number}"), clock::now());
    let webhook = sender.payment(&Payment::new(&id, format!("pi_{number}"), now), now);
    let headers: Map<String, Value> =
        webhook.headers.iter().map(|(name, value)| (name.to_lowercase(), value.into())).collect();
    json!({
        "version": "2.0", "rawPath": format!("/webhook/{ENDPOINT}"), "rawQueryString": "", "headers": headers,
        "requestContext": {"http": {"method": "POST", "sourceIp": "203.0.113.9"}},
        "body": String::from_utf8(webhook.body).unwrap(), "isBase64Encoded": false,
    })
}

/// One message and one that cannot be read, whose id tells which invocation had it.
fn batch(number: usize, body: &str, attributes: &Map<String, Value>) -> Value {
    let attributes: Map<String, Value> = attributes
        .iter()
        .map(|(name, value)| {
            (name.clone(), json!({"dataType": "String", "stringValue": value["StringValue"]}))
        })
        .collect();
    let record = |id: String, body: &str, attributes: &Map<String, Value>| {
        json!({
            "messageId": id, "receiptHandle": "r", "body": body, "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": attributes, "md5OfBody": "", "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:queue", "awsRegion": "us-east-1",
        })
    };
    json!({"Records": [
        record(format!("good-{number}"), body, &attributes),
        record(format!("bad-{number}"), "neither a webhook nor a row", &Map::new()),
    ]})
}

fn of_each_the_bad_one(batches: usize) -> Vec<Value> {
    (0..batches).map(|number| json!([{"itemIdentifier": format!("bad-{number}")}])).collect()
}

#[tokio::test]
async fn every_function_serves_as_many_invocations_at_once_as_it_is_handed() {
    let sender = Sender::new(config(ENDPOINT, "stripe"), KEY);
    let webhooks = (0..EVENTS).map(|number| http_event(number, &sender)).collect();
    let taken = run("validator", "PutItem", webhooks).await;
    for (number, answer) in taken.answers.iter().enumerate() {
        assert_eq!(answer["statusCode"], 200, "{answer}");
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["event_id"], format!("evt_{number}"));
    }

    let batches = taken.calls("SendMessage").enumerate().map(|(number, message)| {
        batch(
            number,
            message["MessageBody"].as_str().unwrap(),
            message["MessageAttributes"].as_object().unwrap(),
        )
    });
    let claims = taken.calls("PutItem").map(|put| put["Item"].clone()).collect();
    let processed = run_with("processor", "BatchGetItem", batches.collect(), claims).await;
    assert_eq!(failures(&processed), of_each_the_bad_one(EVENTS));

    let rows = processed.calls("SendMessageBatch").flat_map(|call| call["Entries"].as_array().unwrap());
    let batches = rows
        .enumerate()
        .map(|(number, entry)| batch(number, entry["MessageBody"].as_str().unwrap(), &Map::new()));
    let batches: Vec<Value> = batches.collect();
    let count = batches.len();
    let archived = run("archival", "PUT", batches).await;
    assert_eq!(failures(&archived), of_each_the_bad_one(count));

    let events: Vec<Value> = processed
        .calls("PutEvents")
        .flat_map(|call| call["Entries"].as_array().unwrap())
        .map(|entry| serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap())
        .collect();
    let assessed = run("fraud-detector", "GetItem", events.clone()).await;
    let ids =
        |values: &[Value], name: &str| values.iter().map(|value| value[name].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&assessed.answers, "event_id"), ids(&events, "id"));
    assert_eq!(events.len(), EVENTS);
}
