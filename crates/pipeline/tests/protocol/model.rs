//! The protocol of ingest and process: what each of their calls does to what is stored, one call at a time.
//!
//! Two events tell one effect. Each is delivered once or several times; two processors take one message each. Between any two
//! calls any other process may go on, and any process may die.

/// How many deliveries there can be.
pub const DELIVERIES: usize = 4;
/// Two events that tell one effect.
pub const EVENTS: usize = 2;
/// Processors.
pub const WORKERS: usize = 2;
/// Copies of one delivery's message that an intake queue holds at most.
pub const COPIES: usize = 3;
/// A failure at this receive is the last: the message is set aside. (`Receives::tries`; three in production.)
pub const TRIES: u8 = 2;

/// A claim's age, in half hours, at which its own delivery renews it.
const RENEWAL: u8 = 1;
/// At which another delivery has it.
const LEASE: u8 = 2;
/// Older claims are all the same.
const OLD: u8 = 3;

/// What is explored: the deliveries and what may go wrong.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// The event of each delivery. Those of one event begin in this order, since they are the same but for that.
    pub deliveries: &'static [usize],
    /// How often a process dies, or a message is given out while it is worked on.
    pub faults: u8,
    /// Whether such a fault may also be a call that fails, or whose answer is lost.
    pub has_failing_calls: bool,
    /// Whether half hours may pass.
    pub has_half_hours: bool,
    /// Whether the ledger may forget, once.
    pub has_month: bool,
    /// Whether steps that no other process can see are taken in every order with those of the others, too. It makes no
    /// difference to a promise, and several times the states.
    pub orders_unseen: bool,
    /// How the protocol is broken, if it is.
    pub broken: Option<Broken>,
}

/// Ways to break the protocol. Each must be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The message is sent before the event is claimed.
    ClaimsAfterEnqueueing,
    /// The provider is answered before the message is sent.
    AnswersBeforeEnqueueing,
    /// A repeat of an event that is not processed yet is answered, and not sent.
    SendsNoRepeat,
    /// A repeat's seal is not added to the claim.
    SealsNoRepeat,
    /// Whether an effect is told first is read, and written later.
    DecidesEffectsInTwoSteps,
    /// The effect of a message that is set aside is told by nobody, as if no event had told it.
    ForgetsReleasedEffects,
    /// Another delivery has a claim at once, as if it had no lease.
    IgnoresLeases,
    /// A delivery that goes on with its claim does not renew it.
    RenewsNoClaim,
    /// The event is marked before it is published.
    MarksBeforePublishing,
    /// The event is marked before it is archived.
    MarksBeforeArchiving,
    /// A call that failed is taken for one that went well.
    TakesFailuresForSuccess,
    /// A message that is set aside is deleted, and not sent to the quarantine.
    QuarantinesNothing,
    /// A message that is set aside is not archived.
    ArchivesNothingAside,
    /// What may have been done before the ledger's memory began is taken for new.
    TakesOldForNew,
}

impl Broken {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::ClaimsAfterEnqueueing,
        Self::AnswersBeforeEnqueueing,
        Self::SendsNoRepeat,
        Self::SealsNoRepeat,
        Self::DecidesEffectsInTwoSteps,
        Self::ForgetsReleasedEffects,
        Self::IgnoresLeases,
        Self::RenewsNoClaim,
        Self::MarksBeforePublishing,
        Self::MarksBeforeArchiving,
        Self::TakesFailuresForSuccess,
        Self::QuarantinesNothing,
        Self::ArchivesNothingAside,
        Self::TakesOldForNew,
    ];
}

