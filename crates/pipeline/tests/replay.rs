//! Webhooks of an archive, sent again to the platform that archived them and to another one.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests only"
)]

use tollgate_batch::Kind;
use tollgate_core::{Authenticity, Delivery, PaymentEvent, Timestamp};
use tollgate_pipeline::{
    archive::{Outcome, Row},
    ingest::{Incoming, Rejection, Replay, Taken},
    intake::{Content, attribute, decode, is_taken_later},
    ports::{Clock, PayloadSource, REPLAY_SECONDS},
    replay::Mode,
};
use tollgate_providers::SignedWebhook;
use tollgate_testkit::{
    failure::Faults,
    memory::queues::Message,
    memory::world::{World, failures, read, run},
    webhook::{KEY, OTHER_KEY, Payment, Sender, config, ordered},
};

const NOON: &str = "2026-01-06T12:00:00Z";
const DAY: i64 = 24 * 60 * 60;
const ACT: &str = "0a1b";

fn noon() -> Timestamp {
    NOON.parse().unwrap()
}

fn world() -> World {
    let endpoints =
        vec![config("acme", "generic"), config("stripe", "stripe"), ordered("lined-up", "stripe")];
    World::new(noon(), endpoints)
}

fn payment(endpoint: &str, event_id: &str) -> SignedWebhook {
    let scheme = if endpoint == "acme" { "generic" } else { "stripe" };
    Sender::new(config(endpoint, scheme), KEY).payment(&Payment::new(event_id, "pi_1", noon()), noon())
}

/// Works off what is in the queues.
async fn process(world: &World) {
    let faults = Faults::none();
    for (delivery, kind) in [(Delivery::Fast, Kind::Standard), (Delivery::Ordered, Kind::Fifo)] {
        loop {
            let batch = world.intake.receive(delivery, 10);
            if batch.is_empty() {
                break;
            }
            let report = run(&world.processor(&faults), kind, &batch).await.unwrap();
            assert!(failures(&report).is_empty(), "{report:?}");
            world.intake.settle(delivery, &batch, &failures(&report));
        }
    }
}

/// Accepted, processed and archived.
async fn archived(world: &World, endpoint: &str, webhook: &SignedWebhook) -> Row<'static> {
    world.take(Some(endpoint), webhook).await.unwrap();
    process(world).await;
    world.archived().pop().unwrap()
}

async fn replay(world: &World, row: &Row<'static>) -> Result<Taken, Rejection> {
    replay_as(world, row, ACT, Mode::Take).await
}

async fn replay_as(world: &World, row: &Row<'static>, act: &str, mode: Mode) -> Result<Taken, Rejection> {
    let body = match decode(row.encoding, &row.body).unwrap() {
        Content::Inline(bytes) => bytes.into_owned(),
        Content::ClaimCheck(claim) => (&world.payloads).get(&claim.key).await.unwrap(),
    };
    let incoming = Incoming {
        webhook_id: &row.webhook_id,
        received_at: row.received_at,
        endpoint: Some(row.receipt.endpoint.as_str()),
        headers: &row.request.headers,
        query: &row.request.query,
        body: &body,
        source_ip: &row.source_ip,
        trace: None,
    };
    let faults = Faults::none();
    let replay = Replay { act, receipt: &row.receipt, mode, now: world.clock.now() };
    world.intake(&faults).replay(incoming, &replay).await
}

fn receipt(message: &Message) -> &str {
    let receipt = message.attributes.iter().find(|(name, _)| name == attribute::RECEIPT);
    &receipt.unwrap().1
}

fn reason(taken: &Result<Taken, Rejection>) -> &'static str {
    match taken {
        Ok(taken) if taken.duplicate => "duplicate",
        Ok(_) => "accepted",
        Err(rejection) => rejection.code(),
    }
}

/// What a consumer sees of events.
fn told(world: &World) -> Vec<PaymentEvent<'static>> {
    world.published()
}

#[tokio::test]
async fn another_platform_tells_the_same_events_once_however_often_they_are_sent_again() {
    let (blue, green) = (world(), world());
    let mut rows = Vec::new();
    for endpoint in ["stripe", "acme", "lined-up"] {
        for event in ["1", "2"] {
            let event_id = format!("evt_{endpoint}_{event}");
            rows.push(archived(&blue, endpoint, &payment(endpoint, &event_id)).await);
        }
    }
    // Long behind every window of a signature's time.
    green.clock.advance_ms(13 * DAY * 1_000);
    for act in ["first", "second"] {
        for row in &rows {
            let taken = replay_as(&green, row, act, Mode::Take).await;
            assert_eq!(reason(&taken), if act == "first" { "accepted" } else { "duplicate" }, "{taken:?}");
        }
        process(&green).await;
        assert_eq!(told(&green), told(&blue), "{act}");
    }
    let marked: Vec<Row<'static>> = green.archived();
    let expected: Vec<Row<'static>> =
        rows.iter().map(|row| Row { replayed_by: Some("first".to_owned()), ..row.clone() }).collect();
    let key = |row: &Row<'static>| row.webhook_id;
    let sorted = |mut rows: Vec<Row<'static>>| {
        rows.sort_by_key(key);
        rows
    };
    assert_eq!(sorted(marked), sorted(expected), "the same rows, and who sent them again");
}

