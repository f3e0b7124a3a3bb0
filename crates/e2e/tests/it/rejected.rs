//! What requests that are rejected cost the real validator: no call, and one short line of the log.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde_json::{Map, Value, json};
use tollgate_lambda::clock;
use tollgate_providers::SignedWebhook;
use tollgate_testkit::webhook::{KEY, OTHER_KEY, Payment, Sender, config};

use crate::cloud::{self, ENDPOINT, Run, Setup};

/// Rejected requests of each kind.
const ROUNDS: usize = 40;
/// CloudWatch Logs bills by the byte. A line has the record and its metrics.
const MOST_BYTES: usize = 1_200;
/// Text of the senders', in every place that they fill.
const MARK: &str = "xq7sender";
const MAX_BODY: &str = "20000";

fn event(path: &str, webhook: &SignedWebhook) -> Value {
    let headers: Map<String, Value> =
        webhook.headers.iter().map(|(name, value)| (name.to_lowercase(), value.into())).collect();
    json!({
        "version": "2.0", "rawPath": path, "rawQueryString": format!("{MARK}={MARK}"), "headers": headers,
        "requestContext": {"http": {"method": "POST", "sourceIp": "203.0.113.9"}},
        "body": String::from_utf8(webhook.body.clone()).unwrap(), "isBase64Encoded": false,
    })
}

/// One request of each kind that is rejected, with its status.
fn rejected(round: usize) -> Vec<(&'static str, Value, u16)> {
    let now = clock::now();
    let long = MARK.repeat(200);
    let by = |key: &str| {
        let payment = Payment::new(format!("{MARK}{round}"), MARK, now);
        let mut webhook = Sender::new(config(ENDPOINT, "stripe"), key).payment(&payment, now);
        webhook.headers.push("X-Long", &long);
        webhook
    };
    let with = |value: &str| {
        let mut webhook = by(KEY);
        webhook.headers.remove("Stripe-Signature");
        webhook.headers.push("Stripe-Signature", value);
        webhook
    };
    let ours = format!("/webhook/{ENDPOINT}");
    let mut not_base64 = event(&ours, &by(KEY));
    not_base64["isBase64Encoded"] = true.into();
    let mut oversized = by(KEY);
    oversized.body = MARK.repeat(3_000).into_bytes();
    let mut to_generic = by(KEY);
    to_generic.headers.push("X-Provider-ID", format!("{MARK}-{round}"));
    let mut asks = event(&format!("/webhook/{MARK}-{round}"), &by(KEY));
    asks["requestContext"]["http"]["method"] = "GET".into();
    vec![
        ("another key", event(&ours, &by(OTHER_KEY)), 401),
        ("malformed signature", event(&ours, &with(&format!("t={long},v1={long}"))), 401),
        ("many signatures", event(&ours, &with(&"v1=00,".repeat(500))), 401),
        ("unknown endpoint", event(&format!("/webhook/{MARK}-{round}"), &by(KEY)), 404),
        ("no endpoint's name", event(&format!("/webhook/{MARK}\"\n{long}"), &by(KEY)), 404),
        ("unknown path", event(&format!("/{long}"), &by(KEY)), 404),
        ("generic path", event("/webhook", &by(KEY)), 400),
        ("generic path, unknown endpoint", event("/webhook", &to_generic), 404),
        ("oversized", event(&ours, &oversized), 413),
        ("not base64", not_base64, 400),
        ("no request", json!({"path": long}), 400),
        ("a handshake with nobody", asks, 404),
    ]
}

