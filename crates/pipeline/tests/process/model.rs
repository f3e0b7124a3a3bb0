//! The model: providers, validators and processors, each failing at any call.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tollgate_batch::Kind;
use tollgate_core::{Delivery, PaymentEvent, Timestamp};
use tollgate_pipeline::{
    archive::{Line, Outcome},
    intake::attribute,
    ports::{
        Allowance, Allowances as _, EFFECT_LEASE_SECONDS, EFFECT_RETENTION_SECONDS, LEDGER_RETENTION_SECONDS,
        LedgerState,
    },
};
use tollgate_providers::SignedWebhook;
use tollgate_testkit::{
    failure::{Faults, draw},
    memory::{
        queues::Message,
        world::{World, failures, read, run},
    },
    webhook::{Payment, adyen, adyen_event_id},
};

use crate::{later, noon, process, sender, world};

/// What a provider delivers, again and again until it is acknowledged.
#[derive(Debug)]
struct Hook {
    endpoint: &'static str,
    scheme: &'static str,
    body: String,
    /// The provider event ids in it, each with the amount it says.
    events: Vec<(String, Option<i128>)>,
    acknowledged: bool,
}

impl Hook {
    /// As it is sent at `now`: a provider signs each of its tries.
    fn signed(&self, now: Timestamp) -> SignedWebhook {
        sender(self.endpoint, self.scheme).sign("", self.body.as_bytes(), now)
    }

    /// The body of each of its tries. Adyen's holds its signature.
    fn sent(&self) -> String {
        String::from_utf8(self.signed(noon()).body).unwrap()
    }
}

/// Hooks of several endpoints: alone, several to a payment, several to a delivery, contradicting each other, and
/// not to be understood at all.
fn hooks(seed: &mut u64, count: usize) -> Vec<Hook> {
    let mut pick = |below: u64| draw(seed) % below;
    (0..count)
        .map(|_| {
            // Seldom another date under a known id: some providers date each of their tries.
            let moved = if pick(6) == 0 { 30 } else { 0 };
            let event = |number: u64, amount: u64| {
                let at = later(i64::try_from(number % 3).unwrap() + moved);
                let payment =
                    Payment { at, ..Payment::new(format!("e{number}"), format!("t{}", number % 4), at) };
                payment.of(&amount.to_string(), "USD")
            };
            // Seldom another amount under a known id.
            let amount = if pick(12) == 0 { 200 } else { 100 };
            let amount_of = |number: u64| event(number, amount);
            match pick(5) {
                0 => {
                    let endpoint = if pick(2) == 0 { "adyen" } else { "adyen-ordered" };
                    let payments: Vec<Payment> = (0..=pick(3)).map(|_| amount_of(pick(8))).collect();
                    // An event may be named twice in one delivery.
                    let all: Vec<&Payment> = payments.iter().collect();
                    let events = all.iter().map(|p| (adyen_event_id(p), p.amount.parse().ok())).collect();
                    Hook { endpoint, scheme: "adyen", body: adyen(&all), events, acknowledged: false }
                }
                1 => {
                    let body = format!("nonsense {}", pick(4));
                    let id = format!("sha256:{}", tollgate_core::id::hex_sha256(body.as_bytes()));
                    let events = vec![(id, None)];
                    Hook { endpoint: "stripe", scheme: "stripe", body, events, acknowledged: false }
                }
                kind => {
                    let endpoint = if kind == 2 { "lined-up" } else { "stripe" };
                    let payment = amount_of(pick(8));
                    let body = payment.body("stripe").unwrap();
                    let events = vec![(payment.event_id, payment.amount.parse().ok())];
                    Hook { endpoint, scheme: "stripe", body, events, acknowledged: false }
                }
            }
        })
        .collect()
}

