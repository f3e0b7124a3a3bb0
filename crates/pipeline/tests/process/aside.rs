//! What is set aside, what another delivery did, and what there is no time for: nothing of it is lost.

use std::collections::BTreeSet;

use tollgate_batch::{Deadline, Kind};
use tollgate_core::Delivery;
use tollgate_pipeline::{
    archive::{Line, Outcome},
    intake::{Content, MAX_MESSAGE_BYTES, attribute, decode},
    ports::{Clock, LedgerState, PortError},
};
use tollgate_testkit::{
    failure::Faults,
    memory::{
        queues::Message,
        world::{World, failures, records, run},
    },
    webhook::{Payment, adyen, adyen_event_id},
};

use crate::{noon, payment, process, sender, spoil, take, take_payment, world};

/// Longer than the intakes' visibility timeout, in milliseconds.
const LATER_MS: i64 = 361_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

fn throttled() -> PortError {
    PortError::retryable("bus", "ThrottlingException")
}

fn published(world: &World) -> Vec<String> {
    world.published().iter().map(|event| event.provider_event_id.to_string()).collect()
}

/// The outcome and the reason of each archived webhook, and how many events it has there.
fn archived(world: &World) -> Vec<(Outcome, Option<String>, usize)> {
    world.archived().into_iter().map(|row| (row.outcome, row.reason, row.events.len())).collect()
}

/// The bus refuses the first of ten messages of a payment each time, and the second one at its first try.
#[tokio::test]
async fn the_last_failure_of_a_message_sets_it_aside_and_its_group_goes_on() {
    let world = world();
    let ids: Vec<String> = (1..=10).map(|number| format!("e{number}")).collect();
    for id in &ids {
        take_payment(&world, "lined-up", "stripe", &Payment::new(id, "A", noon())).await;
    }
    for _ in 0..2 {
        world.bus.fail(throttled());
        assert_eq!(process(&world, Delivery::Ordered).await.len(), 10, "the group waits");
        world.clock.advance_ms(LATER_MS);
    }
    world.bus.fail(throttled());
    world.bus.fail(throttled());
    assert_eq!(process(&world, Delivery::Ordered).await.len(), 9, "the second one was tried once");
    let aside = || -> Vec<String> {
        world.intake.quarantine().messages().into_iter().map(|message| message.reason).collect()
    };
    assert_eq!((aside(), published(&world).len()), (vec!["bus_unavailable".to_owned()], 0));
    world.clock.advance_ms(LATER_MS);
    assert!(process(&world, Delivery::Ordered).await.is_empty());
    assert_eq!((published(&world), aside().len()), (ids[1..].to_vec(), 1));
    let outcomes = archived(&world);
    assert_eq!(outcomes[0], (Outcome::SetAside, Some("bus_unavailable".to_owned()), 0));
    assert!(outcomes[1..].iter().all(|row| *row == (Outcome::Processed, None, 1)), "{outcomes:?}");
}

/// On the last day of a week in the queue: a failure at the last try, poison, and a contradiction.
#[tokio::test]
async fn what_is_set_aside_is_archived_at_once_and_kept_from_then_on() {
    let world = world();
    for payment in [payment("e1"), payment("e2"), payment("e3"), payment("e3").of("999900", "USD")] {
        take_payment(&world, "stripe", "stripe", &payment).await;
    }
    world.clock.advance_ms(7 * DAY_MS - 4 * LATER_MS);
    for receive in 1..=3 {
        let batch = world.intake.receive(Delivery::Fast, 10);
        let mut seen: Vec<Message> = batch.clone();
        // Another sender wrote it.
        for message in seen.iter_mut().filter(|message| message.body.contains("\"e2\"")) {
            spoil(message, attribute::ENCODING, "base64");
        }
        // What comes first is published first.
        world.bus.fail(throttled());
        let faults = Faults::none();
        let report = run(&world.processor(&faults), Kind::Standard, &seen).await.unwrap();
        let failed = failures(&report);
        assert_eq!(failed.len(), usize::from(receive < 3), "{receive}");
        world.intake.settle(Delivery::Fast, &batch, &failed);
        world.clock.advance_ms(LATER_MS);
    }
    let reasons = |world: &World| -> BTreeSet<String> {
        world.intake.quarantine().messages().into_iter().map(|message| message.reason).collect()
    };
    let expected = ["body_undecodable", "bus_unavailable", "conflicting_facts"].map(str::to_owned);
    assert_eq!(reasons(&world), expected.clone().into());
    let in_archive = |line: Line<'static>| match line {
        Line::Webhook(row) => Some((row.reason?, row.body)),
        Line::Unread(message) => Some((message.reason, message.body)),
    };
    let in_archive: Vec<_> = world.archive_lines().into_iter().filter_map(in_archive).collect();
    assert_eq!(in_archive.iter().map(|(reason, _)| reason.clone()).collect::<BTreeSet<_>>(), expected.into());
    for message in world.intake.quarantine().messages() {
        assert!(in_archive.contains(&(message.reason.clone(), message.body.clone())), "{message:?}");
    }
    world.clock.advance_ms(14 * DAY_MS - 5 * LATER_MS);
    assert_eq!(reasons(&world).len(), 3, "14 days begin when it is set aside");
    assert_eq!(published(&world), ["e3"]);
}

