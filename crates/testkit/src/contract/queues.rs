//! The queues and the bus. They are written to only, so each suite is told what arrived.

use std::collections::BTreeMap;

use tollgate_core::{Currency, Delivery, Money, PaymentEvent, Timestamp, WebhookId};
use tollgate_pipeline::{
    intake::{Encoding, IntakeMessage, MAX_MESSAGE_BYTES, Notes, RequestParts, attribute},
    ports::{ArchiveQueue, Document, EventBus, IntakeQueue, Poison, PortError, PortResult, Quarantine},
};

use super::samples::{endpoint, event};

/// A message as it is in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The message group.
    pub group: Option<String>,
    /// The body.
    pub body: String,
    /// The attributes' texts by name.
    pub attributes: BTreeMap<String, String>,
}

/// A message whose body and id for deduplication are these.
fn message(delivery: Delivery, group: &str, body: &str, deduplication_id: &str) -> IntakeMessage {
    let at = Timestamp::UNIX_EPOCH;
    IntakeMessage {
        webhook_id: WebhookId::new(at, 1),
        endpoint: endpoint(),
        provider: tollgate_core::ProviderId::new("stripe").unwrap(),
        event_id: "evt".to_owned(),
        received_at: at,
        source_ip: String::new(),
        key_id: "k".to_owned(),
        notes: Notes {
            authenticity: tollgate_core::Authenticity::Verified,
            body_sha256: "00".into(),
            signed_at: None,
            taken_in_at: None,
            claimed: "".into(),
            conflicts: Vec::new(),
            only_transaction: None,
            replayed_by: None,
        },
        request: RequestParts::default(),
        encoding: Encoding::Text,
        body: body.to_owned(),
        delivery,
        group: group.to_owned(),
        deduplication_id: deduplication_id.to_owned(),
        trace: None,
    }
}

fn is_refused(answer: &PortResult<()>) -> bool {
    matches!(answer, Err(PortError::Permanent { .. }))
}

/// A message is there once its `send` has returned: whole, in its payment's group, and once for each deduplication id
/// of the group. What cannot be sent is refused for good. `arrived` takes everything out of a queue.
pub async fn intake<Q: IntakeQueue>(queue: Q, arrived: impl AsyncFn(Delivery) -> Vec<Seen>) {
    const EDGES: &str = "\t\n\r ~\u{7f}\u{d7ff}\u{e000}\u{fffd}\u{10000}\u{10ffff}\"\\";
    let fast = |body: &str| message(Delivery::Fast, "", body, "");
    let room = MAX_MESSAGE_BYTES - fast("").size() - 1;
    let largest = "x".repeat(room);
    for body in [EDGES, EDGES, &largest] {
        queue.send(&fast(body)).await.unwrap();
    }
    for body in ["", "\u{b}", "\u{fffe}", "\u{ffff}", &"x".repeat(MAX_MESSAGE_BYTES)] {
        let answer = queue.send(&fast(body)).await;
        assert!(is_refused(&answer), "{answer:?}: {:?}", body.get(..8));
    }
    let mut seen = arrived(Delivery::Fast).await;
    seen.sort_by_key(|seen| seen.body.len());
    let bodies: Vec<&str> = seen.iter().map(|seen| seen.body.as_str()).collect();
    assert!(
        bodies == [EDGES, EDGES, &largest],
        "{:?}",
        bodies.iter().map(|body| body.len()).collect::<Vec<_>>()
    );
    let expected = fast("").attributes().into_iter().map(|(name, value)| {
        let value = if value.is_empty() { "-".to_owned() } else { value };
        (name.to_owned(), value)
    });
    assert_eq!(seen[0].attributes, expected.collect(), "an empty value is a dash");
    assert!(
        seen.iter().all(|seen| seen.group.as_deref() == Some(endpoint().as_str())),
        "one merchant, one group"
    );

    let long = "g".repeat(129);
    let sent = [
        ("pi_1", "a", "1"),
        ("pi_1", "a again", "1"),
        ("pi_1", "b", "2"),
        ("pi_2", "another group", "1"),
        ("zahlung \u{fc}", "c", "3"),
        ("zahlung \u{fc}", "d", "4"),
        (&long, "e", "5"),
        ("", "f", "6"),
    ];
    for (group, body, id) in sent {
        queue.send(&message(Delivery::Ordered, group, body, id)).await.unwrap();
    }
    let seen = arrived(Delivery::Ordered).await;
    let group = |body: &str| {
        let found: Vec<&Seen> = seen.iter().filter(|seen| seen.body == body).collect();
        assert_eq!(found.len(), 1, "{body}: {seen:?}");
        found[0].group.clone().unwrap()
    };
    assert_eq!(seen.len(), sent.len() - 1, "what a group knows is dropped: {seen:?}");
    assert_eq!((group("a"), group("b")), ("pi_1".to_owned(), "pi_1".to_owned()));
    assert_eq!(group("c"), group("d"), "a payment has one group, whatever its id");
    assert_eq!(group("another group"), "pi_2");
    assert!(group("e") != group("c") && group("f") != group("e"));
}

