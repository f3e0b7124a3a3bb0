//! Prepares the items of batch calls on all processors.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use tollgate_pipeline::process::PARALLEL_FROM;

/// The items that batch calls send, made of `inputs`: beforehand on all threads, where there is more than one processor
/// and at least [`PARALLEL_FROM`] items; otherwise one by one when a call takes them, which holds less memory.
#[derive(Debug)]
pub struct PreparedItems<'i, I, T, F> {
    inputs: &'i [I],
    prepared: Vec<Mutex<Option<T>>>,
    make: F,
}

impl<'i, I: Sync, T: Send, F: Fn(&I) -> T + Sync> PreparedItems<'i, I, T, F> {
    /// One item for each of `inputs`. `make` may be called more than once for an input.
    pub fn new(inputs: &'i [I], is_parallel: bool, make: F) -> Self {
        let prepared = if is_parallel && inputs.len() >= PARALLEL_FROM {
            inputs.par_iter().map(|input| Mutex::new(Some(make(input)))).collect()
        } else {
            Vec::new()
        };
        Self { inputs, prepared, make }
    }

    /// The items at these indices into the inputs, exactly one for each index. An item that was taken before is made
    /// again, for a call that is repeated.
    ///
    /// # Panics
    ///
    /// On an index that is none of the inputs': an item left out would shift the answers of all that follow it.
    #[expect(clippy::indexing_slicing, reason = "a wrong index must fail the invocation")]
    pub fn take(&self, indices: impl IntoIterator<Item = usize>) -> Vec<T> {
        let take = |index: usize| {
            let prepared = self.prepared.get(index);
            prepared.and_then(|item| item.lock().unwrap_or_else(PoisonError::into_inner).take())
        };
        let make = |index: usize| (self.make)(&self.inputs[index]);
        indices.into_iter().map(|index| take(index).unwrap_or_else(|| make(index))).collect()
    }

    /// All items, in order.
    pub fn take_all(&self) -> Vec<T> {
        self.take(0..self.inputs.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_there_each_time_they_are_taken() {
        let inputs: Vec<usize> = (0..PARALLEL_FROM).collect();
        for is_parallel in [false, true] {
            let items = PreparedItems::new(&inputs, is_parallel, usize::to_string);
            for _ in 0..2 {
                assert_eq!(items.take([7, 99]), ["7", "99"]);
            }
            assert_eq!(items.take_all().len(), PARALLEL_FROM);
        }
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn a_wrong_index_is_never_left_out() {
        PreparedItems::new(&[1, 2], false, usize::to_string).take([0, 2]);
    }
}