fn setup(aws: impl Fn(&str, &Value) -> (StatusCode, Value) + Send + Sync + 'static) -> Setup<'static> {
    // Keys and endpoints of any age may be read again: so what holds readings back is their budget alone.
    let settings = &[
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("SECRET_MIN_AGE_SECONDS", "0"),
        ("MAX_BODY_BYTES", MAX_BODY),
    ];
    Setup { function: "validator", at_once: 1, meets_at: None, settings, aws: Box::new(aws) }
}

/// The lines of a log by their request's id.
fn lines(run: &Run) -> BTreeMap<String, Vec<&str>> {
    let mut by_id: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for line in &run.log {
        let fields: Value = serde_json::from_str(line).unwrap_or_else(|problem| panic!("{problem}: {line}"));
        if let Some(id) = fields["request_id"].as_str() {
            by_id.entry(id.to_owned()).or_default().push(line);
        }
    }
    by_id
}

#[tokio::test]
async fn a_rejected_request_costs_one_short_line_and_no_call() {
    let now = clock::now();
    let genuine =
        Sender::new(config(ENDPOINT, "stripe"), KEY).payment(&Payment::new("evt_1", "pi_1", now), now);
    // The first ones find everything unread.
    let warm: Vec<(&str, Value, u16)> =
        std::iter::once(("genuine", event("/webhook/stripe-eu", &genuine), 200))
            .chain((0..5).flat_map(rejected))
            .collect();
    let steady: Vec<(&str, Value, u16)> = (5..5 + ROUNDS).flat_map(rejected).collect();
    let (first, count) = (warm.len(), steady.len());
    let all: Vec<(&str, Value, u16)> = warm.into_iter().chain(steady).collect();
    let run = cloud::run(
        setup(|operation, request| cloud::aws(operation, request, &[])),
        all.iter().map(|(_, event, _)| event.clone()).collect(),
    )
    .await;
    let by_id = lines(&run);
    for (number, (name, _, status)) in all.iter().enumerate() {
        assert_eq!(run.answers[number]["statusCode"], *status, "{name}: {}", run.answers[number]);
        let lines = by_id.get(&number.to_string()).map(Vec::as_slice).unwrap_or_default();
        assert!(lines.len() <= 1, "{name}: {lines:?}");
        for line in lines {
            assert!(line.len() <= MOST_BYTES, "{name}: {} bytes: {line}", line.len());
        }
    }
    assert_eq!(run.log.iter().find(|line| line.contains(MARK)), None, "text of a sender's");
    // Those of a time to live that ends, and a look-up and a reading of keys, each four times as rare as the one before.
    let calls = run.calls.iter().filter(|call| call.after >= first).map(|call| call.operation.as_str());
    let calls: Vec<&str> = calls.collect();
    assert!(calls.len() <= count / 20, "{count} rejected requests made {} calls: {calls:?}", calls.len());
}

#[tokio::test]
async fn made_up_names_are_no_dimension_and_no_stampede_while_s3_is_throttled() {
    let throttled = |operation: &str, request: &Value| match operation {
        cloud::ENDPOINTS => (StatusCode::SERVICE_UNAVAILABLE, json!({})),
        _ => cloud::aws(operation, request, &[]),
    };
    let now = clock::now();
    let webhook =
        Sender::new(config(ENDPOINT, "stripe"), KEY).payment(&Payment::new("evt_1", "pi_1", now), now);
    let events = (0..200).map(|number| event(&format!("/webhook/{MARK}-{number}"), &webhook)).collect();
    let run = cloud::run(setup(throttled), events).await;
    assert!(run.answers.iter().all(|answer| answer["statusCode"] == 503));
    let rejected = run.log.iter().filter(|line| line.contains(r#""reason":"unavailable""#));
    assert_eq!(rejected.filter(|line| line.contains(r#""endpoint":"unknown""#)).count(), 200);
    assert_eq!(run.log.iter().find(|line| line.contains(MARK)), None);
    // Three attempts for each try.
    assert!(run.calls.len() <= 30, "200 requests made {} calls", run.calls.len());
}

#[tokio::test]
async fn a_first_webhook_reads_five_hundred_endpoints_with_one_call() {
    let of_five_hundred = |operation: &str, request: &Value| match operation {
        cloud::ENDPOINTS => {
            let mut ids: Vec<String> = (0..499).map(|number| format!("merchant-{number}")).collect();
            ids.push(ENDPOINT.to_owned());
            (StatusCode::OK, cloud::document(&ids.iter().map(String::as_str).collect::<Vec<_>>()))
        }
        _ => cloud::aws(operation, request, &[]),
    };
    let now = clock::now();
    let webhook =
        Sender::new(config(ENDPOINT, "stripe"), KEY).payment(&Payment::new("evt_1", "pi_1", now), now);
    let run = cloud::run(setup(of_five_hundred), vec![event("/webhook/stripe-eu", &webhook)]).await;
    assert_eq!(run.answers[0]["statusCode"], 200, "{}", run.answers[0]);
    let mut calls: Vec<&str> = run.calls.iter().map(|call| call.operation.as_str()).collect();
    calls.sort_unstable();
    assert_eq!(calls, [cloud::ENDPOINTS, "GetSecretValue", "GetSecretValue", "PutItem", "SendMessage"]);
}

/// A provider that is answered 404 may give its webhooks up.
#[tokio::test]
async fn without_a_document_that_can_be_read_nobody_is_unknown_and_the_log_says_why() {
    let missing = json!("<Error><Code>NoSuchKey</Code></Error>");
    let other = json!({"format": "tollgate.endpoints/2", "endpoints": {}});
    for (status, document, why) in [
        (StatusCode::NOT_FOUND, missing, "no endpoints are configured"),
        (StatusCode::OK, other, "the endpoints' document cannot be read"),
        (StatusCode::OK, json!("no document"), "the endpoints' document cannot be read"),
    ] {
        let broken = move |operation: &str, request: &Value| match operation {
            cloud::ENDPOINTS => (status, document.clone()),
            _ => cloud::aws(operation, request, &[]),
        };
        let now = clock::now();
        let webhook =
            Sender::new(config(ENDPOINT, "stripe"), KEY).payment(&Payment::new("evt_1", "pi_1", now), now);
        let paths = ["/webhook/stripe-eu", "/webhook/none"];
        let run = cloud::run(setup(broken), paths.map(|path| event(path, &webhook)).to_vec()).await;
        for answer in &run.answers {
            assert_eq!(answer["statusCode"], 503, "{why}: {answer}");
        }
        let told = run.log.iter().filter(|line| line.contains(why) && line.contains(r#""level":"ERROR""#));
        assert!(told.count() >= 1, "{why}: {:?}", run.log);
    }
}
