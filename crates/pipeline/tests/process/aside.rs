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
    failure::{Fault, Faults},
    memory::{
        queues::Message,
        world::{LIMIT, World, failures, records, run},
    },
    webhook::{Payment, adyen, adyen_event_id},
};

use crate::{noon, payment, process, process_with, sender, spoil, take, take_payment, world};

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

/// Runs a batch with each body as it stands in the batch's JSON beside it, as a function reads it.
pub(crate) async fn run_as_read(world: &World, batch: &[Message]) -> Vec<String> {
    let escaped: Vec<String> =
        batch.iter().map(|message| serde_json::to_string(&message.body).unwrap()).collect();
    let mut records = records(batch);
    for (record, escaped) in records.iter_mut().zip(&escaped) {
        record.escaped_body = Some(&escaped[1..escaped.len() - 1]);
    }
    let faults = Faults::none();
    let deadline = Deadline::at(u64::MAX, 0);
    failures(&world.processor(&faults).run(Kind::Standard, &records, deadline).await.unwrap())
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

/// What is away stays so for two receives; then the queue is worked off. Each is published again after what failed behind it.
#[tokio::test]
async fn after_an_outage_each_payment_is_worked_off_in_its_order() {
    let taken: Vec<(String, &str)> =
        (0..24).map(|number| (format!("e{number:02}"), ["A", "B", "C"][number * 7 % 3])).collect();
    for away in [
        "endpoints.endpoints",
        "ledger.known",
        "effects.claim",
        "transactions.latest",
        "transactions.record",
        "bus.publish",
        "archive_queue.send",
        "ledger.mark",
    ] {
        let world = world();
        for (id, transaction) in &taken {
            take_payment(&world, "lined-up", "stripe", &Payment::new(id, *transaction, noon())).await;
        }
        for _ in 0..2 {
            // The others stand behind these in their groups.
            assert_eq!(
                process_with(&world, Delivery::Ordered, &Faults::away(away)).await.len(),
                10,
                "{away}"
            );
            assert_eq!(world.queued(Delivery::Ordered).len(), taken.len(), "{away}");
            world.clock.advance_ms(LATER_MS);
        }
        while !world.queued(Delivery::Ordered).is_empty() {
            assert!(process(&world, Delivery::Ordered).await.is_empty(), "{away}");
        }
        assert!(world.intake.quarantine().messages().is_empty(), "{away}");
        let mut seen = BTreeSet::new();
        let first = published(&world).into_iter().filter(|id| seen.insert(id.clone())).collect::<Vec<_>>();
        for payment in ["A", "B", "C"] {
            let sent = |id: &String| taken.iter().any(|(taken, of)| taken == id && *of == payment);
            let in_order = taken.iter().filter(|(_, of)| *of == payment).map(|(id, _)| id);
            assert!(first.iter().filter(|id| sent(id)).eq(in_order), "{away}, {payment}: {first:?}");
        }
        assert_eq!(seen.len(), taken.len(), "{away}");
    }
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

/// An accepted webhook whose body is too long for its row or was too long for its message: it is archived as a webhook, its
/// body in S3.
#[tokio::test]
async fn a_webhook_with_a_long_body_is_set_aside_with_its_body_in_s3() {
    for (length, filler) in [(LIMIT - 2_048, b'"'), (LIMIT, b' ')] {
        let world = world();
        let mut body = payment("e1").body("stripe").unwrap().into_bytes();
        body.resize(length, filler);
        take(&world, "stripe", &sender("stripe", "stripe").sign("", &body, noon())).await;
        let mut batch = world.intake.receive(Delivery::Fast, 10);
        batch[0].receive_count = 3;
        world.bus.fail(throttled());
        assert!(run_as_read(&world, &batch).await.is_empty(), "{length}");
        assert_eq!(world.quarantine.messages()[0].reason, "bus_unavailable");
        let rows = world.archived();
        assert_eq!(
            (rows.len(), rows[0].outcome, rows[0].events.len()),
            (1, Outcome::SetAside, 0),
            "{length}"
        );
        match decode(rows[0].encoding, &rows[0].body).unwrap() {
            Content::ClaimCheck(check) => assert!(world.payloads.objects()[&check.key] == body, "{length}"),
            Content::Inline(_) => panic!("{length}: in the row"),
        }
    }
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

/// Rows too long to share a message, and a duplicate in a message apart: those come back whose messages were not sent.
#[tokio::test]
async fn a_message_comes_back_whose_own_row_was_not_sent() {
    let world = world();
    for id in ["e1", "e2", "e3"] {
        let mut body = payment(id).body("stripe").unwrap().into_bytes();
        body.resize(MAX_MESSAGE_BYTES * 2 / 3, b' ');
        take(&world, "stripe", &sender("stripe", "stripe").sign("", &body, noon())).await;
    }
    take_payment(&world, "stripe", "stripe", &payment("e1")).await;
    let batch = world.intake.receive(Delivery::Fast, 10);
    // Endpoints, states, effects, latest, record, publish, archive: every other message is sent.
    let faults = Faults::nth(6, Fault::Partial);
    let report = run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
    assert_eq!(failures(&report), [batch[1].id.clone(), batch[3].id.clone()]);
    assert_eq!(archived(&world), [(Outcome::Processed, None, 1), (Outcome::Processed, None, 1)]);
    let faults = Faults::none();
    let report = run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
    assert!(failures(&report).is_empty());
    assert_eq!(archived(&world)[2..], [(Outcome::Processed, None, 1), (Outcome::Duplicate, None, 0)]);
}

/// Takes a delivery of payments, each with a note of so many bytes more, and processes it. Its rows' lengths and their
/// numbers of events. U+0001 is one byte of a note and six in JSON.
async fn rows_of_a_large_delivery(more: &[usize]) -> Vec<(usize, usize)> {
    let world = world();
    let payments: Vec<Payment> =
        (0..more.len()).map(|n| Payment::new(format!("PSP{n}"), format!("T{n}"), noon())).collect();
    let mut body: serde_json::Value =
        serde_json::from_str(&adyen(&payments.iter().collect::<Vec<_>>())).unwrap();
    for (item, more) in body["notificationItems"].as_array_mut().unwrap().iter_mut().zip(more) {
        let item = item["NotificationRequestItem"].as_object_mut().unwrap();
        let data = item.entry("additionalData").or_insert_with(|| serde_json::json!({}));
        data["metadata.note"] = format!("{}{}", "\u{1}".repeat(4_000), "-".repeat(*more)).into();
    }
    let webhook = sender("adyen", "adyen").sign("", body.to_string().as_bytes(), noon());
    let faults = Faults::none();
    let mut intake = world.intake(&faults);
    intake.max_body_bytes = 4 * LIMIT;
    world.take_on(&intake, Some("adyen"), &webhook).await.unwrap();
    assert!(process(&world, Delivery::Fast).await.is_empty());
    assert_eq!((world.published().len(), world.quarantine.messages().len()), (more.len(), 0));
    let rows = world.archived();
    assert!(rows.iter().all(|row| row.webhook_id == rows[0].webhook_id && row.body == rows[0].body));
    assert_eq!(rows.iter().map(|row| row.part as usize).collect::<Vec<_>>(), Vec::from_iter(0..rows.len()));
    let told: Vec<String> = rows
        .iter()
        .flat_map(|row| row.events.iter().map(|event| event.provider_event_id.to_string()))
        .collect();
    assert_eq!(told, payments.iter().map(adyen_event_id).collect::<Vec<_>>(), "each once, in order");
    let messages = world.archive.messages();
    let lines: Vec<&str> = messages.iter().flat_map(|message| message.lines()).collect();
    lines.iter().zip(rows).map(|(line, row)| (line.len(), row.events.len())).collect()
}

/// A delivery whose events do not fit a message of the archive queue, even with the body in S3.
#[tokio::test]
async fn a_delivery_whose_row_is_too_large_is_archived_in_parts() {
    const EVENTS: usize = 100;
    let rows = rows_of_a_large_delivery(&[0; EVENTS]).await;
    assert!(rows.len() > 2, "the events are longer than two messages");
    // A few bytes more than a message takes, in the first part and in one that says its number.
    let mut before = 0;
    for (part, (length, events)) in rows.iter().copied().enumerate().take(2) {
        let beyond = MAX_MESSAGE_BYTES - length + 5;
        let mut more = [0; EVENTS];
        more[before..before + events].fill(beyond / events);
        more[before] += beyond % events;
        let rows = rows_of_a_large_delivery(&more).await;
        assert_eq!(rows[part].1, events - 1, "part {part}");
        before += events;
    }
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
    let mut batch = world.intake.receive(Delivery::Fast, 1_000);
    // A failure would set each aside.
    batch.iter_mut().for_each(|message| message.receive_count = 3);
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
        assert!(report.summary.reasons.keys().all(|reason| *reason == "deadline"), "after {looks} looks");
        assert_eq!(report.summary.retries + report.summary.unprocessed, failed.len(), "after {looks} looks");
        let newly = world.published().split_off(done);
        assert_eq!(report.published, newly.len(), "after {looks} looks");
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
