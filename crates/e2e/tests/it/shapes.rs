//! The three events by which HTTP reaches the real validator.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use tollgate_core::LedgerKey;
use tollgate_providers::{Headers, SignedWebhook};
use tollgate_testkit::webhook::Payment;

use tollgate_e2e::Platform;

fn single(webhook: &SignedWebhook) -> Map<String, Value> {
    // As the HTTP API hands them over: names in lower case.
    webhook.headers.iter().map(|(name, value)| (name.to_lowercase(), value.into())).collect()
}

fn rest(endpoint: &str, webhook: &SignedWebhook, is_base64: bool) -> Value {
    let multi: Map<String, Value> =
        webhook.headers.iter().map(|(name, value)| (name.to_uppercase(), json!([value]))).collect();
    json!({
        "resource": "/webhook/{endpoint}", "path": format!("/webhook/{endpoint}"), "httpMethod": "POST",
        "headers": null, "multiValueHeaders": multi,
        "queryStringParameters": null, "multiValueQueryStringParameters": null,
        "pathParameters": {"endpoint": endpoint}, "stageVariables": null,
        "requestContext": {"identity": {"sourceIp": "203.0.113.9"}, "stage": "v1", "httpMethod": "POST"},
        "body": body(webhook, is_base64), "isBase64Encoded": is_base64,
    })
}

fn version_2(path: &str, domain: &str, webhook: &SignedWebhook, is_base64: bool) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": single(webhook),
        "requestContext": {
            "domainName": domain, "stage": "$default",
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "2001:db8::7"},
        },
        "body": body(webhook, is_base64), "isBase64Encoded": is_base64,
    })
}

fn body(webhook: &SignedWebhook, is_base64: bool) -> String {
    if is_base64 { STANDARD.encode(&webhook.body) } else { String::from_utf8(webhook.body.clone()).unwrap() }
}

#[tokio::test]
async fn each_event_shape_is_taken() {
    let platform = Platform::open().await;
    let sender = platform.sender("stripe-eu").await;
    type Shape = fn(&SignedWebhook, bool) -> Value;
    let shapes: [(&str, Shape); 3] = [
        ("rest", |webhook, is_base64| rest("stripe-eu", webhook, is_base64)),
        ("api", |webhook, is_base64| {
            version_2("/v1/webhook/stripe-eu", "abc.execute-api.us-east-1.amazonaws.com", webhook, is_base64)
        }),
        ("url", |webhook, is_base64| {
            version_2("/webhook/stripe-eu", "abc.lambda-url.us-east-1.on.aws", webhook, is_base64)
        }),
    ];
    let (mut keys, mut sources) = (Vec::new(), Vec::new());
    for (name, shape) in shapes {
        for is_base64 in [false, true] {
            let id = platform.unique(&format!("{name}{is_base64}"));
            let webhook = sender.payment(&Payment::new(&id, &id, platform.now()), platform.now());
            let answer = platform.invoke("validator", &shape(&webhook, is_base64)).await;
            assert_eq!(answer["statusCode"], 200, "{name}: {answer}");
            let said: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
            assert_eq!((&said["event_id"], &answer["isBase64Encoded"]), (&id.as_str().into(), &false.into()));
            keys.push(LedgerKey::new(sender.endpoint().id(), &id));
            sources.push((said["webhook_id"].as_str().unwrap().to_owned(), webhook.body));
        }
    }
    platform.until_processed(&keys).await;
    let rows = platform.archived(&sources.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>()).await;
    for (webhook_id, body) in sources {
        assert_eq!(rows[&webhook_id]["body"], STANDARD.encode(body));
    }
}

/// On the real ledger and queues, by each way in.
#[tokio::test]
async fn a_health_check_is_answered_by_each_way_in() {
    let platform = Platform::open().await;
    let webhook = SignedWebhook { headers: Headers::default(), query: String::new(), body: Vec::new() };
    let mut rest = rest("stripe-eu", &webhook, false);
    rest["resource"] = json!("/health");
    rest["path"] = json!("/health");
    rest["httpMethod"] = json!("GET");
    let mut api = version_2("/v1/health", "abc.execute-api.us-east-1.amazonaws.com", &webhook, false);
    api["routeKey"] = json!("GET /health");
    api["requestContext"]["http"]["method"] = json!("GET");
    let mut url = version_2("/health", "abc.lambda-url.us-east-1.on.aws", &webhook, false);
    url["requestContext"]["http"]["method"] = json!("GET");
    for event in [rest, api, url.clone()] {
        // On a machine that is busy with other tests a check may take too long, which is a no for five seconds.
        let answer = platform.until("a health check is answered with yes", async || {
            let answer = platform.invoke("validator", &event).await;
            assert!(answer["statusCode"] == 200 || answer["statusCode"] == 503, "{event}: {answer}");
            (answer["statusCode"] == 200).then_some(answer)
        });
        assert_eq!(answer.await["body"], "webhooks are accepted", "{event}");
    }
    url["requestContext"]["http"]["method"] = json!("POST");
    assert_eq!(platform.invoke("validator", &url).await["statusCode"], 405);
}

#[tokio::test]
async fn an_event_that_is_no_request_gets_an_answer() {
    let platform = Platform::open().await;
    for event in [json!({}), json!({"Records": []}), json!([1]), json!("text")] {
        let answer = platform.invoke("validator", &event).await;
        assert_eq!(answer["statusCode"], 400, "{event}: {answer}");
    }
}
