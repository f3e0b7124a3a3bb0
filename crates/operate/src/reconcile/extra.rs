//! What took effect here and its provider does not list.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

use tollgate_core::Timestamp;

use super::model::{Finding, Plan, Types, Verdict};
use crate::search::{Filters, Found, Query};

/// Ids that are remembered: some 100 MB.
const MOST: usize = 4_000_000;

/// Which events are compared, and which were listed, where that is to be known.
#[derive(Debug)]
pub struct Listing {
    /// Those that count.
    pub types: Types,
    /// All that was listed.
    pub listed: Option<Listed>,
}

/// What a provider listed of the time, of each event eight bytes. They depend on a number of this run's own, so that nobody makes
/// an id that is taken for another one.
#[derive(Debug, Default)]
pub struct Listed {
    ids: HashSet<u64>,
    hasher: RandomState,
    is_cut: bool,
}

impl Listed {
    pub(super) fn add(&mut self, id: &str) {
        self.is_cut |= self.ids.len() >= MOST;
        if !self.is_cut {
            self.ids.insert(self.hasher.hash_one(id));
        }
    }

    /// Whether all are remembered. Where they are not, what is extra is not known.
    pub fn is_whole(&self) -> bool {
        !self.is_cut
    }

    fn has(&self, id: &str) -> bool {
        self.ids.contains(&self.hasher.hash_one(id))
    }
}

/// What the archive is asked for: what took effect at the endpoint and arrived in the time of `plan` or behind it.
///
/// # Errors
///
/// When that is no query.
pub fn query(plan: &Plan) -> anyhow::Result<Query> {
    let filters = Filters {
        endpoint: vec![plan.endpoint.to_string()],
        outcome: vec!["processed".to_owned()],
        from: Some(plan.from.to_string()),
        to: Some(plan.asked_at.to_string()),
        ..Filters::default()
    };
    filters.query(plan.asked_at)
}

/// What the archive's event is, if it is of the types and the time that were listed, by what it says itself, and is not listed.
pub(super) fn candidate(found: Found, plan: &Plan, listing: &Listing) -> Option<Finding> {
    let listed = listing.listed.as_ref()?;
    let id = found.provider_event_id?;
    let kind = found.provider_event_type.unwrap_or_default();
    let at: Timestamp = found.occurred_at?.parse().ok()?;
    let is_of_the_list = (plan.from..plan.to).contains(&at) && listing.types.has(&kind);
    (is_of_the_list && !listed.has(&id)).then(|| Finding {
        verdict: Verdict::Extra,
        provider_event_id: id,
        provider_event_type: kind,
        at,
        kind: found.kind,
        transaction_id: found.transaction_id,
        amount: None,
        currency: found.currency,
        our_amount: found.amount,
        webhook_id: Some(found.webhook_id),
        note: Some("it took effect here, and the provider does not know it".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use tollgate_core::EndpointId;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_not_listed_is_extra_if_it_is_of_the_time_and_the_types() {
        let plan = Plan {
            endpoint: EndpointId::new("stripe-eu").unwrap(),
            from: at("2026-01-31T00:00:00Z"),
            to: at("2026-02-01T00:00:00Z"),
            types: Vec::new(),
            asked_at: at("2026-02-02T00:00:00Z"),
        };
        let mut listed = Listed::default();
        listed.add("evt_listed");
        let listing = Listing { types: Types::These(["paid".to_owned()].into()), listed: Some(listed) };
        let is_extra = |id: Option<&str>, kind: &str, occurred_at: Option<&str>| {
            let found = Found {
                provider_event_id: id.map(str::to_owned),
                provider_event_type: Some(kind.to_owned()),
                occurred_at: occurred_at.map(str::to_owned),
                ..Found::default()
            };
            candidate(found, &plan, &listing).is_some()
        };
        let noon = Some("2026-01-31T12:00:00Z");
        assert!(is_extra(Some("evt_1"), "paid", noon));
        for (id, kind, occurred_at) in [
            (Some("evt_listed"), "paid", noon),
            (Some("evt_1"), "customer", noon),
            (Some("evt_1"), "paid", Some("2026-02-01T00:00:00Z")),
            (Some("evt_1"), "paid", Some("2026-01-30T23:59:59Z")),
            (Some("evt_1"), "paid", None),
            (None, "paid", noon),
        ] {
            assert!(!is_extra(id, kind, occurred_at), "{id:?} {kind} {occurred_at:?}");
        }
    }
}
