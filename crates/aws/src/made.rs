//! What goes into batch calls, made on all processors.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use tollgate_pipeline::process::PARALLEL_FROM;

/// What calls take, made out of `inputs`: beforehand on all threads where there is more than one processor and, as of
/// records, [`PARALLEL_FROM`] of them; otherwise one by one as calls take them, which holds less memory.
#[derive(Debug)]
pub struct Made<'i, I, T, F> {
    inputs: &'i [I],
    beforehand: Vec<Mutex<Option<T>>>,
    make: F,
}

impl<'i, I: Sync, T: Send, F: Fn(&I) -> T + Sync> Made<'i, I, T, F> {
    /// One for each of `inputs`. `make` may be asked for the same one again.
    pub fn new(inputs: &'i [I], is_parallel: bool, make: F) -> Self {
        let beforehand = if is_parallel && inputs.len() >= PARALLEL_FROM {
            inputs.par_iter().map(|input| Mutex::new(Some(make(input)))).collect()
        } else {
            Vec::new()
        };
        Self { inputs, beforehand, make }
    }

    /// Those at these indices into the inputs. Taken again, for a call that is repeated, they are made again.
    pub fn take(&self, indices: impl IntoIterator<Item = usize>) -> Vec<T> {
        let beforehand = |index: usize| {
            let item = self.beforehand.get(index)?;
            item.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        let again = |index: usize| self.inputs.get(index).map(&self.make);
        indices.into_iter().filter_map(|index| beforehand(index).or_else(|| again(index))).collect()
    }

    /// All of them, in order.
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
            let made = Made::new(&inputs, is_parallel, usize::to_string);
            for _ in 0..2 {
                assert_eq!(made.take([7, 99]), ["7", "99"]);
            }
            assert_eq!(made.take_all().len(), PARALLEL_FROM);
        }
    }
}