/// Everything that is stored, and how far each process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct State {
    /// Each delivery's validator.
    pub validators: [Validator; DELIVERIES],
    /// The ledger, by event.
    pub ledger: [Option<Entry>; EVENTS],
    /// The intake queue: copies of each delivery's message.
    pub intake: [[Option<Message>; COPIES]; DELIVERIES],
    /// The dead letters: how many of each delivery.
    pub dead: [u8; DELIVERIES],
    /// Processors at work.
    pub workers: [Option<Work>; WORKERS],
    /// Who tells the effect.
    pub effect: Option<Held>,
    /// Who tells it once more, by the event that does.
    pub tellings: [Option<Held>; EVENTS],
    /// What the history says of each event.
    pub recorded: [Option<Told>; EVENTS],
    /// What the bus's copies say of each event: [`Told`]'s bits.
    pub published: [u8; EVENTS],
    /// The copies on the bus, less the failures that account for a further copy.
    pub unexcused: [i8; EVENTS],
    /// What the archive queue has of each delivery: [`Row`]'s bits.
    pub archived: [u8; DELIVERIES],
    /// Events that were processed at any time.
    pub processed: [bool; EVENTS],
    /// Faults so far.
    pub faults: u8,
    /// The ledger has forgotten.
    pub is_late: bool,
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Validator {
    /// Not begun. Its next call claims the event.
    #[default]
    Unsent,
    /// Its message is sent, and its event to be claimed: only where the protocol is broken.
    Claim,
    /// The event was claimed before; the delivery's seal is to be added.
    Seal,
    /// The message is to be sent.
    Enqueue,
    /// The provider is to be told.
    Answer { is_enqueued: bool },
    /// The provider was told 200.
    Acknowledged { is_enqueued: bool },
    /// The provider was told 503, or nothing.
    Refused,
}

/// The ledger's entry of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    pub is_processed: bool,
    /// The deliveries whose seals it has: bits.
    pub seals: u8,
    /// The delivery that claimed it, or that did it.
    pub by: u8,
    /// It was claimed when the event was too old to tell.
    pub is_too_old: bool,
    /// A message of it is set aside as too old.
    pub is_aside: bool,
}

/// A copy of a delivery's message in the intake queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Message {
    /// Counted up to [`TRIES`].
    pub receives: u8,
    pub is_visible: bool,
    /// The processor that received it last, if that still works on it.
    pub holder: Option<u8>,
}

/// A claim of an effect, or of a telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    pub event: u8,
    pub delivery: u8,
    /// In half hours, up to [`OLD`].
    pub age: u8,
}

/// What a copy of an event says of the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Told {
    /// `restates: null`.
    First = 1,
    /// That the other one told it before.
    Restates = 2,
}

/// How an archive row ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Row {
    Processed = 1,
    Duplicate = 2,
    /// Set aside, as it was accepted.
    Aside = 4,
    /// Set aside, and taken for no webhook that was accepted.
    Unread = 8,
}

/// A processor's work on one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Work {
    pub delivery: u8,
    /// Which copy.
    pub copy: u8,
    /// A failure is the last.
    pub is_last: bool,
    pub call: Call,
    /// How old its reading of the clock is: the half hours that ended since it began. No second one does, since an
    /// invocation takes 15 minutes at most.
    pub age: u8,
    pub told: Told,
    pub ending: Ending,
}

/// A processor's next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    Effect,
    /// Writes the claim that was found absent: only where the protocol is broken.
    EffectWrite,
    Telling,
    Record,
    Publish,
    Archive,
    /// The row of a message that has nothing to do.
    ArchiveDuplicate,
    Mark,
    Release,
    ArchiveAside,
    Quarantine,
    NoteAside,
    /// Tells SQS how the message ended.
    Settle,
}

impl Call {
    /// It only writes what no process reads.
    fn is_unseen(self) -> bool {
        matches!(self, Self::Record | Self::Archive | Self::ArchiveDuplicate | Self::ArchiveAside)
    }
}

