//! What is kept of refused webhooks: what might be genuine, within its endpoint's budget, whoever sends it.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::{Context, Waker};

use tollgate_core::{Authenticity, Delivery, EndpointConfig, KeepRejected, LedgerKey, Timestamp, WebhookId};
use tollgate_pipeline::{
    ingest::{Incoming, Rejection},
    ports::{Clock, PayloadStore, PortError, PortResult},
    rejected::{Keeper, Kept, Name, Task, Verdict, judge},
};
use tollgate_providers::{Headers, KeyMaterial, Received, Refusal, Secret, SignedWebhook};
use tollgate_testkit::{
    failure::{Failing, Faults},
    memory::{
        stores::{MemoryPayloadBucket, MemoryRejected},
        world::{World, failures, read, run},
    },
    webhook::{KEY, OTHER_KEY, Payment, Sender, config},
};

const DAY_MS: i64 = 86_400_000;

const REFUSED: Rejection = Rejection::Signature(Refusal::Mismatch);

fn incoming<'a>(
    webhook_id: &'a WebhookId,
    received_at: Timestamp,
    webhook: &'a SignedWebhook,
) -> Incoming<'a> {
    Incoming {
        webhook_id,
        received_at,
        endpoint: Some("stripe"),
        headers: &webhook.headers,
        query: &webhook.query,
        body: &webhook.body,
        source_ip: "203.0.113.9",
        trace: None,
    }
}

fn noon() -> Timestamp {
    "2026-01-02T12:00:00Z".parse().unwrap()
}

fn keeping(name: &str, scheme: &str, count: u32, bytes: u64) -> EndpointConfig {
    EndpointConfig { keep_rejected: Some(KeepRejected { count, bytes }), ..config(name, scheme) }
}

/// A world whose endpoints refuse what [`OTHER_KEY`] signs.
struct Refusing {
    world: World,
    faults: Faults,
    budget: MemoryRejected,
    bucket: MemoryPayloadBucket,
    deliveries: AtomicU32,
}

type Keeping<'w> = Keeper<Failing<'w, &'w MemoryRejected>, Failing<'w, &'w MemoryPayloadBucket>>;

impl Refusing {
    fn new(endpoints: Vec<EndpointConfig>) -> Self {
        let world = World::new(noon(), endpoints);
        let (budget, bucket) = Default::default();
        Self { world, faults: Faults::none(), budget, bucket, deliveries: AtomicU32::new(0) }
    }

    /// One instance of the validator.
    fn instance(&self) -> Keeping<'_> {
        Keeper::new(Failing::new(&self.budget, &self.faults), Failing::new(&self.bucket, &self.faults))
    }

    fn signed(&self, config: &EndpointConfig, key: &str, at: Timestamp) -> SignedWebhook {
        Sender::new(config.clone(), key).payment(&Payment::new("evt_1", "pi_1", at), at)
    }

    /// Delivers a webhook, a millisecond after the one before; why it was refused, and whether it was kept.
    async fn deliver(
        &self,
        keeper: &Keeping<'_>,
        path: Option<&str>,
        webhook: &SignedWebhook,
    ) -> (Option<Rejection>, bool) {
        self.world.clock.advance_ms(1);
        let now = self.world.clock.now();
        let number = self.deliveries.fetch_add(1, SeqCst);
        let id = WebhookId::new(now, number.into());
        let incoming = Incoming { endpoint: path, ..incoming(&id, now, webhook) };
        let none = Faults::none();
        let intake = self.world.intake(&none);
        let endpoint = match intake.endpoint(&incoming).await {
            Ok(endpoint) => endpoint,
            Err(rejection) => return (Some(rejection), false),
        };
        match intake.take(&endpoint, incoming).await {
            Ok(_) => (None, false),
            Err(rejection) => {
                let kept = keeper.keep(&endpoint, &incoming, &rejection).await;
                (Some(rejection), kept)
            }
        }
    }

    fn kept(&self) -> Vec<Kept> {
        self.bucket.objects().values().map(|object| Kept::read(object).unwrap()).collect()
    }
}

