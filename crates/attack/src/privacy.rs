//! Card data, personal data and keys in a webhook: where they end.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tollgate_core::{EndpointConfig, LedgerKey};
use tollgate_providers::{Endpoint, Headers, ToSign};
use tollgate_testkit::webhook::{Payment, Sender, razorpay_event_id};

use crate::{
    attack::{Attack, Verdict, held, twin},
    ground::{Ground, Held},
};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        area: "card data",
        tried: "card numbers, verification codes and addresses in every text of a webhook",
        run: |ground| Box::pin(cards(ground)),
    },
    Attack {
        area: "card data",
        tried: "static tokens in headers, queries and signed addresses, kept in a message",
        run: |ground| Box::pin(tokens(ground)),
    },
];

/// Numbers that networks publish for tests, as a person or a shop would write them; none stands anywhere else here.
const CARDS: [&str; 6] = [
    "4242424242424242",
    "4000-0566-5566-5556",
    "5555 5555 5555 4444",
    "378282246310005",
    "6011.1111.1111.1117",
    "6304000000000000000",
];
/// What else must not leave.
const CODE: &str = "cvv-9137-planted";

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Puts card data into each text of a body that a sender chooses, and into new ones of its metadata.
fn plant(body: &str, address: &str) -> Value {
    let mut body: Value = serde_json::from_str(body).expect("a built-in body");
    let metadata = json!({
        "cart": "kept", "card_number": CARDS[0], "note": format!("paid with {} by phone", CARDS[2]),
        CARDS[3]: "as a name", "cvv": CODE, "card_cvc": CODE, "securityCode": CODE, "pan2": CARDS[4], "maestro": CARDS[5],
        "nested": {"number": CARDS[1], "cvc2": CODE},
    });
    edit(&mut body, &metadata, address);
    body
}

fn edit(value: &mut Value, metadata: &Value, address: &str) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match name.as_str() {
                    "metadata" | "notes" => *field = metadata.clone(),
                    "customer" | "customer_id" | "shopperReference" if field.is_string() => {
                        *field = CARDS[0].into()
                    }
                    "merchantReference" => *field = format!("order {}", CARDS[1]).into(),
                    "reason" if field.is_string() => {
                        *field = format!("declined {} {address}", CARDS[2]).into()
                    }
                    "card_brand" | "network" | "paymentMethod" | "bank" if field.is_string() => {
                        *field = CARDS[3].into()
                    }
                    "payment_method_types" => *field = json!([CARDS[1]]),
                    _ => edit(field, metadata, address),
                }
            }
            if fields.contains_key("amount") || fields.contains_key("pspReference") {
                fields.insert("billing_details".into(), json!({"email": address, "name": address}));
                fields.insert("description".into(), format!("{} {address}", CARDS[5]).into());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| edit(item, metadata, address)),
        _ => {}
    }
}

async fn cards(ground: Ground) -> Verdict {
    let address = format!("{}@example.com", ground.unique("ada"));
    let (mut sent, mut keys) = (Vec::new(), Vec::new());
    for endpoint in ["stripe-eu", "acme", "square", "razorpay", "standard"] {
        let sender = ground.sender(endpoint).await;
        let id = ground.unique(&format!("card-{endpoint}"));
        // Of high value, so that alerts and the workflow have it too.
        let amount = if matches!(endpoint, "acme" | "standard") { "99999.99" } else { "9999999" };
        let payment = Payment::new(&id, &id, ground.now()).of(amount, "USD");
        let provider = sender.endpoint().provider().as_str();
        let body = plant(&payment.body(provider).expect("a built-in body"), &address).to_string();
        let answer = ground.send(Some(endpoint), &sender.sign(&id, body.as_bytes(), ground.now())).await;
        twin(answer.is_success(), || format!("{endpoint} answered {} {}", answer.status, answer.body))?;
        let event_id = if provider == "razorpay" { razorpay_event_id(&payment) } else { id.clone() };
        keys.push(LedgerKey::new(sender.endpoint().id(), &event_id));
        sent.push((endpoint, id));
    }
    ground.until_processed(&keys).await;
    let routed = ground
        .within(async || {
            let events = ground.routed("PaymentsQueueUrl").await;
            let of = |id: &String| events.iter().find(|event| event.transaction_id == *id);
            sent.iter().map(|(_, id)| of(id).map(|event| event.id.to_string())).collect::<Option<Vec<_>>>()
        })
        .await;
    twin(routed.is_some(), || "the webhooks' events are not in the consumers' queue".to_owned())?;
    let routed = routed.unwrap_or_default();
    // The alert and the workflow's run come after the queue.
    let alerted = ground
        .within(async || {
            let alerts = ground.peek("AlertsTapQueueUrl").await;
            alerts.iter().any(|alert| routed.iter().any(|id| alert.body.contains(id.as_str()))).then_some(())
        })
        .await;
    twin(alerted.is_some(), || "no alert names the payments".to_owned())?;

    let written = written(&ground).await;
    for (place, text) in &written {
        let plain = digits(text);
        for card in CARDS {
            let number = digits(card);
            // A number's digits in a row, or as they were written.
            let found = text.contains(card) || text.contains(&number) || plain.contains(&number);
            held(!found, || format!("{card} is in {place}"))?;
        }
        held(!text.contains(CODE), || format!("a verification code is in {place}"))?;
        held(!text.contains(&address), || format!("an e-mail address is in {place}"))?;
    }
    let consumers = written.get("queues of consumers").map(String::as_str).unwrap_or_default();
    twin(sent.iter().all(|(_, id)| consumers.contains(id.as_str())), || {
        "the search finds nothing".to_owned()
    })?;
    twin(consumers.contains("424242******4242"), || "no masked number is there".to_owned())?;
    twin(consumers.contains("kept"), || "harmless metadata is gone, too".to_owned())?;
    Ok(format!("in none of {} places; masked in the consumers' queues", written.len()))
}

