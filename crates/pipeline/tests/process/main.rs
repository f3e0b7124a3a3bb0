//! Turning intake batches into payment events, once each, whatever fails.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests only"
)]

mod aliases;
mod aside;
mod claims;
mod effects;
mod enrich;
mod foresee;
mod model;
mod parallel;

use serde_json::json;
use tollgate_batch::{Deadline, Kind};
use tollgate_core::{Delivery, EventType, PaymentEvent, RiskTier, Timestamp};
use tollgate_pipeline::{
    archive,
    intake::attribute,
    ports::{Clock, LedgerState, PortError},
};
use tollgate_providers::SignedWebhook;
use tollgate_testkit::{
    failure::{Fault, Faults},
    memory::{
        queues::Message,
        world::{LIMIT, World, failures, read, records, run},
    },
    webhook::{KEY, Kind as About, Payment, Sender, adyen, adyen_event_id, config, ordered},
};

fn noon() -> Timestamp {
    "2026-01-02T12:00:00Z".parse().unwrap()
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_second(noon().as_second() + seconds).unwrap()
}

fn world() -> World {
    let endpoints = vec![
        config("acme", "generic"),
        config("stripe", "stripe"),
        ordered("lined-up", "stripe"),
        config("adyen", "adyen"),
        ordered("adyen-ordered", "adyen"),
        config("gocardless", "gocardless"),
    ];
    World::new(noon(), endpoints)
}

fn sender(endpoint: &str, scheme: &str) -> Sender {
    Sender::new(config(endpoint, scheme), KEY)
}

fn payment(event_id: &str) -> Payment {
    Payment::new(event_id, format!("pi_{event_id}"), noon())
}

async fn take(world: &World, endpoint: &str, webhook: &SignedWebhook) {
    world.take(Some(endpoint), webhook).await.unwrap();
}

async fn take_payment(world: &World, endpoint: &str, scheme: &str, payment: &Payment) {
    take(world, endpoint, &sender(endpoint, scheme).payment(payment, world.clock.now())).await;
}

/// Receives and processes one batch without failures; the message ids that came back.
async fn process(world: &World, delivery: Delivery) -> Vec<String> {
    let faults = Faults::none();
    process_with(world, delivery, &faults).await
}

async fn process_with(world: &World, delivery: Delivery, faults: &Faults) -> Vec<String> {
    let kind = match delivery {
        Delivery::Fast => Kind::Standard,
        Delivery::Ordered => Kind::Fifo,
    };
    let batch = world.intake.receive(delivery, 100);
    let processor = world.processor(faults);
    let failed = tokio::select! {
        biased;
        report = run(&processor, kind, &batch) => failures(&report.unwrap()),
        () = faults.death() => batch.iter().map(|message| message.id.clone()).collect(),
    };
    world.intake.settle(delivery, &batch, &failed);
    failed
}

/// Events by their ids and payments: each payment was submitted to the banks.
fn gocardless(events: &[(&str, &str)]) -> SignedWebhook {
    let event = |(id, payment): &(&str, &str)| {
        json!({"id": id, "created_at": "2026-01-02T12:00:00Z", "resource_type": "payments",
            "action": "submitted", "links": {"payment": payment}})
    };
    let body = json!({ "events": events.iter().map(event).collect::<Vec<_>>() }).to_string();
    sender("gocardless", "gocardless").sign("", body.as_bytes(), noon())
}

fn spoil(message: &mut Message, name: &str, value: &str) {
    for (known, old) in &mut message.attributes {
        if known == name {
            value.clone_into(old);
        }
    }
}

#[tokio::test]
async fn an_event_reaches_every_place_under_one_id() {
    let world = world();
    take_payment(&world, "stripe", "stripe", &payment("evt_1").of("1500000", "USD")).await;
    assert!(process(&world, Delivery::Fast).await.is_empty());
    let published = world.published();
    let [event] = published.as_slice() else { panic!("{published:?}") };
    assert_eq!((event.kind, event.risk_tier), (EventType::PaymentSucceeded, RiskTier::High));
    let records = world.transactions.records();
    assert_eq!(records.values().map(|event| &event.id).collect::<Vec<_>>(), [&event.id]);
    let rows = world.archived();
    assert_eq!((rows.len(), &rows[0].events, rows[0].outcome), (1, &published, archive::Outcome::Processed));
    assert_eq!(world.ledger.entry(&event.ledger_key()).unwrap().state, LedgerState::Processed);
    assert_eq!(world.ledger.entry(&event.ledger_key()).unwrap().webhook_id, event.webhook_id);
}

