//! Which calls a rule is for, and what is told of it.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use tollgate_testkit::aws::Server;

use crate::support::Faults;

fn faults(test: &str) -> (Faults, Server) {
    let aws = Server::start(|_, _| json!({}));
    let faults = Faults::before(test, &aws.url(), "http://127.0.0.1:1");
    (faults, aws)
}

/// Which of so many calls for an item of this table fail.
async fn failures(faults: &Faults, table: &str, calls: usize) -> Vec<bool> {
    let client = aws_sdk_dynamodb::Client::new(&faults.config().await);
    let mut failed = Vec::new();
    for _ in 0..calls {
        let key = AttributeValue::S("a".into());
        failed.push(client.get_item().table_name(table).key("event_key", key).send().await.is_err());
    }
    failed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_for_the_calls_that_it_names() {
    let (faults, _aws) = faults("rules-names");
    let (yes, no) = (json!(true), json!(false));
    for (more, fails) in [
        (json!({}), &yes),
        (json!({"function": "validator", "service": "dynamodb", "operation": "GetItem"}), &yes),
        (json!({"function": "processor"}), &no),
        (json!({"service": "sqs"}), &no),
        (json!({"operation": "PutItem"}), &no),
        (json!({"contains": "\"events\""}), &yes),
        (json!({"contains": "\"transactions\""}), &no),
        (json!({"chance": 0.0}), &no),
        (json!({"to_ms": 0}), &no),
        (json!({"from_ms": 600_000}), &no),
    ] {
        faults.rule("internal", &more);
        assert_eq!(&json!(failures(&faults, "events", 1).await[0]), fails, "{more}");
    }
    assert_eq!(faults.ask("DELETE", "/rules", &Value::Null).status, 200);
    assert_eq!(failures(&faults, "events", 1).await, [false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_are_let_through_and_no_more_than_the_limit_fail() {
    let (faults, _aws) = faults("rules-limit");
    faults.rule("internal", &json!({"skip": 2, "limit": 1}));
    assert_eq!(failures(&faults, "events", 5).await, [false, false, true, false, false]);
    let listed = faults.ask("GET", "/rules", &Value::Null).json();
    assert_eq!(
        (&listed[0]["id"], &listed[0]["seen"], &listed[0]["applied"]),
        (&json!("a-internal"), &json!(3), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_fails_the_same_calls() {
    let (faults, _aws) = faults("rules-seed");
    faults.rule("internal", &json!({"chance": 0.5}));
    let first = failures(&faults, "events", 40).await;
    assert!(first.contains(&true) && first.contains(&false));
    faults.rule("internal", &json!({"chance": 0.5}));
    assert_eq!(failures(&faults, "events", 40).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_a_line_and_is_counted() {
    let (faults, _aws) = faults("rules-log");
    faults.rule("internal", &json!({"limit": 2}));
    failures(&faults, "events", 3).await;
    faults.rule("throttle", &json!({"limit": 1}));
    failures(&faults, "events", 2).await;
    let log = faults.log();
    let kinds: Vec<&Value> = log.iter().map(|line| &line["kind"]).collect();
    assert_eq!(kinds, ["internal", "internal", "throttle"]);
    let line = &log[0];
    for (name, value) in
        [("rule", "a-internal"), ("function", "validator"), ("service", "dynamodb"), ("operation", "GetItem")]
    {
        assert_eq!(line[name], value);
    }
    let at = line["at"].as_str().unwrap();
    assert!(at.ends_with('Z') && at.len() == "2026-01-02T03:04:05.678Z".len(), "{at}");
    assert_eq!(faults.ask("GET", "/counts", &Value::Null).json(), json!({"internal": 2, "throttle": 1}));
    let calls = faults.ask("GET", "/calls", &Value::Null).json();
    assert_eq!(calls, json!({"validator": {"dynamodb.GetItem": 5}}));
}

#[test]
fn a_rule_that_cannot_serve_is_refused_and_the_others_stay() {
    let (faults, _aws) = faults("rules-refused");
    faults.rule("internal", &json!({}));
    let rule = |more: Value| {
        let mut rule = json!({"id": "a", "kind": "throttle", "side": "aws"});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rule
    };
    for bad in [
        json!({"kind": "other"}),
        json!({"side": "invoke"}),
        json!({"function": "other"}),
        json!({"chance": 1.5}),
        json!({"params": {"ms": 600_001}}),
        json!({"params": {"one_in": 0}}),
        json!({"unknown": 1}),
    ] {
        assert_eq!(faults.ask("PUT", "/rules", &json!([rule(bad.clone())])).status, 400, "{bad}");
    }
    let too_many: Vec<Value> = (0..1_001).map(|_| rule(json!({}))).collect();
    assert_eq!(faults.ask("PUT", "/rules", &json!(too_many)).status, 400);
    let listed = faults.ask("GET", "/rules", &Value::Null).json();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["kind"]), (1, &json!("internal")));
}
