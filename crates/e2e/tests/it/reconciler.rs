//! The reconciler: what the schedule's invocation finds and reports.

use std::{process::Command, time::Duration};

use aws_sdk_eventbridge::types::Target;
use hyper::StatusCode;
use serde_json::{Value, json};
use tollgate_core::LedgerKey;
use tollgate_e2e::Platform;
use tollgate_pipeline::ports::Ledger;
use tollgate_testkit::provider_api::{StandIn, State, Told};

use crate::{
    cloud::{self, ENDPOINT, Run, Setup},
    reconcile::{API_KEY, Lost},
    tool::tollgate,
};

/// The peer's schedules are of minutes, and it looks at them every few seconds.
const SCHEDULED: Duration = Duration::from_secs(150);

/// Removes a rule of the default bus.
struct Rule(aws_sdk_eventbridge::Client, String);

impl Rule {
    /// As the template's, but each minute, and for providers that are asked here.
    async fn each_minute(platform: &Platform, api_url: &str) -> Self {
        let rule = Self(aws_sdk_eventbridge::Client::new(platform.config()), platform.unique("reconcile"));
        rule.0.put_rule().name(&rule.1).schedule_expression("rate(1 minute)").send().await.unwrap();
        let input = json!({ "task": "reconcile", "api_url": api_url }).to_string();
        let arn = format!("{}:live", platform.output("ReconcilerFunctionArn"));
        let target = Target::builder().id("reconciler").arn(arn).input(input).build().unwrap();
        rule.0.put_targets().rule(&rule.1).targets(target).send().await.unwrap();
        rule
    }

    async fn remove(self) {
        self.0.remove_targets().rule(&self.1).ids("reconciler").send().await.unwrap();
        self.0.delete_rule().name(&self.1).send().await.unwrap();
    }
}

/// The first report that names an endpoint: its key without the ending, and what it says of the endpoint.
async fn reported(platform: &Platform, endpoint: &str) -> Option<(String, Value)> {
    let (s3, bucket) = (platform.s3(), platform.output("AuditBucket"));
    let listed = s3.list_objects_v2().bucket(bucket).prefix("reconciliations/date=").send().await.unwrap();
    for key in listed.contents().iter().filter_map(|object| object.key()) {
        let Some(stem) = key.strip_suffix(".json") else { continue };
        let object = s3.get_object().bucket(bucket).key(key).send().await.unwrap();
        let report: Value = serde_json::from_slice(&object.body.collect().await.unwrap().to_vec()).unwrap();
        assert_eq!(report["form"], "tollgate.reconciliations/1");
        let all = report["endpoints"].as_array().unwrap();
        if let Some(one) = all.iter().find(|one| one["endpoint"] == endpoint) {
            return Some((stem.to_owned(), one.clone()));
        }
    }
    None
}

/// The metrics of runs, in the lines of a log.
fn metrics<'l>(lines: impl Iterator<Item = &'l str>) -> Vec<Value> {
    let lines =
        lines.filter_map(|line| serde_json::from_str::<Value>(line.get(line.find("{\"_aws\"")?..)?).ok());
    lines.filter(|line| line["function"] == "reconciler" && line["message"] == "reconciled").collect()
}

