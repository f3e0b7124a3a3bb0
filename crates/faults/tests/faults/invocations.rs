//! Invocations that come twice, late, in another order, or whose answer is lost: as the function and as its caller see them.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::support::{Answer, Faults, Seen, http, server, until};

const AWS: &str = "http://127.0.0.1:1";

/// A batch of so many messages.
fn batch(queue: &str, count: usize) -> Value {
    let record = |n| {
        let arn = format!("arn:aws:sqs:us-east-1:000000000000:{queue}");
        json!({"messageId": format!("m{n}"), "eventSource": "aws:sqs", "eventSourceARN": arn, "body": "b"})
    };
    json!({"Records": (0..count).map(record).collect::<Vec<_>>()})
}

fn ids(event: &Value) -> Vec<String> {
    let records = event["Records"].as_array().unwrap().iter();
    records.map(|record| record["messageId"].as_str().unwrap().to_owned()).collect()
}

/// A runner whose function fails the messages `failing`.
fn runner(failing: &'static [&'static str]) -> (String, Arc<Mutex<Vec<Seen>>>) {
    server(move |request| {
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        let failed = ids(&event).into_iter().filter(|id| failing.contains(&id.as_str()));
        let failed: Vec<Value> = failed.map(|id| json!({"itemIdentifier": id})).collect();
        (200, Vec::new(), json!({"batchItemFailures": failed}).to_string().into_bytes())
    })
}

fn invoke(faults: &Faults, event: &Value) -> Answer {
    let path = "/processor/functions/webhook-processor-test/invocations";
    let headers = [("x-amzn-lambda-request-id", "r")];
    http(&faults.invoke(), "POST", path, &headers, event.to_string().as_bytes()).unwrap()
}

