//! Who tells which effect, when several events and several deliveries do.

use serde_json::{Value, json};
use tollgate_batch::Kind;
use tollgate_core::{Authenticity, Delivery, EndpointConfig, PaymentEvent};
use tollgate_pipeline::{
    archive::{Outcome, Row},
    ports::{EFFECT_LEASE_SECONDS, LedgerState, PortError},
};
use tollgate_testkit::{
    failure::{Fault, Faults},
    memory::{
        queues::Message,
        world::{World, failures, read, run},
    },
    webhook::{KEY, Payment, config},
};

use crate::{
    claims::{key, read_otherwise},
    gocardless, noon, process, process_with, sender, take, take_payment, world,
};

/// Another event of one payment's success.
fn telling(event_id: &str) -> Payment {
    Payment::new(event_id, "pi_1", noon())
}

/// Each published event's provider id, with that of the event that it restates.
fn told(world: &World) -> Vec<(String, Option<String>)> {
    let published = world.published();
    let name = |event: &PaymentEvent<'_>| event.provider_event_id.to_string();
    let restated = |event: &PaymentEvent<'_>| {
        let id = event.restates?;
        Some(published.iter().find(|other| other.id == id).map_or(id.to_string(), name))
    };
    published.iter().map(|event| (name(event), restated(event))).collect()
}

fn expected(told: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
    told.iter().map(|(event, restates)| ((*event).to_owned(), restates.map(str::to_owned))).collect()
}

/// Processes one batch; the ids of the messages that come back.
async fn process_batch(world: &World, batch: &[Message]) -> Vec<String> {
    let faults = Faults::none();
    failures(&run(&world.processor(&faults), Kind::Standard, batch).await.unwrap())
}

/// Processes one batch until a call kills the processor; its messages come back.
async fn die_at(world: &World, batch: &[Message], call: usize, fault: Fault) {
    let faults = Faults::nth(call, fault);
    let processor = world.processor(&faults);
    tokio::select! {
        biased;
        _ = run(&processor, Kind::Standard, batch) => panic!("call {call} is never made"),
        () = faults.death() => {}
    }
}

/// Endpoints, states, effects, latest, record, publish: a processor that dies there has claimed and published nothing.
const PUBLISH: usize = 5;
/// The same where an event restates another: the telling is claimed too.
const PUBLISH_RESTATING: usize = 6;

#[tokio::test]
async fn an_event_restates_the_first_that_told_its_effect() {
    let all = [("evt_1", None), ("evt_2", Some("evt_1")), ("evt_3", Some("evt_1"))];
    for (endpoint, delivery) in [("stripe", Delivery::Fast), ("lined-up", Delivery::Ordered)] {
        for at_once in [false, true] {
            let world = world();
            for event_id in ["evt_1", "evt_2", "evt_3"] {
                take_payment(&world, endpoint, "stripe", &telling(event_id)).await;
                if !at_once {
                    assert!(process(&world, delivery).await.is_empty());
                }
            }
            assert!(process(&world, delivery).await.is_empty());
            assert_eq!(told(&world), expected(&all), "{endpoint}, at once: {at_once}");
            let restates = |event: &PaymentEvent<'_>| (event.id, event.restates);
            let said: Vec<_> = world.published().iter().map(restates).collect();
            let archived: Vec<_> =
                world.archived().iter().flat_map(|row| &row.events).map(restates).collect();
            assert_eq!(archived, said, "{endpoint}, at once: {at_once}");
            let mut recorded: Vec<_> = world.transactions.records().values().map(restates).collect();
            recorded.sort_by_key(|(id, _)| said.iter().position(|(known, _)| known == id));
            assert_eq!(recorded, said, "{endpoint}, at once: {at_once}");
        }
    }
}

