//! `tollgate metrics`: of the real functions' logs, and of the metrics that CloudWatch makes of such lines.

use std::process::{Command, Output};

use serde_json::{Value, json};
use tollgate_core::{EndpointConfig, EndpointId, LedgerKey};
use tollgate_e2e::Platform;
use tollgate_pipeline::ports::Secrets;
use tollgate_providers::Headers;
use tollgate_testkit::webhook::{Payment, Sender};

use crate::tool::tollgate;

const MINUTE: i64 = 60;

fn tool(arguments: &[&str]) -> Command {
    tollgate(&[&["metrics"], arguments].concat())
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn figures(command: &mut Command) -> Value {
    serde_json::from_str(&text(&command.arg("--json").output().unwrap())).unwrap()
}

/// An endpoint of this test's own, and who sends to it.
async fn sender(platform: &Platform, name: &str) -> Sender {
    let like = platform.sender("stripe-eu").await;
    let keys = platform.secrets().keys(&like.endpoint().config().secret).await.unwrap();
    let id = EndpointId::new(platform.unique(name)).unwrap();
    let config = EndpointConfig { id, ..like.endpoint().config().clone() };
    platform.put_endpoint(&config).await;
    Sender::with_keys(config, keys)
}

#[tokio::test]
async fn what_came_is_counted_by_how_it_ended() {
    let platform = Platform::open().await;
    let sender = sender(&platform, "counted").await;
    let id = sender.endpoint().id().as_str().to_owned();
    let (first, second) = (platform.unique("first"), platform.unique("second"));
    let sign = |id: &str| sender.payment(&Payment::new(id, id, platform.now()), platform.now());
    platform
        .until("the endpoint is known", async || {
            platform.send(Some(&id), &sign(&first)).await.is_success().then_some(())
        })
        .await;
    let webhook = sign(&second);
    let mut altered = webhook.clone();
    altered.body.push(b' ');
    for (webhook, status) in
        [(&webhook, 200), (&webhook, 200), (&altered, 401), (&altered, 401), (&altered, 401)]
    {
        assert_eq!(platform.send(Some(&id), webhook).await.status, status);
    }
    let keys = [&first, &second].map(|event| LedgerKey::new(sender.endpoint().id(), event));
    platform.until_processed(&keys).await;

    let found = platform
        .until("all of it is in the logs", async || {
            let found = figures(&mut tool(&["--last", "30m", "--endpoint", &id]));
            let all =
                ["accepted", "duplicates", "refused"].map(|name| found["webhooks"][name].as_u64().unwrap());
            let is_timed = found["latency"][2]["count"].as_u64().unwrap() >= 2;
            (is_timed && all.iter().sum::<u64>() >= 6).then_some(found)
        })
        .await;
    assert_eq!(found["source"], "logs");
    // Before the endpoint was known nothing was counted as its own.
    assert_eq!(found["webhooks"], json!({"accepted": 2, "duplicates": 1, "refused": 3}));
    assert_eq!(found["refused_by"], json!({"signature_mismatch": 3}));
    let [of_endpoint] = found["endpoints"].as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!((&of_endpoint["endpoint"], &of_endpoint["accepted"]), (&json!(id), &json!(2)));
    let steps = found["steps"].as_array().unwrap();
    let sum = |name: &str| steps.iter().map(|step| step[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("accepted"), sum("duplicates"), sum("refused")), (2, 1, 3));
    let [heard] = found["heard"].as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!((&heard["of_a_week"], &heard["quiet_hours"].is_u64()), (&json!(3), &true));
    let last: tollgate_core::Timestamp = heard["last"].as_str().unwrap().parse().unwrap();
    assert!(platform.now().as_second() - last.as_second() < 30 * MINUTE, "{heard}");
    let validator = &found["latency"][0];
    assert_eq!(validator["part"], "validator");
    assert!(validator["count"].as_u64().unwrap() >= 6 && validator["p99"].is_u64(), "{validator}");
    for (number, part) in [(1, "queue_wait"), (2, "end_to_end")] {
        let latency = &found["latency"][number];
        assert_eq!(latency["part"], part);
        assert!(latency["count"].as_u64().unwrap() >= 2 && latency["max"].is_u64(), "{latency}");
    }
    let queues = found["queues"].as_array().unwrap();
    assert_eq!(queues.len(), 15, "{found}");
    let payments = platform.output("PaymentsQueueUrl").rsplit('/').next().unwrap();
    let payments = queues.iter().find(|queue| queue["name"] == payments).unwrap();
    assert!(payments["visible"].as_u64().unwrap() >= 2 && payments["oldest_seconds"].is_u64(), "{payments}");
    let processed: u64 =
        found["processed"].as_array().unwrap().iter().map(|queue| queue["processed"].as_u64().unwrap()).sum();
    assert!(processed >= 2, "{found}");

    let shown = text(&tool(&["--last", "30m", "--endpoint", &id]).output().unwrap());
    assert!(shown.contains("signature_mismatch 3") && shown.contains("webhook-intake-dlq"), "{shown}");
    let other = figures(&mut tool(&["--endpoint", "nobody"]));
    assert_eq!(other["webhooks"], json!({"accepted": 0, "duplicates": 0, "refused": 0}));
    // A time that ends before it begins is no question.
    assert_eq!(tool(&["--from", "1h", "--to", "2h"]).output().unwrap().status.code(), Some(2));
}

/// What CloudWatch has of the lines. The peer makes no metrics of lines, so they are put as CloudWatch does of them.
#[tokio::test]
async fn of_cloudwatch_the_same_figures_are_read() {
    let platform = Platform::open().await;
    let sender = sender(&platform, "clouded").await;
    let id = sender.endpoint().id().as_str().to_owned();
    let at = platform.now().as_second() - 10 * MINUTE;
    let webhooks = |outcome: &str, reason: &str| {
        vec![("endpoint", id.clone()), ("outcome", outcome.to_owned()), ("reason", reason.to_owned())]
    };
    put(&platform, "validator", "webhooks", &webhooks("accepted", "none"), at, 7).await;
    put(&platform, "validator", "webhooks", &webhooks("rejected", "signature_expired"), at, 4).await;
    put(&platform, "validator", "webhooks", &webhooks("duplicate", "none"), at - 60 * MINUTE, 9).await;
    put(&platform, "processor", "records", &[("queue", "intake".to_owned())], at, 5).await;
    put(&platform, "validator", "duration", &[], at, 31).await;
    put(&platform, "archival", "rows", &[], at, 5).await;

    let mut command =
        tool(&["--last", "30m", "--endpoint", &id, "--endpoint-url", platform.setting("aws_endpoint")]);
    command.args(["--suffix", platform.suffix(), "--region", platform.setting("region")]);
    let found = figures(command.env_remove("TOLLGATE_PLATFORM"));
    assert_eq!(found["source"], "cloudwatch");
    assert_eq!(found["step_seconds"], 60);
    assert_eq!(found["webhooks"], json!({"accepted": 7, "duplicates": 0, "refused": 4}));
    assert_eq!(found["refused_by"], json!({"signature_expired": 4}));
    let steps = found["steps"].as_array().unwrap();
    let in_step = steps.iter().find(|step| step["accepted"] == 7).unwrap();
    let begin: tollgate_core::Timestamp = in_step["at"].as_str().unwrap().parse().unwrap();
    assert!((0..60).contains(&(at - begin.as_second())), "{in_step}");
    let heard = &found["heard"][0];
    assert_eq!((&heard["of_a_week"], &heard["within_seconds"]), (&json!(16), &json!(3_600)));
    assert_eq!(found["processed"][0]["queue"], "intake");
    assert!(found["processed"][0]["records"].as_u64().unwrap() >= 5, "{found}");
    assert!(found["latency"][0]["max"].as_u64().unwrap() >= 31, "{found}");
    assert!(found["archived"]["rows"].as_u64().unwrap() >= 5, "{found}");
}

async fn put(platform: &Platform, function: &str, name: &str, more: &[(&str, String)], at: i64, value: u64) {
    let own = [("environment", platform.suffix().to_owned()), ("function", function.to_owned())];
    let dimensions: Vec<Value> =
        own.iter().chain(more).map(|(name, value)| json!({"Name": name, "Value": value})).collect();
    let datum = json!({"MetricName": name, "Dimensions": dimensions, "Timestamp": at, "Value": value, "Unit": "Count"});
    let body = json!({"Namespace": "Tollgate", "MetricData": [datum]}).to_string();
    let mut headers = Headers::new();
    headers.push("Content-Type", "application/x-amz-json-1.0");
    headers.push("X-Amz-Target", "GraniteServiceVersion20100801.PutMetricData");
    // By which the peer finds the service.
    headers.push("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/monitoring/aws4_request, SignedHeaders=host, Signature=0");
    let answer = platform.http("POST", platform.setting("aws_endpoint"), &headers, body.into_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}