/// Two deliveries of one event, whose bytes differ, and the later one is processed first.
#[tokio::test]
async fn a_delivery_that_a_copy_overtook_is_archived_as_well() {
    for at_once in [false, true] {
        let world = world();
        let body = payment("e1").body("stripe").unwrap();
        let bodies = [body.clone(), format!("{body} ")];
        for body in &bodies {
            take(&world, "stripe", &sender("stripe", "stripe").sign("", body.as_bytes(), noon())).await;
        }
        let mut batch = world.intake.receive(Delivery::Fast, 10);
        batch.reverse();
        let faults = Faults::none();
        let strides = if at_once { vec![&batch[..]] } else { batch.chunks(1).collect() };
        for stride in strides {
            let report = run(&world.processor(&faults), Kind::Standard, stride).await.unwrap();
            assert!(failures(&report).is_empty());
        }
        // A copy that the queue hands out once more needs no further row.
        let report = run(&world.processor(&faults), Kind::Standard, &batch[..1]).await.unwrap();
        assert_eq!((failures(&report).len(), report.summary.duplicates), (0, 1));
        let rows = world.archived();
        let bytes: Vec<Vec<u8>> = rows
            .iter()
            .map(|row| match decode(row.encoding, &row.body).unwrap() {
                Content::Inline(bytes) => bytes.into_owned(),
                claimed => panic!("{claimed:?}"),
            })
            .collect();
        assert_eq!(bytes, [bodies[1].as_bytes(), bodies[0].as_bytes()], "at once: {at_once}");
        assert_eq!(archived(&world), [(Outcome::Processed, None, 1), (Outcome::Duplicate, None, 0)]);
        assert_eq!(world.published().len(), 1);
    }
}

/// During a release, an archival function from before duplicates were archived reads the messages too. A line that it does
/// not know costs it the whole message.
#[tokio::test]
async fn rows_of_new_outcomes_are_in_archive_messages_apart() {
    let world = world();
    let bodies = ["e1", "e2"].map(|id| payment(id).body("stripe").unwrap());
    for body in [bodies[0].clone(), format!("{} ", bodies[0]), bodies[1].clone(), format!("{} ", bodies[1])] {
        take(&world, "stripe", &sender("stripe", "stripe").sign("", body.as_bytes(), noon())).await;
    }
    take_payment(&world, "stripe", "stripe", &payment("e3")).await;
    let mut batch = world.intake.receive(Delivery::Fast, 10);
    let last = batch.len() - 1;
    spoil(&mut batch[last], attribute::ENCODING, "base64");
    let report = run(&world.processor(&Faults::none()), Kind::Standard, &batch).await.unwrap();
    assert_eq!((failures(&report).len(), report.summary.quarantined), (0, 1));
    let outcomes = |message: &String| -> BTreeSet<String> {
        let outcome =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["outcome"].to_string();
        message.split('\n').map(outcome).collect()
    };
    let mut messages: Vec<BTreeSet<String>> = world.archive.messages().iter().map(outcomes).collect();
    messages.sort();
    let of = |outcome: &str| BTreeSet::from([outcome.to_owned()]);
    // What is set aside here is archived as it came, and has no outcome.
    assert_eq!(messages, [of("\"duplicate\""), of("\"processed\""), of("null")]);
    assert_eq!(archived(&world).len(), 4);
}

