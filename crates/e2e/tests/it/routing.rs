//! What the bus sends where: by category and by the size of the amount.

use std::collections::BTreeMap;

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use serde_json::{Value, json};
use tollgate_core::{Category, EventType, LedgerKey, Queue, RiskTier, id::hex_sha256};
use tollgate_testkit::webhook::{Kind, Payment};

use tollgate_e2e::Platform;

#[tokio::test]
async fn each_category_has_its_queue() {
    let platform = Platform::open().await;
    for endpoint in ["acme", "stripe-eu"] {
        let sender = platform.sender(endpoint).await;
        for kind in Kind::ALL {
            let id = platform.unique(&format!("{endpoint}{}", kind.as_str()));
            let payment = Payment { kind, ..Payment::new(&id, &id, platform.now()) };
            assert_eq!(
                platform.send(Some(endpoint), &sender.payment(&payment, platform.now())).await.status,
                200
            );
        }
    }
    for category in Kind::ALL.map(Kind::category) {
        let queue = &queue_of(category);
        let events = platform
            .until("both are routed", async || {
                let events = platform.routed(queue).await;
                (events.len() >= 2).then_some(events)
            })
            .await;
        assert!(events.iter().all(|event| event.category == category), "{queue}: {events:?}");
    }
}

/// Two events tell one payment's success, at the same moment: the consumer gets one.
#[tokio::test]
async fn an_effect_that_several_events_tell_is_routed_once() {
    let platform = Platform::open().await;
    let mut told = Vec::new();
    for endpoint in ["stripe-eu", "stripe-us"] {
        let sender = platform.sender(endpoint).await;
        for number in 0..4 {
            let transaction = platform.unique(&format!("{endpoint}-told-{number}"));
            let events = ["-a", "-b", "-c"].map(|telling| format!("{transaction}{telling}"));
            let webhooks = events
                .each_ref()
                .map(|id| sender.payment(&Payment::new(id, &transaction, platform.now()), platform.now()));
            let sent = webhooks.iter().map(|webhook| platform.send(Some(endpoint), webhook));
            let answers = futures_util::future::join_all(sent).await;
            assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
            let keys = events.map(|id| LedgerKey::new(sender.endpoint().id(), &id));
            told.push((endpoint, transaction, keys));
        }
    }
    for (endpoint, transaction, keys) in told {
        platform.until_processed(&keys).await;
        assert_eq!(platform.history(endpoint, &transaction).await.len(), keys.len());
        let routed = platform
            .until("it is routed", async || {
                let events = platform.routed("PaymentsQueueUrl").await;
                let mine: Vec<_> =
                    events.into_iter().filter(|event| event.transaction_id == transaction).collect();
                (!mine.is_empty()).then_some(mine)
            })
            .await;
        assert_eq!(routed.len(), 1, "{transaction}");
        assert_eq!(routed[0].restates, None, "{transaction}");
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
        ("9999.99", "USD", RiskTier::Medium),
        ("10000", "USD", RiskTier::Medium),
        ("10000.01", "USD", RiskTier::High),
        ("99999", "JPY", RiskTier::Low),
        ("100000", "JPY", RiskTier::Medium),
        ("1000000", "JPY", RiskTier::Medium),
        ("1000001", "JPY", RiskTier::High),
        ("299.999", "KWD", RiskTier::Low),
        ("300", "KWD", RiskTier::Medium),
        ("3000", "KWD", RiskTier::Medium),
        ("3000.001", "KWD", RiskTier::High),
        ("12345678901234567890123456.78", "USD", RiskTier::High),
        ("99999999999999999999999999", "JPY", RiskTier::High),
        // Money that flows back is as large as money that flows.
        ("-999.99", "USD", RiskTier::Low),
        ("-1000", "USD", RiskTier::Medium),
        ("-10000.01", "USD", RiskTier::High),
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
    let ids: BTreeMap<&str, &str> =
        events.iter().map(|event| (event.transaction_id.as_ref(), event.id.as_str())).collect();
    let alert_of = async |transaction: &str| {
        let alerts = platform.alerts().await;
        alerts.into_iter().find(|alert| alert["id"] == *ids[transaction])
    };
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
            platform.until(&format!("{amount} is told of"), async || alert_of(id).await.map(drop)).await;
        }
    }
    for (id, (amount, tier)) in &tiers {
        let alert = alert_of(id).await;
        assert_eq!(alert.is_some(), *tier != RiskTier::Low, "{amount}");
        if let Some(alert) = alert {
            let kind = if *tier == RiskTier::High { "high_value" } else { "medium_value" };
            assert_eq!(alert["alert"], kind, "{amount}");
            // Nothing that the sender named is in it: this test's events have ids of their own alone.
            assert!(!alert.to_string().contains(id.as_str()), "{alert}");
            let keys: Vec<&String> = alert.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["alert", "amount", "endpoint", "id", "link", "provider", "type", "webhook_id"]);
        }
        let has_decision =
            platform.history("acme", id).await.iter().any(|item| item.contains_key("fraud_decision"));
        assert_eq!(has_decision, *tier == RiskTier::High, "{amount}");
    }
}