/// How the message ends, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// It is deleted.
    Done,
    /// It comes back.
    Back,
    /// It is to be set aside. `is_accepted`: a claim has its seal.
    Aside { is_accepted: bool, is_too_old: bool },
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A delivery's next call.
    Deliver(u8, How),
    /// A validator dies. The provider hears nothing.
    DeliveryDies(u8),
    /// A processor receives a message and asks the ledger. Nothing is written between the two, so they are one step.
    Receive {
        worker: u8,
        delivery: u8,
        copy: u8,
        how: How,
    },
    /// A processor's next call.
    Work(u8, How),
    /// A processor dies.
    WorkerDies(u8),
    /// A message's visibility timeout ends.
    Reappears {
        delivery: u8,
        copy: u8,
    },
    /// An operator sends all dead letters back.
    Redrive,
    HalfHour,
    /// The ledger forgets.
    Month,
}

/// How a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    Well,
    /// It has no effect.
    Fails,
    /// It has its effect, and its caller is told that it failed.
    LosesItsAnswer,
}

use How::{Fails, LosesItsAnswer, Well};

fn bit(number: usize) -> u8 {
    1 << number
}

fn small(number: usize) -> u8 {
    u8::try_from(number).unwrap()
}

impl Scenario {
    /// Every step that is possible in a state, with the state that it leads to.
    pub fn steps(&self, state: &State) -> Vec<(Action, State)> {
        let mut steps = Vec::new();
        let may_fail = state.faults < self.faults;
        let fails = may_fail && self.has_failing_calls;
        let hows = if fails { &[Well, Fails, LosesItsAnswer][..] } else { &[Well] };
        if !self.orders_unseen {
            let answers = |validator: &Validator| matches!(validator, Validator::Answer { .. });
            if let Some(number) = state.validators.iter().position(answers) {
                self.deliveries_steps(state, number, hows, &mut steps);
                return steps;
            }
            let is_unseen = |work: &Option<Work>| work.is_some_and(|work| work.call.is_unseen());
            if let Some(worker) = state.workers.iter().position(is_unseen) {
                self.workers_steps(state, worker, hows, &mut steps);
                return steps;
            }
        }
        for number in 0..self.deliveries.len() {
            self.deliveries_steps(state, number, hows, &mut steps);
        }
        for worker in 0..WORKERS {
            self.workers_steps(state, worker, hows, &mut steps);
        }
        self.steps_of_queues(state, may_fail, &mut steps);
        self.steps_of_time(state, &mut steps);
        steps
    }

    /// Whether the step may have to be waited for: nobody has to fail, no provider has to send.
    pub fn is_progress(state: &State, action: Action) -> bool {
        match action {
            Action::Deliver(number, how) => {
                how == Well && state.validators[usize::from(number)] != Validator::Unsent
            }
            Action::Work(_, how) => how == Well,
            Action::Reappears { delivery, copy } => {
                let message = state.intake[usize::from(delivery)][usize::from(copy)];
                message.is_some_and(|message| message.holder.is_none())
            }
            Action::Receive { how, .. } => how == Well,
            Action::Redrive | Action::HalfHour => true,
            Action::DeliveryDies(_) | Action::WorkerDies(_) | Action::Month => false,
        }
    }

    fn deliveries_steps(&self, state: &State, number: usize, hows: &[How], steps: &mut Vec<(Action, State)>) {
        let id = small(number);
        match state.validators[number] {
            Validator::Acknowledged { .. } | Validator::Refused => return,
            Validator::Answer { .. } => {
                steps.push((Action::Deliver(id, Well), self.delivered(*state, number, Well)));
            }
            Validator::Unsent => {
                let earlier = (0..number).filter(|other| self.deliveries[*other] == self.deliveries[number]);
                if earlier.into_iter().any(|other| state.validators[other] == Validator::Unsent) {
                    return;
                }
                let step = |&how| (Action::Deliver(id, how), self.delivered(*state, number, how));
                steps.extend(hows.iter().map(step));
                return;
            }
            Validator::Claim | Validator::Seal | Validator::Enqueue => {
                let step = |&how| (Action::Deliver(id, how), self.delivered(*state, number, how));
                steps.extend(hows.iter().map(step));
            }
        }
        if state.faults < self.faults {
            let mut next = *state;
            next.faults += 1;
            next.validators[number] = Validator::Refused;
            steps.push((Action::DeliveryDies(id), next));
        }
    }