/// Several deliveries reach one validator at the same time.
async fn deliver(world: &World, hooks: &mut [Hook], chosen: &[usize], faults: &Faults) {
    let intake = world.intake(faults);
    let deliveries = futures_util::future::join_all(chosen.iter().map(|&index| {
        let (intake, hook) = (&intake, &hooks[index]);
        let webhook = hook.signed(world.clock.reading());
        async move { (index, world.take_on(intake, Some(hook.endpoint), &webhook).await.is_ok()) }
    }));
    let taken = tokio::select! {
        biased;
        taken = deliveries => taken,
        () = faults.death() => Vec::new(),
    };
    for (index, is_ok) in taken {
        hooks[index].acknowledged |= is_ok;
    }
}

/// Two processors at work at the same time, each on a batch of its own.
async fn two_processors(world: &World, delivery: Delivery, seed: &mut u64, per_thousand: u64) {
    let kind = if delivery == Delivery::Ordered { Kind::Fifo } else { Kind::Standard };
    let one = async |seed: u64, batch: Vec<Message>| {
        let faults = Faults::chance(per_thousand, seed);
        let processor = world.processor(&faults);
        let failed = tokio::select! {
            biased;
            report = run(&processor, kind, &batch) => failures(&report.unwrap()),
            () = faults.death() => batch.iter().map(|message| message.id.clone()).collect(),
        };
        world.intake.settle(delivery, &batch, &failed);
    };
    let size = 1 + usize::try_from(draw(seed) % 6).unwrap();
    let (first, second) = (world.intake.receive(delivery, size), world.intake.receive(delivery, size));
    if draw(seed).is_multiple_of(8)
        && delivery == Delivery::Fast
        && let Some(message) = first.first()
    {
        world.intake.repeat(message);
    }
    tokio::join!(one(draw(seed), first), one(draw(seed), second));
}

/// Seconds by which the clock moves: within, at and beyond a FIFO queue's deduplication, a visibility timeout, a claim's
/// lease. All of it is within the time that queues keep messages.
const SPANS: [i64; 6] = [1, 299, 300, 360, EFFECT_LEASE_SECONDS - 1, EFFECT_LEASE_SECONDS];

/// An operator allows some of what is too old to take effect.
async fn allow(world: &World, seed: &mut u64) {
    for delivery in [Delivery::Fast, Delivery::Ordered] {
        for message in world.intake.queue(delivery).dead_letters().messages() {
            let has_reason = message.attributes.iter().any(|(_, text)| text == "too_old_to_tell");
            if has_reason && draw(seed).is_multiple_of(2) {
                let queued = read(&message);
                let (seal, webhook_id, allowed_at) =
                    (queued.seal(), queued.webhook_id, world.clock.reading());
                let reason = "looked up".to_owned();
                let allowance = Allowance { seal, webhook_id, reason, allowed_at };
                (&world.ledger).allow(&allowance).await.unwrap();
            }
        }
    }
}

/// An operator sends every dead letter back, with what the processor set aside.
fn redrive(world: &World) {
    for delivery in [Delivery::Fast, Delivery::Ordered] {
        let queue = world.intake.queue(delivery);
        queue.dead_letters().redrive(queue);
    }
}

/// How long nothing happens, in days: a dead letter's retention, the ledger's memory, that of effects.
const DAYS: [i64; 3] = [14, LEDGER_RETENTION_SECONDS / DAY, EFFECT_RETENTION_SECONDS / DAY];
const DAY: i64 = 24 * 60 * 60;

/// Where the publications begin that the ledger, and the claims of effects, still know all of.
#[derive(Debug, Default)]
struct Memory {
    /// The events in the archive.
    archived: BTreeSet<String>,
    /// The bodies in the archive of what was set aside.
    aside: BTreeSet<String>,
    ledger: Forgetting,
    effects: Forgetting,
}

/// A memory that is full or empty: between its days nothing is forgotten, since they are as many as it keeps.
#[derive(Debug, Default)]
struct Forgetting {
    days: i64,
    since: usize,
    times: usize,
}

impl Forgetting {
    /// Whether so many days more would forget a part.
    fn would_forget_a_part(&self, keeps: i64, days: i64) -> bool {
        days < keeps && self.days + days >= keeps
    }

