//! What webhooks only name is fetched, and an event has one set of facts all the same.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_batch::{Deadline, Kind};
use tollgate_core::{Authenticity, Delivery, EndpointConfig, EventType, PaymentEvent};
use tollgate_pipeline::ports::Unfetched;
use tollgate_providers::{Headers, SignedWebhook, ToSign};
use tollgate_testkit::{
    failure::{Fault, Faults},
    memory::world::{World, failures, run},
    webhook::{KEY, Sender, config},
};

use crate::{noon, process, process_with, take};

const READ_KEY: &str = "rk_test_read";
const STRIPE: &str = "stripe-thin";
const MERCADO_PAGO: &str = "mercado-thin";
/// The receive at which what fails is set aside.
const LAST_TRY: usize = 3;

fn endpoints() -> Vec<EndpointConfig> {
    let enriching = |id, scheme| EndpointConfig { enrich: true, ..config(id, scheme) };
    vec![enriching(STRIPE, "stripe"), enriching(MERCADO_PAGO, "mercadopago"), config("plain", "stripe")]
}

fn world() -> World {
    let world = World::new(noon(), endpoints());
    world.objects.take(READ_KEY);
    world.api_keys.set(STRIPE, READ_KEY);
    world.api_keys.set(MERCADO_PAGO, READ_KEY);
    world.objects.set("payment_intent", "pi_1", &intent("pi_1", 1_099));
    world.objects.set("payment", "123", &payment("approved", "accredited"));
    world
}

fn intent(id: &str, amount: u32) -> Value {
    json!({ "id": id, "object": "payment_intent", "amount": amount, "amount_received": amount, "currency": "usd",
        "status": "succeeded", "customer": "cus_1", "metadata": { "cart": "c-1" } })
}

fn payment(status: &str, detail: &str) -> Value {
    json!({ "id": 123, "status": status, "status_detail": detail, "transaction_amount": 58.8, "currency_id": "BRL",
        "live_mode": true, "payer": { "id": "77", "email": "a@b.example" }, "payment_type_id": "credit_card" })
}

/// As Stripe's changelog of 2026-09-30 describes it.
fn thin(event_id: &str, kind: &str, related: (&str, &str)) -> Value {
    json!({ "id": event_id, "object": "v2.core.event", "type": kind, "livemode": true, "created": "2026-01-02T11:59:00Z",
        "context": null, "reason": null,
        "related_object": { "type": related.0, "id": related.1, "url": format!("/v1/payment_intents/{}", related.1) } })
}

fn succeeded(event_id: &str) -> Value {
    thin(event_id, "v1.payment_intent.succeeded", ("payment_intent", "pi_1"))
}

fn stripe(endpoint: &str, body: &Value) -> SignedWebhook {
    let config = endpoints().into_iter().find(|config| config.id.as_str() == endpoint).unwrap();
    Sender::new(config, KEY).sign("", body.to_string().as_bytes(), noon())
}

fn mercado_pago(payment_id: &str, notification: u32) -> SignedWebhook {
    let body = json!({ "action": "payment.updated", "api_version": "v1", "type": "payment", "id": notification,
        "data": { "id": payment_id }, "date_created": "2026-01-02T11:00:00Z", "live_mode": true });
    let query = format!("data.id={payment_id}&type=payment");
    let mut headers = Headers::new();
    headers.push("x-request-id", "7f6f3b0a");
    let body = body.to_string();
    let to_sign = ToSign { headers: &headers, query: &query, body: body.as_bytes(), url: None };
    Sender::new(endpoints().remove(1), KEY).sign_with(to_sign, noon())
}

fn said(event: &PaymentEvent<'_>) -> (EventType, Option<String>, Authenticity, bool) {
    let amount = event.amount.map(|amount| format!("{} {}", amount.minor_units(), amount.currency()));
    (event.kind, amount, event.authenticity, event.enriched)
}

/// So many events, each of an object of its own.
async fn many(world: &World, count: usize) {
    for number in 0..count {
        let object = format!("pi_{number}");
        world.objects.set("payment_intent", &object, &intent(&object, 1_099));
        let webhook =
            thin(&format!("evt_{number}"), "v1.payment_intent.succeeded", ("payment_intent", &object));
        take(world, STRIPE, &stripe(STRIPE, &webhook)).await;
    }
}

