//! Records that can never be processed, among others that can, on both kinds of queue.

use aws_sdk_sqs::types::MessageAttributeValue;
use tollgate_core::LedgerKey;
use tollgate_testkit::webhook::Payment;

use tollgate_e2e::Platform;

#[tokio::test]
async fn poison_is_quarantined_with_its_reason_and_the_others_go_on() {
    let platform = Platform::open().await;
    for (endpoint, queue, dead_letters) in [
        ("stripe-eu", "IntakeQueueUrl", "IntakeDlqUrl"),
        ("stripe-us", "IntakeOrderedQueueUrl", "IntakeOrderedDlqUrl"),
    ] {
        let sender = platform.sender(endpoint).await;
        let transaction = platform.unique(endpoint);
        let mut keys = Vec::new();
        for number in 0..4 {
            let id = format!("{transaction}n{number}");
            let webhook = sender.payment(&Payment::new(&id, &transaction, platform.now()), platform.now());
            assert_eq!(platform.send(Some(endpoint), &webhook).await.status, 200);
            keys.push(LedgerKey::new(sender.endpoint().id(), &id));
            if number == 1 {
                send_poison(&platform, queue, &transaction).await;
            }
        }
        // In the ordered queue, what follows the poison in its own group goes on, too.
        platform.until_processed(&keys).await;
        assert_eq!(platform.history(endpoint, &transaction).await.len(), 4);
        let reasons = [("no-attributes", "not_an_intake_message"), ("no-endpoint", "not_an_intake_message")];
        for (name, reason) in reasons {
            let body = format!("{transaction}-{name}");
            let quarantined = platform
                .until("poison is quarantined", async || {
                    platform.peek(dead_letters).await.into_iter().find(|message| message.body == body)
                })
                .await;
            let attributes = quarantined.attributes.to_string();
            assert!(attributes.contains(reason), "{attributes}");
        }
    }
}

async fn send_poison(platform: &Platform, queue: &str, transaction: &str) {
    for name in ["no-attributes", "no-endpoint"] {
        let mut request = platform
            .sqs()
            .send_message()
            .queue_url(platform.output(queue))
            .message_body(format!("{transaction}-{name}"));
        if name == "no-endpoint" {
            let text =
                MessageAttributeValue::builder().data_type("String").string_value("text").build().unwrap();
            request = request.message_attributes("encoding", text);
        }
        if queue == "IntakeOrderedQueueUrl" {
            request = request
                .message_group_id(transaction)
                .message_deduplication_id(format!("{transaction}{name}"));
        }
        request.send().await.unwrap();
    }
}