#[tokio::test]
async fn inspecting_a_batch_shows_its_events_and_has_no_effect() {
    let world = world();
    for event_id in ["evt_1", "evt_2"] {
        take_payment(&world, "stripe", "stripe", &payment(event_id)).await;
    }
    let batch = world.intake.receive(Delivery::Fast, 10);
    let (faults, mut shown) = (Faults::none(), Vec::new());
    let processor = world.processor(&faults);
    let inspected =
        processor.inspect(&records(&batch), |event| shown.push(event.provider_event_id.to_string())).await;
    assert_eq!((inspected, shown), (2, vec!["evt_1".to_owned(), "evt_2".to_owned()]));
    assert!(world.published().is_empty() && world.transactions.records().is_empty());
}

#[tokio::test]
async fn money_stays_exact_all_the_way() {
    for (amount, currency, minor) in [
        ("1200", "JPY", "1200"),
        ("10.99", "USD", "1099"),
        ("1.234", "KWD", "1234"),
        ("12345678901234567890123456.78", "USD", "1234567890123456789012345678"),
        ("-0.01", "EUR", "-1"),
        ("0", "USD", "0"),
    ] {
        let world = world();
        take_payment(&world, "acme", "generic", &payment("evt_1").of(amount, currency)).await;
        assert!(process(&world, Delivery::Fast).await.is_empty());
        let json = world.bus.published().pop().unwrap();
        assert!(json.contains(&format!(r#""minor_units":{minor},"#)), "{json}");
        let row = &world.archived()[0].events[0];
        let record = world.transactions.records().into_values().next().unwrap();
        for event in [row, &record] {
            assert_eq!(event.amount.unwrap().minor_units().to_string(), minor, "{amount} {currency}");
        }
    }
}

#[tokio::test]
async fn copies_of_one_event_are_one_effect() {
    let world = world();
    for _ in 0..3 {
        take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    }
    assert_eq!(world.queued(Delivery::Fast).len(), 3);
    assert!(process(&world, Delivery::Fast).await.is_empty());
    assert_eq!((world.published().len(), world.transactions.records().len()), (1, 1));
    let mut outcomes: Vec<_> = world.archived().iter().map(|row| row.outcome.as_str()).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["duplicate", "duplicate", "processed"], "the bytes of each are kept");
    // A copy that a standard queue delivers a second time.
    take_payment(&world, "stripe", "stripe", &payment("evt_2")).await;
    let copy = world.intake.messages(Delivery::Fast).pop().unwrap();
    assert!(process(&world, Delivery::Fast).await.is_empty());
    world.intake.repeat(&copy);
    assert!(process(&world, Delivery::Fast).await.is_empty());
    assert_eq!(world.published().len(), 2);
}

#[tokio::test]
async fn poison_is_quarantined_with_its_reason_and_harms_nobody() {
    type Spoil = fn(&mut Message);
    let cases: [(&str, Spoil); 6] = [
        ("not_an_intake_message", |message| message.attributes.clear()),
        ("not_an_intake_message", |message| spoil(message, attribute::RECEIPT, "{}")),
        ("altered", |message| message.body.push(' ')),
        ("body_undecodable", |message| spoil(message, attribute::ENCODING, "base64")),
        ("body_undecodable", |message| spoil(message, attribute::ENCODING, "claim_check")),
        ("payload_missing", |message| {
            spoil(message, attribute::ENCODING, "claim_check");
            message.body = r#"{"key":"gone","sha256":"00","bytes":1}"#.to_owned();
        }),
    ];
    for (reason, spoil) in cases {
        let world = world();
        for event_id in ["evt_1", "evt_2", "evt_3"] {
            take_payment(&world, "stripe", "stripe", &payment(event_id)).await;
        }
        let mut batch = world.intake.receive(Delivery::Fast, 10);
        spoil(&mut batch[1]);
        let faults = Faults::none();
        let report = run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
        assert_eq!(failures(&report), [""; 0], "{reason}: nothing comes back");
        assert_eq!((report.summary.ok, report.summary.quarantined), (2, 1), "{reason}");
        let quarantined = world.quarantine.messages();
        assert_eq!(
            (quarantined.len(), quarantined[0].reason.as_str(), &quarantined[0].body),
            (1, reason, &batch[1].body)
        );
        assert_eq!(world.published().len(), 2, "{reason}");
    }
}

/// A version may no longer serve what the version before it took webhooks for.
#[tokio::test]
async fn messages_of_an_endpoint_that_cannot_serve_come_back_and_are_not_of_an_unknown_one() {
    for is_mended in [true, false] {
        let world = world();
        take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
        world.endpoints.set(vec![config("stripe", "no-such-scheme")]);
        assert_eq!(process(&world, Delivery::Fast).await.len(), 1);
        if is_mended {
            world.endpoints.set(vec![config("stripe", "stripe")]);
        }
        for _ in 0..2 {
            process(&world, Delivery::Fast).await;
        }
        let reasons: Vec<_> = world.quarantine.messages().into_iter().map(|aside| aside.reason).collect();
        let expected = if is_mended { (1, vec![]) } else { (0, vec!["endpoints_unavailable".to_owned()]) };
        assert_eq!((world.published().len(), reasons), expected);
    }
}

/// The processor's reading of the endpoints may be older than the validator's.
#[tokio::test]
async fn an_endpoint_that_is_not_known_yet_is_waited_for() {
    let world = world();
    take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    world.endpoints.set(vec![config("acme", "generic")]);
    assert_eq!(process(&world, Delivery::Fast).await.len(), 1);
    world.endpoints.set(vec![config("stripe", "stripe")]);
    assert!(process(&world, Delivery::Fast).await.is_empty());
    assert_eq!((world.published().len(), world.quarantine.messages().len()), (1, 0));
}

#[tokio::test]
async fn poison_that_cannot_be_quarantined_comes_back() {
    let world = world();
    take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    let mut batch = world.intake.receive(Delivery::Fast, 10);
    batch[0].attributes.clear();
    let faults = Faults::nth(0, Fault::Before);
    let report = run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
    assert_eq!(failures(&report), [batch[0].id.clone()]);
}

#[tokio::test]
async fn what_cannot_be_understood_is_published_and_archived_as_such() {
    for body in [&b"{\"id\":\"evt_1\",\"type\":\"brand.new\"}"[..], b"", b"\xff\xfe\x00", b"not json"] {
        let world = world();
        take(&world, "stripe", &sender("stripe", "stripe").sign("", body, noon())).await;
        assert!(process(&world, Delivery::Fast).await.is_empty());
        let published = world.published();
        assert_eq!(published.len(), 1);
        assert_eq!(published[0].kind, EventType::PaymentUnrecognized);
        assert!(published[0].unrecognized.is_some() && published[0].amount.is_none());
        let row = &world.archived()[0];
        match tollgate_pipeline::intake::decode(row.encoding, &row.body).unwrap() {
            tollgate_pipeline::intake::Content::Inline(bytes) => assert_eq!(&*bytes, body),
            claimed => panic!("{claimed:?}"),
        }
    }
}

#[tokio::test]
async fn a_large_body_is_fetched_and_checked() {
    let mut body = payment("evt_1").body("stripe").unwrap().into_bytes();
    body.resize(LIMIT, b' ');
    let world = world();
    take(&world, "stripe", &sender("stripe", "stripe").sign("", &body, noon())).await;
    assert!(process(&world, Delivery::Fast).await.is_empty());
    assert_eq!(world.published()[0].amount.unwrap().minor_units(), 1_099);
    assert_eq!(world.archived()[0].encoding, tollgate_pipeline::intake::Encoding::ClaimCheck);

    take(
        &world,
        "stripe",
        &sender("stripe", "stripe").sign("", &[body.as_slice(), b" "].concat()[1..], noon()),
    )
    .await;
    let key = world.payloads.objects().into_keys().next_back().unwrap();
    tollgate_pipeline::ports::PayloadStore::put(&&world.payloads, &key, b"other".to_vec()).await.unwrap();
    assert!(process(&world, Delivery::Fast).await.is_empty());
    assert_eq!(world.quarantine.messages()[0].reason, "altered");
}

/// A body that fits the intake message but not, with its event beside it, the archive message.
#[tokio::test]
async fn a_body_too_large_for_the_archive_queue_is_stored_in_s3() {
    let world = world();
    let mut body = payment("evt_1").body("stripe").unwrap().into_bytes();
    body.resize(LIMIT - 2_048, b'"');
    take(&world, "stripe", &sender("stripe", "stripe").sign("", &body, noon())).await;
    assert_eq!(read(&world.queued(Delivery::Fast)[0]).encoding, tollgate_pipeline::intake::Encoding::Text);
    let batch = world.intake.receive(Delivery::Fast, 10);
    assert!(aside::run_as_read(&world, &batch).await.is_empty());
    let rows = world.archived();
    let row = (rows[0].outcome, rows[0].encoding, rows[0].events.len());
    assert_eq!(row, (archive::Outcome::Processed, tollgate_pipeline::intake::Encoding::ClaimCheck, 1));
    assert_eq!((rows.len(), world.published().len(), world.quarantine.messages().len()), (1, 1, 0));
    assert!(world.payloads.objects().into_values().next().unwrap() == body);
}

/// The payment's id travels in a message attribute and ties an event to its message.
#[tokio::test]
async fn payments_with_ids_of_any_length_have_an_effect_each() {
    let long = |digit: &str| "é".repeat(100_000) + digit;
    let (a, b) = (Payment::new("PSP1", long("1"), noon()), Payment::new("PSP2", long("2"), noon()));
    let world = world();
    let webhook = sender("adyen-ordered", "adyen").sign("", adyen(&[&a, &b]).as_bytes(), noon());
    take(&world, "adyen-ordered", &webhook).await;
    let queued = world.queued(Delivery::Ordered);
    assert_eq!(queued.len(), 2);
    let attributes = |message: &Message| {
        message.attributes.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    };
    assert!(queued.iter().all(|message| attributes(message) < 8_192));
    assert!(process(&world, Delivery::Ordered).await.is_empty());
    assert_eq!((world.transactions.records().len(), world.published().len()), (2, 2));
}

#[tokio::test]
async fn several_events_of_a_delivery_have_an_effect_each() {
    let (a, b) = (Payment::new("PSP1", "T1", noon()), Payment::new("PSP2", "T2", noon()));
    for endpoint in ["adyen", "adyen-ordered"] {
        let world = world();
        let sign =
            |payments: &[&Payment]| sender(endpoint, "adyen").sign("", adyen(payments).as_bytes(), noon());
        take(&world, endpoint, &sign(&[&a])).await;
        take(&world, endpoint, &sign(&[&a, &b])).await;
        for delivery in [Delivery::Fast, Delivery::Ordered] {
            for _ in 0..2 {
                assert!(process(&world, delivery).await.is_empty());
            }
        }
        let mut ids: Vec<String> =
            world.published().iter().map(|e| e.provider_event_id.to_string()).collect();
        ids.sort();
        assert_eq!(ids, [adyen_event_id(&a), adyen_event_id(&b)], "{endpoint}");
        assert_eq!(world.transactions.records().len(), 2, "{endpoint}");
    }
}

#[tokio::test]
async fn an_event_that_a_delivery_names_twice_is_one_event() {
    let payment = Payment::new("PSP1", "T1", noon());
    for (endpoint, delivery) in [("adyen", Delivery::Fast), ("adyen-ordered", Delivery::Ordered)] {
        let world = world();
        let body = adyen(&[&payment, &payment]);
        take(&world, endpoint, &sender(endpoint, "adyen").sign("", body.as_bytes(), noon())).await;
        assert_eq!(world.queued(delivery).len(), 1, "{endpoint}");
        assert!(process(&world, delivery).await.is_empty());
        assert_eq!((world.published().len(), world.transactions.records().len()), (1, 1), "{endpoint}");
        assert_eq!(world.archived()[0].events.len(), 1, "{endpoint}");
        assert!(world.quarantine.messages().is_empty() && world.ledger.conflicts().is_empty(), "{endpoint}");
    }
}

/// A delivery that gives one id two facts is quarantined. Where ingest could not compare them with the claim's, since
/// another version of ours read that, the first of them stand.
#[tokio::test]
async fn a_delivery_that_contradicts_itself_has_one_effect_at_most() {
    let (of_1, of_2) = (("EV1", "PM1"), ("EV1", "PM2"));
    for is_comparable in [true, false] {
        let world = world();
        if !is_comparable {
            take(&world, "gocardless", &gocardless(&[of_1])).await;
            claims::read_otherwise(&world, "gocardless", "EV1");
        }
        take(&world, "gocardless", &gocardless(&[of_1, of_2, of_1])).await;
        let batch = world.intake.receive(Delivery::Fast, 10).split_off(usize::from(!is_comparable));
        let faults = Faults::none();
        let report = run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
        let reasons: Vec<_> = world.quarantine.messages().into_iter().map(|aside| aside.reason).collect();
        assert_eq!((failures(&report).len(), reasons), (0, vec!["conflicting_facts".to_owned()]));
        let transactions = |events: &[PaymentEvent<'_>]| -> Vec<String> {
            events.iter().map(|event| event.transaction_id.to_string()).collect()
        };
        let told = if is_comparable { vec![] } else { vec!["PM1".to_owned()] };
        assert_eq!(transactions(&world.published()), told, "comparable: {is_comparable}");
        let archived: Vec<_> = world.archived().into_iter().flat_map(|row| row.events).collect();
        assert_eq!(transactions(&archived), told, "comparable: {is_comparable}");
        if !is_comparable {
            assert_eq!((report.published, report.conflicts), (1, 1));
        }
    }
}

#[tokio::test]
async fn a_contradiction_has_no_effect_and_is_quarantined() {
    for (endpoint, delivery) in [("stripe", Delivery::Fast), ("lined-up", Delivery::Ordered)] {
        let world = world();
        take_payment(&world, endpoint, "stripe", &payment("evt_1")).await;
        take_payment(&world, endpoint, "stripe", &payment("evt_1").of("999900", "USD")).await;
        let group = world.intake.messages(delivery)[0].group.clone();
        let is_of_endpoint = group.as_deref() == Some(endpoint);
        assert_eq!(is_of_endpoint, delivery == Delivery::Fast, "a fair queue's tenant is the endpoint");
        assert!(process(&world, delivery).await.is_empty());
        let published = world.published();
        assert_eq!(published.iter().map(|e| e.amount.unwrap().minor_units()).collect::<Vec<_>>(), [1_099]);
        assert_eq!(world.transactions.records().len(), 1);
        let quarantined = world.quarantine.messages();
        assert_eq!((quarantined.len(), quarantined[0].reason.as_str()), (1, "conflicting_facts"));
        assert_eq!(quarantined[0].group, group, "it can go back in order, or in fairness");
        let dead = world.intake.queue(delivery).dead_letters().messages().len();
        assert_eq!(dead, 1, "the quarantine of its own intake");
    }
}

/// A group of a standard queue shares out what SQS hands out. It orders nothing and holds nothing up: not even behind a failure.
#[tokio::test]
async fn the_messages_of_one_endpoint_are_worked_on_together() {
    const MESSAGES: usize = 100;
    let world = world();
    for number in 0..MESSAGES {
        take_payment(&world, "stripe", "stripe", &payment(&format!("evt_{number}"))).await;
    }
    let mut batch = world.intake.receive(Delivery::Fast, MESSAGES);
    batch[0].body.insert(0, '!');
    assert!(batch.iter().all(|message| message.group.as_deref() == Some("stripe")));
    let faults = Faults::none();
    let report = run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
    assert_eq!((report.summary.records, report.summary.ok), (MESSAGES, MESSAGES - 1));
    assert_eq!(report.summary.blocked, 0);
}

/// Two deliveries that ingest did not compare, since different versions of ours took them in: the facts that come first in
/// the stride stand.
#[tokio::test]
async fn a_conflict_that_ingest_could_not_note_is_found_in_the_stride() {
    let world = world();
    take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    claims::read_otherwise(&world, "stripe", "evt_1");
    take_payment(&world, "stripe", "stripe", &payment("evt_1").of("999900", "USD")).await;
    let batch = world.intake.receive(Delivery::Fast, 10);
    let faults = Faults::none();
    let report = run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
    assert_eq!((report.summary.ok, report.summary.quarantined, report.conflicts), (1, 1, 1));
    let amounts: Vec<_> = world.published().iter().map(|e| e.amount.unwrap().minor_units()).collect();
    assert_eq!(amounts, [1_099]);
    assert_eq!(world.quarantine.messages()[0].reason, "conflicting_facts");
}

/// Both in one batch, the contradiction first, and the ledger does not answer: nobody's facts are decided on.
#[tokio::test]
async fn without_the_ledger_no_contradiction_takes_the_place_of_what_was_claimed() {
    let world = world();
    take_payment(&world, "stripe", "stripe", &payment("evt_1")).await;
    take_payment(&world, "stripe", "stripe", &payment("evt_1").of("999900", "USD")).await;
    let mut batch = world.intake.receive(Delivery::Fast, 10);
    batch.reverse();
    // Endpoints, states.
    let faults = Faults::nth(1, Fault::Before);
    let report = run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
    assert_eq!(failures(&report).len(), 2);
    assert!(world.quarantine.messages().is_empty());
    let faults = Faults::none();
    run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
    let amounts: Vec<_> = world.published().iter().map(|e| e.amount.unwrap().minor_units()).collect();
    assert_eq!((amounts, world.quarantine.messages().len()), (vec![1_099], 1));
}

/// A message of a delivery's one payment, read by rules that do not find that payment in it.
#[tokio::test]
async fn a_message_without_an_event_of_its_payment_is_quarantined() {
    let (a, b) = (Payment::new("PSP1", "T1", noon()), Payment::new("PSP2", "T2", noon()));
    let world = world();
    let webhook = sender("adyen-ordered", "adyen").sign("", adyen(&[&a, &b]).as_bytes(), noon());
    take(&world, "adyen-ordered", &webhook).await;
    world.endpoints.set(vec![ordered("adyen-ordered", "stripe")]);
    for _ in 1..3 {
        assert_eq!(process(&world, Delivery::Ordered).await.len(), 2, "another version may find it");
        world.clock.advance_ms(361_000);
    }
    assert!(process(&world, Delivery::Ordered).await.is_empty());
    let reasons: Vec<String> = world.quarantine.messages().into_iter().map(|aside| aside.reason).collect();
    assert_eq!(reasons, ["no_event_of_its_payment"; 2]);
}

#[tokio::test]
async fn a_state_that_a_later_one_overtook_says_so() {
    let at =
        |event_id: &str, seconds| Payment { at: later(seconds), ..Payment::new(event_id, "pi_1", noon()) };
    let superseded = |world: &World| -> Vec<(String, bool)> {
        world.published().iter().map(|e| (e.provider_event_id.to_string(), e.superseded)).collect()
    };
    // In one batch, in either order.
    for is_later_first in [true, false] {
        let together = world();
        let mut payments = [at("evt_1", 0), at("evt_2", 60)];
        if is_later_first {
            payments.reverse();
        }
        for payment in payments {
            take_payment(&together, "stripe", "stripe", &payment).await;
        }
        process(&together, Delivery::Fast).await;
        let mut told = superseded(&together);
        told.sort();
        assert_eq!(told, [("evt_1".to_owned(), true), ("evt_2".to_owned(), false)]);
        // The later one is what is known from then on.
        take_payment(&together, "stripe", "stripe", &at("evt_3", 30)).await;
        process(&together, Delivery::Fast).await;
        assert_eq!(superseded(&together)[2..], [("evt_3".to_owned(), true)], "{is_later_first}");
    }
    // One after the other.
    let apart = world();
    for payment in [at("evt_2", 60), at("evt_1", 0), at("evt_3", 120)] {
        take_payment(&apart, "stripe", "stripe", &payment).await;
        process(&apart, Delivery::Fast).await;
    }
    let expected = [("evt_2", false), ("evt_1", true), ("evt_3", false)];
    assert_eq!(superseded(&apart), expected.map(|(id, superseded)| (id.to_owned(), superseded)));
    let order: Vec<String> =
        apart.transactions.records().into_values().map(|e| e.provider_event_id.to_string()).collect();
    assert_eq!(order, ["evt_1", "evt_2", "evt_3"], "the history is in the order of events");
}

/// What is known of a transaction cannot be read: its event comes back, and no other.
#[tokio::test]
async fn an_event_whose_transaction_cannot_be_read_comes_back() {
    let world = world();
    for event_id in ["evt_1", "evt_2"] {
        take_payment(&world, "stripe", "stripe", &payment(event_id)).await;
    }
    let batch = world.intake.receive(Delivery::Fast, 10);
    // Endpoints, states, effects, latest.
    let faults = Faults::nth(3, Fault::Partial);
    let report = run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
    assert_eq!(failures(&report), [batch[1].id.clone()]);
    assert_eq!((world.published().len(), world.transactions.records().len()), (1, 1));
}

/// What the provider says about the payment, without a time.
fn undated(payment: &Payment) -> Vec<u8> {
    let mut body: serde_json::Value = serde_json::from_str(&payment.body("stripe").unwrap()).unwrap();
    assert!(body.as_object_mut().unwrap().remove("created").is_some());
    body.to_string().into_bytes()
}

#[tokio::test]
async fn a_payment_without_a_time_is_behind_its_refund() {
    let of = |event_id: &str, kind| Payment { kind, ..Payment::new(event_id, "pi_1", noon()) };
    for at_once in [false, true] {
        let world = world();
        for (event_id, kind) in [("evt_2", About::Refund), ("evt_1", About::Payment)] {
            let webhook = sender("stripe", "stripe").sign("", &undated(&of(event_id, kind)), noon());
            take(&world, "stripe", &webhook).await;
            if !at_once {
                assert!(process(&world, Delivery::Fast).await.is_empty());
            }
        }
        assert!(process(&world, Delivery::Fast).await.is_empty());
        let superseded: Vec<(String, bool)> =
            world.published().iter().map(|e| (e.provider_event_id.to_string(), e.superseded)).collect();
        assert_eq!(superseded, [("evt_2".to_owned(), false), ("evt_1".to_owned(), true)], "{at_once}");
        let order: Vec<EventType> =
            world.transactions.records().into_values().map(|event| event.kind).collect();
        assert_eq!(order, [EventType::PaymentSucceeded, EventType::RefundSucceeded], "the refund is last");
    }
}

#[tokio::test]
async fn a_fifo_group_stops_at_its_first_failure_and_no_other_does() {
    let world = world();
    for (event_id, transaction) in [("e1", "A"), ("e2", "B"), ("e3", "A"), ("e4", "B"), ("e5", "A")] {
        take_payment(&world, "lined-up", "stripe", &Payment::new(event_id, transaction, noon())).await;
    }
    let batch = world.intake.receive(Delivery::Ordered, 10);
    assert_eq!(batch.len(), 5);
    let processor_faults = Faults::none();
    let processor = world.processor(&processor_faults);
    // The first record of group A is in S3, and S3 does not answer.
    let mut spoilt = batch.clone();
    spoil(&mut spoilt[0], attribute::ENCODING, "claim_check");
    spoilt[0].body = r#"{"key":"k","sha256":"00","bytes":1}"#.to_owned();
    let faults = Faults::nth(1, Fault::Before);
    let failing = world.processor(&faults);
    let report = run(&failing, Kind::Fifo, &spoilt).await.unwrap();
    let of = |indices: &[usize]| indices.iter().map(|&i| batch[i].id.clone()).collect::<Vec<_>>();
    assert_eq!(failures(&report), of(&[0, 2, 4]));
    let published = |world: &World| -> Vec<String> {
        world.published().iter().map(|e| e.provider_event_id.to_string()).collect()
    };
    assert_eq!(published(&world), ["e2", "e4"]);
    let report = run(&processor, Kind::Fifo, &batch).await.unwrap();
    assert_eq!((failures(&report), report.summary.duplicates), (of(&[]), 2));
    assert_eq!(published(&world), ["e2", "e4", "e1", "e3", "e5"]);
}

#[tokio::test]
async fn only_the_events_that_the_bus_refused_come_back() {
    let world = world();
    for event_id in ["e1", "e2", "e3", "e4"] {
        take_payment(&world, "stripe", "stripe", &payment(event_id)).await;
    }
    let batch = world.intake.receive(Delivery::Fast, 10);
    // Endpoints, states, effects, latest, record, publish.
    let faults = Faults::nth(5, Fault::Partial);
    let report = run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
    assert_eq!(failures(&report), [batch[1].id.clone(), batch[3].id.clone()]);
    assert_eq!((world.published().len(), world.archived().len()), (2, 2));
    assert_eq!((report.published, report.conflicts), (2, 0));
    let faults = Faults::none();
    let report = run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
    assert_eq!((failures(&report).len(), report.summary.duplicates), (0, 2));
    assert_eq!(
        (world.published().len(), world.archived().len(), world.transactions.records().len()),
        (4, 4, 4)
    );
}

/// One delivery has an event that the bus refuses for good, and an event that another delivery repeats.
#[tokio::test]
async fn a_neighbours_poison_condemns_no_message_whose_own_event_is_good() {
    let (bad, good) = (Payment::new("PSP1", "T1", noon()), Payment::new("PSP2", "T2", noon()));
    let world = world();
    let sign = |payments: &[&Payment]| sender("adyen", "adyen").sign("", adyen(payments).as_bytes(), noon());
    take(&world, "adyen", &sign(&[&bad, &good])).await;
    take(&world, "adyen", &sign(&[&good])).await;
    let batch = world.intake.receive(Delivery::Fast, 10);
    let faults = Faults::none();
    world.bus.fail(PortError::permanent("bus", "refused"));
    let report = run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
    assert_eq!(failures(&report), [batch[1].id.clone()], "the good event is not proven to be done");
    let quarantined: Vec<_> =
        world.quarantine.messages().into_iter().map(|it| (it.reason, it.body)).collect();
    assert_eq!(quarantined, [("bus_refused".to_owned(), batch[0].body.clone())]);
    let report = run(&world.processor(&faults), Kind::Standard, &batch[1..]).await.unwrap();
    assert_eq!((failures(&report).len(), report.summary.ok), (0, 1));
    let ids: Vec<_> = world.published().iter().map(|event| event.provider_event_id.to_string()).collect();
    assert_eq!(ids, [adyen_event_id(&good), adyen_event_id(&good)]);
    let processed = |row: &archive::Row<'_>| row.outcome == archive::Outcome::Processed;
    assert_eq!(
        (world.archived().into_iter().filter(processed).count(), world.quarantine.messages().len()),
        (1, 1)
    );
}

#[tokio::test]
async fn what_was_not_begun_by_the_deadline_is_reported() {
    let world = world();
    take_payment(&world, "stripe", "stripe", &payment("e1")).await;
    let batch = world.intake.receive(Delivery::Fast, 10);
    let faults = Faults::none();
    let now = u64::try_from(world.clock.now().as_millisecond()).unwrap();
    let processor = world.processor(&faults);
    let report =
        processor.run(Kind::Standard, &records(&batch), Deadline::new(now, 1_000, 1_000)).await.unwrap();
    assert_eq!((failures(&report), report.summary.unprocessed), (vec![batch[0].id.clone()], 1));
    assert!(world.published().is_empty() && world.transactions.records().is_empty());
}

/// A deadline that strikes at any look at the clock: what was published is archived and marked, and the rest comes back.
#[tokio::test]
async fn a_deadline_never_parts_what_was_published_from_its_archive() {
    let mut ends = [0; 3];
    for looks in 0..12 {
        let world = world();
        take_payment(&world, "stripe", "stripe", &payment("e1")).await;
        let batch = world.intake.receive(Delivery::Fast, 10);
        let faults = Faults::none();
        let processor = world.processor(&faults);
        let now = u64::try_from(world.clock.now().as_millisecond()).unwrap();
        world.clock.tick_ms(1_000);
        let deadline = Deadline::at(now + 1_000 * looks, 0);
        let report = processor.run(Kind::Standard, &records(&batch), deadline).await.unwrap();
        world.clock.tick_ms(0);
        let places = [world.transactions.records().len(), world.published().len(), world.archived().len()];
        match (places, failures(&report).len()) {
            ([0, 0, 0], 1) => ends[0] += 1,
            // Recorded and not begun to be published: a repeat leaves no second trace of it.
            ([1, 0, 0], 1) => ends[1] += 1,
            ([1, 1, 1], 0) => ends[2] += 1,
            odd => panic!("after {looks} looks: {odd:?}"),
        }
        run(&processor, Kind::Standard, &batch).await.unwrap();
        assert_eq!((world.transactions.records().len(), world.published().len()), (1, 1));
    }
    assert!(ends.iter().all(|count| *count > 0), "{ends:?}");
}

/// Every call fails once, in every way; what comes back is processed, and the event has had its effect once.
#[tokio::test]
async fn no_failure_of_any_call_loses_or_doubles_an_effect() {
    let faultless = Faults::none();
    let full = world();
    take_payment(&full, "stripe", "stripe", &payment("e1")).await;
    process_with(&full, Delivery::Fast, &faultless).await;
    assert!(faultless.calls() >= 8, "endpoints, states, effects, latest, record, publish, archive, put");
    for nth in 0..faultless.calls() {
        for fault in Fault::ALL {
            let world = world();
            take_payment(&world, "stripe", "stripe", &payment("e1")).await;
            let faults = Faults::nth(nth, fault);
            process_with(&world, Delivery::Fast, &faults).await;
            process(&world, Delivery::Fast).await;
            let case = format!("call {nth}, {fault:?}");
            assert!(world.queued(Delivery::Fast).is_empty(), "{case}");
            assert!(world.quarantine.messages().is_empty(), "{case}");
            let published = world.published();
            assert!((1..=2).contains(&published.len()), "{case}");
            assert!(published.iter().all(|event| event.id == published[0].id), "{case}");
            assert!(!world.archived().is_empty(), "{case}");
            assert_eq!(world.transactions.records().len(), 1, "{case}");
            let entry = world.ledger.entry(&published[0].ledger_key()).unwrap();
            assert_eq!(entry.state, LedgerState::Processed, "{case}");
        }
    }
}
