//! `tollgate redrive`: dead letters back to where they were to go, on the real queues.

use std::process::{Command, Output};

use aws_sdk_sqs::types::MessageAttributeValue;
use serde_json::{Value, json};
use tollgate_e2e::Platform;

fn redrive(arguments: &[&str]) -> Output {
    let test = std::env::current_exe().unwrap();
    let binary = test.ancestors().nth(2).unwrap().join("tollgate");
    Command::new(binary).arg("redrive").args(arguments).output().expect("`make test` builds the tool")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

async fn put(platform: &Platform, queue: &str, body: &str, attributes: &[(&str, &str)]) {
    let url = platform.output(queue);
    let mut request = platform.sqs().send_message().queue_url(url).message_body(body);
    for (name, value) in attributes {
        let value =
            MessageAttributeValue::builder().data_type("String").string_value(*value).build().unwrap();
        request = request.message_attributes(*name, value);
    }
    if url.ends_with(".fifo") {
        request = request.message_group_id(body).message_deduplication_id(body);
    }
    request.send().await.unwrap();
}

/// Whether and how a message waits there, without receiving it.
async fn waits(platform: &Platform, queue: &str, body: &str) -> Option<Value> {
    platform
        .peek(queue)
        .await
        .into_iter()
        .find(|message| message.body == body)
        .map(|message| message.attributes)
}

/// A move task takes none of these: `eventbridge-dlq` is no dead-letter queue of a queue.
#[tokio::test]
async fn what_eventbridge_could_not_deliver_goes_to_the_target_that_it_names() {
    let platform = Platform::alone().await;
    let suffix = platform.suffix();
    let rule =
        format!("arn:aws:events:us-east-1:000000000000:rule/payment-events-{suffix}/payments-{suffix}");
    let queue = |name: &str| format!("arn:aws:sqs:us-east-1:000000000000:{name}-{suffix}");
    let topic = format!("arn:aws:sns:us-east-1:000000000000:transaction-alerts-{suffix}");
    let cases = [
        ("payment", Some(queue("payments-queue")), Some("PaymentsQueueUrl")),
        ("refund", Some(queue("refunds-queue")), Some("RefundsQueueUrl")),
        ("alert", Some(topic), None),
        ("intake", Some(queue("webhook-intake")), None),
        ("another-account", Some(queue("payments-queue").replace("000000000000", "111111111111")), None),
        ("no-target", None, None),
    ];
    let bodies: Vec<String> = cases.iter().map(|(name, ..)| platform.unique(name)).collect();
    for ((_, target, _), body) in cases.iter().zip(&bodies) {
        let mut attributes = vec![("RULE_ARN", rule.as_str()), ("ERROR_CODE", "NO_PERMISSIONS")];
        attributes.extend(target.as_deref().map(|target| ("TARGET_ARN", target)));
        put(&platform, "EventBridgeDlqUrl", body, &attributes).await;
    }
    let output = redrive(&["eventbridge-dlq"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("6 wait; 6 would be sent"), "{}", said(&output));
    for body in &bodies {
        assert!(waits(&platform, "EventBridgeDlqUrl", body).await.is_some(), "nothing is done without --yes");
    }
    for run in 0..2 {
        let output = redrive(&["eventbridge-dlq", "--yes"]);
        assert_eq!(output.status.code(), Some(1), "some are left: {}", said(&output));
        assert_eq!(said(&output).contains("1 sent to payments-queue"), run == 0, "{}", said(&output));
        assert!(said(&output).contains("replay the time to arn:aws:events"), "{}", said(&output));
        for ((name, _, wanted), body) in cases.iter().zip(&bodies) {
            let left = waits(&platform, "EventBridgeDlqUrl", body).await;
            assert_eq!(left.is_some(), wanted.is_none(), "{name}");
            if let Some(url) = wanted {
                let attributes = waits(&platform, url, body).await.expect(name).to_string();
                assert!(!attributes.contains("RULE_ARN"), "as the rule would have sent it: {attributes}");
            }
        }
    }
    let url = platform.output("EventBridgeDlqUrl");
    platform.sqs().purge_queue().queue_url(url).send().await.unwrap();
}

/// With its key disabled, the bus sends events here that no rule has seen.
#[tokio::test]
async fn what_the_bus_could_not_decrypt_goes_to_the_queue_of_its_category() {
    let platform = Platform::alone().await;
    // Not with this test's mark as it is: these are no events, whose form would be looked at.
    let mark: String = platform.unique("bus").chars().rev().collect();
    let event = |source: &str, category: &str, restates: Value| {
        json!({"source": source, "detail": {"category": category, "restates": restates, "mark": mark}})
            .to_string()
    };
    let cases = [
        (event("tollgate", "refund", Value::Null), Some("RefundsQueueUrl")),
        (event("tollgate", "dispute", Value::Null), Some("DisputesQueueUrl")),
        (event("tollgate", "other", Value::Null), None),
        (event("tollgate", "payment", json!("evt")), None),
        (event("other", "payment", Value::Null), None),
    ];
    for (body, _) in &cases {
        put(&platform, "EventBridgeDlqUrl", body, &[("ERROR_CODE", "SDK_CLIENT_ERROR")]).await;
    }
    let output = redrive(&["eventbridge-dlq", "--yes"]);
    assert_eq!(output.status.code(), Some(1), "some are left: {}", said(&output));
    for (body, wanted) in &cases {
        assert_eq!(waits(&platform, "EventBridgeDlqUrl", body).await.is_some(), wanted.is_none(), "{body}");
        if let Some(queue) = wanted {
            assert!(waits(&platform, queue, body).await.is_some(), "{body}");
        }
    }
    let url = platform.output("EventBridgeDlqUrl");
    platform.sqs().purge_queue().queue_url(url).send().await.unwrap();
}

/// Of every queue that has dead letters; the attributes go along, and `--limit` holds.
#[tokio::test]
async fn dead_letters_of_every_queue_go_back_to_it() {
    let platform = Platform::alone().await;
    for (queue, from, to) in [
        ("payments-queue-dlq", "PaymentsDlqUrl", Some("PaymentsQueueUrl")),
        ("refunds-queue-dlq", "RefundsDlqUrl", Some("RefundsQueueUrl")),
        ("disputes-queue-dlq", "DisputesDlqUrl", Some("DisputesQueueUrl")),
        // The processor takes these, and sets them aside again, with the reason: no webhook is in them.
        ("webhook-intake-dlq", "IntakeDlqUrl", None),
        ("webhook-intake-ordered-dlq", "IntakeOrderedDlqUrl", None),
    ] {
        platform.sqs().purge_queue().queue_url(platform.output(from)).send().await.unwrap();
        let bodies = ["one", "two"].map(|name| platform.unique(&format!("{name}{queue}")));
        for body in &bodies {
            put(&platform, from, body, &[("note", "kept")]).await;
        }
        let output = redrive(&[queue, "--yes", "--limit", "1"]);
        assert!(
            output.status.success() && said(&output).starts_with("1 sent to"),
            "{queue}: {}",
            said(&output)
        );
        let output = redrive(&[queue, "--yes", "--limit", "1"]);
        assert!(output.status.success(), "{queue}: {}", said(&output));
        for body in &bodies {
            let found = platform
                .until("the message is where it was to go", async || match to {
                    Some(to) => waits(&platform, to, body).await,
                    None => {
                        let found = waits(&platform, from, body).await?;
                        found.to_string().contains("not_an_intake_message").then_some(found)
                    }
                })
                .await;
            assert!(to.is_none() || found.to_string().contains("kept"), "{queue}: {found}");
            assert!(to.is_none() || waits(&platform, from, body).await.is_none(), "{queue}: not deleted");
        }
    }
}

#[tokio::test]
async fn what_no_queue_has_lost_is_sent_nowhere() {
    let _platform = Platform::open().await;
    for (queue, says) in [
        ("transaction-workflow-dlq", "start the workflow again"),
        ("asynchronous-invocations-dlq", "were in no queue"),
        ("payments-queue", "is no dead-letter queue"),
    ] {
        let output = redrive(&[queue, "--yes"]);
        assert_eq!(output.status.code(), Some(2), "{queue}");
        assert!(said(&output).contains(says), "{queue}: {}", said(&output));
    }
}