#[tokio::test]
async fn what_has_taken_effect_does_nothing_again_and_what_was_lost_does() {
    let world = world();
    let done = archived(&world, "stripe", &payment("stripe", "evt_done")).await;
    world.clock.advance_ms(7 * DAY * 1_000);
    assert_eq!(reason(&replay(&world, &done).await), "duplicate");
    assert!(world.queued(Delivery::Fast).is_empty(), "nothing is sent for what is done");
    // Its message is lost: as one that somebody purged.
    let lost = Sender::new(config("lined-up", "stripe"), KEY);
    let at = world.clock.now();
    let lost = lost.payment(&Payment::new("evt_lost", "pi_2", at), at);
    world.take(Some("lined-up"), &lost).await.unwrap();
    let message = world.queued(Delivery::Ordered).pop().unwrap();
    assert!(!is_taken_later(receipt(&message)));
    let other = crate::world();
    other.clock.advance_ms(7 * DAY * 1_000);
    let lost = archived(&other, "lined-up", &lost).await;
    let lost = Row { webhook_id: read(&message).webhook_id, received_at: read(&message).received_at, ..lost };
    let batch = world.intake.receive(Delivery::Ordered, 10);
    world.intake.settle(Delivery::Ordered, &batch, &[]);
    // SQS takes no second message of a deduplication id for five minutes; a replay has one of its own.
    assert_eq!(reason(&replay(&world, &lost).await), "duplicate");
    let again = world.queued(Delivery::Ordered);
    assert!(again.len() == 1 && is_taken_later(receipt(&again[0])), "{again:?}");
    process(&world).await;
    let events: Vec<String> = told(&world).iter().map(|event| event.provider_event_id.to_string()).collect();
    assert_eq!(events, ["evt_done", "evt_lost"]);
    assert_eq!(world.archived().pop().unwrap().outcome, Outcome::Processed);
}

#[tokio::test]
async fn a_webhook_is_sent_again_as_its_receipt_has_it_or_not_at_all() {
    let world = world();
    let row = archived(&world, "stripe", &payment("stripe", "evt_1")).await;
    let seconds = |at: Timestamp, by: i64| Timestamp::from_second(at.as_second() + by).unwrap();
    let altered = |alter: fn(&mut Row<'static>)| {
        let mut row = row.clone();
        alter(&mut row);
        row
    };
    let later = Timestamp::from_second(row.received_at.as_second() + 400).unwrap();
    world.clock.advance_ms(DAY * 1_000);
    let cases = [
        ("its body", altered(|row| row.body.push(' ')), "receipt_differs"),
        (
            "body and digest",
            altered(|row| {
                row.body.push(' ');
                row.receipt.body_sha256 = tollgate_core::id::hex_sha256(row.body.as_bytes());
            }),
            "signature_mismatch",
        ),
        (
            "an event that nobody sent",
            altered(|row| row.receipt.authenticity = Authenticity::Retrieved),
            "retrieved",
        ),
        ("the signed time", altered(|row| row.receipt.signed_at = None), "receipt_differs"),
        (
            "another endpoint",
            altered(|row| row.receipt.endpoint = tollgate_core::EndpointId::new("acme").unwrap()),
            "header_missing",
        ),
        ("arrived later than its id says", Row { received_at: later, ..row.clone() }, "receipt_differs"),
        (
            "arrived outside the window of what is signed",
            Row { webhook_id: tollgate_core::WebhookId::new(later, 1), received_at: later, ..row.clone() },
            "too_old",
        ),
        (
            "not configured here",
            altered(|row| row.receipt.endpoint = tollgate_core::EndpointId::new("nobody").unwrap()),
            "unknown_endpoint",
        ),
    ];
    for (what, row, expected) in cases {
        assert_eq!(reason(&replay(&world, &row).await), expected, "{what}");
    }
    for act in ["", "0A", "a b", &"a".repeat(65)] {
        assert_eq!(reason(&replay_as(&world, &row, act, Mode::Take).await), "no_act", "{act}");
    }
    let green = crate::world();
    green.clock.advance_ms(DAY * 1_000);
    let secret = config("stripe", "stripe").secret;
    // The key before the current one verifies too.
    for _ in 0..2 {
        green.secrets.rotate(secret.clone(), OTHER_KEY);
    }
    assert_eq!(
        reason(&replay(&green, &row).await),
        "signature_mismatch",
        "with the keys of the platform that takes it"
    );
    for (age, expected) in
        [(-1, "not_yet_received"), (REPLAY_SECONDS, "accepted"), (REPLAY_SECONDS + 1, "too_old_to_replay")]
    {
        let green = World::new(seconds(row.received_at, age), vec![config("stripe", "stripe")]);
        assert_eq!(reason(&replay(&green, &row).await), expected, "{age}");
        let foreseen = reason(&replay_as(&green, &row, ACT, Mode::Foresee).await);
        assert_eq!(foreseen == "accepted", expected == "accepted", "{age}");
        let verified = reason(&replay_as(&green, &row, ACT, Mode::Verify).await);
        assert_eq!(verified == "accepted", age >= 0, "however old it is, {age}");
    }
}

#[tokio::test]
async fn what_is_only_checked_leaves_no_trace() {
    let (blue, green) = (world(), world());
    let row = archived(&blue, "stripe", &payment("stripe", "evt_1")).await;
    assert_eq!(reason(&replay_as(&green, &row, ACT, Mode::Foresee).await), "accepted");
    assert!(green.queued(Delivery::Fast).is_empty());
    assert_eq!(reason(&replay(&green, &row).await), "accepted", "and nothing was claimed");
}

#[tokio::test]
async fn a_replay_is_at_most_as_authentic_as_at_first() {
    let (blue, green) = (world(), world());
    let mut row = archived(&blue, "stripe", &payment("stripe", "evt_1")).await;
    row.receipt.authenticity = Authenticity::Authenticated;
    replay(&green, &row).await.unwrap();
    process(&green).await;
    assert_eq!(told(&green)[0].authenticity, Authenticity::Authenticated);
}
