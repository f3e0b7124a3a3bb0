//! A process that calls AWS is killed: a real one, which the runner says is its own.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::support::{Faults, server};

/// The process: this program again, as [`caller`] alone.
fn start(aws: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kills::caller", "--ignored", "--nocapture"])
        .env_clear()
        .envs([
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", aws),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
#[ignore = "it is the process that the others start"]
async fn caller() {
    let config = aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await;
    let client = aws_sdk_dynamodb::Client::new(&config);
    for name in ["first", "second"] {
        let put = client.put_item().table_name("events").item("event_key", AttributeValue::S(name.into()));
        put.send().await.unwrap();
        println!("\nanswered: {name}");
    }
}

/// What became of a process: the signal that ended it, which calls were answered to it, and the items that AWS has of it.
#[derive(Debug, PartialEq)]
struct End {
    signal: Option<i32>,
    answered: Vec<String>,
    effects: Vec<String>,
}

/// Runs the caller under a rule. The runner knows it only where it is a copy.
fn run(test: &str, kind: &str, more: &Value, is_copy: bool) -> (End, Value, u32) {
    let (aws, seen) = server(|_| (200, Vec::new(), b"{}".to_vec()));
    let pids: Arc<Mutex<Vec<u32>>> = Arc::default();
    let known = Arc::clone(&pids);
    let (runner, _) = server(move |request| {
        assert_eq!(request.target, "/functions");
        let copies: Vec<Value> =
            known.lock().unwrap().iter().map(|pid| json!({"copy": 0, "pid": pid})).collect();
        let other = json!({"copy": 1, "pid": null});
        let status =
            json!({"functions": [{"name": "f", "copies": [other]}, {"name": "g", "copies": copies}]});
        (200, Vec::new(), status.to_string().into_bytes())
    });
    let faults = Faults::before(test, &aws, &runner);
    faults.rule(kind, more);
    // Nothing is answered before the runner knows the process: the lock is held until then.
    let mut held = pids.lock().unwrap();
    let child = start(&faults.aws());
    let pid = child.id();
    held.push(if is_copy { pid } else { std::process::id() });
    drop(held);
    let output = child.wait_with_output().unwrap();
    let answered = |line: &str| line.strip_prefix("answered: ").map(str::to_owned);
    let item = |body: &[u8]| {
        let body: Value = serde_json::from_slice(body).unwrap();
        body["Item"]["event_key"]["S"].as_str().unwrap().to_owned()
    };
    let end = End {
        signal: output.status.signal(),
        answered: String::from_utf8(output.stdout).unwrap().lines().filter_map(answered).collect(),
        effects: seen.lock().unwrap().iter().map(|request| item(&request.body)).collect(),
    };
    (end, json!(faults.log()), pid)
}

const SIGKILL: Option<i32> = Some(9);

#[test]
fn before_the_effect() {
    let (end, log, pid) = run("kill-before", "kill_before", &json!({}), true);
    assert_eq!(end, End { signal: SIGKILL, answered: Vec::new(), effects: Vec::new() });
    assert_eq!((&log[0]["kind"], &log[0]["pid"]), (&json!("kill_before"), &json!(pid)));
}

#[test]
fn after_the_effect_and_before_the_answer() {
    let (end, log, pid) = run("kill-after", "kill_after", &json!({"skip": 1}), true);
    assert_eq!(
        end,
        End {
            signal: SIGKILL,
            answered: vec!["first".into()],
            effects: vec!["first".into(), "second".into()]
        }
    );
    assert_eq!((&log[0]["kind"], &log[0]["pid"]), (&json!("kill_after"), &json!(pid)));
}

#[test]
fn when_the_answer_is_written() {
    let (end, log, pid) = run("kill-answered", "kill_answered", &json!({"limit": 1}), true);
    assert_eq!(end.signal, SIGKILL, "{end:?}");
    assert_eq!(end.effects.first().map(String::as_str), Some("first"));
    assert!(!end.answered.contains(&"second".to_owned()), "{end:?}");
    assert_eq!((&log[0]["kind"], &log[0]["pid"]), (&json!("kill_answered"), &json!(pid)));
}

#[test]
fn nobody_but_the_runners_children() {
    let (end, log, _) = run("kill-other", "kill_before", &json!({}), false);
    let both = vec!["first".to_owned(), "second".to_owned()];
    assert_eq!(end, End { signal: None, answered: both.clone(), effects: both });
    assert_eq!(log, json!([]));
}
