//! Ids that a later event says are names of one transaction.

use std::collections::BTreeSet;

use serde_json::json;
use tollgate_core::{
    Authenticity::{self, Authenticated, Verified},
    Delivery,
};
use tollgate_testkit::{failure::Faults, memory::world::World};

use crate::{claims::key, noon, process, sender, take, world};

/// Stripe's events of one payment since API version 2025-03-31: the invoice and the intent do not name each other, and
/// a third event names both.
fn body(name: &str) -> Vec<u8> {
    let intent = if name.contains("other intent") { "pi_2" } else { "pi_1" };
    let (event_type, object) = match name {
        _ if name.starts_with("invoice") => (
            "invoice.finalized",
            json!({"id": "in_1", "object": "invoice", "amount_due": 1099, "currency": "usd", "status": "open"}),
        ),
        _ if name.starts_with("intent") || name.starts_with("other intent") => (
            "payment_intent.succeeded",
            json!({"id": intent, "object": "payment_intent", "amount": 1099, "amount_received": 1099,
                "currency": "usd", "status": "succeeded"}),
        ),
        _ => (
            "invoice_payment.paid",
            json!({"id": "inpay_1", "object": "invoice_payment", "amount_paid": 1099, "currency": "usd",
                "invoice": "in_1", "status": "paid", "payment": {"type": "payment_intent", "payment_intent": intent}}),
        ),
    };
    let id = format!("evt_{}", name.replace(' ', "_"));
    let created = noon().as_second();
    json!({"id": id, "object": "event", "type": event_type, "created": created, "livemode": false,
        "api_version": "2025-03-31.basil", "data": {"object": object}})
    .to_string()
    .into_bytes()
}

async fn deliver(world: &World, name: &str) {
    take(world, "stripe", &sender("stripe", "stripe").sign("", &body(name), noon())).await;
}

/// The transaction of each event that was published since, by its provider id.
fn transactions(world: &World, since: usize) -> BTreeSet<String> {
    world.published().iter().skip(since).map(|event| event.transaction_id.to_string()).collect()
}

const ORDERS: [[&str; 3]; 6] = [
    ["invoice", "intent", "link"],
    ["invoice", "link", "intent"],
    ["intent", "invoice", "link"],
    ["intent", "link", "invoice"],
    ["link", "invoice", "intent"],
    ["link", "intent", "invoice"],
];

#[tokio::test]
async fn after_the_link_events_under_either_id_are_of_one_transaction() {
    for order in ORDERS {
        for at_once in [false, true] {
            let world = world();
            for name in order {
                deliver(&world, name).await;
                if !at_once {
                    assert!(process(&world, Delivery::Fast).await.is_empty());
                }
            }
            assert!(process(&world, Delivery::Fast).await.is_empty());
            let since = world.published().len();
            assert_eq!(since, 3, "{order:?}");
            if at_once {
                let all = transactions(&world, 0);
                assert_eq!(all.len(), 1, "{order:?}: the link of a stride counts for all of it: {all:?}");
            }
            for name in ["invoice again", "intent again"] {
                deliver(&world, name).await;
                assert!(process(&world, Delivery::Fast).await.is_empty());
            }
            let further = transactions(&world, since);
            assert_eq!(further.len(), 1, "{order:?}, at once {at_once}: {further:?}");
            let names: BTreeSet<String> = world
                .published()
                .iter()
                .skip(since)
                .flat_map(|event| {
                    let aliases = event.transaction_aliases.iter().map(ToString::to_string);
                    aliases.chain([event.transaction_id.to_string()]).collect::<Vec<_>>()
                })
                .collect();
            assert_eq!(names, BTreeSet::from(["in_1".to_owned(), "pi_1".to_owned()]), "{order:?}");
        }
    }
}

/// The same delivery again, after the link is known.
#[tokio::test]
async fn a_link_that_is_known_is_not_written_again() {
    let world = world();
    deliver(&world, "link").await;
    assert!(process(&world, Delivery::Fast).await.is_empty());
    let calls = async || {
        let faults = Faults::none();
        crate::process_with(&world, Delivery::Fast, &faults).await;
        faults.calls()
    };
    deliver(&world, "intent").await;
    let without = calls().await;
    deliver(&world, "link two").await;
    // One call more reads the transaction that a name is known to be of; or the effect is told again.
    assert!(calls().await <= without + 2);
    assert_eq!(transactions(&world, 0).len(), 1);
}

/// Delivers an event and processes it as one of that authenticity; the transaction that it was published under.
async fn processed_as(world: &World, name: &str, authenticity: Authenticity) -> String {
    deliver(world, name).await;
    let event_id = format!("evt_{}", name.replace(' ', "_"));
    world.ledger.edit(&key("stripe", &event_id), |entry| entry.terms.authenticity = authenticity);
    assert!(process(world, Delivery::Fast).await.is_empty());
    let event = world.published().pop().unwrap();
    assert_eq!(event.authenticity, authenticity);
    event.transaction_id.to_string()
}

/// Who can send what is only authenticated could else join others' payments.
#[tokio::test]
async fn a_link_that_is_only_authenticated_moves_no_verified_event() {
    let world = world();
    let (mut root, mut alias) = ("pi_1", "in_1");
    if processed_as(&world, "link", Authenticated).await == alias {
        (root, alias) = (alias, root);
    }
    let of_alias = if alias == "in_1" { "invoice" } else { "intent" };
    let again = |times: usize| format!("{of_alias}{}", " again".repeat(times));
    assert_eq!(processed_as(&world, &again(1), Authenticated).await, root);
    assert_eq!(processed_as(&world, &again(0), Verified).await, alias);
    // A verified event says so too: from then on it counts.
    processed_as(&world, "link two", Verified).await;
    assert_eq!(processed_as(&world, &again(2), Verified).await, root);
}

/// The invoice is paid by another intent in the end.
#[tokio::test]
async fn what_is_linked_to_an_alias_is_of_the_aliases_transaction() {
    let world = world();
    for name in ["link", "link to the other intent", "other intent", "invoice"] {
        deliver(&world, name).await;
        assert!(process(&world, Delivery::Fast).await.is_empty());
    }
    let told: Vec<(String, Vec<String>, bool)> = world
        .published()
        .iter()
        .map(|event| {
            let aliases = event.transaction_aliases.iter().map(ToString::to_string).collect();
            (event.transaction_id.to_string(), aliases, event.superseded)
        })
        .collect();
    let expected = [
        (&["in_1"][..], false),
        (&["pi_2", "in_1"], false),
        (&["pi_2"], false),
        // What is known of the transaction counts for its aliases.
        (&["in_1"], true),
    ];
    let expected = expected.map(|(aliases, superseded)| {
        ("pi_1".to_owned(), aliases.iter().map(|alias| (*alias).to_owned()).collect(), superseded)
    });
    assert_eq!(told, expected);
}