/// Everything that the platform wrote, but for queues and archive of raw bytes.
async fn written(ground: &Ground) -> BTreeMap<&'static str, String> {
    let mut written = BTreeMap::from([("functions' logs and metrics", ground.logs())]);
    let mut queues = String::new();
    for queue in ["PaymentsQueueUrl", "RefundsQueueUrl", "DisputesQueueUrl"] {
        ground.peek(queue).await.iter().for_each(|message| queues.push_str(&message.body));
    }
    written.insert("queues of consumers", queues);
    let alerts = ground.peek("AlertsTapQueueUrl").await;
    written.insert("alerts", alerts.into_iter().map(|alert| alert.body).collect());
    for (place, table) in [("ledger table", "LedgerTable"), ("transactions table", "TransactionsTable")] {
        let items = aws_sdk_dynamodb::Client::new(ground.config())
            .scan()
            .table_name(ground.output(table))
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .expect("a scan");
        written.insert(place, format!("{items:?}"));
    }
    let runs = ground
        .aws("AWSStepFunctions.ListExecutions", &json!({"stateMachineArn": ground.output("WorkflowArn")}))
        .await;
    let mut workflow = String::new();
    for run in runs["executions"].as_array().into_iter().flatten() {
        let of = json!({"executionArn": run["executionArn"]});
        workflow.push_str(&ground.aws("AWSStepFunctions.DescribeExecution", &of).await.to_string());
    }
    written.insert("workflow's runs", workflow);
    let groups = ground.aws("Logs_20140328.DescribeLogGroups", &json!({})).await;
    let mut logs = String::new();
    for group in groups["logGroups"].as_array().into_iter().flatten() {
        let of = json!({"logGroupName": group["logGroupName"]});
        logs.push_str(&ground.aws("Logs_20140328.FilterLogEvents", &of).await.to_string());
    }
    written.insert("log groups", logs);
    written
}

/// A key that travels in the request must not travel on in the message, and so not into the archive.
async fn tokens(ground: Ground) -> Verdict {
    let token = ground.unique("static-token-");
    let schemes = [
        (
            "plain",
            json!({"signature": {"header": "X-Token"}, "signed": "{secret}", "algorithm": "token", "encoding": "text"}),
        ),
        (
            "required",
            json!({
                "signature": {"header": "X-Token"}, "signed": "{secret}", "algorithm": "token", "encoding": "text",
                "require": ["X-Token", "Authorization"],
            }),
        ),
        (
            "address",
            json!({"signature": {"header": "X-Token"}, "signed": "{url}", "algorithm": "hmac-sha256", "encoding": "hex"}),
        ),
    ];
    let (mut kept_none, mut refused) = (0, 0);
    for (name, scheme) in schemes {
        let endpoint = format!("attack-token-{name}");
        let mut config = json!({
            "id": endpoint, "scheme": scheme, "normaliser": "generic", "notification_url": "https://example.com/hook",
            "secret": format!("secretsmanager:tollgate/{}/{endpoint}", ground.suffix()),
        });
        if name != "address" {
            config.as_object_mut().expect("an object").remove("notification_url");
        }
        let config: EndpointConfig = serde_json::from_value(config).expect("an endpoint");
        ground.put_secret(&endpoint, &token).await;
        ground.put_endpoint(&config).await;
        if Endpoint::new(config.clone()).is_err() {
            refused += 1;
            continue;
        }
        let sender = Sender::new(config, &token);
        let mut headers = Headers::new();
        headers.push("Content-Type", "application/json");
        headers.push("Authorization", format!("Bearer {token}"));
        headers.push("X-Api-Key", token.as_str());
        headers.push("Cookie", format!("session={token}"));
        let id = ground.unique(name);
        let body = json!({
            "event_id": id, "transaction_id": id, "transaction_type": "payment", "amount": "10.99", "currency": "USD",
            "timestamp": ground.now().to_string(),
        });
        let query = format!("token={token}&access_token={token}");
        let body = body.to_string();
        let mut webhook = sender.sign_with(
            ToSign { headers: &headers, query: &query, body: body.as_bytes(), url: None },
            ground.now(),
        );
        webhook.query = query;
        let signature = webhook.headers.get("X-Token").unwrap_or_default().to_owned();
        let Some(message) = ground.capture_anew(&endpoint, &webhook).await else {
            refused += 1;
            continue;
        };
        let Held { body: kept, attributes } = &message;
        twin(*kept == body, || format!("{name}: the body is another one"))?;
        for (attribute, text) in attributes {
            held(!text.contains(&token), || format!("{name}: the key is in the message's {attribute}"))?;
            held(!text.contains(&signature), || {
                format!("{name}: what is as good as the key is in {attribute}")
            })?;
        }
        kept_none += 1;
    }
    twin(kept_none > 0, || "no webhook with a token was accepted".to_owned())?;
    Ok(format!(
        "{kept_none} accepted, with the key nowhere in their messages; {refused} such endpoints cannot be set up"
    ))
}
