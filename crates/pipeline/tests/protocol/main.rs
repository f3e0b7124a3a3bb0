//! The protocol of ingest and process, explored whole: a model of it in every state that it reaches, and the real use cases
//! along the model's steps.
//!
//! Left out are batches of several messages, FIFO queues, conflicts, aliases and `superseded`, an operator's allowance, and
//! the ledger's forgetting of effects after 90 days: `tests/process` has those.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests only"
)]

mod explore;
mod model;
mod promises;
mod real;

use std::{
    collections::HashSet,
    io::{Write, stderr},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

use explore::{Graph, explore};
use model::{Action, Broken, Scenario, State};

/// Two deliveries of one event: at once, or the second is the provider's retry.
const TWO: Scenario = Scenario {
    deliveries: &[0, 0],
    faults: 0,
    has_failing_calls: false,
    has_half_hours: false,
    has_month: false,
    orders_unseen: false,
    broken: None,
};

/// The second delivery tells the effect by another event.
const TELLINGS: Scenario = Scenario { deliveries: &[0, 1], ..TWO };

/// Two deliveries of one event, and a third of another telling.
const THREE: Scenario = Scenario { deliveries: &[0, 0, 1], ..TWO };

/// A fault anywhere: a death, a call that fails, an answer that is lost, a message that is given out twice.
const A_FAULT: Scenario = Scenario { faults: 1, has_failing_calls: true, ..TWO };

/// The same, and time passes.
const A_FAULT_AND_TIME: Scenario = Scenario { has_half_hours: true, has_month: true, ..A_FAULT };

/// Past the test's own output, which is shown of failures only.
fn say(line: &str) {
    let _ = writeln!(stderr(), "model: {line}");
}

fn explored(name: &str, scenario: &Scenario) -> Graph {
    let graph = explore(scenario).unwrap_or_else(|broken| panic!("{name}: {broken:#?}"));
    say(&format!("{name}: {} states, {} steps", graph.states.len(), graph.step_count()));
    graph
}

#[test]
fn every_promise_holds_for_three_deliveries_whatever_fails() {
    explored(
        "two deliveries and another telling, a fault",
        &Scenario { deliveries: THREE.deliveries, ..A_FAULT },
    );
    explored("two deliveries, a retry and another telling", &Scenario { deliveries: &[0, 0, 0, 1], ..TWO });
}

#[test]
fn every_promise_holds_whatever_fails_and_the_ledger_forgets() {
    explored("two deliveries, a fault, time", &A_FAULT_AND_TIME);
    explored("two tellings, two faults", &Scenario { faults: 2, deliveries: TELLINGS.deliveries, ..A_FAULT });
}

/// What breaks a promise, where it is found, and which promise it is.
const BREAKS: [(Broken, Scenario, &str); 14] = [
    (Broken::ClaimsAfterEnqueueing, TWO, "1.2 acknowledged can be processed"),
    (Broken::AnswersBeforeEnqueueing, TWO, "1.1 acknowledged is durable"),
    (Broken::SendsNoRepeat, TWO, "1.1 acknowledged is durable"),
    (Broken::SealsNoRepeat, TWO, "1.2 acknowledged can be processed"),
    (Broken::DecidesEffectsInTwoSteps, TELLINGS, "10.1 one event tells the effect first"),
    (
        Broken::ForgetsReleasedEffects,
        Scenario { faults: 2, deliveries: TELLINGS.deliveries, ..A_FAULT },
        "10.1 one event tells the effect first",
    ),
    (Broken::IgnoresLeases, TWO, "10.2 published once, but for a failure in between"),
    (Broken::RenewsNoClaim, A_FAULT_AND_TIME, "10.2 published once, but for a failure in between"),
    (Broken::MarksBeforePublishing, TWO, "1.2 processed is recorded, published and archived"),
    (Broken::MarksBeforeArchiving, TWO, "1.2 processed is recorded, published and archived"),
    (
        Broken::TakesFailuresForSuccess,
        A_FAULT,
        "10.1 every copy says the same, on the bus and in the history",
    ),
    (Broken::QuarantinesNothing, TWO, "1.1 acknowledged is durable"),
    (
        Broken::ArchivesNothingAside,
        Scenario { faults: 0, has_failing_calls: false, ..A_FAULT_AND_TIME },
        "1.2 acknowledged can be processed",
    ),
    (
        Broken::TakesOldForNew,
        Scenario { faults: 0, has_failing_calls: false, ..A_FAULT_AND_TIME },
        "10.2 published once, but for a failure in between",
    ),
];

/// Each promise can fail, and no broken model is what the use cases do.
#[test]
fn a_broken_protocol_breaks_a_promise_and_is_not_ours() {
    let setting = real::Setting::new();
    assert!(Broken::ALL.iter().all(|broken| BREAKS.iter().any(|(known, ..)| known == broken)));
    for (broken, scenario, promise) in BREAKS {
        let scenario = Scenario { broken: Some(broken), ..scenario };
        let Err(found) = explore(&scenario) else { panic!("{broken:?} breaks nothing") };
        assert_eq!(found.promise, promise, "{broken:?}: {found:#?}");
        let trace = go_on(&scenario, found.trace);
        let difference = real::drive(&scenario, &setting, trace.iter().copied());
        assert!(difference.is_err(), "{broken:?} is what the code does: {trace:#?}");
    }
}

/// From where a promise cannot hold any more on to where that shows: to a state that was met before, without a failure.
fn go_on(scenario: &Scenario, mut trace: Vec<(Action, State)>) -> Vec<(Action, State)> {
    let mut met: HashSet<State> = trace.iter().map(|(_, state)| *state).collect();
    while let Some(&(_, at)) = trace.last() {
        let steps = scenario.steps(&at).into_iter();
        let mut new = steps.filter(|(action, to)| Scenario::is_progress(&at, *action) && !met.contains(to));
        let Some((action, to)) = new.next() else { break };
        met.insert(to);
        trace.push((action, to));
    }
    trace
}

/// Drives traces that take every sort of step of a scenario, in every order.
fn drive_tour(name: &str, scenario: &Scenario) {
    let scenario = Scenario { orders_unseen: true, ..*scenario };
    let graph = explored(name, &scenario);
    let tour = graph.tour(&scenario);
    let (setting, next) = (real::Setting::new(), AtomicUsize::new(0));
    let drive = || {
        while let Some(trace) = tour.traces.get(next.fetch_add(1, SeqCst)) {
            let trace = trace.iter().map(|&(from, index)| graph.step(from, index));
            real::drive(&scenario, &setting, trace).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(drive);
        }
    });
    let (traces, steps) = (tour.traces.len(), tour.traces.iter().map(Vec::len).sum::<usize>());
    say(&format!("{name}, in the code: {} sorts of steps in {traces} traces of {steps} steps", tour.sorts));
}

#[test]
fn the_use_cases_do_what_the_model_does() {
    drive_tour("two deliveries and another telling, every order", &THREE);
    drive_tour("two deliveries, a fault, every order", &A_FAULT);
}

#[test]
fn the_use_cases_do_what_the_model_does_over_time() {
    let scenario = Scenario { deliveries: TELLINGS.deliveries, ..A_FAULT_AND_TIME };
    drive_tour("two tellings, a fault, time, every order", &scenario);
}
