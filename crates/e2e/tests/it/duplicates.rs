//! One event, however often and however concurrently it comes.

use std::time::Duration;

use tollgate_core::{Authenticity, LedgerKey};
use tollgate_pipeline::{
    intake::Seal,
    ports::{Claim, Claims, LedgerEntry, LedgerState, Terms},
};
use tollgate_providers::{Received, Trusted};
use tollgate_testkit::webhook::{Payment, Sender, adyen, adyen_event_id};

use tollgate_e2e::Platform;

fn key(sender: &Sender, event_id: &str) -> LedgerKey {
    LedgerKey::new(sender.endpoint().id(), event_id)
}

#[tokio::test]
async fn concurrent_copies_are_one_event() {
    let platform = Platform::open().await;
    for endpoint in ["stripe-eu", "stripe-us"] {
        let sender = platform.sender(endpoint).await;
        let id = platform.unique(endpoint);
        let webhook = sender.payment(&Payment::new(&id, &id, platform.now()), platform.now());
        let copies = (0..16).map(|_| platform.send(Some(endpoint), &webhook));
        let answers = futures_util::future::join_all(copies).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        let is_duplicate = |body: &serde_json::Value| body["message"] == "Duplicate event";
        assert_eq!(answers.iter().filter(|answer| !is_duplicate(&answer.body)).count(), 1, "{endpoint}");
        platform.until_processed(&[key(&sender, &id)]).await;
        assert_eq!(platform.history(endpoint, &id).await.len(), 1);
        let routed = platform
            .until("it is routed", async || {
                let events = platform.routed("PaymentsQueueUrl").await;
                let mine: Vec<_> = events.into_iter().filter(|e| e.transaction_id == id).collect();
                (!mine.is_empty()).then_some(mine)
            })
            .await;
        assert!(routed.iter().all(|event| event.id == key(&sender, &id).event_id()));
    }
}

/// Copies that reach several processors at the same moment: one of them publishes. The others come back and find the
/// event processed.
#[tokio::test]
async fn of_two_hundred_copies_at_once_one_is_published() {
    let platform = Platform::open().await;
    let sender = platform.sender("stripe-eu").await;
    let ids: Vec<String> = (0..3).map(|round| platform.unique(&format!("at-once-{round}"))).collect();
    for id in &ids {
        let webhook = sender.payment(&Payment::new(id, id, platform.now()), platform.now());
        let copies = (0..200).map(|_| platform.send(Some("stripe-eu"), &webhook));
        let answers = futures_util::future::join_all(copies).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    }
    let keys: Vec<LedgerKey> = ids.iter().map(|id| key(&sender, id)).collect();
    platform.until_processed(&keys).await;
    platform
        .until_within(Duration::from_secs(180), "no copy is left in the intake queue", async || {
            let waiting = platform.peek("IntakeQueueUrl").await;
            let is_copy = |id: &String| waiting.iter().any(|message| message.body.contains(id.as_str()));
            (!ids.iter().any(is_copy)).then_some(())
        })
        .await;
    for (id, key) in ids.iter().zip(&keys) {
        assert_eq!(platform.history("stripe-eu", id).await.len(), 1, "{id}");
        let routed = platform
            .until("it is routed", async || {
                let events = platform.routed("PaymentsQueueUrl").await;
                let mine: Vec<_> = events.into_iter().filter(|event| event.transaction_id == *id).collect();
                (!mine.is_empty()).then_some(mine)
            })
            .await;
        assert_eq!(routed.len(), 1, "{id}");
        assert_eq!((routed[0].id, routed[0].restates), (key.event_id(), None), "{id}");
    }
}