/// The events that the function has got.
fn events(seen: &Mutex<Vec<Seen>>) -> Vec<Value> {
    seen.lock().unwrap().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

#[test]
fn a_batch_goes_to_two_copies_at_once() {
    let (runner, seen) = runner(&[]);
    let faults = Faults::before("twice", AWS, &runner);
    faults.rules(&[("invoke", "twice", &json!({"service": "sqs", "operation": "intake", "limit": 1}))]);
    let event = batch("intake", 2);
    assert_eq!(invoke(&faults, &event).json(), json!({"batchItemFailures": []}));
    until("both invocations", || (seen.lock().unwrap().len() == 2).then_some(()));
    assert_eq!(events(&seen), [event.clone(), event]);
    let requests = seen.lock().unwrap().clone();
    let named =
        requests.iter().filter(|one| one.headers.contains(&("x-amzn-lambda-request-id".into(), "r".into())));
    assert_eq!(named.count(), 1, "the other one gets an id of its own");
    assert_eq!(faults.log()[0]["entries"], 2);
}

#[test]
fn messages_come_twice_or_in_another_order_or_in_two_parts() {
    let (runner, seen) = runner(&["m1", "m6"]);
    let faults = Faults::before("order", AWS, &runner);
    let event = batch("intake", 8);
    let sent: Vec<String> = ids(&event);
    let all: BTreeSet<String> = sent.iter().cloned().collect();
    let failed = |answer: &Answer| -> BTreeSet<String> {
        let answer = answer.json();
        let failed = answer["batchItemFailures"].as_array().unwrap().iter();
        failed.map(|one| one["itemIdentifier"].as_str().unwrap().to_owned()).collect()
    };
    let expected: BTreeSet<String> = ["m1".to_owned(), "m6".to_owned()].into();
    for kind in ["repeat", "shuffle", "split"] {
        seen.lock().unwrap().clear();
        faults.rules(&[("invoke", kind, &json!({}))]);
        assert_eq!(failed(&invoke(&faults, &event)), expected, "{kind}");
        let got: Vec<Vec<String>> = events(&seen).iter().map(ids).collect();
        let flat: Vec<String> = got.concat();
        assert_eq!(flat.iter().cloned().collect::<BTreeSet<_>>(), all, "{kind}");
        match kind {
            "repeat" => assert!(got.len() == 1 && flat.len() > 8, "{got:?}"),
            "shuffle" => assert!(got.len() == 1 && flat.len() == 8 && flat != sent, "{got:?}"),
            _ => assert!(got.len() == 2 && flat.len() == 8, "{got:?}"),
        }
    }
}

#[test]
fn a_part_that_fails_as_a_whole_is_failed_message_by_message() {
    let (runner, _) = server(|request| {
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        let is_bad = ids(&event).contains(&"m0".to_owned());
        (if is_bad { 500 } else { 200 }, Vec::new(), b"{}".to_vec())
    });
    let faults = Faults::before("split", AWS, &runner);
    faults.rules(&[("invoke", "split", &json!({}))]);
    let failed = invoke(&faults, &batch("intake", 4)).json();
    let failed = failed["batchItemFailures"].as_array().unwrap().clone();
    assert!(failed.len() == 2 && failed.contains(&json!({"itemIdentifier": "m0"})), "{failed:?}");
}

#[test]
fn a_fifo_queue_keeps_its_order_and_delivers_once_at_a_time() {
    let (runner, seen) = runner(&[]);
    let faults = Faults::before("fifo", AWS, &runner);
    let empty = json!({});
    let kinds = ["twice", "repeat", "shuffle", "split"];
    faults.rules(&kinds.map(|kind| ("invoke", kind, &empty)));
    let event = batch("intake.fifo", 8);
    invoke(&faults, &event);
    assert_eq!(events(&seen), [event]);
    assert_eq!(faults.log(), Vec::<Value>::new());
}

#[test]
fn a_lost_answer_is_an_error_of_the_invocation() {
    let (runner, seen) = runner(&[]);
    let faults = Faults::before("again", AWS, &runner);
    faults.rules(&[("invoke", "again", &json!({}))]);
    let answer = invoke(&faults, &batch("intake.fifo", 1));
    assert_eq!(answer.status, 500);
    assert!(answer.headers.contains(&("x-amz-function-error".into(), "Unhandled".into())));
    assert_eq!(seen.lock().unwrap().len(), 1, "the function did it");
}

#[test]
fn a_late_batch_reaches_the_function_though_its_caller_has_left() {
    let (runner, seen) = runner(&[]);
    let faults = Faults::before("late", AWS, &runner);
    faults.rules(&[("invoke", "late", &json!({"params": {"ms": 3_000}}))]);
    let event = batch("intake", 1).to_string();
    let address = faults.invoke();
    let mut caller = std::net::TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
    let head = format!(
        "POST /processor/f/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        event.len()
    );
    std::io::Write::write_all(&mut caller, (head + &event).as_bytes()).unwrap();
    until("the batch is held", || (!faults.log().is_empty()).then_some(()));
    drop(caller);
    assert!(seen.lock().unwrap().is_empty());
    until("the batch", || (!seen.lock().unwrap().is_empty()).then_some(()));
}

#[test]
fn a_sender_gets_504_for_a_request_that_was_served() {
    let (runner, seen) = server(|_| (200, Vec::new(), br#"{"statusCode":200,"body":"{}"}"#.to_vec()));
    let faults = Faults::before("504", AWS, &runner);
    faults.rules(&[("invoke", "gateway_timeout", &json!({}))]);
    let event = json!({"requestContext": {"http": {"method": "POST"}}, "rawPath": "/webhook/acme"});
    let answer = invoke(&faults, &event).json();
    assert_eq!((&answer["statusCode"], seen.lock().unwrap().len()), (&json!(504), 1));
    assert_eq!(invoke(&faults, &json!({"detail": {}})).json()["statusCode"], 200, "only of a front door");
}

#[test]
fn a_copy_is_killed_while_an_invocation_goes_on() {
    let (runner, seen) = server(|request| match request.target.as_str() {
        "/functions/webhook-processor-test/kill" => {
            (200, Vec::new(), br#"{"copy":1,"pid":77,"busy":true}"#.to_vec())
        }
        _ => (200, Vec::new(), b"{}".to_vec()),
    });
    let faults = Faults::before("kill", AWS, &runner);
    faults.rules(&[("invoke", "kill", &json!({"params": {"ms": 5}}))]);
    assert_eq!(invoke(&faults, &batch("intake", 1)).status, 200);
    let targets: BTreeSet<String> = seen.lock().unwrap().iter().map(|one| one.target.clone()).collect();
    let expected =
        ["/functions/webhook-processor-test/invocations", "/functions/webhook-processor-test/kill"];
    assert_eq!(targets, expected.map(str::to_owned).into());
    assert_eq!(faults.log()[0]["pid"], 77);
}