    fn pass(&mut self, keeps: i64, days: i64, published: usize) {
        self.days += days;
        if days >= keeps {
            *self = Self { days: 0, since: published, times: self.times + 1 };
        }
    }
}

impl Memory {
    /// Empties the archive queue, as the archival function does.
    fn archive(&mut self, world: &World) {
        for line in world.archive_lines() {
            match line {
                Line::Webhook(row) if row.outcome == Outcome::SetAside => _ = self.aside.insert(row.body),
                Line::Webhook(_) => {}
                Line::Unread(message) => _ = self.aside.insert(message.body),
            }
        }
        let rows = world.archived();
        self.archived.extend(rows.iter().flat_map(|row| &row.events).map(|event| event.id.to_string()));
        let batch = world.archive.queue().receive(usize::MAX);
        world.archive.queue().settle(&batch, &[]);
    }

    /// Everybody does what is left to do, and then nothing happens for a long time.
    async fn pass_days(&mut self, world: &World, seed: &mut u64) {
        let [_, ledger, effects] = DAYS;
        let mut days = DAYS[usize::try_from(draw(seed)).unwrap() % DAYS.len()];
        if self.ledger.would_forget_a_part(ledger, days) {
            days = ledger;
        }
        if self.effects.would_forget_a_part(effects, days) {
            days = effects;
        }
        run_empty(world).await;
        self.archive(world);
        let published = world.published().len();
        self.ledger.pass(ledger, days, published);
        self.effects.pass(effects, days, published);
        world.clock.advance_ms(days * DAY * 1_000);
    }
}

/// Without failures, until nothing is left but what the processor set aside.
async fn run_empty(world: &World) {
    // Nobody is at work any more.
    world.clock.advance_ms(EFFECT_LEASE_SECONDS * 1_000);
    // What was received too often while processes died is sent back, and needs no third time.
    for _ in 0..3 {
        redrive(world);
        while [Delivery::Fast, Delivery::Ordered].iter().any(|queue| !world.queued(*queue).is_empty()) {
            for delivery in [Delivery::Fast, Delivery::Ordered] {
                process(world, delivery).await;
            }
        }
    }
}

async fn play(mut seed: u64, count: usize, steps: usize, per_thousand: u64) {
    let world = world();
    let mut memory = Memory::default();
    let mut hooks = hooks(&mut seed, count);
    for _ in 0..steps {
        match draw(&mut seed) % 16 {
            0..6 => {
                let chosen: Vec<usize> = (0..1 + draw(&mut seed) % 3)
                    .map(|_| usize::try_from(draw(&mut seed)).unwrap() % hooks.len())
                    .collect();
                let faults = Faults::chance(per_thousand, draw(&mut seed));
                deliver(&world, &mut hooks, &chosen, &faults).await;
            }
            6..9 => two_processors(&world, Delivery::Fast, &mut seed, per_thousand).await,
            9..12 => two_processors(&world, Delivery::Ordered, &mut seed, per_thousand).await,
            12..15 => {
                let span = SPANS[usize::try_from(draw(&mut seed)).unwrap() % SPANS.len()];
                world.clock.advance_ms(span * 1_000);
                allow(&world, &mut seed).await;
                redrive(&world);
            }
            _ => memory.pass_days(&world, &mut seed).await,
        }
    }
    // The failures stop; the providers go on until they are heard.
    for index in 0..hooks.len() {
        let faults = Faults::none();
        deliver(&world, &mut hooks, &[index], &faults).await;
    }
    run_empty(&world).await;
    memory.archive(&world);
    check(&world, &hooks, &memory);
}