    /// A delivery's next call.
    fn delivered(&self, mut state: State, number: usize, how: How) -> State {
        let event = self.deliveries[number];
        let sends_first = self.broken == Some(Broken::ClaimsAfterEnqueueing);
        let at = match state.validators[number] {
            Validator::Unsent if sends_first => Validator::Enqueue,
            Validator::Unsent => Validator::Claim,
            at => at,
        };
        if how != Fails {
            state.validators[number] = match at {
                Validator::Claim => self.claimed(&mut state, number),
                Validator::Seal => {
                    let entry = state.ledger[event].as_mut();
                    match entry {
                        // It is gone: the provider is to try again.
                        None => Validator::Refused,
                        Some(entry) if entry.is_processed => Validator::Answer { is_enqueued: false },
                        Some(entry) => {
                            entry.seals |= bit(number);
                            match self.broken {
                                Some(Broken::ClaimsAfterEnqueueing | Broken::AnswersBeforeEnqueueing) => {
                                    Validator::Answer { is_enqueued: true }
                                }
                                _ => Validator::Enqueue,
                            }
                        }
                    }
                }
                Validator::Enqueue => {
                    let message = Message { receives: 0, is_visible: true, holder: None };
                    if let Some(free) = state.intake[number].iter_mut().find(|copy| copy.is_none()) {
                        *free = Some(message);
                    }
                    match sends_first {
                        true => Validator::Claim,
                        false => Validator::Answer { is_enqueued: true },
                    }
                }
                Validator::Answer { is_enqueued } => Validator::Acknowledged { is_enqueued },
                at => at,
            };
        }
        if how != Well {
            state.faults += 1;
            state.validators[number] = Validator::Refused;
        }
        state
    }

    /// Puts the event into the ledger if it is absent, and says what is next.
    fn claimed(&self, state: &mut State, number: usize) -> Validator {
        let sends_first = self.broken == Some(Broken::ClaimsAfterEnqueueing);
        let answer = Validator::Answer { is_enqueued: sends_first };
        let next = match self.broken {
            Some(Broken::ClaimsAfterEnqueueing) => answer,
            Some(Broken::AnswersBeforeEnqueueing) => Validator::Answer { is_enqueued: true },
            _ => Validator::Enqueue,
        };
        match &mut state.ledger[self.deliveries[number]] {
            entry @ None => {
                *entry = Some(Entry {
                    is_processed: false,
                    seals: bit(number),
                    by: small(number),
                    is_too_old: state.is_late,
                    is_aside: false,
                });
                next
            }
            Some(entry) if entry.is_processed || entry.is_aside => answer,
            Some(_) if self.broken == Some(Broken::SendsNoRepeat) => answer,
            Some(_) if self.broken == Some(Broken::SealsNoRepeat) => next,
            Some(_) => Validator::Seal,
        }
    }

    fn workers_steps(&self, state: &State, worker: usize, hows: &[How], steps: &mut Vec<(Action, State)>) {
        let id = small(worker);
        let Some(work) = state.workers[worker] else {
            // The processors are the same: the first that is free takes the next message.
            if state.workers[..worker].iter().all(Option::is_some) {
                self.receives(state, id, hows, steps);
            }
            return;
        };
        let hows = match work.call {
            Call::Settle => &[Well][..],
            // An answer that nobody goes by.
            Call::Release | Call::NoteAside => &hows[..hows.len().min(2)],
            _ => hows,
        };
        steps.extend(hows.iter().map(|&how| (Action::Work(id, how), self.worked(*state, worker, how))));
        if state.faults < self.faults {
            let mut next = *state;
            next.faults += 1;
            if matches!(work.call, Call::Archive | Call::Mark) {
                next.unexcused[self.deliveries[usize::from(work.delivery)]] -= 1;
            }
            next.ends(worker);
            steps.push((Action::WorkerDies(id), next));
        }
    }

