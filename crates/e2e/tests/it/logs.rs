//! What the functions write about webhooks and what they never write.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tollgate_core::{EndpointId, LedgerKey};
use tollgate_e2e::Platform;

/// A test number of a card.
const CARD: &str = "4111111111111111";

/// Webhooks that are accepted, refused and not understood, each with a name and a card in its body.
#[tokio::test]
async fn logs_name_webhooks_and_hold_nothing_of_their_bodies() {
    let platform = Platform::open().await;
    let sender = platform.sender("stripe-eu").await;
    let (id, name) = (platform.unique("logged"), platform.unique("Ada Lovelace"));
    let body = json!({
        "id": id, "object": "event", "created": platform.now().as_second(), "type": "payment_intent.succeeded",
        "data": {"object": {
            "id": id, "object": "payment_intent", "status": "succeeded", "amount": 1099, "currency": "usd",
            "billing_details": {"name": name}, "metadata": {"name": name, "card": CARD},
        }},
    });
    let body = body.to_string();
    let accepted = sender.sign("", body.as_bytes(), platform.now());
    let cut_off = sender.sign("", &body.as_bytes()[..body.len() - 1], platform.now());
    let mut altered = accepted.clone();
    altered.body.push(b' ');
    let mut logged = Vec::new();
    for (webhook, status) in [(&accepted, 200), (&cut_off, 200), (&altered, 401)] {
        let answer = platform.send(Some("stripe-eu"), webhook).await;
        assert_eq!(answer.status, status, "{answer:?}");
        logged.push(answer.body["webhook_id"].as_str().unwrap().to_owned());
    }
    platform.until_processed(&[LedgerKey::new(sender.endpoint().id(), &id)]).await;
    platform.archived(&logged[..2]).await;
    let logs = platform
        .until("each webhook is in the logs", async || {
            let logs = platform.logs();
            logged.iter().all(|id| logs.contains(id.as_str())).then_some(logs)
        })
        .await;
    let key = sender.endpoint().config().secret.strip_prefix("secretsmanager:").unwrap();
    let manager = aws_sdk_secretsmanager::Client::new(platform.config());
    let key = manager.get_secret_value().secret_id(key).send().await.unwrap();
    let key = key.secret_string().unwrap();
    assert!(key.starts_with("whsec_"), "one key as text");
    for secret in [name.as_str(), CARD, key] {
        let line = logs.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret:?} is in a log");
    }
}

/// A metric by its name and dimensions. What a query groups by has any value.
type Metric = (String, BTreeMap<String, Option<String>>);

/// CloudWatch makes a metric of what a line names. An alarm on a metric that no line has is never red.
#[tokio::test]
async fn functions_write_every_metric_that_an_alarm_or_the_dashboard_names() {
    let platform = Platform::open().await;
    let named = named_in_monitoring(platform.suffix());
    assert!(named.len() > 20, "{named:?}");
    // One of high value, for the fraud detector, and one of an ordered endpoint.
    let (high, ordered) = (platform.unique("high"), platform.unique("ordered"));
    let at = platform.now();
    let high = format!(
        r#"{{"event_id":"{high}","transaction_type":"payment","transaction_id":"{high}","amount":20000.00,"currency":"USD","timestamp":"{at}"}}"#
    );
    let ordered = json!({
        "id": ordered, "object": "event", "created": at.as_second(), "type": "payment_intent.succeeded",
        "data": {"object": {"id": ordered, "object": "payment_intent", "amount": 1099, "currency": "usd"}},
    });
    for (endpoint, path, body) in
        [("acme", None, high), ("stripe-us", Some("stripe-us"), ordered.to_string())]
    {
        let webhook = platform.sender(endpoint).await.sign("", body.as_bytes(), at);
        let answer = platform.send(path, &webhook).await;
        assert_eq!(answer.status, 200, "{endpoint}: {answer:?}");
    }
    // And one that hears nothing.
    let mut silent = platform.sender("stripe-eu").await.endpoint().config().clone();
    silent.id = EndpointId::new(platform.unique("silent")).unwrap();
    silent.quiet_after_hours = Some(1);
    platform.put_endpoint(&silent).await;
    platform.invoke("processor", &json!({"task": "find-silence"})).await;
    platform
        .until("every metric is in the logs", async || {
            let written = written(&platform.logs());
            let is_written = |(name, by): &&Metric| {
                written.iter().any(|(one, values)| {
                    one == name
                        && values.keys().eq(by.keys())
                        && by
                            .iter()
                            .all(|(key, value)| value.as_ref().is_none_or(|value| values[key] == *value))
                })
            };
            named.iter().all(|metric| is_written(&metric)).then_some(())
        })
        .await;
}