fn reasons(world: &World) -> Vec<String> {
    world.quarantine.messages().into_iter().map(|aside| aside.reason).collect()
}

/// Until the queue is empty, each time after its visibility timeout; how often it took.
async fn work_off(world: &World) -> usize {
    for round in 1..=30 {
        if process(world, Delivery::Fast).await.is_empty() {
            return round;
        }
        world.clock.advance_ms(361_000);
    }
    panic!("it does not end");
}

#[tokio::test]
async fn what_a_webhook_only_names_is_fetched_and_archived_beside_it() {
    let world = world();
    // Two events of one object.
    for webhook in
        [succeeded("evt_1"), thin("evt_2", "v1.payment_intent.created", ("payment_intent", "pi_1"))]
    {
        take(&world, STRIPE, &stripe(STRIPE, &webhook)).await;
    }
    take(&world, MERCADO_PAGO, &mercado_pago("123", 1)).await;
    assert!(process(&world, Delivery::Fast).await.is_empty());
    let of = |id: &str| {
        let published = world.published();
        published.into_iter().find(|event| event.provider_event_id.starts_with(id)).unwrap()
    };
    let stripes = Some("1099 USD".to_owned());
    use Authenticity::{Authenticated, Retrieved};
    assert_eq!(said(&of("evt_1")), (EventType::PaymentSucceeded, stripes.clone(), Retrieved, true));
    assert_eq!(said(&of("evt_2")), (EventType::PaymentCreated, stripes, Retrieved, true));
    let brl = Some("5880 BRL".to_owned());
    // The signature covers nothing of the body, which is a part of the event's id.
    assert_eq!(said(&of("payment.updated")), (EventType::PaymentSucceeded, brl, Authenticated, true));
    let event = of("evt_1");
    assert_eq!(
        (&*event.transaction_id, &*event.provider_event_type),
        ("pi_1", "v1.payment_intent.succeeded")
    );
    assert_eq!(event.occurred_at, "2026-01-02T11:59:00Z".parse().unwrap());
    assert_eq!((event.customer.id.as_deref(), event.metadata.len()), (Some("cus_1"), 1));
    let mut asked = world.objects.asked();
    asked.sort();
    let names = |(kind, id): (&str, &str)| (kind.to_owned(), id.to_owned());
    assert_eq!(asked, [("payment", "123"), ("payment_intent", "pi_1")].map(names), "each object once");
    let kept = world.payloads.objects();
    for row in world.archived() {
        let [event] = row.events.as_slice() else { panic!("{row:?}") };
        let object = row.object.expect("what was fetched");
        assert_eq!(object.key, format!("objects/{}/{}", event.endpoint, event.id));
        assert!(object.check(&kept[&object.key]).is_ok());
    }
    assert_eq!(world.archived().len(), 3);
    // What is done is not asked for again.
    take(&world, STRIPE, &stripe(STRIPE, &succeeded("evt_1"))).await;
    assert!(process(&world, Delivery::Fast).await.is_empty());
    assert_eq!((world.objects.asked().len(), world.published().len()), (2, 3));
}

#[tokio::test]
async fn without_the_setting_or_a_key_an_event_says_what_its_webhook_says() {
    let told = async |endpoint: &str, has_key: bool| {
        let world = world();
        if !has_key {
            world.api_keys.remove(endpoint);
        }
        take(&world, endpoint, &stripe(endpoint, &succeeded("evt_1"))).await;
        assert!(process(&world, Delivery::Fast).await.is_empty());
        assert_eq!(world.objects.asked().len(), usize::from(endpoint == STRIPE && has_key));
        assert_eq!(world.payloads.objects().len(), world.objects.asked().len());
        let line = world.archive.messages().concat();
        let published = world.bus.published();
        (published[0].replace(endpoint, "it"), line.contains("\"object\""))
    };
    let (plain, is_archived) = told("plain", true).await;
    assert!(plain.contains("payment.unrecognized") && !plain.contains("enriched") && !is_archived, "{plain}");
    let strip = |json: &str| {
        let mut event: Value = serde_json::from_str(json).unwrap();
        // Both are made of the endpoint's name.
        ["id", "effect_id", "transaction_id", "movement_id"]
            .iter()
            .for_each(|name| event[name] = Value::Null);
        event
    };
    let (keyless, is_archived) = told(STRIPE, false).await;
    assert_eq!((strip(&keyless), is_archived), (strip(&plain), false));
    let (enriched, _) = told(STRIPE, true).await;
    assert_ne!(strip(&enriched), strip(&plain));
}

