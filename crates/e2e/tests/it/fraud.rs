//! A payment of high value goes through the workflow, and what it finds is recorded and told.

use tollgate_core::{EventType, LedgerKey};

use tollgate_e2e::Platform;

fn body(id: &str, at: tollgate_core::Timestamp, card_country: &str) -> String {
    format!(
        r#"{{"event_id":"{id}","transaction_type":"payment","transaction_id":"{id}","amount":20000.00,"currency":"USD","timestamp":"{at}","customer_id":"cu-{id}","country":"DE","payment_method":"card","card_country":"{card_country}"}}"#
    )
}

#[tokio::test]
async fn a_suspicious_payment_is_recorded_and_flagged_and_a_plain_one_recorded() {
    let platform = Platform::open().await;
    let sender = platform.sender("acme").await;
    let (suspicious, plain) = (platform.unique("suspicious"), platform.unique("plain"));
    for (id, card_country) in [(&suspicious, "BR"), (&plain, "DE")] {
        let webhook = sender.sign("", body(id, platform.now(), card_country).as_bytes(), platform.now());
        assert_eq!(platform.send(None, &webhook).await.status, 200);
    }
    for (id, score, decision, reasons) in [
        (&suspicious, "65", "review", vec!["amount_high", "country_mismatch"]),
        (&plain, "40", "approve", vec!["amount_high"]),
    ] {
        let item = platform
            .until("the decision is recorded", async || {
                let mut history = platform.history("acme", id).await;
                history.pop().filter(|item| item.contains_key("fraud_decision"))
            })
            .await;
        assert_eq!(item["fraud_score"].as_n().unwrap(), score, "{item:?}");
        assert_eq!(item["fraud_decision"].as_s().unwrap(), decision, "{item:?}");
        let recorded: Vec<&str> = item["fraud_reasons"]
            .as_l()
            .unwrap()
            .iter()
            .map(|reason| reason.as_s().unwrap().as_str())
            .collect();
        assert_eq!(recorded, reasons);
    }
    let original = LedgerKey::new(sender.endpoint().id(), &suspicious).event_id();
    let flagged = platform
        .until("the payment is flagged", async || {
            let events = platform.routed("PaymentsQueueUrl").await;
            events.into_iter().find(|e| e.kind == EventType::PaymentFlagged && e.transaction_id == suspicious)
        })
        .await;
    let of = flagged.metadata.iter().find(|(key, _)| key == "flagged_event_id").map(|(_, id)| id.as_ref());
    assert_eq!(of, Some(original.as_str()));
    // Both were told of as payments of high value; one alone was flagged.
    let plain_id = LedgerKey::new(sender.endpoint().id(), &plain).event_id();
    for (alert, id) in [
        ("flagged", flagged.id.as_str()),
        ("high_value", original.as_str()),
        ("high_value", plain_id.as_str()),
    ] {
        let told = platform
            .until(&format!("{alert} {id}"), async || {
                let alerts = platform.alerts().await;
                alerts.into_iter().find(|one| one["alert"] == alert && one["id"] == id)
            })
            .await;
        let expected = if alert == "flagged" { original.as_str().into() } else { serde_json::Value::Null };
        assert_eq!(told["flagged_event_id"], expected, "{told}");
        // Ids of ours, type and amount: nothing of the sender's.
        assert!(!told.to_string().contains("cu-") && !told.to_string().contains(&suspicious), "{told}");
    }
    let flagged = platform.routed("PaymentsQueueUrl").await;
    assert!(!flagged.iter().any(|e| e.kind == EventType::PaymentFlagged && e.transaction_id == plain));
    assert!(platform.peek("WorkflowDlqUrl").await.iter().all(|message| !message.body.contains(&plain)));
}
