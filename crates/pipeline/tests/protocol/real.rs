//! The real use cases over the strict ports in memory, driven one call at a time by the model's steps.
//!
//! After each step everything that is stored is what the model says, and each process waits to make the call that the model
//! has next for it.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
};

use futures_util::FutureExt as _;
use tollgate_batch::Kind;
use tollgate_core::{Authenticity, Delivery, EffectId, EndpointId, EventId, LedgerKey, Timestamp, WebhookId};
use tollgate_pipeline::{
    archive::{Line, Outcome, unpack},
    intake::{Seal, attribute},
    ports::{
        EFFECT_LEASE_SECONDS, LEDGER_RETENTION_SECONDS, Ledger as _, LedgerState, Subject, TOO_OLD_SECONDS,
    },
    process::Receives,
};
use tollgate_testkit::{
    failure::{Fault, Faults},
    memory::{
        queues::Message,
        world::{World, failures, run},
    },
    webhook::{KEY, Payment, Sender, config},
};

use crate::model::{
    Action, COPIES, Call, DELIVERIES, EVENTS, Ending, Held, How, Row, Scenario, State, TRIES, Told,
    Validator, WORKERS,
};

const ENDPOINT: &str = "stripe";
/// Two events that tell one payment's success.
const EVENT_IDS: [&str; EVENTS] = ["evt_1", "evt_2"];
/// Half a lease.
const HALF_HOUR_SECONDS: i64 = EFFECT_LEASE_SECONDS / 2;

fn noon() -> Timestamp {
    "2026-01-02T12:00:00Z".parse().unwrap()
}

/// What a trace needs and does not change.
pub struct Setting {
    sender: Sender,
    keys: [LedgerKey; EVENTS],
    effect: EffectId,
}

impl Setting {
    pub fn new() -> Self {
        let endpoint = EndpointId::new(ENDPOINT).unwrap();
        let sender = Sender::new(config(ENDPOINT, ENDPOINT), KEY);
        let keys = EVENT_IDS.map(|id| LedgerKey::new(&endpoint, id));
        // The effect's id is what an event says that is published.
        let world = world();
        let webhook = sender.payment(&payment(0), noon());
        world.take(Some(ENDPOINT), &webhook).now_or_never().unwrap().unwrap();
        let batch = world.intake.receive(Delivery::Fast, 1);
        let faults = Faults::none();
        run(&world.processor(&faults), Kind::Standard, &batch).now_or_never().unwrap().unwrap();
        Self { sender, keys, effect: world.published()[0].effect_id }
    }

    fn id(&self, event: usize) -> EventId {
        self.keys[event].event_id()
    }
}

fn world() -> World {
    World::new(noon(), vec![config(ENDPOINT, ENDPOINT)])
}

fn payment(event: usize) -> Payment {
    Payment::new(EVENT_IDS[event], "pi_1", noon())
}

/// A process that is polled by hand.
struct Driven<'w, T> {
    faults: Arc<Faults>,
    future: Pin<Box<dyn Future<Output = T> + 'w>>,
    done: Option<T>,
}

/// Calls that only read, and whose answers the model leaves out or has in the step before.
const UNSEEN: [&str; 4] = ["endpoints.endpoints", "secrets.keys", "transactions.latest", "ledger.allowed"];

impl<'w, T> Driven<'w, T> {
    /// Starts a process and has it wait at its first call that matters.
    fn start<F: Future<Output = T> + 'w>(process: impl FnOnce(Arc<Faults>) -> F) -> Self {
        let faults = Arc::new(Faults::by_hand());
        let mut driven = Self { future: Box::pin(process(Arc::clone(&faults))), faults, done: None };
        driven.runs_to_a_call();
        driven
    }

    fn waiting(&self) -> Option<&'static str> {
        self.faults.waiting()
    }

    /// Makes the call that waits, and goes on to the next one.
    fn calls(&mut self, how: How) {
        self.faults.let_go(match how {
            How::Well => None,
            How::Fails => Some(Fault::Before),
            How::LosesItsAnswer => Some(Fault::LostAnswer),
        });
        self.runs_to_a_call();
    }

    fn runs_to_a_call(&mut self) {
        loop {
            match self.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                std::task::Poll::Ready(done) => {
                    self.done = Some(done);
                    return;
                }
                std::task::Poll::Pending => match self.waiting() {
                    Some(call) if UNSEEN.contains(&call) => self.faults.let_go(None),
                    Some(_) => return,
                    None => panic!("a process waits for something that is no call"),
                },
            }
        }
    }
}