/// What an unsigned part decides can be forged, and a forged event must not take the genuine one's place. An event is at
/// most as authentic as its claim.
#[tokio::test]
async fn a_verified_event_restates_no_event_that_is_only_authenticated() {
    let world = world();
    for (event_id, authenticity) in [
        ("evt_1", Authenticity::Authenticated),
        ("evt_2", Authenticity::Verified),
        ("evt_3", Authenticity::Verified),
    ] {
        take_payment(&world, "stripe", "stripe", &telling(event_id)).await;
        world.ledger.edit(&key("stripe", event_id), |entry| entry.terms.authenticity = authenticity);
        assert!(process(&world, Delivery::Fast).await.is_empty());
        assert_eq!(world.published().pop().unwrap().authenticity, authenticity);
    }
    assert_eq!(told(&world), expected(&[("evt_1", None), ("evt_2", None), ("evt_3", Some("evt_2"))]));
}

/// What an operator retrieved tells nothing a second time that a webhook has told, nor a webhook what was retrieved.
#[tokio::test]
async fn what_was_retrieved_is_told_once_whoever_came_first() {
    for is_first in [false, true] {
        let secret = "secretsmanager:tollgate/test/stripe".to_owned();
        let world = World::new(noon(), vec![EndpointConfig { secret, ..config("stripe", "stripe") }]);
        world.secrets.rotate("secretsmanager:tollgate/test/_retrieved", KEY);
        let retrieved = telling("evt_1").body("stripe").unwrap();
        let companion = async || take_payment(&world, "stripe", "stripe", &telling("evt_2")).await;
        if !is_first {
            companion().await;
        }
        world.take_retrieved(KEY, "stripe", "evt_1", retrieved.as_bytes()).await.unwrap();
        assert!(process(&world, Delivery::Fast).await.is_empty());
        if is_first {
            companion().await;
            assert!(process(&world, Delivery::Fast).await.is_empty());
        }
        let all = match is_first {
            true => [("evt_1", None), ("evt_2", Some("evt_1"))],
            false => [("evt_2", None), ("evt_1", Some("evt_2"))],
        };
        assert_eq!(told(&world), expected(&all));
        let authenticity = |id: &str| {
            let published = world.published();
            published.iter().find(|event| event.provider_event_id == id).unwrap().authenticity
        };
        assert_eq!(authenticity("evt_1"), Authenticity::Retrieved);
        assert_eq!(authenticity("evt_2"), Authenticity::Verified);
        // The webhook that comes after all is known, and so is the event when it is retrieved once more.
        take_payment(&world, "stripe", "stripe", &telling("evt_1")).await;
        assert!(world.take_retrieved(KEY, "stripe", "evt_1", retrieved.as_bytes()).await.unwrap().duplicate);
        assert!(process(&world, Delivery::Fast).await.is_empty());
        assert_eq!(world.published().len(), 2);
    }
}

#[tokio::test]
async fn another_payment_or_another_state_is_another_effect() {
    let world = world();
    let other = Payment::new("evt_2", "pi_2", noon());
    for (endpoint, payment) in
        [("stripe", telling("evt_1")), ("stripe", other), ("lined-up", telling("evt_3"))]
    {
        take_payment(&world, endpoint, "stripe", &payment).await;
    }
    for delivery in [Delivery::Fast, Delivery::Ordered] {
        assert!(process(&world, delivery).await.is_empty());
    }
    assert_eq!(told(&world), expected(&[("evt_1", None), ("evt_2", None), ("evt_3", None)]));
}

/// Two deliveries of one event in two processors: the one that claimed does the work, the other comes back and finds
/// it done. So too where the event restates another.
#[tokio::test]
async fn of_the_copies_at_once_one_does_the_work() {
    for is_restating in [false, true] {
        let world = world();
        if is_restating {
            take_payment(&world, "stripe", "stripe", &telling("evt_1")).await;
            assert!(process(&world, Delivery::Fast).await.is_empty());
        }
        for _ in 0..2 {
            take_payment(&world, "stripe", "stripe", &telling("evt_2")).await;
        }
        let before = world.published().len();
        let first = world.intake.receive(Delivery::Fast, 1);
        let second = world.intake.receive(Delivery::Fast, 1);
        let publish = if is_restating { PUBLISH_RESTATING } else { PUBLISH };
        die_at(&world, &first, publish, Fault::DieBefore).await;
        assert_eq!(process_batch(&world, &second).await, [second[0].id.clone()], "it comes back");
        assert_eq!(world.published().len(), before, "the other delivery is at work");
        assert!(process_batch(&world, &first).await.is_empty());
        assert!(process_batch(&world, &second).await.is_empty());
        let told = told(&world);
        let restates = is_restating.then(|| "evt_1".to_owned());
        assert_eq!(told[before..], [("evt_2".to_owned(), restates)]);
    }
}

