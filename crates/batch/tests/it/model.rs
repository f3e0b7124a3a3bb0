//! The reference model: what must come out, in a few obvious lines, and random batches compared with it.

use std::collections::HashSet;

use proptest::prelude::*;
use tollgate_batch::{Batch, Deadline, Kind, Outcome};

/// What a record's handler does.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    Return(Outcome),
    Panic,
}

impl Act {
    pub fn succeeds(self) -> bool {
        matches!(self, Self::Return(Outcome::Ok | Outcome::Duplicate | Outcome::Quarantined(_)))
    }

    pub fn perform(self) -> Outcome {
        match self {
            Self::Return(outcome) => outcome,
            Self::Panic => panic!("as told"),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Record {
    pub id: String,
    pub group: Option<String>,
    pub act: Act,
}

#[derive(Debug, Clone)]
pub struct Case {
    pub kind: Kind,
    pub records: Vec<Record>,
    /// How many records there is time for.
    pub budget: usize,
}

impl Case {
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(self.kind, self.records.iter().map(|r| (r.id.as_str(), r.group.as_deref())))
    }

    /// Every record takes a millisecond.
    pub fn run(&self) -> Batch<'_> {
        let mut batch = self.batch();
        let now = std::cell::Cell::new(1_000);
        let deadline = Deadline::new(now.get(), self.budget as u64 + 70, 70);
        let panics = batch.run(
            || deadline.has_time(now.get()),
            |index| {
                now.set(now.get() + 1);
                self.records[index].act.perform()
            },
        );
        for (index, panic) in panics {
            assert!(matches!(self.records[index].act, Act::Panic));
            assert_eq!(panic.message, Some("as told"));
        }
        batch
    }

    /// Whether two records must not run at the same time.
    pub fn same_lane(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.records[a], &self.records[b]);
        match self.kind {
            Kind::Standard => a.id == b.id && !a.id.is_empty(),
            Kind::Fifo => a.group == b.group,
        }
    }

    pub fn earlier_in_lane(&self, index: usize) -> Vec<usize> {
        (0..index).filter(|earlier| self.same_lane(*earlier, index)).collect()
    }
}

/// The model: which records are done.
pub fn done(case: &Case) -> Vec<bool> {
    let mut done = vec![false; case.records.len()];
    let mut order: Vec<usize> = (0..case.records.len()).collect();
    order.sort_by_key(|index| (case.earlier_in_lane(*index).len(), *index));
    let mut budget = case.budget;
    for index in order {
        let waits = case.kind == Kind::Fifo && case.earlier_in_lane(index).iter().any(|e| !done[*e]);
        if !waits && budget > 0 {
            budget -= 1;
            done[index] = case.records[index].act.succeeds();
        }
    }
    done
}

/// The ids of what is not done, each once; `None` where one of them is empty.
fn reported<'a>(case: &'a Case, done: &[bool]) -> Option<Vec<&'a str>> {
    let mut ids: Vec<&str> = Vec::new();
    for (record, done) in case.records.iter().zip(done) {
        if !done && record.id.is_empty() {
            return None;
        }
        if !done && !ids.contains(&record.id.as_str()) {
            ids.push(&record.id);
        }
    }
    Some(ids)
}

pub fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Ok),
        1 => Just(Outcome::Duplicate),
        1 => Just(Outcome::Retry("throttled")),
        1 => Just(Outcome::Poison("not_json")),
        1 => Just(Outcome::Quarantined("not_json")),
    ]
}