    fn receives(&self, state: &State, worker: u8, hows: &[How], steps: &mut Vec<(Action, State)>) {
        for delivery in 0..self.deliveries.len() {
            for copy in 0..COPIES {
                let Some(message) = state.intake[delivery][copy].filter(|message| message.is_visible) else {
                    continue;
                };
                // Of copies that are the same one stands for all.
                if state.intake[delivery][..copy].contains(&Some(message)) {
                    continue;
                }
                for &how in &hows[..hows.len().min(2)] {
                    let mut next = *state;
                    let receives = (message.receives + 1).min(TRIES);
                    next.intake[delivery][copy] =
                        Some(Message { receives, is_visible: false, holder: Some(worker) });
                    let (delivery, copy) = (small(delivery), small(copy));
                    let mut work = Work {
                        delivery,
                        copy,
                        is_last: receives == TRIES,
                        call: Call::Settle,
                        age: 0,
                        told: Told::First,
                        ending: Ending::Back,
                    };
                    match how {
                        Well => self.reads_claim(state, &mut work),
                        _ if work.is_last => {
                            let ending = Ending::Aside { is_accepted: false, is_too_old: false };
                            (work.call, work.ending) = (Call::Release, ending);
                        }
                        _ => {}
                    }
                    next.faults += u8::from(how != Well);
                    next.workers[usize::from(worker)] = Some(work);
                    steps.push((Action::Receive { worker, delivery, copy, how }, next));
                }
            }
        }
    }

