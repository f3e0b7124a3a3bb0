//! Each row of the contract's table of answers, over HTTP.

use serde_json::{Value, json};
use tollgate_core::{Timestamp, WebhookId};
use tollgate_providers::SignedWebhook;
use tollgate_testkit::webhook::{OTHER_KEY, Payment, Sender, adyen_event_id, config, razorpay_event_id};

use tollgate_e2e::{Answer, Platform};

const ACCEPTED: &str = "Event validated and queued for processing";

/// Status and body, the webhook's id checked and left out.
fn check(name: &str, answer: Answer, status: u16, expected: Value) {
    let mut body = answer.body;
    let id = body.as_object_mut().and_then(|body| body.remove("webhook_id"));
    let id = id.unwrap_or_else(|| panic!("{name}: no webhook_id"));
    assert!(WebhookId::parse(id.as_str().unwrap()).is_some(), "{name}: {id}");
    assert_eq!((answer.status, body), (status, expected), "{name}");
    assert_eq!(answer.headers.get("content-type").map(String::as_str), Some("application/json"), "{name}");
}

#[tokio::test]
async fn accepted_and_repeated_at_every_kind_of_endpoint() {
    let platform = Platform::open().await;
    let cases = [
        ("acme", true, 409, "error"),
        ("acme", false, 409, "error"),
        ("stripe-eu", false, 200, "message"),
        ("stripe-us", false, 200, "message"),
        ("adyen", false, 200, "message"),
        ("square", false, 200, "message"),
        ("razorpay", false, 200, "message"),
        ("standard", false, 200, "message"),
    ];
    for (index, (endpoint, is_generic_path, status, field)) in cases.into_iter().enumerate() {
        let sender = platform.sender(endpoint).await;
        let id = platform.unique(&format!("a{index}"));
        let payment = Payment::new(&id, &id, platform.now());
        let webhook = sender.payment(&payment, platform.now());
        let path = (!is_generic_path).then_some(endpoint);
        let event_id = match endpoint {
            "adyen" => adyen_event_id(&payment),
            "razorpay" => razorpay_event_id(&payment),
            _ => id,
        };
        let first = platform.send(path, &webhook).await;
        let accepted = json!({"message": ACCEPTED, "event_id": event_id, "events": 1});
        check(endpoint, first, 200, accepted);
        let repeat = platform.send(path, &webhook).await;
        check(endpoint, repeat, status, json!({field: "Duplicate event", "event_id": event_id}));
    }
}

#[tokio::test]
async fn content_that_our_schema_does_not_allow_is_told() {
    let platform = Platform::open().await;
    let sender = platform.sender("acme").await;
    let cases = [
        ("{", "body is not valid JSON"),
        ("", "body is not valid JSON"),
        ("{}", "Missing required field: event_id"),
        (r#"{"event_id":"x"}"#, "Missing required field: transaction_type"),
        (r#"{"event_id":"x","transaction_type":"payment"}"#, "Missing required field: amount"),
        (r#"{"event_id":7}"#, "Invalid field: event_id"),
        (
            r#"{"event_id":"x","transaction_type":"payment","amount":1.234,"currency":"USD","timestamp":"2026-01-02T03:04:05Z"}"#,
            "Invalid field: amount",
        ),
    ];
    for (body, error) in cases {
        let webhook = sender.sign("", body.as_bytes(), platform.now());
        check(body, platform.send(None, &webhook).await, 400, json!({"error": error}));
    }
    let mut nameless = sender.sign("", b"{}", platform.now());
    nameless.headers.remove("X-Provider-ID");
    let answer = platform.send(None, &nameless).await;
    check("nameless", answer, 400, json!({"error": "Missing required header: X-Provider-ID"}));
}

#[tokio::test]
async fn a_provider_is_never_refused_for_its_content() {
    let platform = Platform::open().await;
    let sender = platform.sender("stripe-eu").await;
    for body in [
        format!("not json {}", platform.unique("n")),
        format!(r#"{{"id":"{}","type":"brand.new"}}"#, platform.unique("u")),
    ] {
        let answer =
            platform.send(Some("stripe-eu"), &sender.sign("", body.as_bytes(), platform.now())).await;
        assert_eq!((answer.status, answer.body["message"].as_str()), (200, Some(ACCEPTED)), "{body}");
    }
}

#[tokio::test]
async fn a_forged_signature_gets_no_reason() {
    let platform = Platform::open().await;
    let sender = platform.sender("stripe-eu").await;
    let payment = |name: &str| Payment::new(platform.unique(name), platform.unique(name), platform.now());
    let at = |seconds: i64| Timestamp::from_second(platform.now().as_second() + seconds).unwrap();
    let good = |name: &str| sender.payment(&payment(name), platform.now());
    let forger = Sender::new(config("stripe-eu", "stripe"), OTHER_KEY);
    let changed = |mut webhook: SignedWebhook, change: fn(&mut SignedWebhook)| {
        change(&mut webhook);
        webhook
    };
    let cases = [
        ("altered", changed(good("f1"), |webhook| webhook.body.push(b' '))),
        ("unsigned", changed(good("f2"), |webhook| webhook.headers.remove("Stripe-Signature"))),
        (
            "malformed",
            changed(good("f3"), |webhook| {
                webhook.headers.remove("Stripe-Signature");
                webhook.headers.push("Stripe-Signature", "t=1,v1=zz");
            }),
        ),
        ("another key", forger.payment(&payment("f4"), platform.now())),
        ("too old", sender.payment(&payment("f5"), at(-400))),
        ("too early", sender.payment(&payment("f6"), at(400))),
    ];
    for (name, webhook) in cases {
        check(
            name,
            platform.send(Some("stripe-eu"), &webhook).await,
            401,
            json!({"error": "invalid signature"}),
        );
    }
}

#[tokio::test]
async fn unknown_endpoints_and_bodies_over_the_limit() {
    let platform = Platform::open().await;
    let sender = platform.sender("stripe-eu").await;
    let webhook = sender.payment(&Payment::new(platform.unique("x"), "t", platform.now()), platform.now());
    let unknown = json!({"error": "unknown endpoint"});
    check("unknown", platform.send(Some("nobody"), &webhook).await, 404, unknown.clone());
    let mut elsewhere = webhook;
    elsewhere.headers.push("X-Provider-ID", "stripe-eu");
    check("a provider on the generic path", platform.send(None, &elsewhere).await, 404, unknown);
    let large = sender.sign("", &vec![b' '; 1_048_577], platform.now());
    let answer = platform.send(Some("stripe-eu"), &large).await;
    check("large", answer, 413, json!({"error": "body is over the limit of 1048576 bytes"}));
}

#[tokio::test]
async fn a_dependency_that_is_down_makes_the_sender_come_back() {
    let platform = Platform::open().await;
    let name = platform.unique("keyless");
    let keyless = config(&name, "stripe");
    platform.put_endpoint(&keyless).await;
    let webhook =
        Sender::new(keyless, OTHER_KEY).payment(&Payment::new(&name, &name, platform.now()), platform.now());
    let answer = platform
        .until("the endpoint is known", async || {
            let answer = platform.send(Some(&name), &webhook).await;
            (answer.status != 404).then_some(answer)
        })
        .await;
    assert_eq!(answer.headers.get("retry-after").map(String::as_str), Some("5"));
    let error = "temporarily unavailable; the event may have been accepted: repeat it with the same event id";
    check("keyless", answer, 503, json!({ "error": error }));
}
