//! What is foreseen of messages is what becomes of them.

use tollgate_core::Delivery;
use tollgate_pipeline::{
    intake::attribute,
    process::{Before, End},
};
use tollgate_testkit::{
    failure::Faults,
    memory::{
        queues::Message,
        world::{World, records},
    },
};

use crate::{
    claims::{key, process_batch},
    later, payment, sender, spoil, take, take_payment, world,
};

async fn foreseen(world: &World, batch: &[Message]) -> Vec<End> {
    let faults = Faults::none();
    let processor = world.processor(&faults);
    let foreseen = processor.foresee(&records(batch), &mut Before::default()).await;
    foreseen.into_iter().map(|one| one.end).collect()
}

#[tokio::test]
async fn each_message_ends_as_it_is_foreseen_and_looking_does_nothing() {
    let world = world();
    for id in ["done", "twice", "altered", "unclaimed", "elsewhere", "unread"] {
        take_payment(&world, "stripe", "stripe", &payment(id)).await;
    }
    let other = sender("stripe", "stripe").payment(&payment("twice"), later(1));
    take(&world, "stripe", &other).await;
    take_payment(&world, "stripe", "stripe", &payment("contradicted")).await;
    take_payment(&world, "stripe", "stripe", &payment("contradicted").of("1", "USD")).await;
    let mut batch = world.intake.receive(Delivery::Fast, 100);
    assert_eq!(batch.len(), 9);
    let done = batch.remove(0);
    assert!(process_batch(&world, std::slice::from_ref(&done)).await.is_empty());
    batch.insert(0, done);
    spoil(&mut batch[2], attribute::SOURCE_IP, "198.51.100.77");
    world.ledger.forget(&key("stripe", "unclaimed"));
    spoil(&mut batch[4], attribute::ENDPOINT, "elsewhere");
    spoil(&mut batch[5], attribute::RECEIVED_AT, "no time");

    let (published, aside) = (world.published().len(), world.quarantine.messages().len());
    let ends = foreseen(&world, &batch).await;
    assert_eq!((world.published().len(), world.quarantine.messages().len()), (published, aside));
    let expected = [
        End::Done,
        End::TakesEffect,
        End::Refused("altered"),
        End::Refused("unclaimed"),
        End::Refused("unknown_endpoint"),
        End::Refused("not_an_intake_message"),
        End::Done,
        End::TakesEffect,
        End::Refused("conflicting_facts"),
    ];
    assert_eq!(ends, expected);
    for (message, end) in batch.iter().zip(ends) {
        let (published, aside) = (world.published().len(), world.quarantine.messages().len());
        let failed = process_batch(&world, std::slice::from_ref(message)).await;
        assert!(failed.is_empty(), "{end:?}");
        let reason = world.quarantine.messages().get(aside).map(|message| message.reason.clone());
        match (end, world.published().len() - published, reason) {
            (End::TakesEffect, 1, None) | (End::Done, 0, None) => {}
            (End::Refused(foreseen), 0, Some(reason)) => assert_eq!(foreseen, reason),
            other => panic!("{other:?}"),
        }
    }
}