#[tokio::test]
async fn the_schedule_reports_what_never_came_and_takes_nothing_in() {
    let platform = Platform::open().await;
    let Lost { config, lost, events, .. } = Lost::one(&platform).await;
    let name = config.id.as_str();
    let webhook = json!({ "url": format!("https://x/webhook/{name}"), "enabled_events": ["*"] });
    let state = State { events, webhooks: vec![webhook], ..State::default() };
    let stand_in = StandIn::start("stripe", API_KEY, state);

    let rule = Rule::each_minute(&platform, &stand_in.url()).await;
    let look = async || reported(&platform, name).await;
    let (stem, one) = platform.until_within(SCHEDULED, "the schedule has reported", look).await;
    rule.remove().await;
    assert_eq!((&one["state"], &one["why"]), (&json!("compared"), &Value::Null), "{one}");
    assert_eq!(one["counts"], json!({ "present": 1, "missing": 1 }));
    let findings = one["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "what is present is counted: {findings:?}");
    assert_eq!(findings[0]["provider_event_id"], lost.event_id.as_str());

    let listed = tollgate(&["reconciliations", "--from", "1h", "--json"]).output().unwrap();
    assert_eq!(listed.status.code(), Some(1), "something is missing: {listed:?}");
    let listed = String::from_utf8(listed.stdout).unwrap();
    let listed = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let listed = listed.filter(|run| run["endpoints"].as_array().unwrap().contains(&one));
    assert!(listed.count() >= 1, "operators have it, too");
    let people = tollgate(&["reconciliations", "--from", "1h"]).output().unwrap();
    assert!(String::from_utf8_lossy(&people.stdout).contains(name), "{people:?}");

    // Its table has both.
    let (s3, bucket) = (platform.s3(), platform.output("AuditBucket"));
    let table = s3.get_object().bucket(bucket).key(format!("{stem}.parquet")).send().await.unwrap();
    let file = tempfile::NamedTempFile::with_suffix(".parquet").unwrap();
    std::fs::write(file.path(), table.body.collect().await.unwrap().to_vec()).unwrap();
    let query =
        format!("SELECT verdict FROM '{}' WHERE endpoint = '{name}' ORDER BY verdict", file.path().display());
    let rows = Command::new(platform.setting("duckdb")).args(["-json", "-c", &query]).output().unwrap();
    let rows: Value = serde_json::from_slice(&rows.stdout).unwrap_or_else(|_| panic!("{rows:?}"));
    assert_eq!(rows, json!([{ "verdict": "missing" }, { "verdict": "present" }]));

    let counted = platform
        .until("the run is counted", async || {
            let logs = platform.logs();
            metrics(logs.lines()).into_iter().find(|line| line["missing"].as_u64() >= Some(1))
        })
        .await;
    assert!(counted["reconciled"].as_u64() >= Some(1), "{counted}");
    assert!(!platform.logs().contains(API_KEY), "no key is in a log");

    // An operator decides what comes of it.
    let key = LedgerKey::new(&config.id, &lost.event_id);
    let known = platform.ledger().known(std::slice::from_ref(&key), platform.now()).await;
    assert_eq!(known, [Ok(None)], "nobody claimed it");
    assert!(platform.recorded(name, &lost.transaction_id).await.is_empty());
}

/// The real program, once, in an environment of its own: one endpoint, nothing in its tables.
async fn run(payload: Value, is_writable: bool) -> Run {
    let refused = |code: &str| (StatusCode::BAD_REQUEST, json!({ "__type": code }));
    let aws = Box::new(move |operation: &str, request: &Value| match operation {
        cloud::ENDPOINTS => (StatusCode::OK, cloud::document(&[ENDPOINT])),
        "GetSecretValue" if request["SecretId"] == format!("tollgate-api/test/{ENDPOINT}") => {
            (StatusCode::OK, json!({ "SecretString": API_KEY }))
        }
        "GetSecretValue" => refused("ResourceNotFoundException"),
        "BatchGetItem" => (StatusCode::OK, json!({ "Responses": {}, "UnprocessedKeys": {} })),
        "PUT" if is_writable => (StatusCode::OK, json!({})),
        // Nothing else is called.
        _ => (StatusCode::FORBIDDEN, json!({})),
    });
    let setup = Setup { function: "reconciler", at_once: 1, meets_at: None, settings: &[], aws };
    cloud::run(setup, vec![payload]).await
}

#[tokio::test]
async fn a_run_is_finished_only_where_everything_was_compared_and_reported() {
    let webhook = json!({ "url": format!("https://x/webhook/{ENDPOINT}"), "enabled_events": ["*"] });
    let unanswered = |status, wait: &str| vec![(status, Some(("Retry-After", wait.to_owned()))); 6];
    let now = tollgate_lambda::clock::now().as_second();
    let lost = || vec![Told::new("stripe", 1, now - 3_600)];
    for (what, key, events, failures, is_writable, [finished, missing, reconciled, not_reconciled]) in [
        ("nothing is missing", API_KEY, vec![], vec![], true, [1, 0, 1, 0]),
        ("one is missing", API_KEY, lost(), vec![], true, [1, 1, 1, 0]),
        ("a wrong key", "rk_other", lost(), vec![], true, [0, 0, 0, 1]),
        ("too many requests", API_KEY, lost(), unanswered(429, "0"), true, [0, 0, 0, 1]),
        ("a pause that is too long", API_KEY, lost(), unanswered(429, "3600"), true, [0, 0, 0, 1]),
        ("an outage", API_KEY, lost(), unanswered(500, "0"), true, [0, 0, 0, 1]),
        ("a report that nobody takes", API_KEY, lost(), vec![], false, [0, 1, 1, 0]),
    ] {
        let state = State { events, failures, webhooks: vec![webhook.clone()], ..State::default() };
        let stand_in = StandIn::start("stripe", key, state);
        let run = run(json!({ "task": "reconcile", "api_url": stand_in.url() }), is_writable).await;
        let all = metrics(run.log.iter().map(String::as_str));
        let [line] = all.as_slice() else { panic!("{what}: {:#?}", run.log) };
        for (name, expected) in [
            ("finished", finished),
            ("missing", missing),
            ("reconciled", reconciled),
            ("not_reconciled", not_reconciled),
            ("unfinished", 0),
            ("differing", 0),
        ] {
            assert_eq!(line[name], expected, "{what}: {name} in {line}");
        }
        let written = run.calls.iter().filter(|call| call.operation == "PUT").count();
        assert_eq!(written >= 2, is_writable, "{what}: a table and a report");
        assert_eq!(run.answers[0]["finished"].as_bool(), is_writable.then_some(finished == 1), "{what}");
        let said = run.log.join("\n") + &run.answers[0].to_string();
        assert!(!said.contains(API_KEY), "{what}: no key is in a log or an answer");
    }
    // What nobody asked for is nothing that was looked at.
    let run = run(json!({ "source": "aws.events" }), true).await;
    assert!(metrics(run.log.iter().map(String::as_str)).is_empty());
    assert!(
        run.answers[0]["errorMessage"].as_str().unwrap().contains("is not the task"),
        "{:?}",
        run.answers
    );
}
