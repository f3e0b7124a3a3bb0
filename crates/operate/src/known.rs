//! Which ids were dealt with, of as many as fit.

use std::{
    collections::{HashSet, VecDeque},
    hash::Hash,
};

/// The ids that were met last.
#[derive(Debug)]
pub(crate) struct Known<T> {
    most: usize,
    ids: HashSet<T>,
    in_order: VecDeque<T>,
}

impl<T: Clone + Eq + Hash> Known<T> {
    /// Of `most` ids at most: the one that was met first goes.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, ids: HashSet::new(), in_order: VecDeque::new() }
    }

    /// Whether it was not met; from now on it was.
    pub(crate) fn is_new(&mut self, id: T) -> bool {
        if !self.ids.insert(id.clone()) {
            return false;
        }
        self.in_order.push_back(id);
        if self.in_order.len() > self.most
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_known_as_fit() {
        let mut known = Known::new(2);
        let new = ["a", "a", "b", "a", "c", "b", "c", "a", "c", "b"].map(|id| known.is_new(id));
        assert_eq!(new, [true, false, true, false, true, false, false, true, false, true]);
    }
}
