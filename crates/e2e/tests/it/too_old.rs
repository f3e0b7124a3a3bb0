//! What happened before the ledger's memory begins.

use std::process::Output;

use aws_sdk_sqs::types::MessageAttributeValue;
use serde_json::{Value, json};
use tollgate_core::Timestamp;
use tollgate_testkit::webhook::Payment;

use tollgate_e2e::{Peeked, Platform};

use crate::tool;

const DAY: i64 = 24 * 60 * 60;

#[tokio::test]
async fn what_is_too_old_takes_effect_once_an_operator_allows_it() {
    let platform = Platform::open().await;
    // Razorpay signs no time.
    let endpoint = "razorpay";
    let sender = platform.sender(endpoint).await;
    let id = platform.unique("old");
    let at = Timestamp::from_second(platform.now().as_second() - 45 * DAY).unwrap();
    let answer =
        platform.send(Some(endpoint), &sender.payment(&Payment::new(&id, &id, at), platform.now())).await;
    assert_eq!(answer.status, 200);
    let webhook_id = answer.body["webhook_id"].as_str().unwrap();
    let aside = platform.until("it is set aside", async || set_aside(&platform, webhook_id).await).await;
    assert!(platform.recorded(endpoint, &id).await.is_empty());

    let listed = platform.until("it is listed", async || {
        let listed = allow(&[webhook_id, "--json"]);
        listed.status.success().then(|| String::from_utf8(listed.stdout).unwrap())
    });
    let listed: Value = serde_json::from_str(&listed.await).unwrap();
    assert_eq!((&listed["webhook_id"], &listed["endpoint"]), (&webhook_id.into(), &endpoint.into()));
    // To look is not to allow.
    send_back(&platform, &aside).await;
    platform
        .until("it is set aside again", async || {
            let asides = platform.peek("IntakeDlqUrl").await;
            (asides.iter().filter(|aside| is_of(aside, webhook_id)).count() == 2).then_some(())
        })
        .await;

    platform
        .until("it is allowed", async || {
            let allowed = allow(&[webhook_id, "--yes", "--reason", "the provider was down for weeks"]);
            allowed.status.success().then_some(())
        })
        .await;
    let records = recorded(webhook_id);
    let steps: Vec<&Value> = records.iter().map(|record| &record["step"]).collect();
    assert_eq!(steps, ["begun", "ended"], "{records:?}");
    for record in &records {
        assert_eq!(record["reason"], "the provider was down for weeks");
        assert_eq!((&record["action"], &record["ids"]), (&"allow".into(), &json!([webhook_id])));
        assert!(record["actor"].as_str().unwrap().starts_with("arn:"), "{record}");
    }
    send_back(&platform, &aside).await;
    platform
        .until("it takes effect", async || {
            let events = platform.routed("PaymentsQueueUrl").await;
            events.iter().any(|event| event.transaction_id == id).then_some(())
        })
        .await;
}

/// What the audit has of an id.
fn recorded(id: &str) -> Vec<Value> {
    let output = tollgate(&["audit", "--json", "--id", id]);
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn is_of(message: &Peeked, webhook_id: &str) -> bool {
    message.attributes.to_string().contains(webhook_id)
}

async fn set_aside(platform: &Platform, webhook_id: &str) -> Option<Peeked> {
    let found = platform.peek("IntakeDlqUrl").await.into_iter().find(|message| is_of(message, webhook_id))?;
    assert!(found.attributes.to_string().contains("too_old_to_tell"), "{}", found.attributes);
    Some(found)
}

/// As a redrive does, for one message.
async fn send_back(platform: &Platform, message: &Peeked) {
    let mut send = platform
        .sqs()
        .send_message()
        .queue_url(platform.output("IntakeQueueUrl"))
        .message_body(&message.body);
    for (name, value) in message.attributes.as_object().unwrap() {
        let text = value["StringValue"].as_str().unwrap();
        let value = MessageAttributeValue::builder().data_type("String").string_value(text).build();
        send = send.message_attributes(name, value.unwrap());
    }
    send.send().await.unwrap();
}

fn allow(arguments: &[&str]) -> Output {
    tollgate(&[&["allow"], arguments].concat())
}

fn tollgate(arguments: &[&str]) -> Output {
    tool::tollgate(arguments).output().unwrap()
}