/// What the deployed rules make of an event by themselves, past the processor that writes category and tier into it.
#[tokio::test]
async fn the_rules_alone_decide_where_an_event_goes() {
    let platform = Platform::open().await;
    let model = published(&platform).await;
    // Source, type and tier; then whether people are told at once, and whether the workflow is started.
    let tiers = [("low", false, false), ("medium", true, false), ("high", false, true)];
    let of_each_category = Category::ALL.iter().flat_map(|category| {
        let kind = EventType::ALL.iter().find(|kind| kind.category() == *category).expect("a type of each");
        tiers.map(|(tier, is_told, is_examined)| ("tollgate", *kind, tier, is_told, is_examined))
    });
    let cases: Vec<_> = of_each_category
        .chain([
            ("elsewhere", EventType::PaymentSucceeded, "high", false, false),
            // What the workflow publishes must not start it again.
            ("tollgate", EventType::PaymentFlagged, "high", true, false),
            ("tollgate", EventType::PaymentFlagged, "low", true, false),
        ])
        .collect();
    let queue_of_case = |index: usize| {
        let (source, kind, ..) = cases[index];
        Queue::of(kind.category()).filter(|_| source == "tollgate")
    };
    let id = |index: usize| platform.unique(&format!("rule{index}x"));
    let event_id = |index: usize| format!("evt_{}", &hex_sha256(id(index).as_bytes())[..32]);
    let entries = cases.iter().enumerate().map(|(index, (source, kind, tier, ..))| {
        let mut detail = model.clone();
        detail["transaction_id"] = json!(id(index));
        detail["id"] = json!(event_id(index));
        detail["type"] = json!(kind);
        detail["category"] = json!(kind.category());
        detail["risk_tier"] = json!(tier);
        let entry = PutEventsRequestEntry::builder().event_bus_name(platform.output("BusName"));
        entry.source(*source).detail_type(kind.as_str()).detail(detail.to_string()).build()
    });
    let bus = aws_sdk_eventbridge::Client::new(platform.config());
    for entry in entries {
        let answer = bus.put_events().entries(entry).send().await.unwrap();
        assert_eq!(answer.failed_entry_count(), 0, "{answer:?}");
    }
    let holds = async |queue: &str, index: usize| {
        let messages = platform.peek(queue).await;
        // Of the event people are told our id alone.
        messages.iter().any(|message| message.body.contains(&event_id(index)))
    };
    // The fraud detector knows none of them: each that starts the workflow ends among its dead letters.
    for (index, (.., is_told, is_examined)) in cases.iter().enumerate() {
        let told = is_told.then(|| "AlertsTapQueueUrl".to_owned());
        let examined = is_examined.then(|| "WorkflowDlqUrl".to_owned());
        for destination in queue_of_case(index).map(url).into_iter().chain(told).chain(examined) {
            let what = format!("{:?} is in {destination}", cases[index]);
            platform.until(&what, async || holds(&destination, index).await.then_some(())).await;
        }
    }
    for (index, (.., is_told, is_examined)) in cases.iter().enumerate() {
        for queue in Queue::ALL.iter().filter(|queue| queue.is_for_consumers()) {
            let is_routed = queue_of_case(index) == Some(*queue);
            assert_eq!(holds(&url(*queue), index).await, is_routed, "{:?}: {queue:?}", cases[index]);
        }
        // The workflow itself tells of what it examines.
        if !is_examined {
            assert_eq!(holds("AlertsTapQueueUrl", index).await, *is_told, "{:?}", cases[index]);
        }
        assert_eq!(holds("WorkflowDlqUrl", index).await, *is_examined, "{:?}", cases[index]);
    }
}

/// The output that holds a queue's URL.
fn url(queue: Queue) -> String {
    format!("{}QueueUrl", queue.logical())
}

fn queue_of(category: Category) -> String {
    url(Queue::of(category).expect("a queue for consumers"))
}

/// An event as the processor publishes it.
async fn published(platform: &Platform) -> Value {
    let sender = platform.sender("acme").await;
    let id = platform.unique("model");
    let payment = Payment::new(&id, &id, platform.now()).of("1", "USD");
    assert_eq!(platform.send(None, &sender.payment(&payment, platform.now())).await.status, 200);
    let envelope = platform.until("the model is routed", async || {
        let messages = platform.peek("PaymentsQueueUrl").await;
        let mine = messages.into_iter().find(|message| message.body.contains(&id))?;
        serde_json::from_str::<Value>(&mine.body).ok()
    });
    envelope.await["detail"].clone()
}