/// A validator that died after its claim and before the queue: the sender's next try is told "duplicate", and
/// the event goes all the way.
#[tokio::test]
async fn a_claim_without_a_message_is_made_good_by_the_next_try() {
    let platform = Platform::open().await;
    for endpoint in ["stripe-eu", "stripe-us"] {
        let sender = platform.sender(endpoint).await;
        let id = platform.unique(endpoint);
        let webhook = sender.payment(&Payment::new(&id, &id, platform.now()), platform.now());
        let received = Received { headers: &webhook.headers, query: "", body: &webhook.body };
        let facts = sender.endpoint().normalise(Trusted::for_inspection(received)).unwrap();
        let entry = LedgerEntry {
            key: key(&sender, &id),
            state: LedgerState::Received,
            webhook_id: tollgate_core::WebhookId::new(platform.now(), 1),
            fingerprint: facts[0].fingerprint().to_string(),
            received_at: platform.now(),
            terms: Terms {
                // Of the message that was never sent.
                seals: vec![Seal::parse(&"0".repeat(32)).unwrap()],
                occurred_at: facts[0].occurred_at,
                authenticity: Authenticity::Verified,
                revision: sender.endpoint().revision(),
            },
        };
        assert_eq!(platform.ledger().claim(&entry, platform.now()).await, Ok(Claim::New));
        let answer = platform.send(Some(endpoint), &webhook).await;
        assert_eq!((answer.status, answer.body["message"].as_str()), (200, Some("Duplicate event")));
        platform.until_processed(&[key(&sender, &id)]).await;
        assert_eq!(platform.history(endpoint, &id).await.len(), 1);
        let webhook_id = answer.body["webhook_id"].as_str().unwrap().to_owned();
        let rows = platform.archived(std::slice::from_ref(&webhook_id)).await;
        assert_eq!(rows[&webhook_id]["events"][0]["provider_event_id"], *id);
    }
}

#[tokio::test]
async fn many_events_in_a_delivery_are_each_known() {
    let platform = Platform::open().await;
    let sender = platform.sender("adyen").await;
    let payments: Vec<Payment> = ["p1", "p2", "p3"]
        .map(|name| Payment::new(platform.unique(name), platform.unique(&format!("t{name}")), platform.now()))
        .into();
    let all: Vec<&Payment> = payments.iter().collect();
    let first = sender.sign("", adyen(&all[..1]).as_bytes(), platform.now());
    let both = sender.sign("", adyen(&all).as_bytes(), platform.now());
    assert_eq!(platform.send(Some("adyen"), &first).await.body["events"], 1);
    let answer = platform.send(Some("adyen"), &both).await;
    assert_eq!((answer.status, &answer.body["events"]), (200, &3.into()));
    let keys: Vec<LedgerKey> = payments.iter().map(|p| key(&sender, &adyen_event_id(p))).collect();
    platform.until_processed(&keys).await;
    for payment in &payments {
        assert_eq!(platform.history("adyen", &payment.transaction_id).await.len(), 1);
    }
}

#[tokio::test]
async fn other_facts_under_a_known_id_are_quarantined() {
    let platform = Platform::open().await;
    for (endpoint, dead_letters) in [("stripe-eu", "IntakeDlqUrl"), ("stripe-us", "IntakeOrderedDlqUrl")] {
        let sender = platform.sender(endpoint).await;
        let id = platform.unique(endpoint);
        let payment = Payment::new(&id, &id, platform.now());
        let other = payment.clone().of("999900", "USD");
        assert_eq!(
            platform.send(Some(endpoint), &sender.payment(&payment, platform.now())).await.status,
            200
        );
        let answer = platform.send(Some(endpoint), &sender.payment(&other, platform.now())).await;
        assert_eq!((answer.status, answer.body["message"].as_str()), (200, Some("Duplicate event")));
        platform.until_processed(&[key(&sender, &id)]).await;
        platform
            .until("the conflict is quarantined", async || {
                let quarantined = platform.peek(dead_letters).await;
                let is_mine = |body: &str| body.contains(&id) && body.contains("999900");
                quarantined
                    .into_iter()
                    .find(|m| is_mine(&m.body) && m.attributes.to_string().contains("conflicting_facts"))
            })
            .await;
        let recorded = platform.recorded(endpoint, &id).await;
        let amounts: Vec<i128> = recorded.iter().map(|event| event.amount.unwrap().minor_units()).collect();
        assert_eq!(amounts, [1_099], "{endpoint}");
    }
}