/// In one stride the delivery that has claimed the event does the work, whichever comes first, and other events have theirs
/// done.
#[tokio::test]
async fn the_delivery_that_claimed_does_the_work_wherever_it_stands() {
    let world = world();
    for _ in 0..3 {
        take_payment(&world, "stripe", "stripe", &telling("evt_1")).await;
    }
    let claims = world.intake.receive(Delivery::Fast, 1);
    die_at(&world, &claims, PUBLISH, Fault::DieBefore).await;
    world.intake.settle(Delivery::Fast, &claims, &[claims[0].id.clone()]);
    take_payment(&world, "stripe", "stripe", &Payment::new("evt_2", "pi_2", noon())).await;
    let mut batch = world.intake.receive(Delivery::Fast, 10);
    assert_eq!(batch.len(), 4);
    batch.reverse();
    assert!(process_batch(&world, &batch).await.is_empty());
    let other = read(&batch[0]).webhook_id;
    let at_work = read(&claims[0]).webhook_id;
    let published: Vec<_> = world.published().iter().map(|event| event.webhook_id).collect();
    let did = |row: Row<'static>| (row.outcome == Outcome::Processed).then_some(row.webhook_id);
    let archived: Vec<_> = world.archived().into_iter().filter_map(did).collect();
    assert_eq!((published, archived), (vec![other, at_work], vec![other, at_work]));
}

/// A delivery with other facts claimed the event and did not finish it. It is a conflict in the next try, and gives the
/// claim up.
#[tokio::test]
async fn a_conflict_gives_up_the_claim_of_the_try_before() {
    let world = world();
    take_payment(&world, "stripe", "stripe", &telling("evt_1")).await;
    // Ingest could not compare them.
    read_otherwise(&world, "stripe", "evt_1");
    take_payment(&world, "stripe", "stripe", &telling("evt_1").of("999900", "USD")).await;
    let batch = world.intake.receive(Delivery::Fast, 10);
    die_at(&world, &batch[1..], PUBLISH, Fault::DieBefore).await;
    assert_eq!(process_batch(&world, &batch).await, [batch[0].id.clone()]);
    assert_eq!(world.quarantine.messages()[0].reason, "conflicting_facts");
    assert!(process_batch(&world, &batch[..1]).await.is_empty());
    assert_eq!(told(&world), expected(&[("evt_1", None)]));
}

/// A message is set aside for one of its events, and another one of them is done: that keeps its claim.
#[tokio::test]
async fn an_event_that_is_done_keeps_its_claim_where_its_message_is_set_aside() {
    let world = world();
    take(&world, "gocardless", &gocardless(&[("EV1", "PM1")])).await;
    // Ingest could not compare them.
    read_otherwise(&world, "gocardless", "EV1");
    take(&world, "gocardless", &gocardless(&[("EV1", "PM1"), ("EV1", "PM2")])).await;
    let batch = world.intake.receive(Delivery::Fast, 10);
    assert!(process_batch(&world, &batch[1..]).await.is_empty());
    assert_eq!(world.quarantine.messages()[0].reason, "conflicting_facts");
    // Another processor read the ledger before that.
    world.ledger.edit(&key("gocardless", "EV1"), |entry| entry.state = LedgerState::Received);
    assert_eq!(process_batch(&world, &batch[..1]).await, [batch[0].id.clone()]);
    assert_eq!(told(&world), expected(&[("EV1", None)]));
}