/// Whatever call fails, or is the last one: what was fetched first is what every copy of the event says, though the object is another
/// one when it is asked for again.
#[tokio::test]
async fn an_event_has_one_set_of_facts_whatever_becomes_of_its_object() {
    let mut calls = 0;
    for nth in 0.. {
        for fault in Fault::ALL {
            let world = world();
            take(&world, STRIPE, &stripe(STRIPE, &succeeded("evt_1"))).await;
            let faults = Faults::nth(nth, fault);
            process_with(&world, Delivery::Fast, &faults).await;
            calls = faults.calls();
            let before: Vec<_> = world.published().iter().map(said).collect();
            world.objects.set("payment_intent", "pi_1", &intent("pi_1", 500));
            world.clock.advance_ms(361_000);
            work_off(&world).await;
            let case = format!("{fault:?} at call {nth}");
            let published = world.published();
            assert!(!published.is_empty() && published.len() <= 2, "{case}");
            for event in &published {
                assert_eq!((event, event.restates), (&published[0], None), "{case}");
            }
            if let Some(first) = before.first() {
                assert_eq!(&said(&published[0]), first, "{case}");
            }
            let records = world.transactions.records();
            assert_eq!(records.values().map(said).collect::<Vec<_>>(), [said(&published[0])], "{case}");
            assert!(reasons(&world).is_empty() && world.ledger.conflicts().is_empty(), "{case}");
            let rows = world.archived();
            assert!(
                rows.iter().all(|row| row.object.is_some() && said(&row.events[0]) == said(&published[0]))
            );
        }
        if nth > calls {
            break;
        }
    }
    assert!(calls > 8, "{calls}");
}

/// A redelivery that another processor works on at the same time sees another state of the object.
#[tokio::test]
async fn of_two_processors_that_fetch_at_once_both_go_by_what_was_kept_first() {
    let world = world();
    take(&world, STRIPE, &stripe(STRIPE, &succeeded("evt_1"))).await;
    let batch = world.intake.receive(Delivery::Fast, 10);
    let key = {
        let faults = Faults::away("effects.claim");
        run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
        world.payloads.objects().into_keys().next().unwrap()
    };
    let kept = world.payloads.objects()[&key].clone();
    world.objects.set("payment_intent", "pi_1", &intent("pi_1", 500));
    // As if it were its first receive: it asks, and finds the other's.
    let faults = Faults::none();
    assert!(failures(&run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap()).is_empty());
    assert_eq!(world.objects.asked().len(), 2);
    assert_eq!(world.payloads.objects()[&key], kept);
    assert_eq!(world.published()[0].amount.unwrap().minor_units(), 1_099);
}

#[tokio::test]
async fn what_a_provider_refuses_comes_back_and_is_set_aside_with_its_reason() {
    for (problem, reason) in [
        (Unfetched::Refused(401), "provider_refuses_key"),
        (Unfetched::Refused(403), "provider_refuses_key"),
        (Unfetched::NotFound, "object_not_found"),
        (Unfetched::NotAsDocumented("it is too long"), "object_not_as_documented"),
    ] {
        let world = world();
        take(&world, STRIPE, &stripe(STRIPE, &succeeded("evt_1"))).await;
        take(&world, "plain", &stripe("plain", &succeeded("evt_2"))).await;
        let accepted = world.queued(Delivery::Fast);
        world.objects.fail([problem; LAST_TRY]);
        assert_eq!(work_off(&world).await, LAST_TRY, "{reason}");
        assert_eq!(reasons(&world), [reason]);
        let published = world.published();
        assert_eq!(published.iter().map(|event| &*event.provider_event_id).collect::<Vec<_>>(), ["evt_2"]);
        assert!(world.payloads.objects().is_empty(), "{reason}");
        // Mended, a redrive takes effect.
        let mut back = accepted;
        back.iter_mut().for_each(|message| message.receive_count = 1);
        let faults = Faults::none();
        assert!(failures(&run(&world.processor(&faults), Kind::Standard, &back).await.unwrap()).is_empty());
        assert_eq!(said(world.published().last().unwrap()).0, EventType::PaymentSucceeded, "{reason}");
    }
}