    /// A processor's next call.
    fn worked(&self, mut state: State, worker: usize, how: How) -> State {
        let Some(work) = state.workers[worker] else { return state };
        let delivery = usize::from(work.delivery);
        let event = self.deliveries[delivery];
        let mut next = work;
        let goes_well = how == Well || self.broken == Some(Broken::TakesFailuresForSuccess);
        state.faults += u8::from(how != Well);
        let has_effect = how != Fails;
        let is_it = |held: &Held| usize::from(held.event) == event && held.delivery == work.delivery;
        match work.call {
            Call::Effect if has_effect => {
                let held = self.claim_of(&work, event);
                if self.broken == Some(Broken::DecidesEffectsInTwoSteps) && state.effect.is_none() {
                    next.call = if goes_well { Call::EffectWrite } else { work.call };
                } else {
                    let standing = self.stands(&mut state.effect, held);
                    self.goes_on_with(standing, &mut next, event);
                }
            }
            Call::EffectWrite if has_effect => {
                state.effect = Some(self.claim_of(&work, event));
                next.call = Call::Record;
            }
            Call::Telling if has_effect => {
                let held = self.claim_of(&work, event);
                let standing = self.stands(&mut state.tellings[event], held);
                match standing.delivery == work.delivery {
                    true => next.call = Call::Record,
                    false => self.fails(&mut next),
                }
            }
            Call::Record => {
                if has_effect {
                    state.recorded[event] = Some(work.told);
                }
                next.call = match self.broken {
                    Some(Broken::MarksBeforePublishing) => Call::Mark,
                    _ => Call::Publish,
                };
            }
            Call::Publish => {
                if has_effect {
                    state.published[event] |= work.told as u8;
                    state.unexcused[event] += 1;
                }
                next.call = match self.broken {
                    Some(Broken::MarksBeforeArchiving) => Call::Mark,
                    _ => Call::Archive,
                };
            }
            Call::Archive => {
                if has_effect {
                    state.archived[delivery] |= Row::Processed as u8;
                }
                next.call = match self.broken {
                    Some(Broken::MarksBeforePublishing | Broken::MarksBeforeArchiving) => Call::Settle,
                    _ => Call::Mark,
                };
                if next.call == Call::Settle {
                    next.ending = Ending::Done;
                }
            }
            Call::ArchiveDuplicate => {
                if has_effect {
                    state.archived[delivery] |= Row::Duplicate as u8;
                }
                (next.call, next.ending) = (Call::Settle, Ending::Done);
            }
            Call::Mark => {
                if has_effect {
                    if let Some(entry) = &mut state.ledger[event] {
                        (entry.is_processed, entry.by) = (true, work.delivery);
                    }
                    state.processed[event] = true;
                }
                (next.call, next.ending) = match self.broken {
                    Some(Broken::MarksBeforePublishing) => (Call::Publish, work.ending),
                    Some(Broken::MarksBeforeArchiving) => (Call::Archive, work.ending),
                    _ => (Call::Settle, Ending::Done),
                };
            }
            Call::Release => {
                if has_effect {
                    let forgets = self.broken == Some(Broken::ForgetsReleasedEffects);
                    for held in [&mut state.effect, &mut state.tellings[event]] {
                        let released = |held: Held| Held { age: (held.age + LEASE).min(OLD), ..held };
                        *held = match *held {
                            Some(known) if is_it(&known) && forgets => None,
                            Some(known) if is_it(&known) => Some(released(known)),
                            other => other,
                        };
                    }
                }
                // Whether it could be released or not.
                next.call = Call::ArchiveAside;
            }
            Call::ArchiveAside => {
                let Ending::Aside { is_accepted, .. } = work.ending else { return state };
                if has_effect && self.broken != Some(Broken::ArchivesNothingAside) {
                    state.archived[delivery] |= if is_accepted { Row::Aside } else { Row::Unread } as u8;
                }
                next.call = Call::Quarantine;
            }
            Call::Quarantine => {
                if has_effect && self.broken != Some(Broken::QuarantinesNothing) {
                    state.dead[delivery] += 1;
                }
                let is_too_old = matches!(work.ending, Ending::Aside { is_too_old: true, .. });
                (next.call, next.ending) = match is_too_old {
                    true => (Call::NoteAside, work.ending),
                    false => (Call::Settle, Ending::Done),
                };
            }
            Call::NoteAside => {
                if has_effect && let Some(entry) = &mut state.ledger[event] {
                    entry.is_aside = true;
                }
                // Whether it could be noted or not.
                (next.call, next.ending) = (Call::Settle, Ending::Done);
            }
            Call::Settle => {
                let copy = &mut state.intake[delivery][usize::from(work.copy)];
                if let Some(message) = copy.filter(|message| message.holder == Some(small(worker))) {
                    let back = Message { is_visible: true, holder: None, ..message };
                    *copy = (work.ending == Ending::Back).then_some(back);
                }
                state.ends(worker);
                return state;
            }
            Call::Effect | Call::EffectWrite | Call::Telling => {}
        }
        if !goes_well && !matches!(work.call, Call::Release | Call::NoteAside) {
            next = Work { call: work.call, ending: work.ending, ..next };
            let repeats = match work.call {
                Call::Publish => has_effect,
                Call::Archive | Call::Mark => true,
                _ => false,
            };
            state.unexcused[event] -= i8::from(repeats);
            self.fails(&mut next);
        }
        state.workers[worker] = Some(next);
        state
    }