/// Its message was deleted, or its queue purged.
#[tokio::test]
async fn the_claim_of_a_delivery_that_is_gone_is_taken_over() {
    let world = world();
    for _ in 0..2 {
        take_payment(&world, "stripe", "stripe", &telling("evt_1")).await;
    }
    let gone = world.intake.receive(Delivery::Fast, 1);
    die_at(&world, &gone, PUBLISH, Fault::DieBefore).await;
    world.intake.settle(Delivery::Fast, &gone, &[]);
    assert_eq!(process(&world, Delivery::Fast).await.len(), 1);
    take_payment(&world, "stripe", "stripe", &telling("evt_2")).await;
    assert_eq!(process(&world, Delivery::Fast).await.len(), 1, "another event of the effect need not wait");
    world.clock.advance_ms(EFFECT_LEASE_SECONDS * 1_000);
    assert!(process(&world, Delivery::Fast).await.is_empty());
    assert_eq!(told(&world), expected(&[("evt_2", Some("evt_1")), ("evt_1", None)]));
}

#[tokio::test]
async fn a_quarantined_delivery_gives_up_its_claim() {
    let world = world();
    for _ in 0..2 {
        take_payment(&world, "stripe", "stripe", &telling("evt_1")).await;
    }
    let refused = world.intake.receive(Delivery::Fast, 1);
    world.bus.fail(PortError::permanent("bus", "refused"));
    assert!(process_batch(&world, &refused).await.is_empty());
    assert_eq!(world.quarantine.messages().len(), 1);
    assert!(process(&world, Delivery::Fast).await.is_empty());
    assert_eq!(told(&world), expected(&[("evt_1", None)]));
}

/// The ledger does not answer the last try of a delivery that claimed before: its copy need not wait for the lease.
#[tokio::test]
async fn a_delivery_that_nothing_could_be_decided_of_gives_up_the_claim_of_the_try_before() {
    let world = world();
    for _ in 0..2 {
        take_payment(&world, "stripe", "stripe", &telling("evt_1")).await;
    }
    let mut batch = world.intake.receive(Delivery::Fast, 1);
    world.bus.fail(PortError::retryable("bus", "ThrottlingException"));
    assert_eq!(process_batch(&world, &batch).await.len(), 1);
    batch[0].receive_count = 3;
    // Endpoints, states.
    let faults = Faults::nth(1, Fault::Before);
    assert!(failures(&run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap()).is_empty());
    assert_eq!(world.quarantine.messages()[0].reason, "ledger_unavailable");
    assert!(process(&world, Delivery::Fast).await.is_empty());
    assert_eq!(told(&world), expected(&[("evt_1", None)]));
}

/// Every call fails once, in every way, of a processor that holds the second telling of an effect beside a first one of
/// another: what comes back says the same.
#[tokio::test]
async fn no_failure_of_any_call_makes_an_event_restate_itself_or_nothing() {
    let start = async || {
        let world = world();
        take_payment(&world, "stripe", "stripe", &telling("evt_1")).await;
        process(&world, Delivery::Fast).await;
        take_payment(&world, "stripe", "stripe", &telling("evt_2")).await;
        take_payment(&world, "stripe", "stripe", &Payment::new("evt_3", "pi_2", noon())).await;
        take_payment(&world, "stripe", "stripe", &Payment::new("evt_4", "pi_2", noon())).await;
        world
    };
    let faultless = Faults::none();
    process_with(&start().await, Delivery::Fast, &faultless).await;
    for call in 0..faultless.calls() {
        for fault in Fault::ALL {
            let world = start().await;
            let faults = Faults::nth(call, fault);
            process_with(&world, Delivery::Fast, &faults).await;
            process(&world, Delivery::Fast).await;
            let mut told = told(&world);
            told.sort();
            told.dedup();
            // Whichever of the two is published first.
            let of_pi_2 =
                [[("evt_3", None), ("evt_4", Some("evt_3"))], [("evt_3", Some("evt_4")), ("evt_4", None)]];
            let is_sound = of_pi_2.iter().any(|of_pi_2| {
                told == expected(&[&[("evt_1", None), ("evt_2", Some("evt_1"))], &of_pi_2[..]].concat())
            });
            assert!(is_sound, "call {call}, {fault:?}: {told:?}");
            assert!(world.queued(Delivery::Fast).is_empty(), "call {call}, {fault:?}");
        }
    }
}