/// A delivery that began.
struct Delivered<'w> {
    webhook_id: WebhookId,
    /// Known once a claim has it.
    seal: Option<Seal>,
    /// The validator, while it lives. Whether it says 200.
    process: Option<Driven<'w, bool>>,
    is_acknowledged: bool,
}

struct Processor<'w> {
    batch: Vec<Message>,
    /// The ids that come back.
    process: Driven<'w, Vec<String>>,
}

/// A trace's world and processes.
pub struct Real<'w> {
    scenario: Scenario,
    setting: &'w Setting,
    world: &'w World,
    deliveries: [Option<Delivered<'w>>; DELIVERIES],
    workers: [Option<Processor<'w>>; WORKERS],
    /// The ids of the intake's messages.
    copies: [[Option<String>; COPIES]; DELIVERIES],
    /// What was read of the bus and of the archive queue.
    published: (usize, [u8; EVENTS]),
    archived: (usize, [u8; DELIVERIES]),
}

/// Drives a trace: steps, each with the state that the model says it leads to. The first difference, if there is one.
pub fn drive(
    scenario: &Scenario,
    setting: &Setting,
    trace: impl IntoIterator<Item = (Action, State)>,
) -> Result<(), String> {
    let world = world();
    let mut real = Real {
        scenario: *scenario,
        setting,
        world: &world,
        deliveries: Default::default(),
        workers: Default::default(),
        copies: Default::default(),
        published: (0, [0; EVENTS]),
        archived: (0, [0; DELIVERIES]),
    };
    let mut before = State::default();
    let mut done = Vec::new();
    for (action, after) in trace {
        done.push(action);
        let outcome = real.steps(&before, action).and_then(|()| real.is_as(&after));
        outcome.map_err(|difference| format!("{difference}\nafter {done:#?}\nmodel: {after:#?}"))?;
        before = after;
    }
    Ok(())
}

/// Fails where the two differ.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, real: T, model: T) -> Result<(), String> {
    if real == model { Ok(()) } else { Err(format!("{what}: really {real:?}, in the model {model:?}")) }
}

impl<'w> Real<'w> {
    fn steps(&mut self, before: &State, action: Action) -> Result<(), String> {
        match action {
            Action::Deliver(number, how) => self.deliver(before, usize::from(number), how)?,
            Action::DeliveryDies(number) => self.delivery(usize::from(number))?.process = None,
            Action::Receive { worker, delivery, copy, how } => {
                let id = self.copies[usize::from(delivery)][usize::from(copy)].clone();
                let id = id.ok_or("no such message")?;
                let batch = self.world.intake.queue(Delivery::Fast).receive_those(&[&id]);
                same("messages received", batch.len(), 1)?;
                let process = self.process(batch.clone());
                same("first call", process.waiting(), Some("ledger.known"))?;
                let worker = self.workers[usize::from(worker)].insert(Processor { batch, process });
                worker.process.calls(how);
            }
            Action::Work(worker, how) => {
                let slot = &mut self.workers[usize::from(worker)];
                let worker = slot.as_mut().ok_or("no processor is at work")?;
                match &worker.process.done {
                    Some(failed) => {
                        self.world.intake.settle(Delivery::Fast, &worker.batch, failed);
                        *slot = None;
                    }
                    None => worker.process.calls(how),
                }
            }
            Action::WorkerDies(worker) => self.workers[usize::from(worker)] = None,
            Action::Reappears { delivery, copy } => {
                let id = self.copies[usize::from(delivery)][usize::from(copy)].clone();
                let messages = self.world.intake.messages(Delivery::Fast);
                let message = messages.into_iter().find(|message| Some(&message.id) == id.as_ref());
                let message = message.ok_or("no such message")?;
                let failed = [message.id.clone()];
                self.world.intake.settle(Delivery::Fast, &[message], &failed);
            }
            Action::Redrive => {
                let queue = self.world.intake.queue(Delivery::Fast);
                queue.dead_letters().redrive(queue);
            }
            Action::HalfHour => {
                let visible = self.world.intake.queue(Delivery::Fast).visible();
                self.world.clock.advance_ms(HALF_HOUR_SECONDS * 1_000);
                // No invocation outlasts its messages' visibility timeout.
                for message in self.workers.iter().flatten().flat_map(|worker| &worker.batch) {
                    if !visible.contains(&message.id) {
                        self.world.intake.queue(Delivery::Fast).hold(message);
                    }
                }
            }
            Action::Month => {
                for _ in 0..3 {
                    self.world.clock.advance_ms((LEDGER_RETENTION_SECONDS / 3 + 1) * 1_000);
                    // As if they were sent back meanwhile, and set aside again.
                    let dead = self.world.intake.queue(Delivery::Fast).dead_letters();
                    dead.redrive(dead);
                }
            }
        }
        self.looks_up_messages();
        Ok(())
    }

