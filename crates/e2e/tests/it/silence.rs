//! Endpoints that hear nothing, found by the real processor in the metric that the real validator writes.

use serde_json::{Value, json};
use tollgate_core::{EndpointConfig, EndpointId};
use tollgate_e2e::Platform;
use tollgate_pipeline::ports::Secrets;
use tollgate_providers::Headers;
use tollgate_testkit::webhook::{Payment, Sender};

const HOUR: i64 = 3_600;

/// The peer makes no metrics of log lines, and keeps them for two weeks: what is learned from months is tested in
/// `tollgate_pipeline::silence`. Here is what the one function writes and the other reads.
#[tokio::test]
async fn an_endpoint_that_hears_nothing_is_found_by_name() {
    let platform = Platform::open().await;
    let like = platform.sender("stripe-eu").await;
    let keys = platform.secrets().keys(&like.endpoint().config().secret).await.unwrap();
    let put = async |name: &str, quiet_after_hours| {
        let id = EndpointId::new(platform.unique(name)).unwrap();
        let config = EndpointConfig { id, quiet_after_hours, ..like.endpoint().config().clone() };
        platform.put_endpoint(&config).await;
        config
    };
    let heard = put("heard", Some(5)).await;
    let quiet = put("quiet", Some(9)).await;
    let never_told = put("never-told", Some(0)).await;
    let unset = put("unset", None).await;

    let dimensions = dimensions_of_accepted(&platform, Sender::with_keys(heard.clone(), keys)).await;
    // The last full hour that counts ended ten minutes ago at least, and this hour may end while the test runs.
    let now = platform.now().as_second();
    let this_hour = now - now.rem_euclid(HOUR);
    for (endpoint, ago) in [(&heard, 1), (&heard, 2), (&quiet, 11), (&never_told, 11), (&unset, 11)] {
        put_metric(&platform, &dimensions, endpoint.id.as_str(), this_hour - ago * HOUR + 90).await;
    }
    let answer = platform.invoke("processor", &json!({"task": "find-silence"})).await;
    assert!(answer["endpoints"].as_u64().unwrap() >= 5, "{answer}");
    let lines = platform
        .until("the search is in the logs", async || {
            let logs = platform.logs();
            let lines: Vec<Value> = logs
                .lines()
                .filter_map(|line| serde_json::from_str(&line[line.find("{\"_aws\"")?..]).ok())
                .collect();
            lines.iter().any(|line| line["message"] == "silence looked for").then_some(lines)
        })
        .await;
    let silent = |endpoint: &EndpointConfig| {
        let of = |line: &&Value| {
            line["message"] == "endpoint is silent" && line["endpoint"] == endpoint.id.as_str()
        };
        lines.iter().filter(of).filter_map(|line| line["silent_hours"].as_u64()).max()
    };
    // Ten hours, or nine where the last one had not settled; eleven at the turn of an hour.
    assert!(silent(&quiet).is_some_and(|hours| (9..=11).contains(&hours)), "{:?}", silent(&quiet));
    for endpoint in [&heard, &never_told, &unset] {
        assert_eq!(silent(endpoint), None, "{}", endpoint.id);
    }
    assert!(answer["silent"].as_u64().unwrap() >= 1, "{answer}");
}

/// The name and value of each dimension by which the real validator counts a webhook that it accepts.
async fn dimensions_of_accepted(platform: &Platform, sender: Sender) -> Vec<(String, String)> {
    let id = sender.endpoint().id().as_str().to_owned();
    let payment = Payment::new(&id, &id, platform.now());
    // Validators learn of an endpoint when they next read the configuration.
    platform
        .until("the webhook is accepted", async || {
            let webhook = sender.payment(&payment, platform.now());
            platform.send(Some(&id), &webhook).await.is_success().then_some(())
        })
        .await;
    platform
        .until("the webhook is counted", async || {
            let logs = platform.logs();
            let lines = logs.lines().filter_map(|line| line.find("{\"_aws\"").map(|at| &line[at..]));
            let mut lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let line = lines.find(|line| line["endpoint"] == id.as_str() && line["outcome"] == "accepted")?;
            let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
            let names = directives.iter().map(|one| one["Dimensions"][0].as_array().unwrap());
            let names = names.max_by_key(|names| names.len()).unwrap();
            let pairs = names.iter().map(|name| name.as_str().unwrap());
            Some(pairs.map(|name| (name.to_owned(), line[name].as_str().unwrap().to_owned())).collect())
        })
        .await
}

/// Counts one webhook of an endpoint at a time, as CloudWatch does of such a line.
async fn put_metric(platform: &Platform, dimensions: &[(String, String)], endpoint: &str, at: i64) {
    let dimensions: Vec<Value> = dimensions
        .iter()
        .map(|(name, value)| {
            let value = if name == "endpoint" { endpoint } else { value };
            json!({"Name": name, "Value": value})
        })
        .collect();
    let datum = json!({"MetricName": "webhooks", "Dimensions": dimensions, "Timestamp": at, "Value": 1, "Unit": "Count"});
    let body = json!({"Namespace": "Tollgate", "MetricData": [datum]}).to_string();
    let mut headers = Headers::new();
    headers.push("Content-Type", "application/x-amz-json-1.0");
    headers.push("X-Amz-Target", "GraniteServiceVersion20100801.PutMetricData");
    // By which the peer finds the service.
    headers.push("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/monitoring/aws4_request, SignedHeaders=host, Signature=0");
    let answer = platform.http("POST", platform.setting("aws_endpoint"), &headers, body.into_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}
