//! The names of transactions: ids that events say are of one transaction.

use std::{borrow::Cow, collections::HashMap, iter};

use tollgate_core::PaymentEvent;

use crate::ports::{Latest, Link, PortResult};

/// The most steps from a name to its transaction. A chain of names that is longer, or goes in a circle, ends there.
pub(super) const HOPS: usize = 2;

/// What is known of the keys that the stride's events name.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) known: HashMap<String, PortResult<Latest>>,
}

impl Names {
    fn alias_of(&self, key: &str) -> Option<&str> {
        self.known.get(key)?.as_ref().ok()?.alias_of.as_deref()
    }

    /// `key`, and what it is a name of, and what that is a name of.
    pub(super) fn chain<'n>(&'n self, key: &'n str) -> impl Iterator<Item = &'n str> {
        iter::successors(Some(key), |key| self.alias_of(key)).take(HOPS + 1)
    }

    /// The key of the transaction that `key` is a name of. Of two that are names of each other it is the smaller.
    pub(super) fn root<'n>(&'n self, key: &'n str) -> &'n str {
        let Some(of) = self.alias_of(key) else { return key };
        match self.alias_of(of) {
            Some(last) if last == key => key.min(of),
            Some(last) => last,
            None => of,
        }
    }

    /// Takes `alias` for another name of `of`; what is to be written.
    pub(super) fn learn(&mut self, alias: String, of: String) -> Link {
        let known = self.known.entry(alias.clone()).or_insert_with(|| Ok(Latest::default()));
        let position = known.as_ref().ok().and_then(|known| known.position);
        *known = Ok(Latest { position, alias_of: Some(of.clone()) });
        Link { alias, of, position }
    }
}

/// The keys of the names that an event gives its transaction, its own first.
pub(super) fn keys_of(payment: &PaymentEvent<'_>) -> impl Iterator<Item = String> {
    let alias = |alias: &Cow<'_, str>| PaymentEvent::transaction_key_of(&payment.endpoint, alias);
    iter::once(payment.transaction_key()).chain(payment.transaction_aliases.iter().map(alias))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(links: &[(&str, &str)]) -> Names {
        let mut names = Names::default();
        for (alias, of) in links {
            names.learn((*alias).to_owned(), (*of).to_owned());
        }
        names
    }

    #[test]
    fn names_in_a_circle_or_a_long_chain_end() {
        for (links, key, root) in [
            (&[][..], "a", "a"),
            (&[("a", "b")], "a", "b"),
            (&[("a", "b")], "b", "b"),
            (&[("a", "b"), ("b", "c")], "a", "c"),
            (&[("a", "b"), ("b", "c"), ("c", "d")], "a", "c"),
            (&[("a", "b"), ("b", "a")], "a", "a"),
            (&[("a", "b"), ("b", "a")], "b", "a"),
            (&[("a", "a")], "a", "a"),
        ] {
            let names = names(links);
            assert_eq!(names.root(key), root, "{links:?}");
            assert!(names.chain(key).count() <= HOPS + 1, "{links:?}");
        }
    }
}
