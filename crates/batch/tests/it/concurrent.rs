//! Records handled as futures: the same results as in turn, and never more at a time than allowed.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
};

use proptest::prelude::*;
use tollgate_batch::{Batch, Kind, Outcome};

use crate::model::case;

/// Polls until the future is done. The futures here wake whoever polls them.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

/// Is pending for so many polls.
async fn pending(mut polls: u8) {
    poll_fn(|context| {
        let is_over = polls == 0;
        polls = polls.saturating_sub(1);
        context.waker().wake_by_ref();
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn one_at_a_time_is_what_a_run_is(case in case(), polls in 0..3_u8) {
        let mut batch = case.batch();
        let mut budget = case.budget;
        let has_time = || {
            let has_time = budget > 0;
            budget = budget.saturating_sub(1);
            has_time
        };
        let acts = case.records.iter().map(|record| record.act);
        let acts: Vec<_> = acts.collect();
        let panics = block_on(batch.run_async(1, has_time, |index| {
            let act = acts[index];
            async move {
                pending(polls).await;
                act.perform()
            }
        }));
        let expected = case.run();
        prop_assert_eq!(batch.summary(), expected.summary());
        prop_assert_eq!(batch.failures(), expected.failures());
        prop_assert_eq!(panics.len(), batch.summary().reasons.get(tollgate_batch::PANICKED).copied().unwrap_or(0));
    }

    #[test]
    fn however_many_at_a_time_each_group_is_in_order(
        case in case(),
        at_once in 0..8_usize,
        polls in proptest::collection::vec(0..6_u8, 24),
    ) {
        let mut batch = case.batch();
        let (begun, running) = (RefCell::new(Vec::new()), RefCell::new(Vec::<usize>::new()));
        let (most, overlaps) = (Cell::new(0), Cell::new(false));
        let has_time = || begun.borrow().len() < case.budget;
        block_on(batch.run_async(at_once, has_time, |index| {
            begun.borrow_mut().push(index);
            let (case, running, most, overlaps, polls) = (&case, &running, &most, &overlaps, polls[index]);
            async move {
                overlaps.set(overlaps.get() || running.borrow().iter().any(|other| case.same_lane(*other, index)));
                running.borrow_mut().push(index);
                most.set(most.get().max(running.borrow().len()));
                pending(polls).await;
                running.borrow_mut().retain(|other| *other != index);
                case.records[index].act.perform()
            }
        }));
        let begun = begun.into_inner();
        prop_assert!(!overlaps.get());
        prop_assert!(most.get() <= at_once.max(1));
        prop_assert!(begun.len() <= case.budget);
        for (place, index) in begun.iter().enumerate() {
            prop_assert!(!begun[..place].contains(index), "{} was begun twice", index);
            // On a FIFO queue: all earlier ones of the group are done, on a standard queue they are handled.
            for earlier in case.earlier_in_lane(*index) {
                prop_assert!(begun[..place].contains(&earlier));
                prop_assert!(case.kind == Kind::Standard || case.records[earlier].act.succeeds());
            }
        }
        let failed = (0..case.records.len())
            .filter(|index| !begun.contains(index) || !case.records[*index].act.succeeds());
        prop_assert_eq!(batch.summary().failed(), failed.count());
        if case.budget >= case.records.len() {
            prop_assert_eq!(batch.failures(), case.run().failures());
        }
    }
}

#[test]
fn records_of_a_standard_queue_run_at_the_same_time() {
    let mut batch = Batch::new(Kind::Standard, [("1", None), ("2", None), ("3", None)]);
    let arrived = Cell::new(0);
    // Each waits for all.
    let panics = block_on(batch.run_async(
        3,
        || true,
        |_| {
            arrived.set(arrived.get() + 1);
            poll_fn(|_| if arrived.get() == 3 { Poll::Ready(Outcome::Ok) } else { Poll::Pending })
        },
    ));
    assert!(panics.is_empty());
    assert!(batch.failures().unwrap().is_empty());
}

#[test]
fn a_slow_group_holds_back_no_other() {
    let records = [("1", Some("slow")), ("2", Some("slow")), ("3", Some("b")), ("4", Some("b"))];
    let mut batch = Batch::new(Kind::Fifo, records);
    let order = RefCell::new(Vec::new());
    block_on(batch.run_async(
        2,
        || true,
        |index| {
            let order = &order;
            async move {
                pending(if index == 0 { 9 } else { 0 }).await;
                order.borrow_mut().push(index);
                Outcome::Ok
            }
        },
    ));
    assert_eq!(order.into_inner(), [2, 3, 0, 1]);
}

#[test]
fn a_panic_before_the_first_poll_is_caught_too() {
    let mut batch = Batch::new(Kind::Standard, [("1", None), ("2", None)]);
    let panics = block_on(batch.run_async(
        2,
        || true,
        |index| {
            assert_ne!(index, 0, "as told");
            async { Outcome::Ok }
        },
    ));
    assert_eq!(panics.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0]);
    assert_eq!(batch.failures().unwrap(), ["1"]);
}

#[test]
fn what_was_begun_is_waited_for_past_the_deadline() {
    let mut batch = Batch::new(Kind::Standard, [("1", None), ("2", None), ("3", None)]);
    let mut time = [true, true, false].into_iter();
    let has_time = || time.next() == Some(true);
    block_on(batch.run_async(3, has_time, |_| async {
        pending(3).await;
        Outcome::Ok
    }));
    assert_eq!(batch.failures().unwrap(), ["3"]);
    assert_eq!(batch.summary().unprocessed, 1);
}
