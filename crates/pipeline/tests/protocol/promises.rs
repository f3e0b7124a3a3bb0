//! What must hold in every state, and what every state must be able to reach (docs/SEMANTICS.md).

use crate::model::{EVENTS, Row, Scenario, State, Told, Validator};

/// The promise that a state breaks.
pub fn broken_promise(scenario: &Scenario, state: &State) -> Option<&'static str> {
    let is_broken = |(name, holds): Promise| (!holds(scenario, state)).then_some(name);
    PROMISES.into_iter().find_map(is_broken)
}

/// Its clause with a few words, and whether a state keeps it.
type Promise = (&'static str, fn(&Scenario, &State) -> bool);

/// In every state.
const PROMISES: [Promise; 5] = [
    ("1.1 acknowledged is durable", |scenario, state| {
        let mut deliveries = scenario.deliveries.iter().enumerate();
        deliveries.all(|(number, &event)| match state.validators[number] {
            Validator::Acknowledged { is_enqueued } => {
                state.processed[event]
                    || state.is_kept(number)
                    // Its event is set aside, and this delivery was answered by that.
                    || (!is_enqueued && state.is_event_kept(scenario, event))
            }
            _ => true,
        })
    }),
    ("1.2 processed is recorded, published and archived", |scenario, state| {
        (0..EVENTS).filter(|event| state.processed[*event]).all(|event| {
            let of_event = |number: &usize| scenario.deliveries[*number] == event;
            let has_row = |number: usize| state.archived[number] & Row::Processed as u8 != 0;
            state.recorded[event].is_some()
                && state.published[event] != 0
                && (0..scenario.deliveries.len()).filter(of_event).any(has_row)
        })
    }),
    ("10.1 every copy says the same, on the bus and in the history", |_, state| {
        (0..EVENTS).all(|event| {
            let said = state.published[event];
            said.count_ones() <= 1
                && (said == 0 || state.recorded[event].is_some_and(|told| told as u8 == said))
        })
    }),
    ("10.1 one event tells the effect first", |_, state| {
        let is_both = |told: Told| state.published.iter().all(|said| said & told as u8 != 0);
        !is_both(Told::First) && !is_both(Told::Restates)
    }),
    ("10.2 published once, but for a failure in between", |_, state| {
        state.unexcused.iter().all(|copies| *copies <= 1)
    }),
];

/// Whether everything is done: nobody is at work, the queues are empty, and what was acknowledged is processed and archived.
/// Dead letters remain only of what the ledger has forgotten.
pub fn is_quiet(scenario: &Scenario, state: &State) -> bool {
    let is_still = |validator: &Validator| {
        matches!(validator, Validator::Unsent | Validator::Refused | Validator::Acknowledged { .. })
    };
    let is_done = |(number, &event): (usize, &usize)| match state.validators[number] {
        Validator::Acknowledged { is_enqueued } => {
            let is_archived = !is_enqueued || state.archived[number] != 0;
            let is_aside = state.is_late
                && if is_enqueued { state.dead[number] > 0 } else { state.is_event_kept(scenario, event) };
            is_archived && (state.processed[event] || is_aside)
        }
        _ => true,
    };
    let is_told = |event: usize| {
        let restates = state.published[event] == Told::Restates as u8;
        !restates || state.published[1 - event] != 0 || state.is_event_kept(scenario, 1 - event)
    };
    state.validators.iter().all(is_still)
        && state.workers.iter().all(Option::is_none)
        && state.intake.iter().flatten().all(Option::is_none)
        && (state.is_late || state.dead.iter().all(|count| *count == 0))
        && scenario.deliveries.iter().enumerate().all(is_done)
        && (0..EVENTS).all(is_told)
}

impl State {
    /// A message of the delivery is in the intake queue or a dead letter.
    fn is_kept(&self, number: usize) -> bool {
        self.dead[number] > 0 || self.intake[number].iter().any(Option::is_some)
    }

    fn is_event_kept(&self, scenario: &Scenario, event: usize) -> bool {
        let mut deliveries = scenario.deliveries.iter().enumerate();
        deliveries.any(|(number, &of)| of == event && self.is_kept(number))
    }
}
