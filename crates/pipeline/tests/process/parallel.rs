//! Batches large enough to be shared out to threads end as they do on one.

use tollgate_batch::{Deadline, Kind};
use tollgate_core::{Delivery, Timestamp};
use tollgate_pipeline::process::PARALLEL_FROM;
use tollgate_testkit::{
    failure::{Fault, Faults},
    memory::{
        queues::Message,
        world::{World, failures, records, run},
    },
    webhook::{KEY, Payment, Sender, adyen, config},
};

use crate::noon;

/// Past what work is shared out from, poison left out.
const DELIVERIES: usize = PARALLEL_FROM + 20;

/// After endpoints, states, effects, tellings, latest, record and publish.
const ARCHIVE: usize = 7;

/// Copies, contradictions, several events to a delivery and to a transaction, bodies that say nothing, and poison.
async fn filled() -> (World, Vec<Message>) {
    let world = World::new(noon(), vec![config("stripe", "stripe"), config("adyen", "adyen")]);
    let (stripe, several) =
        (Sender::new(config("stripe", "stripe"), KEY), Sender::new(config("adyen", "adyen"), KEY));
    for number in 0..u32::try_from(DELIVERIES).unwrap() {
        let at = Timestamp::from_second(noon().as_second() + i64::from(number % 7)).unwrap();
        let payment = |event: u32, amount: &str| {
            Payment::new(format!("e{event}"), format!("t{}", event % 40), at).of(amount, "USD")
        };
        let (endpoint, webhook) = match number % 10 {
            0 => {
                let [a, b, c] = [0, 1, 2].map(|more| payment(1_000 + number + more, "100"));
                ("adyen", several.sign("", adyen(&[&a, &b, &c]).as_bytes(), noon()))
            }
            1 => ("stripe", stripe.sign("", format!("nonsense {number}").as_bytes(), noon())),
            2 => ("stripe", stripe.payment(&payment(number / 20, "100"), noon())),
            3 => ("stripe", stripe.payment(&payment(number / 20, "200"), noon())),
            _ => ("stripe", stripe.payment(&payment(number, "100"), noon())),
        };
        world.take(Some(endpoint), &webhook).await.unwrap();
    }
    let mut batch = world.intake.receive(Delivery::Fast, DELIVERIES);
    assert_eq!(batch.len(), DELIVERIES);
    for poison in [50, 151, DELIVERIES - 1] {
        batch[poison].attributes.retain(|(name, _)| name != "webhook_id");
    }
    (world, batch)
}

/// All that a batch leaves behind.
async fn run_on(is_parallel: bool, faults: &Faults) -> [Vec<String>; 5] {
    let (world, batch) = filled().await;
    let mut processor = world.processor(faults);
    processor.is_parallel = is_parallel;
    let deadline = Deadline::at(u64::MAX, 0);
    let report = processor.run(Kind::Standard, &records(&batch), deadline).await.unwrap();
    // Nothing is left undone by a second try.
    let sound = Faults::none();
    let again = run(&world.processor(&sound), Kind::Standard, &batch).await.unwrap();
    assert!(failures(&again).is_empty());
    // A share of a batch begins messages of its own: rows are the same, how they are packed is not.
    let mut archived: Vec<String> =
        world.archived().iter().map(|row| serde_json::to_string(row).unwrap()).collect();
    archived.sort();
    [
        failures(&report),
        world.published().iter().map(|event| event.id.to_string()).collect(),
        world.transactions.records().into_keys().map(|key| format!("{key:?}")).collect(),
        archived,
        world.quarantine.messages().iter().map(|aside| format!("{} {}", aside.reason, aside.body)).collect(),
    ]
}

#[tokio::test]
async fn two_threads_leave_what_one_does() {
    let counted = Faults::none();
    let whole = run_on(true, &counted).await;
    assert!(whole.iter().skip(1).all(|left| !left.is_empty()));
    for call in 0..counted.calls() {
        for fault in [Fault::LostAnswer, Fault::Partial, Fault::Short] {
            // Which rows are in the message that an archive call fails for depends on how they were packed.
            if call == ARCHIVE && fault != Fault::LostAnswer {
                continue;
            }
            let (one, two) = (Faults::nth(call, fault), Faults::nth(call, fault));
            assert_eq!(run_on(false, &one).await, run_on(true, &two).await, "call {call}, {fault:?}");
        }
    }
}
