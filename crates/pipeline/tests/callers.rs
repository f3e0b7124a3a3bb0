//! What callers that nobody knows can cost, and whom they can keep out.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests only"
)]

use std::pin::pin;

use tollgate_core::{Delivery, EndpointConfig, Timestamp, WebhookId};
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

const CERTIFICATES: &str = "https://api.paypal.com/v1/notifications/certs/";
const ATTACKER: &str = "198.51.100.7";
const PAYPAL: &str = "203.0.113.9";

/// `paypal.json`: a certificate authority and a certificate of ours, and one transmission.
struct PayPal(serde_json::Value);

impl PayPal {
    fn new() -> Self {
        Self(serde_json::from_str(include_str!("paypal.json")).unwrap())
    }

    fn text(&self, name: &str) -> String {
        self.0[name].as_str().unwrap().to_owned()
    }

    /// Two endpoints whose certificates are fetched.
    fn world(&self) -> World {
        let endpoint = |name: &str| {
            let trust_roots = self.text("trust_roots");
            let parameters = [("trust_roots".to_owned(), trust_roots)].into();
            EndpointConfig { parameters, ..config(name, "paypal") }
        };
        let now = self.text("transmission_time").parse().unwrap();
        let world = World::new(now, vec![endpoint("paypal"), endpoint("other")]);
        for name in ["paypal", "other"] {
            world.secrets.rotate(format!("secretsmanager:{name}"), self.text("webhook_id"));
        }
        world.materials.publish(format!("{CERTIFICATES}CERT-NEW"), self.text("certificate"));
        world
    }

    fn webhook(&self, certificate: &str) -> SignedWebhook {
        let headers = [
            ("Paypal-Transmission-Id", self.text("transmission_id")),
            ("Paypal-Transmission-Time", self.text("transmission_time")),
            ("Paypal-Transmission-Sig", self.text("signature")),
            ("Paypal-Cert-Url", format!("{CERTIFICATES}{certificate}")),
            ("Paypal-Auth-Algo", "SHA256withRSA".to_owned()),
        ];
        SignedWebhook {
            headers: headers.iter().cloned().collect(),
            query: String::new(),
            body: self.text("body").into_bytes(),
        }
    }
}

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

/// Ten thousand webhooks of the attacker's, each under a certificate that is not there.
async fn invent(paypal: &PayPal, world: &World, intake: &Intake<'_>) {
    for number in 0..10_000 {
        let invented = paypal.webhook(&format!("CERT-{number}"));
        assert!(take(world, intake, "paypal", ATTACKER, &invented).await.is_err());
    }
}

#[tokio::test]
async fn after_ten_thousand_invented_certificates_a_new_one_of_the_providers_is_taken() {
    let paypal = PayPal::new();
    let world = paypal.world();
    let faults = Faults::none();
    let intake = world.intake(&faults);
    invent(&paypal, &world, &intake).await;
    let genuine = paypal.webhook("CERT-NEW");
    take(&world, &intake, "paypal", PAYPAL, &genuine).await.expect("another sender's certificate");
    assert!(take(&world, &intake, "other", ATTACKER, &genuine).await.is_ok(), "another endpoint");
    assert!(take(&world, &intake, "paypal", ATTACKER, &genuine).await.is_ok(), "it was good before");
}

#[tokio::test]
async fn behind_one_proxy_with_the_attacker_a_new_certificate_waits_for_half_a_minute() {
    let paypal = PayPal::new();
    let world = paypal.world();
    let faults = Faults::none();
    let intake = world.intake(&faults);
    invent(&paypal, &world, &intake).await;
    let genuine = paypal.webhook("CERT-NEW");
    let too_early = take(&world, &intake, "paypal", ATTACKER, &genuine).await;
    assert!(matches!(too_early, Err(Rejection::Unavailable(_))), "the sender is to try again: {too_early:?}");
    world.clock.advance_ms(30_000);
    assert!(take(&world, &intake, "paypal", ATTACKER, &genuine).await.is_ok());
}

#[tokio::test]
async fn a_certificate_that_was_good_is_there_for_the_next_instance_and_is_checked_again() {
    let paypal = PayPal::new();
    let world = paypal.world();
    let faults = Faults::none();
    let (first, genuine) = (world.intake(&faults), paypal.webhook("CERT-NEW"));
    // The certificate is stored beside the requests.
    let work = async {
        take(&world, &first, "paypal", PAYPAL, &genuine).await.unwrap();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = first.keep_current() => unreachable!(),
        () = work => {}
    }
    // Its host is not reached any more.
    world.materials.withdraw(&format!("{CERTIFICATES}CERT-NEW"));
    let next = world.intake(&faults);
    assert!(take(&world, &next, "paypal", PAYPAL, &genuine).await.is_ok());
    // Whoever can write to the store gains nothing.
    world.material_store.overwrite("paypal", &paypal.text("trust_roots"));
    let refused = take(&world, &world.intake(&faults), "paypal", PAYPAL, &genuine).await;
    assert!(matches!(refused, Err(Rejection::Signature(_))), "{refused:?}");
}

#[tokio::test]
async fn what_is_due_holds_no_request_though_reading_it_never_ends() {
    let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
    let world = World::new(now, vec![config("stripe", "stripe")]);
    // Of the calls, counted from 0: endpoints, keys, claim, message; claim, message; then, beside the requests, the
    // endpoints. Five minutes later the endpoints are read first, since nobody has asked for them, and beside it the keys.
    for (later_ms, hanging) in [(60_000, 6), (300_000, 7)] {
        let faults = Faults::nth(hanging, Fault::DieBefore);
        let intake = world.intake(&faults);
        let deliver = async |name: &str| {
            let (id, now) = (format!("evt_{hanging}_{name}"), world.clock.now());
            let webhook =
                Sender::new(config("stripe", "stripe"), KEY).payment(&Payment::new(id, "pi_1", now), now);
            take(&world, &intake, "stripe", PAYPAL, &webhook).await.unwrap();
        };
        deliver("first").await;
        world.clock.advance_ms(later_ms);
        deliver("due").await;
        assert_eq!(faults.calls(), hanging, "the request has not read it");
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
                if take(&world, &intake, "stripe", PAYPAL, &genuine).await.is_ok() {
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