    fn delivery(&mut self, number: usize) -> Result<&mut Delivered<'w>, String> {
        self.deliveries[number].as_mut().ok_or_else(|| "no such delivery".to_owned())
    }

    fn deliver(&mut self, before: &State, number: usize, how: How) -> Result<(), String> {
        if let Validator::Answer { .. } = before.validators[number] {
            self.delivery(number)?.is_acknowledged = true;
            return Ok(());
        }
        if before.validators[number] == Validator::Unsent {
            let began = self.deliveries.iter().flatten().count();
            let (world, sender) = (self.world, &self.setting.sender);
            let webhook = sender.payment(&payment(self.scenario.deliveries[number]), world.clock.reading());
            let process = Driven::start(|faults| async move {
                let intake = world.intake(&faults);
                world.take_on(&intake, Some(ENDPOINT), &webhook).await.is_ok()
            });
            let webhook_id = WebhookId::new(world.clock.reading(), u128::try_from(began).unwrap());
            same("first call", process.waiting(), Some("ledger.claim"))?;
            self.deliveries[number] =
                Some(Delivered { webhook_id, seal: None, process: Some(process), is_acknowledged: false });
        }
        let delivery = self.delivery(number)?;
        delivery.process.as_mut().ok_or("the validator is dead")?.calls(how);
        let event = self.scenario.deliveries[number];
        let seals = self.world.ledger.entry(&self.setting.keys[event]).map(|entry| entry.terms.seals);
        let known: BTreeSet<Seal> =
            self.deliveries.iter().flatten().filter_map(|delivery| delivery.seal).collect();
        let new = seals.unwrap_or_default().into_iter().find(|seal| !known.contains(seal));
        let delivery = self.delivery(number)?;
        delivery.seal = delivery.seal.or(new);
        Ok(())
    }

    fn process(&self, batch: Vec<Message>) -> Driven<'w, Vec<String>> {
        let world = self.world;
        Driven::start(|faults| async move {
            let mut processor = world.processor(&faults);
            processor.receives = Receives { tries: TRIES.into(), ..processor.receives };
            failures(&run(&processor, Kind::Standard, &batch).await.unwrap())
        })
    }

    /// Takes up what is new in the intake queue, and lets go what is gone.
    fn looks_up_messages(&mut self) {
        let messages = self.world.intake.messages(Delivery::Fast);
        for copy in self.copies.iter_mut().flatten() {
            if copy.as_ref().is_some_and(|id| messages.iter().all(|message| message.id != *id)) {
                *copy = None;
            }
        }
        for message in messages {
            if self.copies.iter().flatten().flatten().all(|id| *id != message.id) {
                let delivery = self.delivery_in(&message);
                let copies = delivery.and_then(|delivery| self.copies.get_mut(delivery));
                let free = copies.and_then(|copies| copies.iter_mut().find(|copy| copy.is_none()));
                *free.expect("room for a message of a delivery") = Some(message.id);
            }
        }
    }

    fn delivery_of(&self, webhook_id: WebhookId) -> Option<usize> {
        let is_it =
            |known: &Option<Delivered<'_>>| known.as_ref().is_some_and(|d| d.webhook_id == webhook_id);
        self.deliveries.iter().position(is_it)
    }

    fn delivery_in(&self, message: &Message) -> Option<usize> {
        let (_, id) = message.attributes.iter().find(|(name, _)| name == attribute::WEBHOOK_ID)?;
        self.delivery_of(WebhookId::parse(id)?)
    }

    /// Whether everything is as in the model.
    fn is_as(&mut self, model: &State) -> Result<(), String> {
        for number in 0..self.scenario.deliveries.len() {
            self.validator_is(number, model.validators[number])?;
            self.messages_are(number, model)?;
        }
        for event in 0..EVENTS {
            self.ledger_is(event, model)?;
            let telling = Subject::Telling(self.setting.id(event));
            same("telling", self.held(telling), model.tellings[event])?;
        }
        let effect = Subject::Effect(self.setting.effect, Authenticity::Verified);
        same("effect", self.held(effect), model.effect)?;
        for worker in 0..WORKERS {
            self.worker_is(worker, model)?;
        }
        self.history_is(model)?;
        self.reads_bus_and_archive();
        same("published", self.published.1, model.published)?;
        same("archived", self.archived.1, model.archived)
    }

    fn validator_is(&self, number: usize, model: Validator) -> Result<(), String> {
        let delivery = self.deliveries[number].as_ref();
        let process = delivery.and_then(|delivery| delivery.process.as_ref());
        let waiting = process.and_then(|process| process.waiting());
        let says = process.and_then(|process| process.done);
        let is_acknowledged = delivery.is_some_and(|delivery| delivery.is_acknowledged);
        let what = format!("validator {number}");
        match model {
            Validator::Unsent => same(&what, delivery.is_some(), false),
            Validator::Claim => same(&what, waiting, Some("ledger.claim")),
            Validator::Seal => same(&what, waiting, Some("ledger.seal")),
            Validator::Enqueue => same(&what, waiting, Some("intake.send")),
            Validator::Answer { .. } => same(&what, (says, is_acknowledged), (Some(true), false)),
            Validator::Acknowledged { .. } => same(&what, (says, is_acknowledged), (Some(true), true)),
            Validator::Refused => same(&what, (says.unwrap_or(false), is_acknowledged), (false, false)),
        }
    }

    fn messages_are(&self, number: usize, model: &State) -> Result<(), String> {
        let queue = self.world.intake.queue(Delivery::Fast);
        let (messages, visible) = (queue.messages(), queue.visible());
        for (id, copy) in self.copies[number].iter().zip(model.intake[number]) {
            let message = messages.iter().find(|message| Some(&message.id) == id.as_ref());
            let real = message.map(|message| {
                let receives = message.receive_count.min(TRIES.into());
                (receives, visible.contains(&message.id))
            });
            let copy = copy.map(|message| (u32::from(message.receives), message.is_visible));
            same("message", real, copy)?;
        }
        let dead = queue.dead_letters().messages();
        let is_its = |message: &&Message| self.delivery_in(message) == Some(number);
        same("dead letters", dead.iter().filter(is_its).count(), usize::from(model.dead[number]))
    }

    fn ledger_is(&self, event: usize, model: &State) -> Result<(), String> {
        let (key, now) = (self.setting.keys[event].clone(), self.world.clock.reading());
        let known = (&self.world.ledger).known(&[key], now).now_or_never().unwrap();
        let known = known.into_iter().next().unwrap().unwrap();
        let known = known.map(|known| {
            let terms = known.terms.unwrap();
            let numbers = |seal: &Seal| {
                let is_its = |d: &Option<Delivered<'_>>| d.as_ref().is_some_and(|d| d.seal == Some(*seal));
                self.deliveries.iter().position(is_its)
            };
            let seals: BTreeSet<Option<usize>> = terms.seals.iter().map(numbers).collect();
            let by = known.webhook_id.and_then(|id| self.delivery_of(id));
            let begins = known.received_at.as_second() - TOO_OLD_SECONDS;
            let is_too_old = terms.occurred_at.unwrap().as_second() < begins;
            (known.state == LedgerState::Processed, seals, by, is_too_old, known.is_aside)
        });
        let entry = model.ledger[event].map(|entry| {
            let seals = (0..DELIVERIES).filter(|number| entry.seals & (1 << number) != 0).map(Some);
            let by = Some(usize::from(entry.by));
            (entry.is_processed, seals.collect(), by, entry.is_too_old, entry.is_aside)
        });
        same("ledger", known, entry)
    }

    fn held(&self, subject: Subject) -> Option<Held> {
        let claim = self.world.effects.standing(subject)?;
        let age = self.world.clock.reading().as_second() - claim.claimed_at.as_second();
        let event = (0..EVENTS).find(|event| self.setting.id(*event) == claim.event_id);
        Some(Held {
            event: u8::try_from(event.unwrap()).unwrap(),
            delivery: u8::try_from(self.delivery_of(claim.webhook_id).unwrap()).unwrap(),
            age: u8::try_from((age / HALF_HOUR_SECONDS).min(3)).unwrap(),
        })
    }

    fn worker_is(&self, number: usize, model: &State) -> Result<(), String> {
        let what = format!("processor {number}");
        let (real, work) = match (&self.workers[number], model.workers[number]) {
            (None, None) => return Ok(()),
            (Some(real), Some(work)) => (&real.process, work),
            (real, work) => return same(&what, real.is_some(), work.is_some()),
        };
        let call = match work.call {
            Call::Effect | Call::Telling => "effects.claim",
            Call::EffectWrite => "effects.write",
            Call::Record => "transactions.record",
            Call::Publish => "bus.publish",
            Call::Archive | Call::ArchiveDuplicate | Call::ArchiveAside => "archive_queue.send",
            Call::Mark => "ledger.mark",
            Call::Release => "effects.release",
            Call::Quarantine => "quarantine.send",
            Call::NoteAside => "ledger.put_aside",
            Call::Settle => {
                let comes_back = real.done.as_ref().map(|failed| !failed.is_empty());
                return same(&what, comes_back, Some(work.ending == Ending::Back));
            }
        };
        same(&what, real.waiting(), Some(call))
    }

    /// Each event has one record at most, and it says what the model says.
    fn history_is(&self, model: &State) -> Result<(), String> {
        let records = self.world.transactions.records();
        for event in 0..EVENTS {
            let id = self.setting.id(event);
            let other = self.setting.id(1 - event);
            let said: Vec<Option<bool>> = (records.values().filter(|record| record.id == id))
                .map(|record| record.restates.map(|restated| restated == other))
                .collect();
            let told = model.recorded[event].map(|told| (told == Told::Restates).then_some(true));
            same("history", said, told.into_iter().collect())?;
        }
        Ok(())
    }

    fn reads_bus_and_archive(&mut self) {
        let (known, said) = &mut self.published;
        for json in self.world.bus.published().iter().skip(*known) {
            let event: tollgate_core::PaymentEvent<'_> = serde_json::from_str(json).unwrap();
            let number = (0..EVENTS).find(|number| self.setting.id(*number) == event.id).unwrap();
            said[number] |= match event.restates {
                None => Told::First as u8,
                Some(id) if id == self.setting.id(1 - number) => Told::Restates as u8,
                Some(_) => u8::MAX,
            };
            *known += 1;
        }
        let messages = self.world.archive.messages();
        let new = messages.iter().skip(self.archived.0).flat_map(|message| unpack(message));
        let rows: Vec<(WebhookId, Row)> = new.map(|(_, line)| row(line.unwrap())).collect();
        self.archived.0 = messages.len();
        for (webhook_id, row) in rows {
            let number = self.delivery_of(webhook_id).unwrap();
            self.archived.1[number] |= row as u8;
        }
    }
}

fn row(line: Line<'_>) -> (WebhookId, Row) {
    match line {
        Line::Webhook(row) => {
            let how = match row.outcome {
                Outcome::Processed => Row::Processed,
                Outcome::Duplicate => Row::Duplicate,
                Outcome::SetAside => Row::Aside,
                Outcome::Conflict => panic!("no delivery contradicts another"),
            };
            (row.webhook_id, how)
        }
        Line::Unread(message) => {
            let id = message.attributes.iter().find(|(name, _)| name == attribute::WEBHOOK_ID);
            (WebhookId::parse(&id.unwrap().1).unwrap(), Row::Unread)
        }
    }
}