/// Every call fails once, in every way, of a processor that holds one delivery of several events: two tell one effect, and one names
/// its transaction by another id. Where some of them are done, every call of the next try fails too. The delivery is archived again, and
/// what is done is said as before.
#[tokio::test]
async fn what_is_done_is_archived_again_as_it_was_told() {
    let event = |(id, resource, action, links): (&str, &str, &str, Value)| json!({"id": id, "created_at": "2026-01-02T12:00:00Z", "resource_type": resource, "action": action, "links": links});
    // A batch call that is done in part does every second one.
    let events = [
        ("EV0", "payments", "submitted", json!({"payment": "PM3"})),
        ("EV1", "refunds", "created", json!({"refund": "RF1", "payment": "PM1"})),
        ("EV2", "refunds", "refund_settled", json!({"refund": "RF1"})),
        ("EV3", "payments", "confirmed", json!({"payment": "PM3"})),
        ("EV4", "payments", "customer_approval_granted", json!({"payment": "PM3"})),
    ];
    let body = json!({ "events": events.map(event) }).to_string();
    let first = async |faults: &Faults| {
        let world = world();
        let webhook = sender("gocardless", "gocardless").sign("", body.as_bytes(), noon());
        take(&world, "gocardless", &webhook).await;
        process_with(&world, Delivery::Fast, faults).await;
        world
    };
    let done = |world: &World| {
        let is_done = |number: &usize| {
            let entry = world.ledger.entry(&key("gocardless", &format!("EV{number}")));
            entry.is_some_and(|entry| entry.state == LedgerState::Processed)
        };
        (0..5).filter(is_done).collect::<Vec<_>>()
    };
    let check = async |world: &World, case: &str| {
        for _ in 0..3 {
            if process(world, Delivery::Fast).await.is_empty() {
                break;
            }
        }
        assert_eq!(done(world).len(), 5, "{case}");
        let records: Vec<_> = world.transactions.records().into_values().collect();
        let published = world.published();
        for event in world.archived().iter().flat_map(|row| &row.events) {
            assert!(records.contains(event) && published.contains(event), "{case}: {event:?}");
        }
        published
    };
    let faultless = Faults::none();
    first(&faultless).await;
    let mut in_part = Vec::new();
    for call in 0..faultless.calls() {
        for fault in Fault::ALL {
            let case = format!("call {call}, {fault:?}");
            let world = first(&Faults::nth(call, fault)).await;
            let before = done(&world);
            let published = check(&world, &case).await;
            if before.is_empty() || before.len() == 5 {
                continue;
            }
            let told = before.iter().map(|number| {
                let id = format!("EV{number}");
                published.iter().find(|event| event.provider_event_id == id).unwrap()
            });
            in_part.extend(
                told.map(|event| {
                    (event.transaction_id.to_string(), event.restates.is_some(), event.superseded)
                }),
            );
            let faultless = Faults::none();
            process_with(&first(&Faults::nth(call, fault)).await, Delivery::Fast, &faultless).await;
            for next in 0..faultless.calls() {
                for next_fault in Fault::ALL {
                    let world = first(&Faults::nth(call, fault)).await;
                    process_with(&world, Delivery::Fast, &Faults::nth(next, next_fault)).await;
                    check(&world, &format!("{case}, then call {next}, {next_fault:?}")).await;
                }
            }
        }
    }
    let is_told = |expected: (&str, bool, bool)| {
        in_part.iter().any(|(id, restates, superseded)| (id.as_str(), *restates, *superseded) == expected)
    };
    assert!(is_told(("PM3", false, true)) && is_told(("PM1", false, false)), "{in_part:?}");
    assert!(is_told(("PM3", true, true)), "{in_part:?}");
}