#[tokio::test]
async fn a_key_that_is_refused_is_read_again() {
    let world = world();
    world.api_keys.set(STRIPE, "rk_test_old");
    take(&world, STRIPE, &stripe(STRIPE, &succeeded("evt_1"))).await;
    let (faults, batch) = (Faults::none(), world.intake.receive(Delivery::Fast, 10));
    let processor = world.processor(&faults);
    for (key, comes_back) in [("rk_test_old", 1), (READ_KEY, 0)] {
        world.api_keys.set(STRIPE, key);
        let report = run(&processor, Kind::Standard, &batch).await.unwrap();
        assert_eq!(failures(&report).len(), comes_back, "{key}");
        // Not at once: a thousand events would be refused one by one.
        let report = run(&processor, Kind::Standard, &batch).await.unwrap();
        assert_eq!((failures(&report).len(), world.objects.asked().len()), (comes_back, 2 - comes_back));
        world.clock.advance_ms(2_000);
    }
    assert_eq!(world.published().len(), 1);
}

/// Whether there is one is not known then: the event must not say less than it could.
#[tokio::test]
async fn a_key_that_cannot_be_read_is_not_a_key_that_is_not_there() {
    let world = world();
    take(&world, STRIPE, &stripe(STRIPE, &succeeded("evt_1"))).await;
    take(&world, "plain", &stripe("plain", &succeeded("evt_2"))).await;
    let batch = world.intake.receive(Delivery::Fast, 10);
    let report =
        run(&world.processor(&Faults::away("api_keys.api_key")), Kind::Standard, &batch).await.unwrap();
    assert_eq!((failures(&report).len(), world.objects.asked().len()), (1, 0));
    assert_eq!(report.summary.reasons["provider_key_unavailable"], 1, "{report:?}");
    let published = || world.published().iter().map(said).collect::<Vec<_>>();
    let plain = (EventType::PaymentUnrecognized, None, Authenticity::Verified, false);
    assert_eq!(published(), std::slice::from_ref(&plain));
    let report = run(&world.processor(&Faults::none()), Kind::Standard, &batch).await.unwrap();
    assert!(failures(&report).is_empty(), "{report:?}");
    let usd = Some("1099 USD".to_owned());
    assert_eq!(published(), [plain, (EventType::PaymentSucceeded, usd, Authenticity::Retrieved, true)]);
}

/// Objects of which two are more than a batch may hold: fetched, and read again where an earlier try kept them.
#[tokio::test]
async fn what_is_held_of_objects_is_bounded_and_the_rest_comes_back() {
    const EVENTS: usize = 4;
    let world = world();
    many(&world, EVENTS).await;
    for number in 0..EVENTS {
        let id = format!("pi_{number}");
        let mut object = intent(&id, 1_099);
        object["statement_descriptor"] = "x".repeat(33 * 1024 * 1024).into();
        world.objects.set("payment_intent", &id, &object);
    }
    let mut batch = world.intake.receive(Delivery::Fast, 10);
    let come_back = |report: &tollgate_pipeline::process::Report| {
        assert_eq!(report.summary.quarantined, 0, "{report:?}");
        report.summary.reasons.get("deadline").copied().unwrap_or(0)
    };
    let report = run(&world.processor(&Faults::away("effects.claim")), Kind::Standard, &batch).await.unwrap();
    assert_eq!((come_back(&report), world.payloads.objects().len()), (2, 2));
    batch.iter_mut().for_each(|message| message.receive_count = 2);
    let mut rounds = Vec::new();
    while world.published().len() < EVENTS {
        let report = run(&world.processor(&Faults::none()), Kind::Standard, &batch).await.unwrap();
        rounds.push(come_back(&report));
        assert!(rounds.len() <= EVENTS, "it does not end: {rounds:?}");
    }
    assert!(rounds.len() > 1 && rounds[0] > 0, "what was kept is read without a bound: {rounds:?}");
    assert!(world.published().iter().all(|event| event.enriched));
}

