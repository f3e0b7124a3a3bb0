//! What the bus sends where: by category and by the size of the amount.

use std::collections::BTreeMap;

use tollgate_core::{Category, RiskTier};
use tollgate_testkit::webhook::Payment;

use crate::platform::Platform;

#[tokio::test]
async fn each_category_has_its_queue() {
    let platform = Platform::open().await;
    let kinds = [
        ("payment", Category::Payment, "PaymentsQueueUrl"),
        ("refund", Category::Refund, "RefundsQueueUrl"),
        ("dispute", Category::Dispute, "DisputesQueueUrl"),
    ];
    for endpoint in ["acme", "stripe-eu"] {
        let sender = platform.sender(endpoint).await;
        for (kind, _, _) in kinds {
            let id = platform.unique(&format!("{endpoint}{kind}"));
            let payment = Payment { kind, ..Payment::new(&id, &id, platform.now()) };
            assert_eq!(
                platform.send(Some(endpoint), &sender.payment(&payment, platform.now())).await.status,
                200
            );
        }
    }
    for (_, category, queue) in kinds {
        let events = platform
            .until("both are routed", async || {
                let events = platform.routed(queue).await;
                (events.len() >= 2).then_some(events)
            })
            .await;
        assert!(events.iter().all(|event| event.category == category), "{queue}: {events:?}");
    }
}

#[tokio::test]
async fn the_amount_decides_the_rest_of_the_way() {
    let platform = Platform::open().await;
    let sender = platform.sender("acme").await;
    let cases = [
        ("0", "USD", RiskTier::Low),
        ("999.99", "USD", RiskTier::Low),
        ("1000", "USD", RiskTier::Medium),
        ("1000.00", "EUR", RiskTier::Medium),
        ("10000", "USD", RiskTier::Medium),
        ("10000.01", "USD", RiskTier::High),
        ("99999", "JPY", RiskTier::Low),
        ("100000", "JPY", RiskTier::Medium),
        ("1000000", "JPY", RiskTier::Medium),
        ("1000001", "JPY", RiskTier::High),
        ("299.999", "KWD", RiskTier::Low),
        ("300", "KWD", RiskTier::Medium),
        ("3000.001", "KWD", RiskTier::High),
        ("12345678901234567890123456.78", "USD", RiskTier::High),
        // Money that flows back is as large as money that flows.
        ("-20000", "USD", RiskTier::High),
    ];
    let mut tiers = BTreeMap::new();
    for (index, (amount, currency, tier)) in cases.into_iter().enumerate() {
        let id = platform.unique(&format!("r{index}"));
        let payment = Payment::new(&id, &id, platform.now()).of(amount, currency);
        assert_eq!(
            platform.send(None, &sender.payment(&payment, platform.now())).await.status,
            200,
            "{amount}"
        );
        tiers.insert(id, (format!("{amount} {currency}"), tier));
    }
    let events = platform
        .until("all are routed", async || {
            let events = platform.routed("PaymentsQueueUrl").await;
            tiers.keys().all(|id| events.iter().any(|e| e.transaction_id == **id)).then_some(events)
        })
        .await;
    for event in &events {
        let (amount, tier) = &tiers[event.transaction_id.as_ref()];
        assert_eq!(event.risk_tier, *tier, "{amount}");
    }
    // Medium: an alert by rule. High: an alert by the workflow, which leaves a decision. Low: neither.
    for (id, (amount, tier)) in &tiers {
        if *tier == RiskTier::High {
            platform
                .until("the workflow has run", async || {
                    let history = platform.history("acme", id).await;
                    history.iter().any(|item| item.contains_key("fraud_decision")).then_some(())
                })
                .await;
        }
        if *tier != RiskTier::Low {
            platform
                .until(&format!("{amount} is told of"), async || {
                    let alerts = platform.routed("AlertsTapQueueUrl").await;
                    alerts.iter().any(|event| event.transaction_id == *id).then_some(())
                })
                .await;
        }
    }
    let alerts = platform.routed("AlertsTapQueueUrl").await;
    for (id, (amount, tier)) in &tiers {
        let is_told = alerts.iter().any(|event| event.transaction_id == *id);
        assert_eq!(is_told, *tier != RiskTier::Low, "{amount}");
        let has_decision =
            platform.history("acme", id).await.iter().any(|item| item.contains_key("fraud_decision"));
        assert_eq!(has_decision, *tier == RiskTier::High, "{amount}");
    }
}