/// The metrics of the lines in the embedded format, each with the values of its dimensions.
fn written(logs: &str) -> BTreeSet<(String, BTreeMap<String, String>)> {
    // Before each line, the local runner writes the time and the instance.
    let lines = logs.lines().filter_map(|line| line.find("{\"_aws\"").map(|at| &line[at..]));
    let mut found = BTreeSet::new();
    for line in lines.filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            assert_eq!(directive["Namespace"], "Tollgate");
            let names =
                directive["Dimensions"][0].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
            let by: BTreeMap<String, String> =
                names.map(|name| (name.to_owned(), line[name].as_str().unwrap().to_owned())).collect();
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                // One value, or several with how often each occurred.
                let length = |part: &str| line[name][part].as_array().map(Vec::len);
                let has_counts =
                    length("Values").is_some_and(|count| count > 0 && length("Counts") == Some(count));
                assert!(line[name].is_u64() || has_counts, "{name} has no value: {line}");
                found.insert((name.to_owned(), by.clone()));
            }
        }
    }
    found
}

/// The metrics of ours that infra/monitoring.yaml names.
fn named_in_monitoring(suffix: &str) -> BTreeSet<Metric> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/monitoring.yaml");
    let template = std::fs::read_to_string(path).unwrap().replace("${EnvironmentSuffix}", suffix);
    let mut found = BTreeSet::new();
    // Of alarms.
    for after in template.split("Namespace: Tollgate\n").skip(1) {
        let mut lines = after.lines().map(str::trim);
        let name = lines.next().and_then(|line| line.strip_prefix("MetricName: ")).unwrap();
        let dimensions = lines.next().and_then(|line| line.strip_prefix("Dimensions: ")).unwrap();
        let by = dimensions.split("Name: ").skip(1).map(|one| {
            let (name, value) = one.split_once(", Value: ").unwrap();
            let value = value.split(" }").next().unwrap();
            (name.to_owned(), Some(value.replace("!Ref EnvironmentSuffix", suffix)))
        });
        found.insert((name.to_owned(), by.collect()));
    }
    // Of the dashboard.
    for line in template.lines().filter_map(|line| line.trim().strip_prefix("[\"Tollgate\", ")) {
        let words: Vec<&str> = line.split(", {").next().unwrap().split('"').skip(1).step_by(2).collect();
        let by = words[1..].chunks(2).map(|pair| (pair[0].to_owned(), Some(pair[1].to_owned())));
        found.insert((words[0].to_owned(), by.collect()));
    }
    let template = template.replace("\\\"", "\"").replace("SELECT MAX(", "SELECT SUM(");
    for after in template.split("SELECT SUM(").skip(1) {
        let (name, rest) = after.split_once(')').unwrap();
        if let Some(schema) = rest.strip_prefix(" FROM SCHEMA(\"Tollgate\", ") {
            let names = schema.split(')').next().unwrap().split(", ").map(|one| one.trim_matches('"'));
            found.insert((name.to_owned(), names.map(|one| (one.to_owned(), None)).collect()));
        }
    }
    found
}