#[tokio::test]
async fn nothing_is_asked_or_kept_past_the_deadline() {
    let world = world();
    take(&world, STRIPE, &stripe(STRIPE, &succeeded("evt_1"))).await;
    let (faults, batch) = (Faults::none(), world.intake.receive(Delivery::Fast, 10));
    let processor = world.processor(&faults);
    let end = u64::try_from(noon().as_millisecond()).unwrap() + 1_000;
    let records = tollgate_testkit::memory::world::records(&batch);
    // The batch is begun in time, and the time is over by then.
    world.clock.tick_ms(400);
    let report = processor.run(Kind::Standard, &records, Deadline::at(end, 0)).await.unwrap();
    assert_eq!((failures(&report).len(), world.objects.asked().len()), (1, 0));
    assert_eq!(report.summary.reasons.keys().collect::<Vec<_>>(), [&"deadline"]);
}

/// However long a provider takes, what needs nothing of it is done in the same receive.
#[tokio::test]
async fn what_is_fetched_leaves_time_for_the_rest() {
    let world = world();
    take(&world, "plain", &stripe("plain", &succeeded("evt_1"))).await;
    many(&world, 200).await;
    let (faults, batch) = (Faults::none(), world.intake.receive(Delivery::Fast, 1_000));
    let processor = world.processor(&faults);
    let end = u64::try_from(world.clock.reading().as_millisecond()).unwrap() + 20_000;
    let records = tollgate_testkit::memory::world::records(&batch);
    world.clock.tick_ms(20);
    let report = processor.run(Kind::Standard, &records, Deadline::at(end, 0)).await.unwrap();
    let published = world.published();
    assert!(published.iter().any(|event| event.endpoint.as_str() == "plain"), "{report:?}");
    assert!(world.objects.asked().len() < 200, "{report:?}");
    assert!(report.summary.reasons["deadline"] > 0 && report.summary.quarantined == 0, "{report:?}");
}

/// An outage of the provider is no storm of requests, and costs those nothing that it was not asked for.
#[tokio::test]
async fn a_provider_that_cannot_answer_is_left_alone_for_a_while() {
    let world = world();
    many(&world, 40).await;
    world.objects.fail([Unfetched::Unavailable(Some(Duration::from_secs(30))); 1_000]);
    let (faults, mut batch) = (Faults::none(), world.intake.receive(Delivery::Fast, 100));
    assert_eq!(batch.len(), 40);
    let processor = world.processor(&faults);
    batch.iter_mut().for_each(|message| message.receive_count = 3);
    let asked = |report: &tollgate_pipeline::process::Report| {
        (report.summary.quarantined, world.objects.asked().len())
    };
    let report = run(&processor, Kind::Standard, &batch).await.unwrap();
    let (aside, first) = asked(&report);
    assert!((1..=4).contains(&first) && aside == 0, "{report:?}");
    assert_eq!(report.summary.reasons["provider_unavailable"], first);
    assert_eq!(report.summary.reasons["provider_paused"], 40 - first);
    world.clock.advance_ms(29_000);
    run(&processor, Kind::Standard, &batch[first..]).await.unwrap();
    assert_eq!(world.objects.asked().len(), first, "as long as it asks to wait");
    world.clock.advance_ms(2_000);
    run(&processor, Kind::Standard, &batch[first..]).await.unwrap();
    assert!(world.objects.asked().len() > first);
    // What SQS would take away next is set aside, with its reason.
    world.clock.advance_ms(60_000);
    batch.iter_mut().for_each(|message| message.receive_count = 20);
    let report = run(&processor, Kind::Standard, &batch).await.unwrap();
    assert_eq!(report.summary.quarantined, 40, "{report:?}");
    assert!(reasons(&world).iter().any(|reason| reason == "provider_unavailable"));
}

/// A key that may read payments and nothing else.
#[tokio::test]
async fn what_a_key_may_not_read_keeps_nothing_else_from_being_fetched() {
    let world = world();
    let refused = thin("evt_1", "v1.payout.paid", ("payout", "po_1"));
    world.objects.fail([Unfetched::Refused(403)]);
    for webhook in [refused, succeeded("evt_2")] {
        take(&world, STRIPE, &stripe(STRIPE, &webhook)).await;
        process(&world, Delivery::Fast).await;
    }
    let published = world.published();
    assert_eq!(published.iter().map(|event| &*event.provider_event_id).collect::<Vec<_>>(), ["evt_2"]);
    assert!(published[0].enriched);
}