#[tokio::test]
async fn what_might_be_genuine_is_kept_and_nothing_else() {
    let config = keeping("stripe", "stripe", 100, 10_000_000);
    let generic = keeping("generic", "generic", 100, 10_000_000);
    let endpoints = vec![
        config.clone(),
        generic.clone(),
        EndpointConfig { keep_rejected: None, ..keeping("asks-nothing", "stripe", 1, 1) },
    ];
    let refusing = Refusing::new(endpoints);
    let keeper = refusing.instance();
    let now = refusing.world.clock.now();
    let early: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    let unsigned = SignedWebhook { headers: Headers::new(), ..refusing.signed(&config, KEY, now) };
    let mut malformed = unsigned.clone();
    malformed.headers.push("Stripe-Signature", "t=1,v1=zz");
    let unreadable = Sender::new(generic.clone(), KEY).sign("e", br#"{"event_id":"e"}"#, now);
    for (name, path, webhook, reason, is_kept) in [
        (
            "another key",
            Some("stripe"),
            refusing.signed(&config, OTHER_KEY, now),
            Some("signature_mismatch"),
            true,
        ),
        ("too old", Some("stripe"), refusing.signed(&config, KEY, early), Some("too_old"), true),
        ("malformed", Some("stripe"), malformed, Some("malformed"), true),
        ("a genuine sender's mistake", None, unreadable, Some("invalid_content"), true),
        ("no signature", Some("stripe"), unsigned.clone(), Some("header_missing"), false),
        ("no endpoint", Some("nobody"), unsigned, Some("unknown_endpoint"), false),
        (
            "not asked for",
            Some("asks-nothing"),
            refusing.signed(&config, OTHER_KEY, now),
            Some("signature_mismatch"),
            false,
        ),
        ("genuine", Some("stripe"), refusing.signed(&config, KEY, now), None, false),
    ] {
        let (rejection, kept) = refusing.deliver(&keeper, path, &webhook).await;
        assert_eq!((rejection.as_ref().map(Rejection::code), kept), (reason, is_kept), "{name}");
    }
    assert_eq!(refusing.kept().len(), 4);
}

#[tokio::test]
async fn what_is_kept_verifies_again_with_the_mended_key() {
    let config = keeping("stripe", "stripe", 100, 10_000_000);
    let refusing = Refusing::new(vec![config.clone()]);
    let now = refusing.world.clock.now();
    let mut webhook = refusing.signed(&config, OTHER_KEY, now);
    webhook.headers.push("Authorization", "Bearer a-token");
    webhook.query = "token=a-token".to_owned();
    assert!(refusing.deliver(&refusing.instance(), Some("stripe"), &webhook).await.1);
    let (key, object) = refusing.bucket.objects().pop_first().unwrap();
    assert!(!String::from_utf8_lossy(&object).contains("a-token"), "nothing that verifying does not need");
    let kept = Kept::read(&object).unwrap();
    assert_eq!(Name::parse(&key), Some(kept.name()));
    let body = kept.body().unwrap();
    assert_eq!(body, webhook.body);
    let mended = Sender::new(config, OTHER_KEY);
    let keys = mended.endpoint().keys(vec![KeyMaterial::new("new", Secret::new(OTHER_KEY))]).unwrap();
    let received = Received { headers: &kept.request.headers, query: &kept.request.query, body: &body };
    assert!(mended.endpoint().verify(received, &keys, None, kept.received_at).is_ok());
    // Another body under its digest is none.
    let altered = String::from_utf8(object).unwrap().replace("pi_1", "pi_2");
    assert!(Kept::read(altered.as_bytes()).unwrap().body().is_err());
    assert!(Kept::read(b"{}").is_err());
}

/// Fifty instances are flooded: they keep what their endpoint allows for the day, and nearly nothing is asked beyond that.
#[tokio::test]
async fn a_flood_of_refusals_is_kept_within_its_endpoints_budget_by_all_instances_together() {
    let (flooded, other) =
        (keeping("flooded", "stripe", 100, 1_000_000), keeping("other", "stripe", 5, 1_000_000));
    let refusing = Refusing::new(vec![flooded.clone(), other.clone()]);
    let now = refusing.world.clock.now();
    let webhook = refusing.signed(&flooded, OTHER_KEY, now);
    let instances: Vec<Keeping<'_>> = (0..50).map(|_| refusing.instance()).collect();
    for _ in 0..20 {
        for instance in &instances {
            refusing.deliver(instance, Some("flooded"), &webhook).await;
        }
    }
    let kept = refusing.kept().len();
    assert!((32..=100).contains(&kept), "{kept}");
    // A put for each that is kept, a part for so many, and one question of each instance that found none left.
    let calls = refusing.faults.calls();
    assert!(calls <= kept + 32 + instances.len(), "{calls} calls for {kept} kept of 1000");
    for instance in &instances {
        refusing.deliver(instance, Some("flooded"), &webhook).await;
    }
    assert_eq!(refusing.faults.calls(), calls, "a call for a refusal beyond the budget");
    // It is its endpoint's, and of the day.
    for _ in 0..10 {
        refusing.deliver(&instances[0], Some("other"), &refusing.signed(&other, OTHER_KEY, now)).await;
    }
    assert_eq!(refusing.kept().len(), kept + 5);
    refusing.world.clock.advance_ms(DAY_MS);
    assert!(refusing.deliver(&instances[0], Some("flooded"), &webhook).await.1, "the next day");
}

#[tokio::test]
async fn the_bytes_that_are_kept_are_bounded_too() {
    let config = keeping("stripe", "stripe", 10_000, 64_000);
    let refusing = Refusing::new(vec![config.clone()]);
    let keeper = refusing.instance();
    let now = refusing.world.clock.now();
    let of = |bytes: usize| Sender::new(config.clone(), OTHER_KEY).sign("e", &vec![b'x'; bytes], now);
    assert!(
        !refusing.deliver(&keeper, Some("stripe"), &of(2_001)).await.1,
        "longer than a part of the day's bytes"
    );
    assert_eq!(refusing.faults.calls(), 0);
    for _ in 0..200 {
        refusing.deliver(&keeper, Some("stripe"), &of(1_500)).await;
    }
    let bytes: usize = refusing.kept().iter().map(|kept| kept.body().unwrap().len()).sum();
    assert!((32 * 1_500..=64_000).contains(&bytes), "{bytes}");
}

/// A bucket that takes nothing.
#[derive(Debug)]
struct Forbids(AtomicU32);

impl PayloadStore for &Forbids {
    async fn put(&self, _: &str, _: Vec<u8>) -> PortResult<()> {
        self.0.fetch_add(1, SeqCst);
        Err(PortError::retryable("s3", "AccessDenied"))
    }
}

#[tokio::test]
async fn while_nothing_can_be_kept_nobody_waits_for_it() {
    let config = keeping("stripe", "stripe", 100, 10_000_000);
    let sender = Sender::new(config, OTHER_KEY);
    let webhook = sender.payment(&Payment::new("evt_1", "pi_1", noon()), noon());
    let (bucket, budget) = (Forbids(AtomicU32::new(0)), MemoryRejected::default());
    let keeper = Keeper::new(&budget, &bucket);
    let id = WebhookId::new(noon(), 7);
    for second in 0..=60 {
        let received_at = Timestamp::from_second(noon().as_second() + second).unwrap();
        let incoming = incoming(&id, received_at, &webhook);
        assert!(!keeper.keep(sender.endpoint(), &incoming, &REFUSED).await);
        assert_eq!(bucket.0.load(SeqCst), if second < 60 { 1 } else { 2 }, "one try a minute: {second}");
    }
}

/// A bucket that never answers.
#[derive(Debug)]
struct Away(AtomicU32);

impl PayloadStore for &Away {
    async fn put(&self, _: &str, _: Vec<u8>) -> PortResult<()> {
        self.0.fetch_add(1, SeqCst);
        std::future::pending().await
    }
}

#[tokio::test]
async fn one_is_kept_at_a_time_and_one_that_is_given_up_is_a_failure() {
    let config = keeping("stripe", "stripe", 100, 10_000_000);
    let sender = Sender::new(config.clone(), OTHER_KEY);
    let webhook = sender.payment(&Payment::new("evt_1", "pi_1", noon()), noon());
    let (away, budget) = (Away(AtomicU32::new(0)), MemoryRejected::default());
    let keeper = Keeper::new(&budget, &away);
    let endpoint = sender.endpoint();
    let id = WebhookId::new(noon(), 7);
    let at_once = incoming(&id, noon(), &webhook);
    {
        let mut waits = pin!(keeper.keep(endpoint, &at_once, &REFUSED));
        assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(!keeper.keep(endpoint, &at_once, &REFUSED).await, "while another one is kept");
    }
    assert!(!keeper.keep(endpoint, &at_once, &REFUSED).await, "one was given up");
    assert_eq!(away.0.load(SeqCst), 1);
    let later = incoming(&id, "2026-01-02T12:01:00Z".parse().unwrap(), &webhook);
    assert!(
        pin!(keeper.keep(endpoint, &later, &REFUSED))
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    assert_eq!(away.0.load(SeqCst), 2);
    // What costs nobody's time is not asked for either.
    let unavailable = Rejection::Unavailable(PortError::retryable("sqs", "x"));
    assert!(!keeper.keep(endpoint, &later, &unavailable).await);
}

/// A secret was wrongly set; it is mended two days later.
#[tokio::test]
async fn what_is_taken_in_late_is_taken_as_when_it_arrived_and_marked() {
    let config = keeping("stripe", "stripe", 100, 10_000_000);
    let refusing = Refusing::new(vec![config.clone()]);
    let world = &refusing.world;
    let arrived_at = world.clock.now();
    let webhook = refusing.signed(&config, OTHER_KEY, arrived_at);
    assert!(refusing.deliver(&refusing.instance(), Some("stripe"), &webhook).await.1);
    let name = refusing.kept()[0].name();
    let none = Faults::none();
    let intake = world.intake(&none);
    let judge = async |takes_in| {
        judge(&intake, &&refusing.bucket, &Task::of(&name, takes_in), world.clock.now()).await
    };
    world.clock.advance_ms(2 * DAY_MS);
    for takes_in in [false, true] {
        let verdict = judge(takes_in).await;
        assert!(
            matches!(&verdict, Verdict::Refused { reason, .. } if reason == "signature_mismatch"),
            "{verdict:?}"
        );
    }
    // An instance that has the former key reads the new one.
    world.secrets.rotate("secretsmanager:stripe", OTHER_KEY);
    let genuine =
        Verdict::Genuine { event_ids: vec!["evt_1".to_owned()], authenticity: Authenticity::Verified };
    assert_eq!(judge(false).await, genuine);
    assert!(world.queued(Delivery::Fast).is_empty(), "it was only judged");
    let now = world.clock.now();
    for is_duplicate in [false, true] {
        // It is taken in twice, as where an answer was lost: both messages are sealed.
        world.clock.advance_ms(i64::from(is_duplicate));
        let verdict = judge(true).await;
        assert!(
            matches!(verdict, Verdict::Taken { duplicate, .. } if duplicate == is_duplicate),
            "{verdict:?}"
        );
    }
    let queued = world.queued(Delivery::Fast);
    let message = read(&queued[0]);
    assert_eq!(message.webhook_id, name.webhook_id);
    assert_eq!(message.received_at.as_second(), arrived_at.as_second());
    assert_eq!(message.notes.taken_in_at, Some(now));
    let key = LedgerKey::new(&config.id, "evt_1");
    let seals = world.ledger.entry(&key).unwrap().terms.seals;
    assert!(
        queued.len() == 2 && queued.iter().all(|message| seals.contains(&read(message).seal())),
        "{seals:?}"
    );
    let processor = world.processor(&none);
    let report = run(&processor, tollgate_batch::Kind::Standard, &queued).await.unwrap();
    assert!(failures(&report).is_empty());
    assert_eq!(world.published().len(), 1, "once");
    assert!(
        world.archived().iter().all(|row| row.receipt.taken_in_at == Some(now)),
        "{:?}",
        world.archived()
    );
    // Its provider tries again with a signature of today; and after a week nobody can tell any more.
    let again = world.take(Some("stripe"), &refusing.signed(&config, OTHER_KEY, now)).await.unwrap();
    assert!(again.duplicate);
    world.clock.advance_ms(5 * DAY_MS + 1_000);
    assert!(matches!(judge(true).await, Verdict::Gone { .. }));
}
