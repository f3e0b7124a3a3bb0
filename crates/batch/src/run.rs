//! A batch whose records are handled one at a time by a function.

use crate::{batch::Batch, guard::Panic, guard::guard, outcome::Outcome};

impl Batch<'_> {
    /// Handles the records one after the other, each under a [`guard`], until there is nothing left that may
    /// begin or `has_time` says no (it is asked before each record). What was not begun stays unprocessed and is
    /// reported.
    ///
    /// Returns the panics with their records' indices, for the log; they are settled already.
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
                let outcome = guard(|| handle(index)).unwrap_or_else(|panic| {
                    panics.push((index, panic.clone()));
                    panic.into()
                });
                let settled = self.settle(index, outcome);
                debug_assert!(settled.is_ok(), "the wave handed it out");
            }
        }
        panics
    }
}