/// A delivery whose events do not fit a message of the archive queue, even with the body in S3: U+FFFE, which SQS takes
/// nowhere, is three bytes in an event and six in a message.
#[tokio::test]
async fn a_delivery_whose_row_is_too_large_is_archived_in_parts() {
    let world = world();
    let payments: Vec<Payment> =
        (0..100).map(|n| Payment::new(format!("PSP{n}"), format!("T{n}"), noon())).collect();
    let mut body: serde_json::Value =
        serde_json::from_str(&adyen(&payments.iter().collect::<Vec<_>>())).unwrap();
    for item in body["notificationItems"].as_array_mut().unwrap() {
        let item = item["NotificationRequestItem"].as_object_mut().unwrap();
        let data = item.entry("additionalData").or_insert_with(|| serde_json::json!({}));
        data["metadata.note"] = "\u{fffe}".repeat(2_600).into();
    }
    let webhook = sender("adyen", "adyen").sign("", body.to_string().as_bytes(), noon());
    take(&world, "adyen", &webhook).await;
    assert!(process(&world, Delivery::Fast).await.is_empty());
    assert_eq!((world.published().len(), world.quarantine.messages().len()), (100, 0));
    let rows = world.archived();
    assert!(rows.len() > 1, "the events are longer than a message");
    assert!(rows.iter().all(|row| row.webhook_id == rows[0].webhook_id && row.body == rows[0].body));
    assert_eq!(rows.iter().map(|row| row.part as usize).collect::<Vec<_>>(), Vec::from_iter(0..rows.len()));
    let told: Vec<String> = rows
        .iter()
        .flat_map(|row| row.events.iter().map(|event| event.provider_event_id.to_string()))
        .collect();
    assert_eq!(told, payments.iter().map(adyen_event_id).collect::<Vec<_>>(), "each once, in order");
}

/// Poison whose rows are longer than an archive message, and a deadline that strikes at any look at the clock: no body is
/// stored after it, and what has no row comes back.
#[tokio::test]
async fn no_body_of_what_is_set_aside_is_stored_after_the_deadline() {
    const POISON: usize = 9;
    let world = world();
    for number in 0..POISON {
        take_payment(&world, "stripe", "stripe", &payment(&format!("e{number}"))).await;
    }
    let mut batch = world.intake.receive(Delivery::Fast, POISON);
    for (number, message) in batch.iter_mut().enumerate() {
        // JSON writes each of these as six.
        message.body = format!("{number}{}", "\u{1}".repeat(MAX_MESSAGE_BYTES / 5));
        message.attributes.clear();
    }
    let faults = Faults::none();
    let processor = world.processor(&faults);
    let mut found = false;
    for looks in (1..60).step_by(7) {
        let before = world.archive_lines().len();
        let now = u64::try_from(world.clock.now().as_millisecond()).unwrap();
        world.clock.tick_ms(1);
        let report =
            processor.run(Kind::Standard, &records(&batch), Deadline::at(now + looks, 0)).await.unwrap();
        world.clock.tick_ms(0);
        assert_eq!(failures(&report).len() + report.summary.quarantined, POISON, "after {looks} looks");
        let newly = world.archive_lines().len() - before;
        assert!(report.summary.quarantined <= newly, "after {looks} looks");
        found = (1..POISON).contains(&newly);
        if found {
            break;
        }
    }
    assert!(found, "some bodies were stored and others were not");
}

/// A deadline that strikes between two sections.
#[tokio::test]
async fn a_section_that_there_is_no_time_for_is_not_published() {
    let world = world();
    for number in 0..600 {
        take_payment(&world, "stripe", "stripe", &payment(&format!("e{number}"))).await;
    }
    let batch = world.intake.receive(Delivery::Fast, 1_000);
    let faults = Faults::none();
    let mut found = false;
    for looks in 1..20 {
        let done = world.published().len();
        let processor = world.processor(&faults);
        let now = u64::try_from(world.clock.now().as_millisecond()).unwrap();
        world.clock.tick_ms(1);
        let deadline = Deadline::at(now + looks, 0);
        let report = processor.run(Kind::Standard, &records(&batch), deadline).await.unwrap();
        world.clock.tick_ms(0);
        let failed = failures(&report);
        let newly = world.published().split_off(done);
        let is_done = |event: &tollgate_core::PaymentEvent<'_>| {
            world.ledger.entry(&event.ledger_key()).unwrap().state == LedgerState::Processed
        };
        assert!(newly.iter().all(is_done), "after {looks} looks");
        assert_eq!(world.archived().len(), world.published().len(), "after {looks} looks");
        assert_eq!(batch.len() - failed.len(), world.published().len(), "after {looks} looks");
        found |= (1..600).contains(&newly.len());
        if world.published().len() == batch.len() {
            break;
        }
    }
    assert!(found, "one section was published and the other was not");
    assert_eq!(world.published().len(), batch.len());
}
