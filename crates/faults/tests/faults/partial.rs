//! Batch calls that are done in part, as AWS's own clients read them.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementRequest, KeysAndAttributes, PutRequest, WriteRequest,
};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use serde_json::{Value, json};
use tollgate_testkit::aws::Server;

use crate::support::Faults;

const COUNT: usize = 6;

/// An AWS that does all that it is asked for.
fn aws() -> Server {
    Server::start(|operation, request| match operation {
        "SendMessageBatch" => {
            let done = |entry: &Value| json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "0"});
            let done: Vec<Value> = request["Entries"].as_array().unwrap().iter().map(done).collect();
            json!({"Successful": done, "Failed": []})
        }
        "PutEvents" => {
            let done = |entry: &Value| json!({"EventId": entry["DetailType"]});
            let done: Vec<Value> = request["Entries"].as_array().unwrap().iter().map(done).collect();
            json!({"Entries": done, "FailedEntryCount": 0})
        }
        "BatchExecuteStatement" => {
            let done = |entry: &Value| json!({"Item": {"n": entry["Parameters"][0]}});
            let done: Vec<Value> = request["Statements"].as_array().unwrap().iter().map(done).collect();
            json!({"Responses": done})
        }
        "BatchGetItem" => {
            json!({"Responses": {"events": request["RequestItems"]["events"]["Keys"]}, "UnprocessedKeys": {}})
        }
        _ => json!({"UnprocessedItems": {}}),
    })
}

fn text(n: usize) -> AttributeValue {
    AttributeValue::S(format!("{n}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_says_in_its_own_form_what_was_left_undone() {
    let aws = aws();
    let faults = Faults::before("partial", &aws.url(), "http://127.0.0.1:1");
    faults.rule("partial", &json!({"params": {"one_in": 2}}));
    let config = faults.config().await;
    let db = aws_sdk_dynamodb::Client::new(&config);
    let mut undone = Vec::new();

    let entry =
        |n| SendMessageBatchRequestEntry::builder().id(format!("{n}")).message_body("x").build().unwrap();
    let sent = aws_sdk_sqs::Client::new(&config).send_message_batch().queue_url("http://127.0.0.1/0/q");
    let sent = sent.set_entries(Some((0..COUNT).map(entry).collect())).send().await.unwrap();
    let ids = sent.failed().iter().map(|one| one.id().to_owned());
    let ids: BTreeSet<String> = ids.chain(sent.successful().iter().map(|one| one.id().to_owned())).collect();
    assert_eq!(ids, (0..COUNT).map(|n| n.to_string()).collect());
    assert!(sent.failed().iter().all(|one| one.code() == "InternalError" && !one.sender_fault()));
    undone.push(sent.failed().len());

    let entry = |n| {
        PutEventsRequestEntry::builder().source("tollgate").detail_type(format!("{n}")).detail("{}").build()
    };
    let put = aws_sdk_eventbridge::Client::new(&config).put_events();
    let put = put.set_entries(Some((0..COUNT).map(entry).collect())).send().await.unwrap();
    for (n, entry) in put.entries().iter().enumerate() {
        match entry.error_code() {
            None => assert_eq!(
                entry.event_id(),
                Some(n.to_string().as_str()),
                "each answer is at its entry's place"
            ),
            Some(code) => assert_eq!((code, entry.event_id()), ("ThrottlingException", None)),
        }
    }
    let failed = put.entries().iter().filter(|entry| entry.error_code().is_some()).count();
    assert_eq!(put.failed_entry_count(), i32::try_from(failed).unwrap());
    undone.push(failed);

    let statement = |n| {
        let statement = r#"INSERT INTO "events" VALUE {'event_key': ?}"#;
        BatchStatementRequest::builder().statement(statement).parameters(text(n)).build().unwrap()
    };
    let run = db.batch_execute_statement().set_statements(Some((0..COUNT).map(statement).collect()));
    let run = run.send().await.unwrap().responses.unwrap();
    for (n, response) in run.iter().enumerate() {
        match response.error() {
            None => assert_eq!(response.item().unwrap()["n"], text(n)),
            Some(error) => assert_eq!(error.code().unwrap().as_str(), "ThrottlingError"),
        }
    }
    undone.push(run.iter().filter(|response| response.error().is_some()).count());

    let keys = (0..COUNT).map(|n| [("event_key".to_owned(), text(n))].into());
    let keys = KeysAndAttributes::builder().set_keys(Some(keys.collect())).build().unwrap();
    let read = db.batch_get_item().request_items("events", keys).send().await.unwrap();
    let left = read.unprocessed_keys().unwrap()["events"].keys().to_vec();
    let found = read.responses().unwrap()["events"].clone();
    assert!(left.iter().all(|key| !found.contains(key)));
    assert_eq!(left.len() + found.len(), COUNT);
    undone.push(left.len());

    let put = |n| {
        let put = PutRequest::builder().item("event_key", text(n)).build().unwrap();
        WriteRequest::builder().put_request(put).build()
    };
    let written =
        db.batch_write_item().request_items("events", (0..COUNT).map(put).collect()).send().await.unwrap();
    undone.push(written.unprocessed_items().unwrap()["events"].len());

    assert!(undone.iter().all(|count| (1..=COUNT).contains(count)), "{undone:?}");
    let logged: Vec<usize> =
        faults.log().iter().map(|line| usize::try_from(line["entries"].as_u64().unwrap()).unwrap()).collect();
    assert_eq!(logged, undone);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_alone_may_be_left_undone_and_then_nothing_is_asked_for() {
    let aws = Server::start(|operation, _| panic!("{operation} must not get here"));
    let faults = Faults::before("partial-one", &aws.url(), "http://127.0.0.1:1");
    faults.rule("partial", &json!({}));
    let entry = PutEventsRequestEntry::builder().source("tollgate").detail_type("t").detail("{}").build();
    let put = aws_sdk_eventbridge::Client::new(&faults.config().await).put_events().entries(entry);
    let put = put.send().await.unwrap();
    assert_eq!((put.failed_entry_count(), put.entries().len()), (1, 1));
}