/// A redelivery that the queue hands out before the delivery that has claimed the event: its copy becomes the event, and says the
/// same.
#[tokio::test]
async fn the_delivery_that_claimed_says_what_was_fetched_wherever_it_stands() {
    let world = world();
    for _ in 0..2 {
        take(&world, STRIPE, &stripe(STRIPE, &succeeded("evt_1"))).await;
    }
    let mut batch = world.intake.receive(Delivery::Fast, 10);
    assert_eq!(batch.len(), 2);
    let faults = Faults::away("bus.publish");
    let report = run(&world.processor(&faults), Kind::Standard, &batch).await.unwrap();
    assert_eq!((failures(&report).len(), world.published().len()), (2, 0));
    batch.reverse();
    batch.iter_mut().for_each(|message| message.receive_count = 2);
    let report = run(&world.processor(&Faults::none()), Kind::Standard, &batch).await.unwrap();
    assert!(failures(&report).is_empty(), "{report:?}");
    let usd = Some("1099 USD".to_owned());
    let told = (EventType::PaymentSucceeded, usd, Authenticity::Retrieved, true);
    let records = world.transactions.records();
    for events in [world.published(), records.into_values().collect()] {
        let [event] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(said(event), told);
    }
    let mut rows: Vec<_> =
        world.archived().iter().map(|row| (row.events.len(), row.object.is_some())).collect();
    rows.sort_unstable();
    assert_eq!(rows, [(0, false), (1, true)], "a duplicate's row says nothing");
}

/// A provider, or who stands in its way, that answers with another object.
#[tokio::test]
async fn another_object_than_the_one_that_is_named_is_refused() {
    let mut other_type = intent("pi_1", 1);
    other_type["id"] = json!(["pi_1"]);
    for answer in [intent("pi_2", 99_999), json!({}), json!([]), other_type, json!("pi_1")] {
        let world = world();
        world.objects.set("payment_intent", "pi_1", &answer);
        world.objects.set("payment", "123", &answer);
        take(&world, STRIPE, &stripe(STRIPE, &succeeded("evt_1"))).await;
        take(&world, MERCADO_PAGO, &mercado_pago("123", 1)).await;
        work_off(&world).await;
        assert_eq!(reasons(&world), ["object_not_as_documented"; 2], "{answer}");
        assert!(world.published().is_empty() && world.payloads.objects().is_empty(), "{answer}");
    }
}

/// What a sender writes where an id belongs leads nowhere, whoever signed it.
#[tokio::test]
async fn nothing_but_an_id_is_asked_for() {
    for id in
        ["../balance", "pi_1/../../v1/balance", "pi_1?expand[]=customer", "pi_1#", "pi 1", "", "pi_\u{e9}"]
    {
        let world = world();
        let webhook = thin("evt_1", "v1.payment_intent.succeeded", ("payment_intent", id));
        take(&world, STRIPE, &stripe(STRIPE, &webhook)).await;
        assert!(process(&world, Delivery::Fast).await.is_empty());
        assert_eq!(
            said(&world.published()[0]),
            (EventType::PaymentUnrecognized, None, Authenticity::Verified, false)
        );
        assert!(world.objects.asked().is_empty(), "{id}");
    }
}

/// Without the claim of a delivery that was accepted, no provider is asked.
#[tokio::test]
async fn nothing_is_fetched_for_what_nobody_accepted() {
    let world = world();
    take(&world, STRIPE, &stripe(STRIPE, &succeeded("evt_1"))).await;
    let batch = world.intake.receive(Delivery::Fast, 10);
    world.ledger.forget(&crate::claims::key(STRIPE, "evt_1"));
    crate::claims::process_batch(&world, &batch).await;
    assert_eq!((reasons(&world), world.objects.asked().len()), (vec!["unclaimed".to_owned()], 0));
}

#[tokio::test]
async fn a_webhook_that_says_what_it_has_to_say_asks_nobody() {
    let world = world();
    let snapshot = tollgate_testkit::webhook::Payment::new("evt_1", "pi_1", noon());
    let webhook = snapshot.body("stripe").unwrap();
    take(&world, STRIPE, &Sender::new(endpoints().remove(0), KEY).sign("", webhook.as_bytes(), noon())).await;
    // Of no money.
    let of_a_customer = thin("evt_2", "v1.customer.created", ("customer", "cus_1"));
    take(&world, STRIPE, &stripe(STRIPE, &of_a_customer)).await;
    assert!(process(&world, Delivery::Fast).await.is_empty());
    assert!(world.objects.asked().is_empty());
    assert!(world.published().iter().all(|event| !event.enriched));
}