/// Each message has its own result, in the order given, and one that is refused takes no other along.
pub async fn archive_queue<Q: ArchiveQueue>(queue: Q, arrived: impl AsyncFn() -> Vec<String>) {
    assert!(queue.send(Vec::new()).await.is_empty());
    // More than one call takes, by count and by bytes.
    let mut messages: Vec<String> =
        (0..25).map(|number| format!("{number:02}{}", "x".repeat(90_000))).collect();
    assert!(queue.send(messages.clone()).await.iter().all(Result::is_ok));
    let mut seen = arrived().await;
    seen.sort();
    assert!(seen == messages, "{}", seen.len());

    messages.truncate(3);
    messages.insert(1, "\u{ffff}".to_owned());
    messages.insert(3, "x".repeat(MAX_MESSAGE_BYTES + 1));
    let answers = queue.send(messages.clone()).await;
    let refused: Vec<bool> = answers.iter().map(is_refused).collect();
    assert_eq!(refused, [false, true, false, true, false], "{answers:?}");
    let mut seen = arrived().await;
    seen.sort();
    assert!(seen.iter().eq([0, 2, 4].map(|index| &messages[index])), "{}", seen.len());
}

/// A message is there as it was received, with its reason in the place of the attribute that only people read.
pub async fn quarantine<Q: Quarantine>(quarantine: Q, arrived: impl AsyncFn(Delivery) -> Vec<Seen>) {
    let attributes = message(Delivery::Fast, "", "", "").attributes();
    let given: Vec<(&str, &str)> = attributes
        .iter()
        .map(|(name, value)| (*name, if value.is_empty() { "-" } else { value.as_str() }))
        .collect();
    let again = |attributes: &[(&'static str, String)]| {
        let mut kept: BTreeMap<String, String> =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        kept.insert(attribute::SOURCE_IP.to_owned(), "-".to_owned());
        kept.remove(attribute::EVENT_ID);
        kept.insert(attribute::REASON.to_owned(), "payload_altered".to_owned());
        kept
    };
    let expected = again(&attributes);
    assert_eq!((given.len(), expected.len()), (10, 10));
    let mut given_again: Vec<(&str, &str)> =
        given.iter().copied().filter(|(name, _)| *name != attribute::EVENT_ID).collect();
    given_again.push((attribute::REASON, "an older reason"));
    for (delivery, group) in
        [(Delivery::Fast, None), (Delivery::Fast, Some("stripe-eu")), (Delivery::Ordered, Some("pi_1"))]
    {
        let send = async |message_id, attributes| {
            let reason = "payload_altered";
            let poison = Poison { message_id, delivery, group, body: "body", attributes, reason };
            quarantine.send(poison).await.unwrap();
        };
        send("m-1", given.as_slice()).await;
        send("m-2", given.as_slice()).await;
        // One that has been there already, and one that is no message of ours.
        send("m-3", given_again.as_slice()).await;
        send("m-4", &[]).await;
        let seen = arrived(delivery).await;
        assert_eq!(seen.len(), 4, "messages of the same body are two: {seen:?}");
        for message in &seen {
            assert_eq!((message.group.as_deref(), message.body.as_str()), (group, "body"));
        }
        let whole = seen.iter().filter(|seen| seen.attributes == expected).count();
        assert_eq!(whole, 3, "{seen:?}");
        let only: Vec<_> = seen.iter().filter(|seen| seen.attributes.len() == 1).collect();
        assert!(matches!(only[..], [seen] if seen.attributes[attribute::REASON] == "payload_altered"));
    }
}

/// Each event has its own result, in the order given, and one that is refused takes no other along. `arrived` is called
/// until it has returned as many events as it is asked for.
pub async fn bus<B: EventBus>(bus: B, unique: &str, arrived: impl AsyncFn(usize) -> Vec<String>) {
    assert!(bus.publish(&[]).await.is_empty());
    let money = Money::from_minor(1_099, Currency::new("USD").unwrap()).unwrap();
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    let events: Vec<PaymentEvent<'_>> = (0..25)
        .map(|number| event(&format!("{unique}-{number}"), &format!("{unique}-t"), at, money))
        .collect();
    let mut texts: Vec<String> = events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
    let whole = texts.clone();
    texts[7] = "{".to_owned();
    texts[19] = format!("{{\"a\":\"{}\"}}", "x".repeat(1_000_000));
    let documents: Vec<Document<'_>> =
        events.iter().zip(&texts).map(|(event, json)| Document { event, json }).collect();
    let answers = bus.publish(&documents).await;
    let refused: Vec<usize> =
        answers.iter().enumerate().filter(|(_, answer)| is_refused(answer)).map(|(index, _)| index).collect();
    assert_eq!(refused, [7, 19], "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 23, "{answers:?}");
    let parsed = |text: &String| -> serde_json::Value { serde_json::from_str(text).unwrap() };
    let mut seen: Vec<serde_json::Value> = arrived(23).await.iter().map(parsed).collect();
    let good = whole.iter().enumerate().filter(|(index, _)| ![7, 19].contains(index));
    let mut expected: Vec<serde_json::Value> = good.map(|(_, text)| parsed(text)).collect();
    seen.sort_by_key(|event| event["id"].to_string());
    expected.sort_by_key(|event| event["id"].to_string());
    assert_eq!(seen, expected);
}
