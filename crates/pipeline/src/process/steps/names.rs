//! The names of transactions: ids that events say are of one transaction.

use std::{borrow::Cow, collections::HashMap, iter};

use tollgate_core::{Authenticity, PaymentEvent};

use crate::ports::{Latest, Link, PortResult};

/// The most steps from a name to its transaction. A chain of names that is longer, or goes in a circle, ends there.
pub(super) const HOPS: usize = 2;

/// What is known of the keys that the stride's events name.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) known: HashMap<String, PortResult<Latest>>,
}

impl Names {
    /// What is known of a key, if it could be read.
    pub(super) fn latest(&self, key: &str) -> Option<&Latest> {
        self.known.get(key)?.as_ref().ok()
    }

    fn alias_of(&self, key: &str, by: Authenticity) -> Option<&str> {
        self.latest(key)?.alias_of(by)
    }

    /// `key`, and what it is a name of, and what that is a name of, for events of this authenticity.
    pub(super) fn chain<'n>(&'n self, key: &'n str, by: Authenticity) -> impl Iterator<Item = &'n str> {
        iter::successors(Some(key), move |key| self.alias_of(key, by)).take(HOPS + 1)
    }

    /// The key of the transaction that `key` is a name of, for events of this authenticity. Of two that are names of each
    /// other it is the smaller.
    pub(super) fn root<'n>(&'n self, key: &'n str, by: Authenticity) -> &'n str {
        let Some(of) = self.alias_of(key, by) else { return key };
        match self.alias_of(of, by) {
            Some(last) if last == key => key.min(of),
            Some(last) => last,
            None => of,
        }
    }

    /// Takes `alias` for another name of `of`, as an event of this authenticity says; what is to be written.
    pub(super) fn learn(&mut self, alias: String, of: String, authenticity: Authenticity) -> Link {
        let before = match self.known.get(&alias) {
            Some(Ok(known)) => known.clone(),
            // Not read: it is written as a new one, which the table refuses where the item is there.
            Some(Err(_)) | None => Latest::default(),
        };
        let is_known = before.is_known();
        let known = match authenticity {
            Authenticity::Verified | Authenticity::Retrieved => {
                Latest { alias_of: Some(of.clone()), ..before }
            }
            Authenticity::Authenticated => Latest { authenticated_alias_of: Some(of.clone()), ..before },
        };
        self.known.insert(alias.clone(), Ok(known));
        Link { alias, of, authenticity, is_known }
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

    use Authenticity::{Authenticated, Verified};

    fn names(links: &[(&str, &str)], by: Authenticity) -> Names {
        let mut names = Names::default();
        for (alias, of) in links {
            names.learn((*alias).to_owned(), (*of).to_owned(), by);
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
            for by in [Verified, Authenticated] {
                let names = names(links, by);
                assert_eq!(names.root(key, by), root, "{links:?}");
                assert!(names.chain(key, by).count() <= HOPS + 1, "{links:?}");
                assert!(names.chain(key, by).any(|key| key == root), "{links:?}");
            }
        }
    }

    #[test]
    fn what_is_only_authenticated_links_nothing_that_is_verified() {
        let mut names = names(&[("a", "forged")], Authenticated);
        assert_eq!((names.root("a", Verified), names.root("a", Authenticated)), ("a", "forged"));
        names.learn("a".to_owned(), "b".to_owned(), Verified);
        assert_eq!((names.root("a", Verified), names.root("a", Authenticated)), ("b", "b"));
        names.learn("b".to_owned(), "forged".to_owned(), Authenticated);
        assert_eq!((names.root("a", Verified), names.root("a", Authenticated)), ("b", "forged"));
        assert_eq!(names.chain("a", Verified).collect::<Vec<_>>(), ["a", "b"]);
    }
}
