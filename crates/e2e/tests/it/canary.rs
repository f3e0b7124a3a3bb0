//! Card numbers, verification values, addresses, keys and tokens are planted wherever a webhook has room for them. Nothing
//! that the platform writes may hold one: bus, alerts, tables, logs with their metrics, names of objects. The queues of
//! webhooks and the archive hold bodies by design; no token is in them either, unless the sender writes it into the body.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_eventbridge::types::Target;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tollgate_core::EndpointConfig;
use tollgate_e2e::Platform;
use tollgate_providers::{Endpoint, Headers, KeyMaterial, Secret, SignedWebhook, ToSign};
use tollgate_testkit::webhook::config;

/// The keys of the endpoints that this test makes.
const STATIC_TOKEN: &str = "a-static-token-that-nothing-may-keep";
const QUERY_KEY: &str = "a-key-of-a-scheme-that-signs-a-query";

/// What is planted, by what it is.
struct Planted {
    /// As sent: contiguous.
    card: String,
    /// The same in groups of four.
    spaced: String,
    verification: String,
    email: String,
    /// In headers and queries that no scheme reads.
    token: String,
}

impl Planted {
    fn new(platform: &Platform) -> Self {
        // A Mastercard number of its own, so that no other test's is taken for it.
        let card = with_check_digit(&format!("539912{:09}", platform.now().as_microsecond() % 1_000_000_000));
        let spaced = card
            .as_bytes()
            .chunks(4)
            .map(|four| std::str::from_utf8(four).unwrap())
            .collect::<Vec<_>>()
            .join(" ");
        Self {
            card,
            spaced,
            verification: platform.unique("verification"),
            email: format!("{}@example.com", platform.unique("ada")),
            token: platform.unique("bearer-secret"),
        }
    }

    fn masked(&self) -> String {
        format!("{}******{}", &self.card[..6], &self.card[12..])
    }

    /// A webhook's texts, with everything in them.
    fn metadata(&self) -> Value {
        json!({
            "card_number": self.card, "note": format!("{} exp 12/30", self.spaced), "cvv": self.verification,
            "card[securityCode]": self.verification, "email": self.email, "raw": json!({ "cvc": self.verification }).to_string(),
            (self.card.clone()): "x", "order": "7",
        })
    }

    /// Headers and a query that no scheme reads, added to what was signed.
    fn around(&self, mut webhook: SignedWebhook) -> SignedWebhook {
        for name in ["Authorization", "Cookie", "X-Api-Key", "X-Card", "User-Agent"] {
            if webhook.headers.get(name).is_none() {
                webhook.headers.push(name, format!("{} {} {}", self.token, self.card, self.email));
            }
        }
        let separator = if webhook.query.is_empty() { "" } else { "&" };
        webhook.query = format!("token={}&card={}{separator}{}", self.token, self.card, webhook.query);
        webhook
    }
}

fn with_check_digit(number: &str) -> String {
    let digit = |place: usize, byte: u8| {
        let twice = u32::from(byte - b'0') * 2;
        if place.is_multiple_of(2) { twice / 10 + twice % 10 } else { u32::from(byte - b'0') }
    };
    let sum: u32 = number.bytes().rev().enumerate().map(|(place, byte)| digit(place, byte)).sum();
    format!("{number}{}", (10 - sum % 10) % 10)
}

fn stripe(id: &str, object: &str, amount: u64, planted: &Planted, platform: &Platform) -> Vec<u8> {
    json!({
        "id": id, "object": "event", "created": platform.now().as_second(), "type": "payment_intent.succeeded",
        "data": { "object": {
            "id": object, "object": "payment_intent", "status": "succeeded", "amount": amount, "currency": "usd",
            "customer": planted.card, "receipt_email": planted.email, "description": planted.spaced,
            "billing_details": { "email": planted.email, "name": planted.email }, "metadata": planted.metadata(),
            "payment_method_types": [planted.card],
        } },
    })
    .to_string()
    .into_bytes()
}