    /// What the ledger's answer leads to.
    fn reads_claim(&self, state: &State, work: &mut Work) {
        let number = usize::from(work.delivery);
        let refused = |is_accepted, is_too_old| Ending::Aside { is_accepted, is_too_old };
        let entry = state.ledger[self.deliveries[number]];
        let is_sealed = |entry: &Entry| entry.seals & bit(number) != 0;
        match entry {
            Some(entry) if is_sealed(&entry) && entry.is_processed => {
                (work.call, work.ending) = match entry.by == work.delivery {
                    true => (Call::Settle, Ending::Done),
                    false => (Call::ArchiveDuplicate, Ending::Back),
                };
            }
            Some(entry)
                if is_sealed(&entry) && entry.is_too_old && self.broken != Some(Broken::TakesOldForNew) =>
            {
                (work.call, work.ending) = (Call::ArchiveAside, refused(true, true));
            }
            Some(entry) if is_sealed(&entry) => {
                (work.call, work.ending) = (Call::Effect, refused(true, false));
            }
            // Nobody accepted it, or the ledger has forgotten that.
            Some(_) | None if work.is_last => {
                (work.call, work.ending) = (Call::ArchiveAside, refused(false, false));
            }
            Some(_) | None => (work.call, work.ending) = (Call::Settle, Ending::Back),
        }
    }

    /// The call failed, or another delivery is at work: the message comes back or, at its last try, is set aside.
    fn fails(&self, work: &mut Work) {
        (work.call, work.ending) = match work.call {
            _ if !work.is_last => (Call::Settle, Ending::Back),
            // What is set aside already: it stays until both have it.
            Call::ArchiveAside | Call::Quarantine => (Call::Settle, Ending::Back),
            Call::ArchiveDuplicate => {
                (Call::ArchiveAside, Ending::Aside { is_accepted: true, is_too_old: false })
            }
            _ => (Call::Release, Ending::Aside { is_accepted: true, is_too_old: false }),
        };
    }

    /// The claim that a processor makes.
    fn claim_of(&self, work: &Work, event: usize) -> Held {
        Held { event: small(event), delivery: work.delivery, age: work.age }
    }

    /// Makes a claim where none stands, or an old one for the same event. The claim that stands then.
    fn stands(&self, standing: &mut Option<Held>, held: Held) -> Held {
        let known = *standing.get_or_insert(held);
        let is_own = known.delivery == held.delivery;
        let lease = match self.broken {
            Some(Broken::IgnoresLeases) => 0,
            Some(Broken::RenewsNoClaim) if is_own => u8::MAX,
            _ if is_own => RENEWAL,
            _ => LEASE,
        };
        if known.event == held.event && known.age.saturating_sub(held.age) >= lease {
            *standing = Some(held);
            return held;
        }
        known
    }

    fn goes_on_with(&self, standing: Held, work: &mut Work, event: usize) {
        if usize::from(standing.event) != event {
            work.told = Told::Restates;
            work.call = Call::Telling;
        } else if standing.delivery == work.delivery {
            work.call = Call::Record;
        } else {
            self.fails(work);
        }
    }

    fn steps_of_queues(&self, state: &State, may_fail: bool, steps: &mut Vec<(Action, State)>) {
        for delivery in 0..self.deliveries.len() {
            for copy in 0..COPIES {
                let Some(message) = state.intake[delivery][copy].filter(|message| !message.is_visible) else {
                    continue;
                };
                let is_at_work = message.holder.is_some();
                if is_at_work && !may_fail {
                    continue;
                }
                let mut next = *state;
                next.intake[delivery][copy] = Some(Message { is_visible: true, ..message });
                if is_at_work {
                    next.faults += 1;
                    next.unexcused[self.deliveries[delivery]] -= 1;
                }
                let (delivery, copy) = (small(delivery), small(copy));
                steps.push((Action::Reappears { delivery, copy }, next));
            }
        }
        let free = |delivery: usize| state.intake[delivery].iter().filter(|copy| copy.is_none()).count();
        let fits = (0..DELIVERIES).all(|delivery| usize::from(state.dead[delivery]) <= free(delivery));
        if fits && state.dead.iter().any(|count| *count > 0) {
            let mut next = *state;
            for delivery in 0..DELIVERIES {
                let count = usize::from(next.dead[delivery]);
                let free = next.intake[delivery].iter_mut().filter(|copy| copy.is_none());
                free.take(count)
                    .for_each(|copy| *copy = Some(Message { receives: 0, is_visible: true, holder: None }));
                next.dead[delivery] = 0;
            }
            steps.push((Action::Redrive, next));
        }
    }