/// Of the events that tell an effect one restates nothing, whichever processors had them, and the others restate that
/// one: in each of their copies.
fn check_effects(published: &[PaymentEvent<'static>]) {
    let mut tellings: BTreeMap<String, BTreeMap<String, Option<String>>> = BTreeMap::new();
    for event in published {
        let restates = event.restates.map(|id| id.to_string());
        let effect = tellings.entry(event.effect_id.to_string()).or_default();
        let known = effect.entry(event.id.to_string()).or_insert_with(|| restates.clone());
        assert_eq!(*known, restates, "every copy says the same: {event:?}");
    }
    for (effect, events) in tellings {
        let first: Vec<&String> =
            events.iter().filter(|(_, restates)| restates.is_none()).map(|(id, _)| id).collect();
        let [first] = first[..] else { panic!("{effect}: {events:?}") };
        assert!(events.values().flatten().all(|restates| restates == first), "{effect}: {events:?}");
    }
}

/// Nothing acknowledged is lost, and nothing has an effect twice.
fn check(world: &World, hooks: &[Hook], memory: &Memory) {
    for delivery in [Delivery::Fast, Delivery::Ordered] {
        assert_eq!(world.queued(delivery).len(), 0, "the queues run empty");
        let queue = world.intake.queue(delivery);
        assert_eq!(queue.expired(), [], "nothing is lost");
        for gone in queue.dead_letters().expired() {
            let has_reason = gone.attributes.iter().any(|(name, _)| name == attribute::REASON);
            assert!(has_reason, "only what was set aside may go: {gone:?}");
        }
    }
    let mut records: BTreeMap<String, usize> = BTreeMap::new();
    for event in world.transactions.records().values() {
        *records.entry(event.id.to_string()).or_default() += 1;
    }
    // An event that comes again once the ledger has forgotten it may say another date.
    let times = memory.ledger.times + 1;
    assert!(records.values().all(|count| *count <= times), "one record an event: {records:?}");
    let published = world.published();
    check_effects(&published[memory.effects.since..]);
    let published = &published[memory.ledger.since..];
    let mut amounts: BTreeMap<String, Option<i128>> = BTreeMap::new();
    for event in published {
        let amount = event.amount.map(|amount| amount.minor_units());
        let first = *amounts.entry(event.id.to_string()).or_insert(amount);
        assert_eq!(first, amount, "every copy says the same: {event:?}");
    }
    let quarantined: Vec<String> = world
        .quarantine
        .messages()
        .iter()
        .map(|aside| {
            let expected = ["conflicting_facts", "unclaimed", "too_old_to_tell"];
            assert!(expected.contains(&aside.reason.as_str()), "{}", aside.reason);
            aside.body.clone()
        })
        .collect();
    for hook in hooks {
        assert!(hook.acknowledged, "without failures every webhook is taken: {hook:?}");
        let endpoint = tollgate_core::EndpointId::new(hook.endpoint).unwrap();
        for (event_id, amount) in &hook.events {
            let key = tollgate_core::LedgerKey::new(&endpoint, event_id);
            let id = key.event_id().to_string();
            // Once one delivery of an event is set aside as too old, further ones are duplicates. Its dead letter goes after
            // 14 days, its row in the archive does not.
            let tells = |other: &&Hook| {
                other.endpoint == hook.endpoint && other.events.contains(&(event_id.clone(), *amount))
            };
            let is_aside = |body: &String| quarantined.contains(body) || memory.aside.contains(body);
            let has_set_aside = hooks.iter().filter(tells).any(|other| is_aside(&other.sent()));
            match amounts.get(&id) {
                Some(said) if said == amount => {
                    assert_eq!(world.ledger.entry(&key).unwrap().state, LedgerState::Processed, "{key}");
                    assert!(records.contains_key(&id), "{key}");
                    assert!(memory.archived.contains(&id), "{key}");
                }
                // Somebody else's facts stand under this id, or nobody's: then this one is where people look.
                _ => assert!(has_set_aside, "{key} is nowhere"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost_and_no_effect_doubled(
        seed in any::<u64>(), count in 1_usize..24, steps in 0_usize..60, per_thousand in 0_u64..300,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(seed, count, steps, per_thousand));
    }
}