fn generic(id: &str, transaction: &str, planted: &Planted, platform: &Platform) -> Vec<u8> {
    json!({
        "event_id": id, "transaction_type": "payment", "transaction_id": transaction, "amount": "5000.00", "currency": "USD",
        "timestamp": platform.now().to_string(), "customer_id": planted.email, "country": planted.card,
        "payment_method": planted.spaced, "card_brand": planted.card, "card_country": planted.email,
        "metadata": planted.metadata(), "card_number": planted.card, "cvv": planted.verification,
    })
    .to_string()
    .into_bytes()
}

/// Signs with headers and a query of the sender's.
fn sign(config: &EndpointConfig, key: &str, query: &str, body: &[u8], platform: &Platform) -> SignedWebhook {
    let endpoint = Endpoint::new(config.clone()).unwrap();
    let keys = endpoint.keys(vec![KeyMaterial::new("1", Secret::new(key))]).unwrap();
    let headers = Headers::from_iter([("Content-Type", "application/json")]);
    endpoint.sign(ToSign { headers: &headers, query, body, url: None }, &keys, platform.now()).unwrap()
}

/// Deploys an endpoint with `key`, and waits until it takes `webhook`.
async fn deploy(platform: &Platform, config: &EndpointConfig, key: &str, webhook: &SignedWebhook) {
    let manager = aws_sdk_secretsmanager::Client::new(platform.config());
    let name = config.secret.strip_prefix("secretsmanager:").unwrap();
    manager.create_secret().name(name).secret_string(key).send().await.unwrap();
    platform.put_endpoint(config).await;
    platform
        .until("the endpoint serves", async || {
            platform.send(Some(config.id.as_str()), webhook).await.is_success().then_some(())
        })
        .await;
}

