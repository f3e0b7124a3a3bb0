//! The processor does what the validator accepted, and nothing else.

use tollgate_batch::Kind;
use tollgate_core::{Authenticity, Delivery, EndpointId, LedgerKey, PaymentEvent, id::hex_sha256};
use tollgate_pipeline::{
    archive::Line,
    intake::attribute,
    ports::{
        Allowance, Allowances as _, Clock as _, LEDGER_RETENTION_SECONDS, LedgerState, MAX_SEALS,
        TOO_OLD_SECONDS,
    },
};
use tollgate_providers::Revision;
use tollgate_testkit::{
    failure::{Fault, Faults},
    memory::{
        queues::Message,
        world::{World, failures, read, run},
    },
    webhook::{Payment, adyen, adyen_event_id},
};

use crate::{later, noon, payment, process, sender, spoil, take, take_payment, undated, world};

/// The receive from which on what fails is set aside.
const LAST_TRY: u32 = 3;

pub(crate) fn key(endpoint: &str, event_id: &str) -> LedgerKey {
    LedgerKey::new(&EndpointId::new(endpoint).unwrap(), event_id)
}

/// Makes the claim one of another version of ours, whose facts are not to be compared with today's.
pub(crate) fn read_otherwise(world: &World, endpoint: &str, event_id: &str) {
    let other = Revision::parse("0123456789abcdef").unwrap();
    world.ledger.edit(&key(endpoint, event_id), |entry| entry.terms.revision = other);
}

fn receipt(message: &mut Message, change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) {
    let (_, text) =
        message.attributes.iter_mut().find(|(name, _)| name == attribute::RECEIPT).expect("a receipt");
    let mut receipt: serde_json::Value = serde_json::from_str(text).unwrap();
    change(receipt.as_object_mut().unwrap());
    *text = receipt.to_string();
}

fn reasons(world: &World) -> Vec<String> {
    world.quarantine.messages().into_iter().map(|aside| aside.reason).collect()
}

fn assert_no_effect(world: &World, case: &str) {
    assert!(world.published().is_empty(), "{case}");
    assert!(world.transactions.records().is_empty(), "{case}");
    assert!(world.archived().iter().all(|row| row.events.is_empty()), "{case}");
}

/// As the queue hands it out at its last try.
pub(crate) async fn process_batch(world: &World, batch: &[Message]) -> Vec<String> {
    process_receive(world, batch, LAST_TRY).await
}

async fn process_receive(world: &World, batch: &[Message], receive_count: u32) -> Vec<String> {
    let mut batch = batch.to_vec();
    batch.iter_mut().for_each(|message| message.receive_count = receive_count);
    let faults = Faults::none();
    failures(&run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap())
}

/// A message that nobody accepted: its sender can write into the queue, and not into the ledger.
#[tokio::test]
async fn what_nobody_accepted_has_no_effect() {
    let world = world();
    take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    let mut forged = world.intake.receive(Delivery::Fast, 10);
    forged[0].body = payment("evt_2").of("99999999", "USD").body("stripe").unwrap();
    let sha256 = hex_sha256(forged[0].body.as_bytes());
    receipt(&mut forged[0], |receipt| _ = receipt.insert("body_sha256".to_owned(), sha256.into()));
    assert!(process_batch(&world, &forged).await.is_empty());
    assert_no_effect(&world, "forged");
    assert_eq!(reasons(&world), ["unclaimed"]);
}

/// A claim that is forgotten, removed or not, is no claim.
#[tokio::test]
async fn what_the_ledger_forgot_is_set_aside_as_unclaimed() {
    for is_removed in [false, true] {
        let world = world();
        take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
        // Out of the queue: messages do not stay there for so long.
        let batch = world.intake.receive(Delivery::Fast, 10);
        match is_removed {
            true => world.ledger.forget(&key("stripe", "evt_1")),
            false => world.clock.advance_ms(LEDGER_RETENTION_SECONDS * 1_000),
        }
        assert!(process_batch(&world, &batch).await.is_empty());
        assert_no_effect(&world, "forgotten");
        assert_eq!(reasons(&world), ["unclaimed"]);
    }
}

