//! What callers that nobody knows can cost, and whom they can keep out.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests only"
)]

use std::pin::pin;

use tollgate_core::{Delivery, Timestamp, WebhookId};
use tollgate_pipeline::{
    ingest::{Incoming, Rejection, Taken},
    ports::Clock,
};
use tollgate_providers::SignedWebhook;
use tollgate_testkit::{
    failure::{Fault, Faults},
    memory::world::{Intake, World},
    webhook::{KEY, OTHER_KEY, Payment, Sender, config},
};

const ATTACKER: &str = "198.51.100.7";
const STRIPE: &str = "203.0.113.9";

async fn take(
    world: &World,
    intake: &Intake<'_>,
    endpoint: &str,
    source_ip: &str,
    webhook: &SignedWebhook,
) -> Result<Taken, Rejection> {
    let incoming = Incoming {
        webhook_id: &WebhookId::new(world.clock.now(), 7),
        received_at: world.clock.now(),
        endpoint: Some(endpoint),
        headers: &webhook.headers,
        query: &webhook.query,
        body: &webhook.body,
        source_ip,
        trace: None,
    };
    let endpoint = intake.endpoint(&incoming).await?;
    intake.take(&endpoint, incoming).await
}

#[tokio::test]
async fn keys_that_are_due_hold_no_request_though_reading_them_never_ends() {
    let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
    let world = World::new(now, vec![config("stripe", "stripe")]);
    // Of the calls, counted from 0: endpoint, keys, claim, message; endpoint, claim, message; then, beside the requests,
    // all endpoints and the keys.
    for hanging in [7, 8] {
        let faults = Faults::nth(hanging, Fault::DieBefore);
        let intake = world.intake(&faults);
        let deliver = async |name: &str| {
            let (id, now) = (format!("evt_{hanging}_{name}"), world.clock.now());
            let webhook =
                Sender::new(config("stripe", "stripe"), KEY).payment(&Payment::new(id, "pi_1", now), now);
            take(&world, &intake, "stripe", STRIPE, &webhook).await.unwrap();
        };
        deliver("first").await;
        world.clock.advance_ms(300_000);
        deliver("due").await;
        assert_eq!(faults.calls(), 7, "the request has read no keys");
        let mut beside = pin!(intake.keep_current());
        tokio::select! {
            () = &mut beside => unreachable!(),
            () = faults.death() => {}
        }
        tokio::select! {
            biased;
            () = &mut beside => unreachable!(),
            () = deliver("meanwhile") => {}
        }
    }
    assert_eq!(world.queued(Delivery::Fast).len(), 6);
}

/// Rotations are followed as before while nobody forges, and within the time to live while somebody does.
#[tokio::test]
async fn forgeries_delay_a_rotation_by_the_time_to_live_at_most() {
    let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
    let world = World::new(now, vec![config("stripe", "stripe")]);
    let faults = Faults::none();
    let intake = world.intake(&faults);
    let by = |key: &str, id: String| {
        let now = world.clock.now();
        Sender::new(config("stripe", "stripe"), key).payment(&Payment::new(id, "pi_1", now), now)
    };
    let mut accepted_after = None;
    let work = async {
        for second in 0..900 {
            if second == 450 {
                world.secrets.rotate("secretsmanager:stripe", OTHER_KEY);
            }
            let forged = by("a key that is nobody's", format!("evt_f{second}"));
            assert!(take(&world, &intake, "stripe", ATTACKER, &forged).await.is_err());
            tokio::task::yield_now().await;
            if second >= 450 {
                let genuine = by(OTHER_KEY, format!("evt_{second}"));
                if take(&world, &intake, "stripe", STRIPE, &genuine).await.is_ok() {
                    accepted_after.get_or_insert(second - 450);
                }
            }
            world.clock.advance_ms(1_000);
        }
    };
    tokio::select! {
        () = intake.keep_current() => unreachable!(),
        () = work => {}
    }
    let after = accepted_after.expect("the new key is good in the end");
    assert!(after <= 300, "{after} s");
}