/// A queue that gets every event of the bus.
async fn tap(platform: &Platform) -> String {
    let name = platform.unique("tap");
    let url = platform.sqs().create_queue().queue_name(&name).send().await.unwrap().queue_url.unwrap();
    let bus = aws_sdk_eventbridge::Client::new(platform.config());
    let (rule, pattern) = (bus.put_rule().name(&name), r#"{"source":["tollgate"]}"#);
    rule.event_bus_name(platform.output("BusName")).event_pattern(pattern).send().await.unwrap();
    let arn = format!("arn:aws:sqs:us-east-1:000000000000:{name}");
    let target = Target::builder().id("tap").arn(arn).build().unwrap();
    bus.put_targets()
        .event_bus_name(platform.output("BusName"))
        .rule(&name)
        .targets(target)
        .send()
        .await
        .unwrap();
    url
}

/// Takes what is in a queue by now.
async fn drain(platform: &Platform, url: &str, taken: &mut String) {
    loop {
        let answer =
            platform.sqs().receive_message().queue_url(url).max_number_of_messages(10).send().await.unwrap();
        let messages = answer.messages.unwrap_or_default();
        if messages.is_empty() {
            return;
        }
        for message in messages {
            taken.push_str(message.body().unwrap());
            taken.push('\n');
            let receipt = message.receipt_handle().unwrap();
            platform.sqs().delete_message().queue_url(url).receipt_handle(receipt).send().await.unwrap();
        }
    }
}

/// Every item of a table, as text.
async fn scanned(platform: &Platform, table: &str) -> String {
    let client = aws_sdk_dynamodb::Client::new(platform.config());
    let mut pages = client.scan().table_name(platform.output(table)).into_paginator().items().send();
    let mut text = String::new();
    while let Some(item) = pages.next().await {
        for (name, value) in item.unwrap() {
            let value = match &value {
                AttributeValue::S(value) | AttributeValue::N(value) => value.clone(),
                other => format!("{other:?}"),
            };
            text.push_str(&format!("{name}={value}\n"));
        }
    }
    text
}

async fn keys_of_objects(platform: &Platform, bucket: &str) -> String {
    let mut pages = platform.s3().list_objects_v2().bucket(platform.output(bucket)).into_paginator().send();
    let mut keys = String::new();
    while let Some(page) = pages.next().await {
        page.unwrap().contents().iter().for_each(|object| keys.push_str(object.key().unwrap()));
    }
    keys
}

#[tokio::test]
async fn nothing_that_is_planted_in_a_webhook_is_written_elsewhere() {
    let platform = Platform::open().await;
    let planted = Planted::new(&platform);
    let tap = tap(&platform).await;
    let stripe_sender = platform.sender("stripe-eu").await;
    let signed = |body: &[u8]| planted.around(stripe_sender.sign("", body, platform.now()));
    let id = |name: &str| platform.unique(name);

    // A token that another header names too, and a scheme that signs a field of the query.
    let secret = |name: &str| format!("secretsmanager:tollgate/{}/{}", platform.suffix(), id(name));
    let token = EndpointConfig {
        scheme: json!({
            "signature": { "header": "X-Hook-Token" }, "signed": "{secret}", "algorithm": "token", "encoding": "text",
            "require": ["X-Hook-Token"],
        }),
        secret: secret("by-token"),
        normaliser: Some("stripe".to_owned()),
        ..config(&id("by-token"), "stripe")
    };
    let query = EndpointConfig { secret: secret("by-query"), ..config(&id("by-query"), "mercadopago") };
    let payment = |name: &str| stripe(&id(name), &id(&format!("pi-{name}")), 1099, &planted, &platform);
    let by_token = planted.around(sign(&token, STATIC_TOKEN, "", &payment("by-token"), &platform));
    let about =
        json!({ "id": 7, "action": "payment.updated", "type": "payment", "data": { "id": id("pay") } });
    let about = about.to_string();
    let by_query = format!("data.id={}", id("pay"));
    let by_query = planted.around(sign(&query, QUERY_KEY, &by_query, about.as_bytes(), &platform));
    deploy(&platform, &token, STATIC_TOKEN, &by_token).await;
    deploy(&platform, &query, QUERY_KEY, &by_query).await;

    let acme = platform.sender("acme").await;
    let of_acme = |name: &str, transaction: &str| {
        planted.around(acme.sign(
            &id(name),
            &generic(&id(name), transaction, &planted, &platform),
            platform.now(),
        ))
    };
    let mut altered = signed(&payment("altered"));
    altered.body.push(b' ');
    let mut conflict = payment("low");
    conflict.splice(.., stripe(&id("low"), &id("pi-low"), 2099, &planted, &platform));
    let (name, card) = (|config: &EndpointConfig| config.id.to_string(), planted.card.clone());
    let sent: [(&str, String, SignedWebhook, u16); 12] = [
        (
            "an event by token",
            name(&token),
            planted.around(sign(&token, STATIC_TOKEN, "", &payment("token"), &platform)),
            200,
        ),
        ("an amount that nobody is told of", "stripe-eu".to_owned(), signed(&payment("low")), 200),
        ("the same id with another amount", "stripe-eu".to_owned(), signed(&conflict), 200),
        (
            "an amount that people are told of",
            "stripe-eu".to_owned(),
            signed(&stripe(&id("medium"), &id("pi-medium"), 500_000, &planted, &platform)),
            200,
        ),
        (
            "an amount for the workflow",
            "stripe-eu".to_owned(),
            signed(&stripe(&id("high"), &id("pi-high"), 5_000_000, &planted, &platform)),
            200,
        ),
        (
            "a card number as the payment's id",
            "stripe-eu".to_owned(),
            signed(&stripe(&id("of-card"), &card, 1099, &planted, &platform)),
            200,
        ),
        (
            "a card number as the event's id",
            "stripe-eu".to_owned(),
            signed(&stripe(&card, &id("pi-card"), 1099, &planted, &platform)),
            200,
        ),
        ("a body that is cut off", "stripe-eu".to_owned(), signed(&payment("cut")[..300]), 200),
        ("our own schema", "acme".to_owned(), of_acme("own", &id("own-t")), 200),
        (
            "our own schema with a card number for an id",
            "acme".to_owned(),
            of_acme("own-card", &planted.spaced),
            400,
        ),
        ("a body that was changed", "stripe-eu".to_owned(), altered, 401),
        ("an endpoint that is called as the card", card.clone(), signed(&payment("elsewhere")), 404),
    ];
    let mut archived = Vec::new();
    for (what, endpoint, webhook, status) in &sent {
        // Each instance of the validator learns of a new endpoint by itself.
        let answer = platform
            .until("the endpoint is known", async || {
                let answer = platform.send(Some(endpoint), webhook).await;
                (answer.status != 404 || *status == 404).then_some(answer)
            })
            .await;
        assert_eq!(answer.status, *status, "{what}: {answer:?}");
        let is_archived = answer.is_success() && !what.contains("another amount");
        archived.extend(is_archived.then(|| answer.body["webhook_id"].as_str().unwrap().to_owned()));
        let told = answer.body.to_string();
        assert!(!told.contains(&planted.card), "{what}: {told}");
    }
    // Whatever is archived was published, recorded and logged before.
    let rows = platform.archived(&archived).await;
    let mut of_bus = String::new();
    platform
        .until("every event is on the bus, and the conflict and the workflow are at their ends", async || {
            drain(&platform, &tap, &mut of_bus).await;
            let published = ["low", "medium", "high", "own", "token"].map(|name| format!("\"{}\"", id(name)));
            let (alerts, events) = (platform.alerts().await, platform.routed("PaymentsQueueUrl").await);
            // An alert names an event by our id alone.
            let told = |transaction: &str| {
                let event = events.iter().find(|event| event.transaction_id == id(transaction));
                event.is_some_and(|event| alerts.iter().any(|alert| alert["id"] == event.id.as_str()))
            };
            let dead = platform.peek("IntakeDlqUrl").await;
            let is_dead = dead.iter().any(|message| message.body.contains(&id("low")));
            (published.iter().all(|id| of_bus.contains(id))
                && told("pi-medium")
                && told("pi-high")
                && is_dead)
                .then_some(())
        })
        .await;
    // That the test would see something: the masked number is where the number must not be.
    assert!(of_bus.contains(&planted.masked()) && of_bus.contains("an id holds a card number"), "{of_bus}");

    let mut written = BTreeMap::from([("bus", of_bus), ("logs", platform.logs())]);
    for queue in
        ["PaymentsQueueUrl", "RefundsQueueUrl", "DisputesQueueUrl", "AlertsTapQueueUrl", "WorkflowDlqUrl"]
    {
        let messages = platform.peek(queue).await;
        written.insert(queue, messages.into_iter().map(|message| format!("{}\n", message.body)).collect());
    }
    for table in ["LedgerTable", "TransactionsTable"] {
        written.insert(table, scanned(&platform, table).await);
    }
    for bucket in ["AuditBucket", "PayloadBucket"] {
        written.insert(bucket, keys_of_objects(&platform, bucket).await);
    }
    let manager = aws_sdk_secretsmanager::Client::new(platform.config());
    let mut secrets = vec![
        planted.card.clone(),
        planted.spaced.clone(),
        planted.verification.clone(),
        planted.email.clone(),
    ];
    let mut tokens = vec![planted.token.clone(), STATIC_TOKEN.to_owned(), QUERY_KEY.to_owned()];
    for sender in [&stripe_sender, &acme] {
        let name = sender.endpoint().config().secret.strip_prefix("secretsmanager:").unwrap().to_owned();
        let key = manager.get_secret_value().secret_id(name).send().await.unwrap().secret_string.unwrap();
        tokens.push(key);
    }
    secrets.extend(tokens.iter().cloned());
    for (place, text) in &written {
        for secret in &secrets {
            let line = text.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "{place} holds {secret}");
        }
    }
    // Bodies are archived as they are. Tokens are in none of them, nor in what is kept of headers and query.
    assert_eq!(rows.len(), archived.len());
    for row in rows.values() {
        let body = STANDARD.decode(row["body"].as_str().unwrap()).unwrap();
        assert!(!body.is_empty());
        let around = [
            row["headers"].to_string(),
            row["query"].to_string(),
            String::from_utf8_lossy(&body).into_owned(),
        ];
        for secret in &tokens {
            assert!(
                !around.iter().any(|text| text.contains(secret.as_str())),
                "the archive holds {secret}: {around:?}"
            );
        }
        assert!(!around[0].contains(&planted.card) && !around[1].contains(&planted.card), "{around:?}");
    }
}

#[test]
fn the_planted_number_is_a_card_number() {
    assert_eq!(with_check_digit("424242424242424"), "4242424242424242");
    assert_eq!(with_check_digit("37828224631000"), "378282246310005");
}
