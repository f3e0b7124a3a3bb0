//! A batch whose records are handled by a function, in turn or several at a time.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use crate::{
    batch::Batch,
    guard::{Panic, guard, guard_async},
    outcome::Outcome,
};

impl Batch<'_> {
    /// Handles the records one after the other, each under a [`guard`], until no record is left that may begin or
    /// `has_time`, which is called before each record, returns false. Records that were not begun are reported.
    ///
    /// Returns the panics with their records' indices, for the log. These records are settled.
    pub fn run(
        &mut self,
        mut has_time: impl FnMut() -> bool,
        mut handle: impl FnMut(usize) -> Outcome,
    ) -> Vec<(usize, Panic)> {
        let mut panics = Vec::new();
        while let Some(wave) = self.next_wave() {
            for index in wave {
                if !has_time() {
                    return panics;
                }
                let result = guard(|| handle(index));
                self.settle_result(index, result, &mut panics);
            }
        }
        panics
    }

    /// [`run`](Self::run) for futures, at most `at_once` of them at the same time (0 counts as 1). A record may begin
    /// as soon as the one before it in its group is done, whatever the other groups do. Futures that were begun run to
    /// their end, also after `has_time` has returned false.
    ///
    /// It works with any async runtime and spawns no task.
    pub async fn run_async<F: Future<Output = Outcome>>(
        &mut self,
        at_once: usize,
        mut has_time: impl FnMut() -> bool,
        mut handle: impl FnMut(usize) -> F,
    ) -> Vec<(usize, Panic)> {
        let (mut waiting, mut running, mut panics) = (VecDeque::new(), Vec::new(), Vec::new());
        let mut may_begin = true;
        loop {
            while may_begin && running.len() < at_once.max(1) {
                if waiting.is_empty() {
                    waiting.extend(self.next_wave().into_iter().flatten());
                }
                let Some(index) = waiting.pop_front() else { break };
                may_begin = has_time();
                if may_begin {
                    // The call itself may panic, before there is a future.
                    let future = guard(|| handle(index));
                    running.push((index, Box::pin(async { guard_async(future?).await })));
                }
            }
            let Some((index, result)) = next_done(&mut running).await else { return panics };
            self.settle_result(index, result, &mut panics);
        }
    }

    fn settle_result(
        &mut self,
        index: usize,
        result: Result<Outcome, Panic>,
        panics: &mut Vec<(usize, Panic)>,
    ) {
        let outcome = result.unwrap_or_else(|panic| {
            panics.push((index, panic.clone()));
            panic.into()
        });
        let settled = self.settle(index, outcome);
        debug_assert!(settled.is_ok(), "the wave handed it out");
    }
}

/// The output of the next future that ends, with its record's index; `None` when nothing runs.
async fn next_done<F: Future>(running: &mut Vec<(usize, Pin<Box<F>>)>) -> Option<(usize, F::Output)> {
    if running.is_empty() {
        return None;
    }
    let (position, output) = poll_fn(|context| {
        for (position, (_, future)) in running.iter_mut().enumerate() {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready((position, output));
            }
        }
        Poll::Pending
    })
    .await;
    let (index, _) = running.swap_remove(position);
    Some((index, output))
}
