//! Every state that a scenario reaches, in order of its distance, and the ways to all of its steps.

use std::collections::HashMap;

use crate::{
    model::{Action, Scenario, Sight, State},
    promises::{broken_promise, is_quiet},
};

/// A scenario's states and steps.
pub struct Graph {
    pub states: Vec<State>,
    /// Of each state, in the order of [`Scenario::steps`].
    pub steps: Vec<Vec<(Action, u32)>>,
    /// The step by which each state was found first.
    found_by: Vec<Option<(u32, usize)>>,
}

/// Traces that take every sort of step.
pub struct Tour {
    pub sorts: usize,
    pub traces: Vec<Vec<(u32, usize)>>,
}

/// A promise that does not hold, and the way to a state where it does not.
#[derive(Debug)]
pub struct Broken {
    pub promise: &'static str,
    pub trace: Vec<(Action, State)>,
}

/// Explores all of it, and stops at the first promise that does not hold.
pub fn explore(scenario: &Scenario) -> Result<Graph, Box<Broken>> {
    let mut graph = Graph { states: vec![State::default()], steps: Vec::new(), found_by: vec![None] };
    let mut known: HashMap<State, u32> = HashMap::from([(State::default(), 0)]);
    while let Some(&state) = graph.states.get(graph.steps.len()) {
        let from = u32::try_from(graph.steps.len()).unwrap();
        if let Some(promise) = broken_promise(scenario, &state) {
            return Err(graph.broken(promise, from));
        }
        let mut steps = Vec::new();
        for (action, next) in scenario.steps(&state) {
            let to = *known.entry(next).or_insert_with(|| {
                graph.states.push(next);
                graph.found_by.push(Some((from, steps.len())));
                u32::try_from(graph.states.len() - 1).unwrap()
            });
            steps.push((action, to));
        }
        graph.steps.push(steps);
    }
    graph.every_state_can_become_quiet(scenario)?;
    Ok(graph)
}

impl Graph {
    /// How many steps there are.
    pub fn step_count(&self) -> usize {
        self.steps.iter().map(Vec::len).sum()
    }

    /// Without any failure from there on, and without any provider that sends once more.
    fn every_state_can_become_quiet(&self, scenario: &Scenario) -> Result<(), Box<Broken>> {
        let mut before: Vec<Vec<u32>> = vec![Vec::new(); self.states.len()];
        for (from, steps) in self.steps.iter().enumerate() {
            for &(action, to) in steps {
                if Scenario::is_progress(&self.states[from], action) {
                    before[to as usize].push(u32::try_from(from).unwrap());
                }
            }
        }
        let mut can: Vec<bool> = self.states.iter().map(|state| is_quiet(scenario, state)).collect();
        let mut found: Vec<u32> =
            (0..).zip(&can).filter(|(_, can)| **can).map(|(number, _)| number).collect();
        while let Some(number) = found.pop() {
            for &earlier in &before[number as usize] {
                if !can[earlier as usize] {
                    can[earlier as usize] = true;
                    found.push(earlier);
                }
            }
        }
        match can.iter().position(|can| !can) {
            Some(stuck) => {
                Err(self.broken("1.2 acknowledged can be processed", u32::try_from(stuck).unwrap()))
            }
            None => Ok(()),
        }
    }

    fn broken(&self, promise: &'static str, state: u32) -> Box<Broken> {
        let step = |(from, index): (u32, usize)| self.step(from, index);
        Box::new(Broken { promise, trace: self.way_to(state).into_iter().map(step).collect() })
    }

    /// A step, and the state that it leads to.
    pub fn step(&self, from: u32, index: usize) -> (Action, State) {
        let (action, to) = self.steps[from as usize][index];
        (action, self.states[to as usize])
    }

    /// The shortest way to a state: where each step begins, and its index there.
    fn way_to(&self, mut state: u32) -> Vec<(u32, usize)> {
        let mut way = Vec::new();
        while let Some((from, index)) = self.found_by[state as usize] {
            way.push((from, index));
            state = from;
        }
        way.reverse();
        way
    }

    /// Traces that take every sort of step ([`Sight`]) at least once. Each begins with nothing stored; a step is the number
    /// of its state and its index among that state's.
    pub fn tour(&self, scenario: &Scenario) -> Tour {
        let mut sorts: HashMap<Sight, u32> = HashMap::new();
        let sort_of: Vec<Vec<u32>> = (self.states.iter().zip(&self.steps))
            .map(|(state, steps)| {
                let sort = |(action, _): &(Action, u32)| {
                    let number = u32::try_from(sorts.len()).unwrap();
                    *sorts.entry(state.seen_by(*action, scenario)).or_insert(number)
                };
                steps.iter().map(sort).collect()
            })
            .collect();
        let mut is_taken = vec![false; sorts.len()];
        let mut traces = Vec::new();
        for begin in 0..self.states.len() {
            let new_step = |at: u32, is_taken: &[bool]| {
                sort_of[at as usize].iter().position(|sort| !is_taken[*sort as usize])
            };
            let begin = u32::try_from(begin).unwrap();
            while let Some(first) = new_step(begin, &is_taken) {
                let (mut trace, mut at, mut next) = (self.way_to(begin), begin, Some(first));
                for &(from, index) in &trace {
                    is_taken[sort_of[from as usize][index] as usize] = true;
                }
                while let Some(index) = next {
                    trace.push((at, index));
                    is_taken[sort_of[at as usize][index] as usize] = true;
                    at = self.steps[at as usize][index].1;
                    next = new_step(at, &is_taken);
                }
                traces.push(trace);
            }
        }
        Tour { sorts: sorts.len(), traces }
    }
}
