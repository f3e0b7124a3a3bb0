//! Taking webhooks in, against the contract's table of answers and its order: verify, claim, enqueue, answer.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests only"
)]

use tollgate_core::{Authenticity, Delivery, EndpointConfig, LedgerKey, Timestamp, id::hex_sha256};
use tollgate_pipeline::{
    ingest::{Rejection, Taken},
    intake::{Content, Encoding, Seal},
    ports::{Clock, LEDGER_RETENTION_SECONDS, LedgerState, MAX_SEALS, PortError},
};
use tollgate_providers::{Refusal, SignedWebhook};
use tollgate_testkit::{
    failure::{Fault, Faults},
    memory::world::{LIMIT, World, read},
    webhook::{KEY, OTHER_KEY, Payment, Sender, adyen, adyen_event_id, config, conflicting, ordered},
};

const NOON: &str = "2026-01-02T12:00:00Z";

fn noon() -> Timestamp {
    NOON.parse().unwrap()
}

fn world() -> World {
    let endpoints = vec![
        config("acme", "generic"),
        config("stripe", "stripe"),
        conflicting("strict", "stripe"),
        ordered("lined-up", "stripe"),
        config("adyen", "adyen"),
        ordered("adyen-ordered", "adyen"),
    ];
    World::new(noon(), endpoints)
}

fn sender(endpoint: &str, scheme: &str) -> Sender {
    Sender::new(config(endpoint, scheme), KEY)
}

fn payment(event_id: &str) -> Payment {
    Payment::new(event_id, "pi_1", noon())
}

/// What a caller sees of an answer.
fn answer(taken: &Result<Taken, Rejection>) -> String {
    match taken {
        Ok(taken) if taken.duplicate => format!("duplicate {} {:?}", taken.event_id, taken.on_duplicate),
        Ok(taken) => format!("accepted {} {}", taken.event_id, taken.events),
        Err(rejection) => format!("{}: {rejection}", rejection.code()),
    }
}