/// Batches of up to 24 records: few groups, some ids repeated, a few absent.
pub fn case() -> impl Strategy<Value = Case> {
    let act = prop_oneof![6 => outcome().prop_map(Act::Return), 1 => Just(Act::Panic)];
    let id = prop_oneof![
        8 => (0..1000_u32).prop_map(|n| format!("{n:08x}-id")),
        2 => (0..4_u32).prop_map(|n| format!("repeated-{n}")),
        1 => Just(String::new()),
    ];
    let group = proptest::option::weighted(0.9, "[a-d]");
    let record = (id, group, act).prop_map(|(id, group, act)| Record { id, group, act });
    let kind = prop_oneof![Just(Kind::Standard), Just(Kind::Fifo)];
    let budget = prop_oneof![2 => Just(usize::from(u16::MAX)), 1 => 0..24_usize];
    (kind, proptest::collection::vec(record, 0..24), budget, any::<bool>()).prop_map(
        |(kind, mut records, budget, named)| {
            if named {
                records.retain(|record| !record.id.is_empty());
            }
            Case { kind, records, budget }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_run_reports_what_the_model_reports(case in case()) {
        let batch = case.run();
        let done = done(&case);
        prop_assert_eq!(batch.failures().ok(), reported(&case, &done));

        let response = batch.response().ok();
        let names = response.as_ref().map(|response| response.failures().collect::<Vec<_>>());
        prop_assert_eq!(names, reported(&case, &done));

        let summary = batch.summary();
        prop_assert_eq!(summary.records, case.records.len());
        prop_assert_eq!(summary.done(), done.iter().filter(|done| **done).count());
        prop_assert_eq!(summary.done() + summary.failed(), summary.records);
        let reasons = summary.reasons.values().sum::<usize>();
        prop_assert_eq!(reasons, summary.retries + summary.poison + summary.quarantined);
        prop_assert_eq!(summary.all_failed(), !done.is_empty() && !done.contains(&true));
    }

    /// The staged use: records settle in any order, some never, while new waves are asked for in between.
    #[test]
    fn whatever_the_order_of_settling_nothing_begins_too_early_or_is_lost(
        case in case(),
        steps in proptest::collection::vec((any::<proptest::sample::Index>(), 0..4_u8), 0..100),
    ) {
        let mut batch = case.batch();
        let mut begun = vec![false; case.records.len()];
        let mut done = vec![false; case.records.len()];
        let mut in_flight: Vec<usize> = Vec::new();
        let mut drained = false;

        for (which, step) in steps {
            if step == 0 || in_flight.is_empty() {
                let wave = batch.next_wave();
                drained = wave.is_none() && in_flight.is_empty();
                let wave = wave.unwrap_or_default();
                prop_assert!(wave.is_sorted());
                for index in wave {
                    prop_assert!(!begun[index], "{} was handed out twice", index);
                    prop_assert!(!in_flight.iter().any(|other| case.same_lane(*other, index)));
                    for earlier in case.earlier_in_lane(index) {
                        prop_assert!(begun[earlier]);
                        prop_assert!(case.kind == Kind::Standard || done[earlier], "{earlier} before {index}");
                    }
                    begun[index] = true;
                    in_flight.push(index);
                }
            } else {
                let index = in_flight.swap_remove(which.index(in_flight.len()));
                let Act::Return(outcome) = case.records[index].act else { continue };
                // A panic here stands for a record that nobody settles: it stays in flight for the batch.
                batch.settle(index, outcome).unwrap();
                prop_assert_eq!(batch.outcome(index), Some(outcome));
                done[index] = !outcome.is_failure();
            }
        }

        prop_assert_eq!(batch.failures().ok(), reported(&case, &done));
        if drained {
            for (index, begun) in begun.iter().enumerate() {
                let held_back = case.earlier_in_lane(index).iter().any(|earlier| {
                    let never_settled = matches!(case.records[*earlier].act, Act::Panic);
                    never_settled || (case.kind == Kind::Fifo && !done[*earlier])
                });
                prop_assert!(*begun || held_back, "{} was forgotten", index);
            }
        }
    }

    #[test]
    fn whatever_is_settled_twice_a_failure_stands(
        kind in prop_oneof![Just(Kind::Standard), Just(Kind::Fifo)],
        first in outcome(),
        second in outcome(),
    ) {
        let mut batch = Batch::new(kind, [("m1", Some("a")), ("m2", Some("a"))]);
        batch.next_wave();
        batch.settle(0, first).unwrap();
        batch.next_wave();
        let second_began = kind == Kind::Standard || !first.is_failure();
        prop_assert_eq!(batch.settle(1, Outcome::Ok).is_ok(), second_began);
        batch.settle(0, second).unwrap();

        let fails = first.is_failure() || second.is_failure();
        prop_assert_eq!(batch.outcome(0), Some(if first.is_failure() || !fails { first } else { second }));
        let expected: &[&str] = match (fails, kind) {
            (false, _) => &[],
            (true, Kind::Standard) => &["m1"],
            // If the first comes again, what came after it must come after it again.
            (true, Kind::Fifo) => &["m1", "m2"],
        };
        prop_assert_eq!(batch.failures().unwrap(), expected);
    }
}

/// The generator does reach what the properties are about.
#[test]
fn random_cases_hold_what_they_must() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let mut seen = HashSet::new();
    for _ in 0..2_000 {
        let case = case().new_tree(&mut runner).unwrap().current();
        let batch = case.run();
        let summary = batch.summary();
        let ids: HashSet<&str> = case.records.iter().map(|record| record.id.as_str()).collect();
        let facts = [
            ("fifo blocked", summary.blocked > 0),
            ("deadline", summary.unprocessed > 0),
            ("panic", summary.reasons.contains_key(tollgate_batch::PANICKED)),
            ("repeated id", ids.len() < case.records.len()),
            ("unreportable", batch.failures().is_err()),
            ("all failed", summary.all_failed()),
            ("none failed", summary.records > 5 && summary.failed() == 0),
        ];
        seen.extend(facts.into_iter().filter(|(_, holds)| *holds).map(|(name, _)| name));
    }
    assert_eq!(seen.len(), 7, "{seen:?}");
}
