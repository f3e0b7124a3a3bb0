//! What goes into batch calls, made on all processors.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// From so many items on, making them is shared out, as the processor shares out records (benches/COMPARE.md).
const PARALLEL_FROM: usize = 200;

/// Items for calls: made beforehand on all threads where there is more than one processor, otherwise one by one as
/// calls take them, which holds less memory.
#[derive(Debug)]
pub struct Made<T, F> {
    beforehand: Vec<Mutex<Option<T>>>,
    make: F,
}

impl<T: Send, F: Fn(usize) -> Option<T> + Sync> Made<T, F> {
    /// `count` items, of which `make` makes the one at an index, any number of times.
    pub fn new(count: usize, is_parallel: bool, make: F) -> Self {
        let beforehand = if is_parallel && count >= PARALLEL_FROM {
            (0..count).into_par_iter().map(|index| Mutex::new(make(index))).collect()
        } else {
            Vec::new()
        };
        Self { beforehand, make }
    }

    /// The items at these indices. Taken again, for a call that is repeated, they are made again.
    pub fn take(&self, indices: impl IntoIterator<Item = usize>) -> Vec<T> {
        let beforehand = |index: usize| {
            let item = self.beforehand.get(index)?;
            item.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        indices.into_iter().filter_map(|index| beforehand(index).or_else(|| (self.make)(index))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_there_each_time_they_are_taken() {
        for is_parallel in [false, true] {
            let made = Made::new(PARALLEL_FROM, is_parallel, |index| {
                (index < PARALLEL_FROM).then(|| index.to_string())
            });
            for _ in 0..2 {
                assert_eq!(made.take([7, 99, PARALLEL_FROM]), ["7", "99"]);
            }
        }
    }
}