#[tokio::test]
async fn every_row_of_the_table_of_answers() {
    let stripe = || sender("stripe", "stripe").payment(&payment("evt_1"), noon());
    let with_body = |body: &str| sender("stripe", "stripe").sign("", body.as_bytes(), noon());
    let generic = |body: &str| sender("acme", "generic").sign("", body.as_bytes(), noon());
    let altered = |mut webhook: SignedWebhook| {
        webhook.body.push(b' ');
        webhook
    };
    let without = |mut webhook: SignedWebhook, name: &str| {
        webhook.headers.remove(name);
        webhook
    };
    let long = "x".repeat(LIMIT + 1);
    let at = |seconds: i64| {
        let at = Timestamp::from_second(noon().as_second() + seconds).unwrap();
        sender("stripe", "stripe").payment(&payment("evt_1"), at)
    };
    let other_key = Sender::new(config("stripe", "stripe"), OTHER_KEY).payment(&payment("evt_1"), noon());
    let body = payment("evt_g").of("10.99", "USD").body("generic").unwrap();
    let cases: Vec<(&str, Option<&str>, SignedWebhook, &str)> = vec![
        ("accepted", Some("stripe"), stripe(), "accepted evt_1 1"),
        ("accepted, generic", None, generic(&body), "accepted evt_g 1"),
        ("accepted, generic by its name", Some("acme"), generic(&body), "accepted evt_g 1"),
        (
            "unknown event type",
            Some("stripe"),
            with_body(r#"{"id":"evt_2","type":"new.thing"}"#),
            "accepted evt_2 1",
        ),
        ("unknown endpoint", Some("nobody"), stripe(), "unknown_endpoint: unknown endpoint"),
        ("no endpoint's name", Some("No/Body"), stripe(), "unknown_endpoint: unknown endpoint"),
        (
            "body over the limit",
            Some("stripe"),
            with_body(&long),
            "body_too_large: body is over the limit of 1048576 bytes",
        ),
        (
            "generic path without its header",
            None,
            without(generic(&body), "X-Provider-ID"),
            "provider_header_missing: Missing required header: X-Provider-ID",
        ),
        ("not JSON", None, generic("{"), "invalid_content: body is not valid JSON"),
        ("empty body", None, generic(""), "invalid_content: body is not valid JSON"),
        (
            "missing field",
            None,
            generic(r#"{"transaction_type":"payment"}"#),
            "invalid_content: Missing required field: event_id",
        ),
        ("ill-typed field", None, generic(r#"{"event_id":5}"#), "invalid_content: Invalid field: event_id"),
    ];
    for (name, endpoint, webhook, expected) in cases {
        assert_eq!(answer(&world().take(endpoint, &webhook).await), expected, "{name}");
    }
    let refused = [
        ("altered body", altered(stripe())),
        ("another key", other_key),
        ("no signature", without(stripe(), "Stripe-Signature")),
        ("too old", at(-301)),
        ("from the future", at(301)),
    ];
    for (name, webhook) in refused {
        let world = world();
        let taken = world.take(Some("stripe"), &webhook).await;
        assert!(matches!(taken, Err(Rejection::Signature(_))), "{name}: {taken:?}");
        assert!(world.queued(Delivery::Fast).is_empty(), "{name}");
        let key = LedgerKey::new(sender("stripe", "stripe").endpoint().id(), "evt_1");
        assert_eq!(world.ledger.entry(&key), None, "{name}: nothing of it was kept");
    }
    for seconds in [-300, 300] {
        assert_eq!(answer(&world().take(Some("stripe"), &at(seconds)).await), "accepted evt_1 1");
    }
    // Senders of a provider's schema have no business on the generic path.
    let mut elsewhere = stripe();
    elsewhere.headers.push("X-Provider-ID", "stripe");
    assert_eq!(answer(&world().take(None, &elsewhere).await), "unknown_endpoint: unknown endpoint");
}

#[tokio::test]
async fn a_generic_endpoint_is_called_on_its_own_path_alone_where_another_asks_for_less() {
    let world = world();
    let faults = Faults::none();
    let mut intake = world.intake(&faults);
    intake.is_generic_by_name = false;
    for (endpoint, scheme, named, expected) in [
        ("acme", "generic", Some("acme"), "unknown_endpoint: unknown endpoint"),
        ("acme", "generic", None, "accepted evt_1 1"),
        ("stripe", "stripe", Some("stripe"), "accepted evt_1 1"),
    ] {
        let webhook = sender(endpoint, scheme).payment(&payment("evt_1"), noon());
        let taken = world.take_on(&intake, named, &webhook).await;
        assert_eq!(answer(&taken), expected, "{endpoint} at {named:?}");
    }
}

#[tokio::test]
async fn a_repeat_is_answered_as_its_endpoint_wants_it() {
    for (endpoint, scheme, on_duplicate) in [
        ("stripe", "stripe", "Acknowledge"),
        ("strict", "stripe", "Conflict"),
        ("acme", "generic", "Conflict"),
    ] {
        let world = world();
        let webhook = sender(endpoint, scheme).payment(&payment("evt_1"), noon());
        assert_eq!(answer(&world.take(Some(endpoint), &webhook).await), "accepted evt_1 1");
        let repeat = world.take(Some(endpoint), &webhook).await;
        assert_eq!(answer(&repeat), format!("duplicate evt_1 {on_duplicate}"));
    }
}

#[tokio::test]
async fn a_repeat_is_enqueued_until_the_event_is_processed() {
    let world = world();
    let webhook = sender("stripe", "stripe").payment(&payment("evt_1"), noon());
    let key = LedgerKey::new(sender("stripe", "stripe").endpoint().id(), "evt_1");
    world.take(Some("stripe"), &webhook).await.unwrap();
    world.take(Some("stripe"), &webhook).await.unwrap();
    assert_eq!(world.queued(Delivery::Fast).len(), 2, "nobody can know that the first one is in the queue");
    let seals: Vec<Seal> = world.queued(Delivery::Fast).iter().map(|message| read(message).seal()).collect();
    assert_eq!(world.ledger.entry(&key).unwrap().terms.seals, seals, "the processor takes both");
    world.ledger.edit(&key, |entry| entry.state = LedgerState::Processed);
    world.take(Some("stripe"), &webhook).await.unwrap();
    assert_eq!(world.queued(Delivery::Fast).len(), 2);
}

#[tokio::test]
async fn an_expired_entry_counts_as_absent() {
    let world = world();
    let webhook = |at| sender("stripe", "stripe").payment(&payment("evt_1"), at);
    world.take(Some("stripe"), &webhook(noon())).await.unwrap();
    world.clock.advance_ms(LEDGER_RETENTION_SECONDS * 1_000 - 2_000);
    let now = world.clock.now();
    assert_eq!(answer(&world.take(Some("stripe"), &webhook(now)).await), "duplicate evt_1 Acknowledge");
    world.clock.advance_ms(2_000);
    let now = world.clock.now();
    assert_eq!(answer(&world.take(Some("stripe"), &webhook(now)).await), "accepted evt_1 1");
}

#[tokio::test]
async fn other_facts_under_a_known_id_are_an_incident() {
    let world = world();
    let stripe = sender("stripe", "stripe");
    world.take(Some("stripe"), &stripe.payment(&payment("evt_1"), noon())).await.unwrap();
    // Only the bytes differ, as in Stripe's own retries.
    let body = payment("evt_1")
        .body("stripe")
        .unwrap()
        .replace(r#""pending_webhooks":1"#, r#""pending_webhooks":0"#);
    let retry = world.take(Some("stripe"), &stripe.sign("", body.as_bytes(), noon())).await.unwrap();
    assert_eq!((retry.conflicts, world.ledger.conflicts().len()), (0, 0));
    let other = stripe.payment(&payment("evt_1").of("1100", "USD"), noon());
    let taken = world.take(Some("stripe"), &other).await.unwrap();
    assert_eq!((taken.conflicts, taken.duplicate), (1, true));
    let conflicts = world.ledger.conflicts();
    assert_eq!(conflicts.len(), 1);
    assert_eq!(world.queued(Delivery::Fast).len(), 3, "the processor gets to see it");
}

#[tokio::test]
async fn bodies_travel_byte_for_byte_whatever_they_are() {
    let text = payment("evt_1").body("stripe").unwrap();
    let padded = |bytes: usize| {
        let mut body = text.clone().into_bytes();
        body.resize(bytes, b' ');
        body
    };
    let cases: [(&str, Vec<u8>, Encoding); 6] = [
        ("text", text.clone().into_bytes(), Encoding::Text),
        ("empty", Vec::new(), Encoding::Empty),
        ("not UTF-8", vec![0xff, 0xfe, 0x00], Encoding::Base64),
        ("a character that SQS refuses", b"{\"id\":\"a\x01\"}".to_vec(), Encoding::Base64),
        ("as long as fits", padded(LIMIT - 4_096), Encoding::Text),
        ("as long as is accepted", padded(LIMIT), Encoding::ClaimCheck),
    ];
    for (name, body, encoding) in cases {
        let world = world();
        let webhook = sender("stripe", "stripe").sign("", &body, noon());
        world.take(Some("stripe"), &webhook).await.unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let message = world.queued(Delivery::Fast).pop().unwrap();
        let message = read(&message);
        assert_eq!(message.encoding, encoding, "{name}");
        assert_eq!(message.notes.body_sha256, hex_sha256(&body), "{name}");
        match message.content().unwrap() {
            Content::Inline(bytes) => assert!(*bytes == body, "{name}"),
            Content::ClaimCheck(claim) => {
                assert!(world.payloads.objects()[&claim.key] == body, "{name}");
                assert_eq!(claim.check(&body), Ok(()), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_delivery_of_many_events_claims_each() {
    let world = world();
    let (a, b) = (Payment::new("PSP1", "T1", noon()), Payment::new("PSP2", "T2", noon()));
    let body = |payments: &[&Payment]| sender("adyen", "adyen").sign("", adyen(payments).as_bytes(), noon());
    let first = world.take(Some("adyen"), &body(&[&a])).await.unwrap();
    assert_eq!((first.events, first.duplicate), (1, false));
    let both = world.take(Some("adyen"), &body(&[&a, &b])).await.unwrap();
    assert_eq!((both.events, both.duplicate), (2, false), "one of them is new");
    for payment in [&a, &b] {
        let key = LedgerKey::new(sender("adyen", "adyen").endpoint().id(), &adyen_event_id(payment));
        assert!(world.ledger.entry(&key).is_some());
    }
    assert_eq!(
        answer(&world.take(Some("adyen"), &body(&[&a, &b])).await),
        format!("duplicate {} Acknowledge", adyen_event_id(&a))
    );
}

#[tokio::test]
async fn an_ordered_delivery_of_many_payments_is_a_message_for_each() {
    let world = world();
    let events = [
        Payment::new("PSP1", "T1", noon()),
        Payment::new("PSP2", "T2", noon()),
        Payment::new("PSP3", "T1", noon()),
    ];
    let body = adyen(&events.iter().collect::<Vec<_>>());
    let webhook = sender("adyen-ordered", "adyen").sign("", body.as_bytes(), noon());
    world.take(Some("adyen-ordered"), &webhook).await.unwrap();
    let messages = world.intake.messages(Delivery::Ordered);
    let groups: Vec<&str> = messages.iter().filter_map(|message| message.group.as_deref()).collect();
    assert_eq!(groups, ["adyen-ordered#T1", "adyen-ordered#T2"]);
    let only: Vec<Option<String>> = messages.iter().map(|m| read(m).notes.only_transaction).collect();
    assert_eq!(only, [Some("T1".to_owned()), Some("T2".to_owned())]);
}

/// SQS accepts and drops a message whose deduplication id it knows: a delivery that was acknowledged would have no effect
/// where only its message is admitted still.
#[tokio::test]
async fn no_ordered_message_passes_for_anothers() {
    let world = world();
    let webhook = sender("lined-up", "stripe").payment(&payment("evt_1"), noon());
    let copies = 3 * MAX_SEALS;
    for _ in 0..copies {
        world.take(Some("lined-up"), &webhook).await.unwrap();
    }
    let queued = world.queued(Delivery::Ordered);
    assert_eq!(queued.len(), copies);
    let seals = world
        .ledger
        .entry(&LedgerKey::new(sender("lined-up", "stripe").endpoint().id(), "evt_1"))
        .unwrap()
        .terms
        .seals;
    assert_eq!(queued.iter().filter(|message| seals.contains(&read(message).seal())).count(), MAX_SEALS);
}

/// Payments of one name at two endpoints are two payments: neither waits for the other.
#[tokio::test]
async fn an_ordered_payment_waits_for_none_of_another_endpoint() {
    let (a, b) = (ordered("tenant-a", "stripe"), ordered("tenant-b", "stripe"));
    let world = World::new(noon(), vec![a.clone(), b.clone()]);
    for config in [a, b] {
        let id = config.id;
        let webhook = Sender::new(config, KEY).payment(&Payment::new("evt_1", "order-1001", noon()), noon());
        world.take(Some(id.as_str()), &webhook).await.unwrap();
    }
    let groups: Vec<Option<String>> =
        world.queued(Delivery::Ordered).into_iter().map(|message| message.group).collect();
    assert_eq!(groups, [Some("tenant-a#order-1001".to_owned()), Some("tenant-b#order-1001".to_owned())]);
}

#[tokio::test]
async fn a_rotation_never_refuses_a_webhook() {
    let world = world();
    let faults = Faults::none();
    let road = world.intake(&faults);
    let reference = "secretsmanager:stripe";
    let by = |key: &str, event_id: &str, now: Timestamp| {
        Sender::new(config("stripe", "stripe"), key).payment(&payment(event_id), now)
    };
    let third = "third-key-third-key-third-key";
    world.take_on(&road, Some("stripe"), &by(KEY, "evt_1", noon())).await.unwrap();
    world.secrets.rotate(reference, OTHER_KEY);
    // Read again before its time is up, though the reading is of this very second.
    world.take_on(&road, Some("stripe"), &by(OTHER_KEY, "evt_0", noon())).await.unwrap();
    world.clock.advance_ms(10_000);
    let now = world.clock.now();
    world.take_on(&road, Some("stripe"), &by(OTHER_KEY, "evt_2", now)).await.unwrap();
    world
        .take_on(&road, Some("stripe"), &by(KEY, "evt_3", now))
        .await
        .expect("the previous key is good still");
    assert_eq!(read(&world.intake.messages(Delivery::Fast)[3]).key_id, "previous");
    world.secrets.rotate(reference, third);
    world.clock.advance_ms(300_000);
    let now = world.clock.now();
    world.take_on(&road, Some("stripe"), &by(third, "evt_4", now)).await.unwrap();
    world.take_on(&road, Some("stripe"), &by(OTHER_KEY, "evt_5", now)).await.unwrap();
    let oldest = world.take_on(&road, Some("stripe"), &by(KEY, "evt_6", now)).await;
    assert!(matches!(oldest, Err(Rejection::Signature(_))), "a key that is gone is refused");
}

#[tokio::test]
async fn only_an_unusable_current_key_refuses() {
    let world = world();
    let reference = "secretsmanager:stripe";
    let webhook = sender("stripe", "stripe").payment(&payment("evt_1"), noon());
    world.secrets.rotate(reference, "tiny");
    let unusable = world.take(Some("stripe"), &webhook).await;
    assert!(matches!(unusable, Err(Rejection::Unavailable(_))), "{unusable:?}");
    // The mistake is now the previous version.
    world.secrets.rotate(reference, KEY);
    world.take(Some("stripe"), &webhook).await.unwrap();
    assert_eq!(read(&world.intake.messages(Delivery::Fast)[0]).key_id, "current");
}

#[tokio::test]
async fn what_cannot_serve_is_unavailable_and_takes_nothing_with_it() {
    let world = world();
    world.endpoints.set(vec![
        config("stripe", "stripe"),
        config("broken", "no-such-scheme"),
        config("keyless", "stripe"),
    ]);
    let webhook = sender("stripe", "stripe").payment(&payment("evt_1"), noon());
    // At a 404 a provider may give its webhooks up.
    for cannot_serve in ["broken", "keyless"] {
        let answer = world.take(Some(cannot_serve), &webhook).await;
        assert!(matches!(answer, Err(Rejection::Unavailable(PortError::Permanent { .. }))), "{answer:?}");
    }
    assert_eq!(answer(&world.take(Some("stripe"), &webhook).await), "accepted evt_1 1");
}

/// What it asks is what accepting takes, and nobody can make it ask more often.
#[tokio::test]
async fn a_health_check_asks_once_in_five_seconds_and_says_no_to_any_failure() {
    let (untroubled, none) = (world(), Faults::none());
    let intake = untroubled.intake(&none);
    assert!(intake.can_accept(noon()).await);
    let calls = none.calls();
    assert!(calls >= 3, "endpoints, ledger, queues: {calls}");
    assert!(intake.can_accept(noon()).await);
    assert_eq!(none.calls(), calls, "the answer serves");
    for nth in 0..calls {
        let (world, faults) = (world(), Faults::nth(nth, Fault::Before));
        let intake = world.intake(&faults);
        assert!(!intake.can_accept(noon()).await, "call {nth}");
        world.clock.advance_ms(4_999);
        assert!(!intake.can_accept(world.clock.now()).await, "call {nth}: the answer serves");
        world.clock.advance_ms(60_000);
        assert!(intake.can_accept(world.clock.now()).await, "call {nth}: it is over");
    }
    assert!(untroubled.queued(Delivery::Fast).is_empty());
}

/// It is about the reading that instances serve by, and about no endpoint of it: what was read counts as long as it is served by.
#[tokio::test]
async fn a_health_check_reads_the_endpoints_once_and_goes_by_that_reading() {
    let (world, none) = (world(), Faults::none());
    let intake = world.intake(&none);
    assert!(intake.can_accept(noon()).await);
    let first = none.calls();
    world.clock.advance_ms(5_000);
    assert!(intake.can_accept(world.clock.now()).await);
    assert_eq!(none.calls(), first + first - 1, "ledger and queues again, and no endpoints");
}

/// Every call fails once, in every way. An answer of success is only ever given when the bytes are in the queue;
/// whatever the first answer was, the sender's next try ends in the queue, too.
#[tokio::test]
async fn no_failure_of_any_call_loses_what_was_acknowledged() {
    let webhook = sender("stripe", "stripe").payment(&payment("evt_1"), noon());
    let mut large = payment("evt_1").body("stripe").unwrap().into_bytes();
    large.resize(LIMIT, b' ');
    let large = sender("stripe", "stripe").sign("", &large, noon());
    for webhook in [webhook, large] {
        let (faultless, untroubled) = (Faults::none(), world());
        untroubled.take_on(&untroubled.intake(&faultless), Some("stripe"), &webhook).await.unwrap();
        assert!(faultless.calls() >= 4, "endpoints, keys, claim, send");
        for nth in 0..faultless.calls() {
            for fault in Fault::ALL {
                let world = world();
                let faults = Faults::nth(nth, fault);
                let road = world.intake(&faults);
                let first = tokio::select! {
                    biased;
                    taken = world.take_on(&road, Some("stripe"), &webhook) => taken.is_ok(),
                    () = faults.death() => false,
                };
                assert!(!first, "call {nth}, {fault:?}: a failed call is no success");
                let second = world.take(Some("stripe"), &webhook).await;
                assert!(second.is_ok(), "call {nth}, {fault:?}: {second:?}");
                let messages = world.queued(Delivery::Fast);
                assert!((1..=2).contains(&messages.len()), "call {nth}, {fault:?}: {}", messages.len());
                let sha256 = hex_sha256(&webhook.body);
                assert!(messages.iter().all(|message| read(message).notes.body_sha256 == sha256));
            }
        }
    }
}

/// The body is at the limit, so that it goes by way of S3.
#[tokio::test]
async fn while_anything_is_away_nothing_is_promised_and_the_repeat_is_taken() {
    let mut body = payment("evt_1").body("stripe").unwrap().into_bytes();
    body.resize(LIMIT, b' ');
    for away in ["endpoints.endpoints", "secrets.keys", "ledger.claim", "payloads.put", "intake.send"] {
        let (world, faults) = (world(), Faults::away(away));
        let intake = world.intake(&faults);
        let webhook = sender("stripe", "stripe").sign("", &body, noon());
        for _ in 0..3 {
            let taken = world.take_on(&intake, Some("stripe"), &webhook).await;
            assert!(matches!(taken, Err(Rejection::Unavailable(_))), "{away}: {taken:?}");
            assert!(world.queued(Delivery::Fast).is_empty(), "{away}");
        }
        let taken = world.take(Some("stripe"), &webhook).await;
        assert!(taken.is_ok(), "{away}: {taken:?}");
        assert_eq!(world.queued(Delivery::Fast).len(), 1, "{away}");
    }
}

#[tokio::test]
async fn concurrent_copies_are_one_acceptance() {
    for seed in 0..64 {
        let world = world();
        let faults = Faults::chance(0, seed);
        let road = world.intake(&faults);
        let webhook = sender("stripe", "stripe").payment(&payment("evt_1"), noon());
        let takes = (0..16).map(|_| world.take_on(&road, Some("stripe"), &webhook));
        let answers: Vec<String> = futures_util::future::join_all(takes).await.iter().map(answer).collect();
        let accepted = answers.iter().filter(|answer| *answer == "accepted evt_1 1").count();
        assert_eq!(accepted, 1, "seed {seed}: {answers:?}");
        assert!(!world.queued(Delivery::Fast).is_empty());
    }
}

#[tokio::test]
async fn headers_that_verifying_again_needs_travel_along_and_no_others() {
    let world = world();
    let mut webhook = sender("stripe", "stripe").payment(&payment("evt_1"), noon());
    webhook.headers.push("Authorization", "Bearer of-somebody");
    webhook.headers.push("Cookie", "a=b");
    webhook.query = "token=secret".to_owned();
    world.take(Some("stripe"), &webhook).await.unwrap();
    let message = world.queued(Delivery::Fast).pop().unwrap();
    let request = read(&message).request().unwrap();
    assert_eq!(request.query, "");
    let names = request.headers;
    assert!(names.get("Stripe-Signature").is_some());
    assert_eq!((names.get("Authorization"), names.get("Cookie")), (None, None));
}

#[tokio::test]
async fn a_key_that_the_provider_does_not_have_refuses_the_webhook() {
    // RFC 7515, appendix A.3.
    let key = r#"{"kid":"k-1","kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
    let world = World::new(noon(), vec![config("bank", "plaid")]);
    for secret in ["client:one", "client:two"] {
        world.secrets.rotate("secretsmanager:bank", secret);
    }
    let webhook = Sender::new(config("bank", "plaid"), key).sign("", b"{}", noon());
    let taken = world.take(Some("bank"), &webhook).await;
    assert!(matches!(taken, Err(Rejection::Signature(Refusal::MaterialMissing))), "{taken:?}");
}

/// `paypal.json`: a certificate authority and a certificate of ours, one transmission, and two bodies of one CRC-32.
#[tokio::test]
async fn a_paypal_transmission_stands_for_one_body() {
    let fixture: serde_json::Value = serde_json::from_str(include_str!("paypal.json")).unwrap();
    let text = |name: &str| fixture[name].as_str().unwrap().to_owned();
    let mut paypal = config("paypal", "paypal");
    paypal.parameters =
        ["trust_roots", "certificate"].into_iter().map(|name| (name.to_owned(), text(name))).collect();
    let world = World::new(text("transmission_time").parse().unwrap(), vec![paypal]);
    world.secrets.rotate("secretsmanager:paypal", text("webhook_id"));
    let headers = [
        ("Paypal-Transmission-Id", text("transmission_id")),
        ("Paypal-Transmission-Time", text("transmission_time")),
        ("Paypal-Transmission-Sig", text("signature")),
        ("Paypal-Cert-Url", "https://api.paypal.com/v1/notifications/certs/CERT-1".to_owned()),
        ("Paypal-Auth-Algo", "SHA256withRSA".to_owned()),
    ];
    let webhook = |body: &str| SignedWebhook {
        headers: headers.iter().cloned().collect(),
        query: String::new(),
        body: text(body).into_bytes(),
    };
    let take = async |body| answer(&world.take(Some("paypal"), &webhook(body)).await);
    assert_eq!(take("body").await, "accepted WH-1 1");
    assert_eq!(take("body").await, "duplicate WH-1 Acknowledge");
    let reused = "transmission_reused: invalid signature: the transmission came before with another body";
    assert_eq!(take("other_body").await, reused);
    assert_eq!(world.ledger.conflicts().len(), 1);
    assert_eq!(world.queued(Delivery::Fast).len(), 2, "nothing of the other body is kept");
    let endpoint = tollgate_core::EndpointId::new("paypal").unwrap();
    let other = LedgerKey::new(&endpoint, "WH-2");
    assert_eq!(world.ledger.entry(&other), None);
}

/// Plaid's token names its key before anything is fetched: one that is newer than our reading is looked for first.
#[tokio::test]
async fn a_key_id_that_is_newer_than_our_reading_makes_it_read_again() {
    // RFC 7515, appendix A.3.
    let jwk = |id: &str| {
        format!(
            r#"{{"kid":"{id}","kty":"EC","crv":"P-256","alg":"ES256","expired_at":null,
            "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
            "d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}}"#
        )
    };
    let world = World::new(noon(), vec![config("plaid", "plaid")]);
    // Twice: the test world's own key is not one that Plaid's scheme takes.
    for id in ["k-0", "k-1"] {
        world.secrets.rotate("secretsmanager:plaid", jwk(id));
    }
    let faults = Faults::none();
    let road = world.intake(&faults);
    let by = |id: &str, item: &str, now: Timestamp| {
        let body = format!(r#"{{"webhook_code":"X","item_id":"{item}"}}"#);
        Sender::new(config("plaid", "plaid"), &jwk(id)).sign("", body.as_bytes(), now)
    };
    world.take_on(&road, Some("plaid"), &by("k-1", "a", noon())).await.unwrap();
    world.secrets.rotate("secretsmanager:plaid", jwk("k-2"));
    world.clock.advance_ms(10_000);
    let now = world.clock.now();
    world.take_on(&road, Some("plaid"), &by("k-2", "b", now)).await.unwrap();
}

#[tokio::test]
async fn what_an_operator_retrieved_is_one_event_of_an_endpoint_that_binds_its_bodies() {
    let of_environment = |name: &str, scheme: &str| {
        let secret = format!("secretsmanager:tollgate/test/{name}");
        EndpointConfig { secret, ..config(name, scheme) }
    };
    let endpoints = [("stripe", "stripe"), ("adyen", "adyen"), ("acme", "generic")];
    let mut endpoints: Vec<_> = endpoints.map(|(name, scheme)| of_environment(name, scheme)).into();
    endpoints.push(config("of-none", "stripe"));
    let world = World::new(noon(), endpoints);
    world.secrets.rotate("secretsmanager:tollgate/test/_retrieved", OTHER_KEY);
    let body = payment("evt_1").body("stripe").unwrap();
    let adyen = payment("8836").body("adyen").unwrap();
    let generic = payment("evt_1").body("generic").unwrap();
    let long = " ".repeat(LIMIT + 1);
    for (endpoint, event_id, body, code) in [
        ("nobody", "evt_1", body.as_str(), "unknown_endpoint"),
        ("of-none", "evt_1", &body, "not_retrievable"),
        ("stripe", "evt_2", &body, "other_event"),
        ("stripe", "evt_1", "{}", "other_event"),
        ("stripe", "evt_1", "", "other_event"),
        ("stripe", "evt_1", &long, "body_too_large"),
        // Its webhooks are merely authenticated: they would claim apart, and tell again what is told.
        ("adyen", &adyen_event_id(&payment("8836")), &adyen, "not_retrievable"),
    ] {
        let taken = world.take_retrieved(OTHER_KEY, endpoint, event_id, body.as_bytes()).await;
        assert_eq!(taken.unwrap_err().code(), code, "{endpoint}");
    }
    // The key of an endpoint says nothing of what was retrieved.
    let taken = world.take_retrieved(KEY, "stripe", "evt_1", body.as_bytes()).await;
    assert_eq!(taken.unwrap_err().code(), "signature_mismatch");
    assert!(world.queued(Delivery::Fast).is_empty());
    for (endpoint, body) in [("stripe", &body), ("acme", &generic)] {
        let taken = world.take_retrieved(OTHER_KEY, endpoint, "evt_1", body.as_bytes()).await.unwrap();
        assert_eq!((taken.authenticity, taken.duplicate), (Authenticity::Retrieved, false), "{endpoint}");
    }
    let queued = world.queued(Delivery::Fast);
    let queued = read(&queued[0]);
    assert_eq!(queued.notes.authenticity, Authenticity::Retrieved);
    let Content::Inline(bytes) = queued.content().unwrap() else { panic!("a short body") };
    assert_eq!(&*bytes, body.as_bytes(), "the bytes are kept as they were told");
}