/// The same event with anything else about it than what was accepted.
#[tokio::test]
async fn a_message_that_is_not_as_it_was_accepted_has_no_effect() {
    type Alter = fn(&mut Message);
    let cases: [(&str, Alter); 11] = [
        ("claimed ids", |message| {
            receipt(message, |receipt| {
                assert!(receipt.insert("claimed".to_owned(), "evt_2".into()).is_some())
            });
        }),
        ("body", |message| message.body.push(' ')),
        ("body and its digest", |message| {
            message.body = message.body.replace("1099", "9999");
            let sha256 = hex_sha256(message.body.as_bytes());
            receipt(message, |receipt| _ = receipt.insert("body_sha256".to_owned(), sha256.into()));
        }),
        ("authenticity", |message| {
            receipt(message, |receipt| _ = receipt.insert("authenticity".to_owned(), "authenticated".into()));
        }),
        ("signed time", |message| {
            receipt(message, |receipt| {
                let at = "2026-01-02T11:59:59Z";
                assert!(receipt.insert("signed_at".to_owned(), at.into()).is_some());
            });
        }),
        ("webhook", |message| spoil(message, attribute::WEBHOOK_ID, "wh_01ARZ3NDEKTSV4RRFFQ69G5FAV")),
        ("time of arrival", |message| spoil(message, attribute::RECEIVED_AT, "2026-01-02T12:00:09Z")),
        ("source", |message| spoil(message, attribute::SOURCE_IP, "198.51.100.1")),
        ("key", |message| spoil(message, attribute::KEY_ID, "another")),
        ("provider", |message| spoil(message, attribute::PROVIDER, "adyen")),
        ("request", |message| spoil(message, attribute::REQUEST, r#"{"headers":[]}"#)),
    ];
    for (case, alter) in cases {
        for state in [LedgerState::Received, LedgerState::Processed] {
            let world = world();
            take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
            world.ledger.edit(&key("stripe", "evt_1"), |entry| entry.state = state);
            let mut batch = world.intake.receive(Delivery::Fast, 10);
            alter(&mut batch[0]);
            assert!(process_batch(&world, &batch).await.is_empty());
            assert_no_effect(&world, case);
            assert_eq!(reasons(&world), ["altered"], "{case}, {state:?}");
        }
    }
}

/// Who can read the queue may send a message again: that is a copy, whatever it leaves out.
#[tokio::test]
async fn a_message_that_only_leaves_out_is_a_copy() {
    let (a, b) = (Payment::new("PSP1", "T1", noon()), Payment::new("PSP2", "T2", noon()));
    let world = world();
    let webhook = sender("adyen", "adyen").sign("", adyen(&[&a, &b]).as_bytes(), noon());
    take(&world, "adyen", &webhook).await;
    let mut batch = world.intake.receive(Delivery::Fast, 10);
    receipt(&mut batch[0], |receipt| _ = receipt.insert("only_transaction".to_owned(), "T1".into()));
    assert!(process_batch(&world, &batch).await.is_empty());
    let ids: Vec<_> = world.published().iter().map(|event| event.provider_event_id.to_string()).collect();
    assert_eq!(ids, [adyen_event_id(&a)]);
}

/// A delivery of two events, one of which was done before, is accepted for the other.
#[tokio::test]
async fn an_event_that_is_done_needs_no_seal_of_a_message_that_has_another() {
    let (a, b) = (Payment::new("PSP1", "T1", noon()), Payment::new("PSP2", "T2", noon()));
    for (endpoint, delivery) in [("adyen", Delivery::Fast), ("adyen-ordered", Delivery::Ordered)] {
        let world = world();
        let sign =
            |payments: &[&Payment]| sender(endpoint, "adyen").sign("", adyen(payments).as_bytes(), noon());
        take(&world, endpoint, &sign(&[&a])).await;
        assert!(process(&world, delivery).await.is_empty());
        take(&world, endpoint, &sign(&[&a, &b])).await;
        assert_eq!(world.queued(delivery).len(), 1, "{endpoint}: nothing is sent for what is done");
        assert!(process(&world, delivery).await.is_empty());
        assert_eq!((world.published().len(), reasons(&world)), (2, vec![]), "{endpoint}");
    }
}

/// Two copies of one event say that it happened at different times, and the first one's processor dies after it has
/// recorded it.
#[tokio::test]
async fn copies_with_different_dates_make_one_record() {
    let at = |seconds| Payment { at: later(seconds), ..payment("evt_1") };
    let first = sender("stripe", "stripe").payment(&at(-60), noon());
    let without = sender("stripe", "stripe").sign("", &undated(&at(0)), noon());
    let second = sender("stripe", "stripe").payment(&at(0), noon());
    for webhooks in [[&first, &second], [&first, &without], [&without, &first]] {
        let world = world();
        for webhook in webhooks {
            take(&world, "stripe", webhook).await;
        }
        let batch = world.intake.receive(Delivery::Fast, 10);
        // Endpoints, states, effects, latest, record: the processor of the first dies after it.
        let faults = Faults::nth(4, Fault::DieAfter);
        let processor = world.processor(&faults);
        tokio::select! {
            biased;
            _ = run(&processor, Kind::Standard, &batch[..1]) => panic!("the call is never made"),
            () = faults.death() => {}
        }
        world.clock.advance_ms(tollgate_pipeline::ports::EFFECT_LEASE_SECONDS * 1_000);
        assert!(process_batch(&world, &batch[1..]).await.is_empty());
        let records: Vec<PaymentEvent<'_>> = world.transactions.records().into_values().collect();
        assert_eq!(records.len(), 1, "{records:?}");
        let entry = world.ledger.entry(&key("stripe", "evt_1")).unwrap();
        assert_eq!(records[0].occurred_at, entry.terms.occurred_at.unwrap_or(entry.received_at));
        assert_eq!(world.published().pop().unwrap().occurred_at, records[0].occurred_at);
    }
}

/// A claim of a version that kept no terms says when its event came first: that is the time of an event without one.
#[tokio::test]
async fn copies_of_an_event_whose_claim_has_no_terms_have_one_time() {
    let dated = Payment { at: later(-60), ..payment("evt_1") };
    let with = sender("stripe", "stripe").payment(&dated, noon());
    let without = sender("stripe", "stripe").sign("", &undated(&dated), noon());
    for (webhook, occurred_at) in [(with, Some(later(-60))), (without, None)] {
        let world = world();
        take(&world, "stripe", &webhook).await;
        world.ledger.strip_terms(&key("stripe", "evt_1"));
        world.clock.advance_ms(90_000);
        take(&world, "stripe", &webhook).await;
        let batch = world.intake.receive(Delivery::Fast, 10);
        assert!(process_batch(&world, &batch[1..]).await.is_empty());
        let first = read(&batch[0]).received_at;
        assert_eq!(world.published().pop().unwrap().occurred_at, occurred_at.unwrap_or(first));
    }
}

/// The note of a conflict outlives the claim.
#[tokio::test]
async fn a_contradiction_has_no_effect_after_the_ledger_forgot() {
    type Forget = fn(&World);
    let cases: [Forget; 2] = [
        |world| world.ledger.forget(&key("stripe", "evt_1")),
        |world| world.clock.advance_ms(LEDGER_RETENTION_SECONDS * 1_000),
    ];
    for forget in cases {
        let world = world();
        take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
        take_payment(&world, "stripe", "stripe", &payment("evt_1").of("999900", "USD")).await;
        let batch = world.intake.receive(Delivery::Fast, 10);
        forget(&world);
        assert!(process_batch(&world, &batch[1..]).await.is_empty());
        assert_no_effect(&world, "forgotten");
        assert_eq!(reasons(&world), ["conflicting_facts"]);
    }
}

/// Somebody takes the note off the message: the claim has no seal of it.
#[tokio::test]
async fn a_contradiction_without_its_note_has_no_effect() {
    let world = world();
    take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    take_payment(&world, "stripe", "stripe", &payment("evt_1").of("999900", "USD")).await;
    let mut batch = world.intake.receive(Delivery::Fast, 10);
    receipt(&mut batch[1], |receipt| assert!(receipt.remove("conflicts").is_some()));
    assert!(process_batch(&world, &batch[1..]).await.is_empty());
    assert_no_effect(&world, "without its note");
    assert_eq!(reasons(&world), ["altered"]);
}

/// A version of ours that reads other facts of the same body, before an update or beside it.
#[tokio::test]
async fn facts_that_another_version_read_are_no_conflict() {
    for is_processed_before in [false, true] {
        let world = world();
        take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
        read_otherwise(&world, "stripe", "evt_1");
        world.ledger.edit(&key("stripe", "evt_1"), |entry| entry.fingerprint = "2:of old".to_owned());
        if is_processed_before {
            assert!(process(&world, Delivery::Fast).await.is_empty());
        }
        take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
        assert!(process(&world, Delivery::Fast).await.is_empty());
        assert_eq!((world.published().len(), reasons(&world)), (1, vec![]));
        assert!(world.ledger.conflicts().is_empty());
    }
}

/// Facts that one version read are compared where another accepted the delivery in between.
#[tokio::test]
async fn facts_of_one_reading_are_compared_by_the_processor_too() {
    let world = world();
    take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    let own = world.ledger.entry(&key("stripe", "evt_1")).unwrap().terms.revision;
    read_otherwise(&world, "stripe", "evt_1");
    take_payment(&world, "stripe", "stripe", &payment("evt_1").of("999900", "USD")).await;
    world.ledger.edit(&key("stripe", "evt_1"), |entry| entry.terms.revision = own);
    let batch = world.intake.receive(Delivery::Fast, 10);
    assert!(process_batch(&world, &batch[1..]).await.is_empty());
    assert_no_effect(&world, "contradicts its claim");
    assert_eq!(reasons(&world), ["conflicting_facts"]);
}

/// The intake queue is down, and the provider tries more often than a claim has seals: the delivery that is enqueued in the
/// end is one that the processor takes.
#[tokio::test]
async fn an_event_that_came_too_often_is_taken_all_the_same() {
    let world = world();
    let webhook = sender("stripe", "stripe").payment(&payment("evt_1"), noon());
    for _ in 0..MAX_SEALS + 3 {
        world.take(Some("stripe"), &webhook).await.unwrap();
        // As if it had not been sent.
        let lost = world.intake.receive(Delivery::Fast, 10);
        world.intake.settle(Delivery::Fast, &lost, &[]);
    }
    world.take(Some("stripe"), &webhook).await.unwrap();
    assert_eq!(world.ledger.entry(&key("stripe", "evt_1")).unwrap().terms.seals.len(), MAX_SEALS);
    assert!(process(&world, Delivery::Fast).await.is_empty());
    assert_eq!((world.published().len(), world.quarantine.messages().len()), (1, 0));
}

/// Claims of a version that knew no seals: the facts stand in for them.
#[tokio::test]
async fn a_claim_without_seals_admits_its_own_facts() {
    let world = world();
    for event_id in ["evt_1", "evt_2"] {
        take_payment(&world, "stripe", "stripe", &payment(event_id)).await;
        world.ledger.strip_terms(&key("stripe", event_id));
    }
    // A repeat, which the new version takes in, leaves the claim without seals.
    take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    let mut batch = world.intake.receive(Delivery::Fast, 10);
    spoil(&mut batch[1], attribute::WEBHOOK_ID, "wh_01ARZ3NDEKTSV4RRFFQ69G5FAV");
    batch[1].body = payment("evt_2").of("9999", "USD").body("stripe").unwrap();
    let sha256 = hex_sha256(batch[1].body.as_bytes());
    receipt(&mut batch[1], |receipt| _ = receipt.insert("body_sha256".to_owned(), sha256.into()));
    assert!(process_batch(&world, &batch).await.is_empty());
    let ids: Vec<_> = world.published().iter().map(|event| event.provider_event_id.to_string()).collect();
    assert_eq!((ids, reasons(&world)), (vec!["evt_1".to_owned()], vec!["altered".to_owned()]));
    assert_eq!(world.published()[0].authenticity, Authenticity::Verified);
}

/// What was accepted is still told apart when it is done: its bytes may be archived, others' may not.
#[tokio::test]
async fn a_late_copy_is_a_duplicate_and_a_forged_one_is_set_aside() {
    let world = world();
    for _ in 0..2 {
        take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    }
    let mut batch = world.intake.receive(Delivery::Fast, 10);
    assert!(process_batch(&world, &batch[..1]).await.is_empty());
    assert_eq!(world.ledger.entry(&key("stripe", "evt_1")).unwrap().terms.seals.len(), 2);
    let faults = Faults::none();
    let report = run(&world.processor(&faults), Kind::Standard, &batch[1..]).await.unwrap();
    assert_eq!((report.summary.duplicates, report.summary.quarantined), (1, 0));
    spoil(&mut batch[1], attribute::SOURCE_IP, "198.51.100.1");
    batch[1].receive_count = LAST_TRY;
    let report = run(&world.processor(&faults), Kind::Standard, &batch[1..]).await.unwrap();
    assert_eq!((report.summary.duplicates, report.summary.quarantined), (0, 1));
    assert_eq!((world.published().len(), reasons(&world)), (1, vec!["altered".to_owned()]));
}

/// Every delivery that is accepted before the event is processed is one that the processor takes.
#[tokio::test]
async fn every_accepted_delivery_has_its_seal_in_the_claim() {
    let world = world();
    for _ in 0..3 {
        take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    }
    let batch = world.intake.receive(Delivery::Fast, 10);
    let seals: Vec<_> = batch.iter().map(|message| read(message).seal()).collect();
    assert_eq!(world.ledger.entry(&key("stripe", "evt_1")).unwrap().terms.seals, seals);
    // Any of them alone does it.
    assert!(process_batch(&world, &batch[2..]).await.is_empty());
    assert_eq!(world.published().len(), 1);
}

/// The processor's version does not find what another version of ours accepted, which may still run beside it: the message
/// comes back, and nothing is done of it until its last try.
#[tokio::test]
async fn what_this_version_cannot_find_comes_back_until_its_last_try() {
    type Spoil = fn(&World, &mut Message);
    let cases: [(&str, Spoil); 3] = [
        ("unclaimed", |world, _| world.ledger.forget(&key("stripe", "evt_1"))),
        // A repeat that a version enqueued which knows no seals.
        ("altered", |world, _| world.ledger.edit(&key("stripe", "evt_1"), |entry| entry.terms.seals.clear())),
        ("altered", |world, message| {
            world.ledger.edit(&key("stripe", "evt_1"), |entry| entry.state = LedgerState::Processed);
            spoil(message, attribute::SOURCE_IP, "198.51.100.1");
        }),
    ];
    for (reason, spoil) in cases {
        let world = world();
        take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
        let mut batch = world.intake.receive(Delivery::Fast, 10);
        let entry = world.ledger.entry(&key("stripe", "evt_1")).unwrap();
        spoil(&world, &mut batch[0]);
        for receive in 1..LAST_TRY {
            assert_eq!(process_receive(&world, &batch, receive).await, [batch[0].id.clone()], "{reason}");
        }
        assert!(process_batch(&world, &batch).await.is_empty());
        assert_eq!((reasons(&world), world.published().len()), (vec![reason.to_owned()], 0));
        assert!(matches!(world.archive_lines()[..], [Line::Unread(_)]), "{reason}");
        // The version that reads it, or its claim, is there again: redriven, it takes effect.
        if entry.state == world.ledger.entry(&entry.key).map_or(entry.state, |entry| entry.state) {
            world.ledger.restore(entry);
            assert!(process_receive(&world, &batch, 1).await.is_empty());
            assert_eq!(world.published().len(), 1, "{reason}");
        }
    }
}

/// As another version of ours accepts a message, which reads other ids. Of each pair the first is ours.
fn claim_as(world: &World, endpoint: &str, message: &mut Message, ids: &[(&str, &str)]) {
    let theirs: Vec<&str> = ids.iter().map(|(_, theirs)| *theirs).collect();
    receipt(message, |receipt| _ = receipt.insert("claimed".to_owned(), theirs.join("\n").into()));
    for (ours, theirs) in ids.iter().rev() {
        let mut entry = world.ledger.entry(&key(endpoint, ours)).unwrap();
        world.ledger.forget(&entry.key);
        entry.key = key(endpoint, theirs);
        entry.terms.seals = vec![read(message).seal()];
        entry.terms.revision = Revision::parse("0123456789abcdef").unwrap();
        entry.fingerprint = "2:of theirs".to_owned();
        world.ledger.restore(entry);
    }
}

/// The validator's version gives the event another id than the processor's: the claim in the message stands for it.
#[tokio::test]
async fn an_event_that_another_version_claimed_under_another_id_takes_effect_once() {
    let world = world();
    take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    let mut batch = world.intake.receive(Delivery::Fast, 10);
    assert_eq!(read(&batch[0]).notes.claimed, "evt_1");
    claim_as(&world, "stripe", &mut batch[0], &[("evt_1", "theirs")]);
    for receive in 1..LAST_TRY {
        assert_eq!(
            process_receive(&world, &batch, receive).await.len(),
            1,
            "a version that reads it may come"
        );
        assert!(world.published().is_empty());
    }
    // Its last try, and a copy after it.
    for _ in 0..2 {
        assert!(process_batch(&world, &batch).await.is_empty());
        let ids: Vec<_> = world.published().iter().map(|event| event.provider_event_id.to_string()).collect();
        assert_eq!((ids, reasons(&world)), (vec!["evt_1".to_owned()], vec![]));
        assert_eq!(world.ledger.entry(&key("stripe", "theirs")).unwrap().state, LedgerState::Processed);
    }
    // Nothing is decided where the other claim cannot be read.
    let world = crate::world();
    take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    let mut batch = world.intake.receive(Delivery::Fast, 10);
    claim_as(&world, "stripe", &mut batch[0], &[("evt_1", "theirs")]);
    batch[0].receive_count = LAST_TRY;
    // Endpoints, states, states under other ids.
    let faults = Faults::nth(2, Fault::Before);
    run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
    assert_eq!((world.published().len(), reasons(&world)), (0, vec!["ledger_unavailable".to_owned()]));
    // A repeat that the processor's version claimed does not shut the first one out.
    let world = crate::world();
    take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    let mut batch = world.intake.receive(Delivery::Fast, 10);
    claim_as(&world, "stripe", &mut batch[0], &[("evt_1", "theirs")]);
    take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    assert!(process(&world, Delivery::Fast).await.is_empty());
    assert!(process_batch(&world, &batch).await.is_empty());
    assert_eq!((world.published().len(), reasons(&world)), (1, vec![]));
}

/// An event with two claims is done when both are marked: of each of these events one mark fails, or both do.
#[tokio::test]
async fn an_event_that_was_claimed_under_another_id_is_done_when_both_claims_are() {
    let world = world();
    let ids = [("evt_1", "their 1"), ("evt_2", "their 2"), ("evt_3", "their 3")];
    for (ours, _) in ids {
        take_payment(&world, "stripe", "stripe", &payment(ours)).await;
    }
    let mut batch = world.intake.receive(Delivery::Fast, 10);
    for (message, id) in batch.iter_mut().zip(ids) {
        claim_as(&world, "stripe", message, &[id]);
        message.receive_count = LAST_TRY;
    }
    // Endpoints, states, states under other ids, effects, latest, record, publish, archive, mark: every other mark fails, and
    // those of other ids come last.
    let faults = Faults::nth(8, Fault::Partial);
    run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
    assert_eq!((world.published().len(), reasons(&world)), (3, vec!["ledger_unavailable".to_owned(); 3]));
}

/// Of a delivery's events one was done under the id that was claimed; ids that moved from event to event stand for nothing.
#[tokio::test]
async fn an_id_that_was_claimed_stands_for_the_event_in_its_place() {
    let (a, b) = (Payment::new("PSP1", "T1", noon()), Payment::new("PSP2", "T2", noon()));
    let (id_a, id_b) = (adyen_event_id(&a), adyen_event_id(&b));
    let start = async || {
        let world = world();
        let webhook = sender("adyen", "adyen").sign("", adyen(&[&a, &b]).as_bytes(), noon());
        take(&world, "adyen", &webhook).await;
        let batch = world.intake.receive(Delivery::Fast, 10);
        (world, batch)
    };
    let (world, mut batch) = start().await;
    claim_as(&world, "adyen", &mut batch[0], &[(&id_a, "their a"), (&id_b, "their b")]);
    world.ledger.edit(&key("adyen", "their a"), |entry| entry.state = LedgerState::Processed);
    assert!(process_batch(&world, &batch).await.is_empty());
    let ids: Vec<_> = world.published().iter().map(|event| event.provider_event_id.to_string()).collect();
    assert_eq!((ids, reasons(&world)), (vec![id_b.clone()], vec![]));

    let (world, mut batch) = start().await;
    claim_as(&world, "adyen", &mut batch[0], &[(&id_a, &id_b), (&id_b, "their b")]);
    assert!(process_batch(&world, &batch).await.is_empty());
    assert_eq!(reasons(&world), ["unclaimed"]);
}

/// A claim of a version that knew no seals, whose facts we read otherwise: the delivery that made it stands for them.
#[tokio::test]
async fn a_claim_without_seals_whose_facts_read_otherwise_admits_its_own_delivery() {
    let world = world();
    take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    world.ledger.strip_terms(&key("stripe", "evt_1"));
    world.ledger.edit(&key("stripe", "evt_1"), |entry| {
        entry.fingerprint = entry.fingerprint.replace(|c: char| c.is_ascii_hexdigit() && c != '2', "0");
    });
    let batch = world.intake.receive(Delivery::Fast, 10);
    assert!(process_receive(&world, &batch, 1).await.is_empty());
    // Whoever knows the webhook's id could say other facts.
    let told: Vec<_> = world.published().iter().map(|event| event.authenticity).collect();
    assert_eq!((told, reasons(&world)), (vec![Authenticity::Authenticated], vec![]));
}

/// What is set aside before a claim proved it is archived as what nobody read, whatever its reason.
#[tokio::test]
async fn what_no_seal_proves_is_archived_unread() {
    type Spoil = fn(&World, &mut Message);
    let cases: [(&str, Spoil); 4] = [
        ("no_event_of_its_payment", |_, message| {
            receipt(message, |receipt| _ = receipt.insert("only_transaction".to_owned(), "none".into()));
        }),
        ("conflicting_facts", |_, message| {
            let id = key("stripe", "evt_1").event_id().to_string();
            receipt(message, |receipt| _ = receipt.insert("conflicts".to_owned(), vec![id].into()));
        }),
        ("unknown_endpoint", |_, message| spoil(message, attribute::ENDPOINT, "nobody")),
        ("ledger_unavailable", |_, _| {}),
    ];
    for (reason, spoil) in cases {
        let world = world();
        take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
        let mut batch = world.intake.receive(Delivery::Fast, 10);
        spoil(&world, &mut batch[0]);
        batch[0].receive_count = LAST_TRY;
        // Endpoints, states.
        let faults =
            if reason == "ledger_unavailable" { Faults::nth(1, Fault::Before) } else { Faults::none() };
        run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
        assert_eq!(reasons(&world), [reason]);
        assert!(matches!(world.archive_lines()[..], [Line::Unread(_)]), "{reason}");
    }
    // With its seal it is a webhook's row.
    let world = world();
    take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    world.bus.fail(tollgate_pipeline::ports::PortError::retryable("bus", "ThrottlingException"));
    let batch = world.intake.receive(Delivery::Fast, 10);
    assert!(process_batch(&world, &batch).await.is_empty());
    assert!(matches!(world.archive_lines()[..], [Line::Webhook(_)]));
}

/// An event that happened, or a webhook that was signed, before the ledger's memory begins: it may have been done.
#[tokio::test]
async fn what_is_older_than_the_memory_of_the_ledger_is_set_aside() {
    for (age, is_too_old) in [(TOO_OLD_SECONDS, false), (TOO_OLD_SECONDS + 60, true)] {
        let world = world();
        let old = Payment { at: later(-age), ..payment("evt_1") };
        take_payment(&world, "stripe", "stripe", &old).await;
        assert!(process(&world, Delivery::Fast).await.is_empty());
        match is_too_old {
            true => {
                assert_no_effect(&world, "too old");
                assert_eq!(reasons(&world), ["too_old_to_tell"]);
            }
            false => assert_eq!((world.published().len(), reasons(&world)), (1, vec![])),
        }
    }
    // What the signature says of its time, and what a claim without terms does not say.
    type Spoil = fn(&World, &mut Message);
    let age = LEDGER_RETENTION_SECONDS + 60;
    let cases: [(i64, Spoil); 2] = [
        (0, |world, message| {
            let signed_at = later(-LEDGER_RETENTION_SECONDS - 60).to_string();
            receipt(message, |receipt| _ = receipt.insert("signed_at".to_owned(), signed_at.into()));
            let seal = read(message).seal();
            world.ledger.edit(&key("stripe", "evt_1"), |entry| entry.terms.seals = vec![seal]);
        }),
        (age, |world, _| world.ledger.strip_terms(&key("stripe", "evt_1"))),
    ];
    for (age, spoil) in cases {
        let world = world();
        take_payment(&world, "stripe", "stripe", &Payment { at: later(-age), ..payment("evt_1") }).await;
        let mut batch = world.intake.receive(Delivery::Fast, 10);
        spoil(&world, &mut batch[0]);
        assert!(process_batch(&world, &batch).await.is_empty());
        assert_no_effect(&world, "too old");
        assert_eq!(reasons(&world), ["too_old_to_tell"]);
    }
    // Without a time there is nothing to tell, and a copy of what is known is no old event.
    let world = world();
    take(&world, "stripe", &sender("stripe", "stripe").sign("", &undated(&payment("evt_1")), noon())).await;
    let old = Payment { at: later(-TOO_OLD_SECONDS - 60), ..payment("evt_1") };
    take_payment(&world, "stripe", "stripe", &old).await;
    assert!(process(&world, Delivery::Fast).await.is_empty());
    assert_eq!((world.published().len(), reasons(&world)), (1, vec![]));
}

/// What is too old takes effect once an operator allows its message, and nothing else does.
#[tokio::test]
async fn what_an_operator_allows_takes_effect() {
    let world = world();
    let old = |name| Payment { at: later(-TOO_OLD_SECONDS - 60), ..payment(name) };
    take_payment(&world, "stripe", "stripe", &old("evt_1")).await;
    take_payment(&world, "stripe", "stripe", &old("evt_2")).await;
    let batch = world.intake.receive(Delivery::Fast, 10);
    assert!(process_batch(&world, &batch).await.is_empty());
    assert_eq!(reasons(&world), ["too_old_to_tell", "too_old_to_tell"]);
    let allow = async |message: &Message| {
        let queued = read(message);
        let allowance = Allowance {
            seal: queued.seal(),
            webhook_id: queued.webhook_id,
            reason: "the provider's outage".to_owned(),
            allowed_at: world.clock.now(),
        };
        assert_eq!((&world.ledger).allow(&allowance).await, Ok(()));
    };
    allow(&batch[0]).await;
    assert!(process_batch(&world, &batch).await.is_empty());
    let published: Vec<_> = world.published().iter().map(|event| event.id).collect();
    assert_eq!(published, [key("stripe", "evt_1").event_id()], "the other one is set aside again");
    assert_eq!(reasons(&world).len(), 3);
    // What nobody accepted stays out: an allowance is no claim.
    for spoil in [
        |world: &World| world.ledger.forget(&key("stripe", "evt_2")),
        |world: &World| world.ledger.edit(&key("stripe", "evt_2"), |entry| entry.terms.seals.clear()),
    ] {
        allow(&batch[1]).await;
        let entry = world.ledger.entry(&key("stripe", "evt_2")).unwrap();
        spoil(&world);
        process_batch(&world, &batch[1..]).await;
        assert_eq!(world.published().len(), 1);
        world.ledger.restore(entry);
    }
    assert!(process_batch(&world, &batch[1..]).await.is_empty());
    assert_eq!(world.published().len(), 2);
}

/// The same bytes again and again, once the first copy is set aside: duplicates, for which nothing is written or sent.
#[tokio::test]
async fn copies_of_what_is_set_aside_as_too_old_cost_nothing_and_undo_no_allowance() {
    let world = world();
    let old = Payment { at: later(-TOO_OLD_SECONDS - 60), ..payment("evt_1") };
    let webhook = sender("stripe", "stripe").payment(&old, noon());
    world.take(Some("stripe"), &webhook).await.unwrap();
    let first = world.intake.receive(Delivery::Fast, 1);
    assert!(process_batch(&world, &first).await.is_empty());
    world.intake.settle(Delivery::Fast, &first, &[]);
    let claim = world.ledger.entry(&key("stripe", "evt_1")).unwrap();
    for _ in 0..2 * MAX_SEALS {
        assert!(world.take(Some("stripe"), &webhook).await.unwrap().duplicate);
    }
    assert_eq!(world.queued(Delivery::Fast).len(), 0);
    assert_eq!(world.ledger.entry(&key("stripe", "evt_1")), Some(claim));
    let queued = read(&first[0]);
    let (seal, webhook_id) = (queued.seal(), queued.webhook_id);
    let allowance = Allowance { seal, webhook_id, reason: "known".to_owned(), allowed_at: world.clock.now() };
    assert_eq!((&world.ledger).allow(&allowance).await, Ok(()));
    assert!(process_batch(&world, &first).await.is_empty());
    assert_eq!(world.published().len(), 1);
}

/// What is dated ahead of its arrival is remembered for as long after its date: forgotten, it is too old.
#[tokio::test]
async fn a_date_ahead_of_its_arrival_does_not_outlive_the_memory() {
    const DAY: i64 = 24 * 60 * 60;
    let ahead = Payment { at: later(10 * DAY), ..payment("evt_1") };
    for days in [31, 39, 41] {
        let world = world();
        take_payment(&world, "stripe", "stripe", &ahead).await;
        assert!(process(&world, Delivery::Fast).await.is_empty());
        world.clock.advance_ms(days * DAY * 1_000);
        take_payment(&world, "stripe", "stripe", &ahead).await;
        process(&world, Delivery::Fast).await;
        assert_eq!(world.published().len(), 1, "after {days} days");
    }
}

/// Some providers date each of their tries. The last one of an event is no younger than the memory of the first.
#[tokio::test]
async fn a_later_try_with_its_own_date_does_not_outlive_the_memory() {
    const DAY: i64 = 24 * 60 * 60;
    let world = world();
    let dated = |days| Payment { at: later(days * DAY), ..payment("evt_1") };
    take_payment(&world, "stripe", "stripe", &dated(0)).await;
    assert!(process(&world, Delivery::Fast).await.is_empty());
    world.clock.advance_ms(6 * DAY * 1_000);
    take_payment(&world, "stripe", "stripe", &dated(6)).await;
    world.clock.advance_ms(25 * DAY * 1_000);
    take_payment(&world, "stripe", "stripe", &dated(6)).await;
    process(&world, Delivery::Fast).await;
    assert_eq!((world.published().len(), reasons(&world)), (1, vec!["too_old_to_tell".to_owned()]));
}

/// A later delivery tells what is set aside beside something new: the new event takes effect, and nothing is set aside for it.
#[tokio::test]
async fn what_is_set_aside_holds_up_no_other_event_of_a_later_delivery() {
    let world = world();
    let old = Payment { at: later(-TOO_OLD_SECONDS - 60), ..Payment::new("PSP1", "T1", noon()) };
    let new = Payment::new("PSP2", "T1", noon());
    let deliver = async |payments: &[&Payment]| {
        take(&world, "adyen", &sender("adyen", "adyen").sign("", adyen(payments).as_bytes(), noon())).await;
        assert!(process(&world, Delivery::Fast).await.is_empty());
    };
    deliver(&[&old]).await;
    assert_eq!(reasons(&world), ["too_old_to_tell"]);
    deliver(&[&old, &new]).await;
    assert_eq!((world.published().len(), reasons(&world).len()), (1, 1));
    let told = |row: &tollgate_pipeline::archive::Row<'_>| {
        row.events.iter().map(|event| event.provider_event_id.to_string()).collect::<Vec<_>>()
    };
    let archived: Vec<_> = world.archived().iter().flat_map(told).collect();
    assert!(
        archived.iter().all(|id| id.starts_with("PSP2")),
        "what had no effect is told by no row: {archived:?}"
    );
    // A message that only tells it and was not accepted is a forged one.
    let mut forged = world.intake.queue(Delivery::Fast).dead_letters().messages()[0].clone();
    spoil(&mut forged, attribute::WEBHOOK_ID, "wh_01ARZ3NDEKTSV4RRFFQ69G5FAV");
    assert!(process_batch(&world, &[forged]).await.is_empty());
    assert_eq!(reasons(&world)[1..], ["altered"]);
}

/// Dead letters are kept for 14 days: a copy that comes when the first message is gone is a message of its own.
#[tokio::test]
async fn a_copy_that_is_acknowledged_can_be_found_when_the_first_dead_letter_is_gone() {
    const DAY: i64 = 24 * 60 * 60;
    for (days, messages) in [(12, 0), (13, 1)] {
        let world = world();
        let old = Payment { at: later(-TOO_OLD_SECONDS - 60), ..payment("evt_1") };
        take_payment(&world, "stripe", "stripe", &old).await;
        assert!(process(&world, Delivery::Fast).await.is_empty());
        world.clock.advance_ms(days * DAY * 1_000);
        take_payment(&world, "stripe", "stripe", &old).await;
        assert_eq!(world.queued(Delivery::Fast).len(), messages, "after {days} days");
    }
}