    fn steps_of_time(&self, state: &State, steps: &mut Vec<(Action, State)>) {
        let is_new = |work: &Option<Work>| work.is_none_or(|work| work.age == 0);
        let held = || [state.effect].into_iter().chain(state.tellings).flatten();
        if self.has_half_hours && state.workers.iter().all(is_new) && held().any(|held| held.age < OLD) {
            let mut next = *state;
            next.ages(1);
            next.workers.iter_mut().flatten().for_each(|work| work.age = 1);
            let messages = next.intake.iter_mut().flatten().flatten();
            messages.filter(|message| message.holder.is_none()).for_each(|message| message.is_visible = true);
            steps.push((Action::HalfHour, next));
        }
        let is_still = |validator: &Validator| {
            matches!(validator, Validator::Unsent | Validator::Refused | Validator::Acknowledged { .. })
        };
        let is_empty = state.intake.iter().flatten().all(Option::is_none);
        if self.has_month
            && !state.is_late
            && is_empty
            && state.ledger.iter().any(Option::is_some)
            && state.workers.iter().all(Option::is_none)
            && state.validators.iter().all(is_still)
        {
            let mut next = *state;
            next.ledger = [None; EVENTS];
            next.is_late = true;
            next.ages(OLD);
            steps.push((Action::Month, next));
        }
    }
}

/// A step, and all that can make a difference to it: how far the process is that makes it, and what is stored that it reads
/// or changes by what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sight {
    action: Action,
    state: State,
}

impl State {
    /// What can make a difference to a step.
    pub fn seen_by(&self, action: Action, scenario: &Scenario) -> Sight {
        let mut state = Self { is_late: self.is_late, ..Self::default() };
        let mut sees_event_of = |delivery: u8| {
            let event = scenario.deliveries[usize::from(delivery)];
            state.ledger[event] = self.ledger[event];
            state.tellings[event] = self.tellings[event];
            state.effect = self.effect;
        };
        match action {
            Action::Deliver(delivery, _) | Action::DeliveryDies(delivery) => {
                sees_event_of(delivery);
                let number = usize::from(delivery);
                state.validators[number] = self.validators[number];
            }
            Action::Work(worker, _) | Action::WorkerDies(worker) => {
                let work = self.workers[usize::from(worker)];
                work.iter().for_each(|work| sees_event_of(work.delivery));
                state.workers[usize::from(worker)] = work;
                let number = usize::from(work.map_or(0, |work| work.delivery));
                state.intake[number] = self.intake[number];
            }
            Action::Receive { delivery, .. } => {
                sees_event_of(delivery);
                let number = usize::from(delivery);
                state.intake[number] = self.intake[number];
            }
            Action::Reappears { .. } | Action::Redrive | Action::HalfHour | Action::Month => {
                state = Self {
                    intake: self.intake,
                    dead: self.dead,
                    effect: self.effect,
                    tellings: self.tellings,
                    is_late: self.is_late,
                    ..Self::default()
                };
            }
        }
        Sight { action, state }
    }

    fn ages(&mut self, half_hours: u8) {
        for held in [&mut self.effect].into_iter().chain(&mut self.tellings).flatten() {
            held.age = (held.age + half_hours).min(OLD);
        }
    }

    /// A processor is free, or dead; its receipt counts no longer.
    fn ends(&mut self, worker: usize) {
        self.workers[worker] = None;
        for message in self.intake.iter_mut().flatten().flatten() {
            if message.holder == Some(small(worker)) {
                message.holder = None;
            }
        }
    }
}
