//! Webhooks that were refused and are kept, by the events that they tell: why an event is missing, where a key was wrong.

use std::collections::HashMap;

use futures_util::future::join_all;
use tollgate_core::Timestamp;
use tollgate_pipeline::rejected::Name;
use tollgate_providers::{Endpoint, Received, Trusted};

use crate::{
    aws::Aws,
    rejected::{Filter, MOST, Store},
};

/// Kept webhooks that are fetched at once.
const AT_ONCE: usize = 8;

/// Which kept webhook told which event first.
#[derive(Debug, Default)]
pub(super) struct Refused(HashMap<String, Name>);

impl Refused {
    /// Those that arrived at the endpoint from `since` on: of the first [`MOST`]. Nobody proved what they say, so it explains what the
    /// provider lists, and nothing else.
    pub(super) async fn of(
        aws: &Aws,
        endpoint: &Endpoint,
        since: Timestamp,
        now: Timestamp,
    ) -> anyhow::Result<(Self, Option<String>)> {
        let store = Store::of(aws).await?;
        let filter = Filter { endpoint: Some(*endpoint.id()), since: Some(since), ..Filter::default() };
        let (names, is_cut) = store.names(&filter, now).await?;
        let mut told = HashMap::new();
        for part in names.chunks(AT_ONCE) {
            for (name, kept) in part.iter().zip(join_all(part.iter().map(|name| store.fetch(name))).await) {
                let Some(kept) = kept? else { continue };
                let Ok(body) = kept.body() else { continue };
                let request = &kept.request;
                let received = Received { headers: &request.headers, query: &request.query, body: &body };
                for facts in endpoint.normalise(Trusted::for_inspection(received)).unwrap_or_default() {
                    told.entry(facts.event_id.into_owned()).or_insert_with(|| name.clone());
                }
            }
        }
        let note =
            is_cut.then(|| format!("of the webhooks that were refused and are kept, {MOST} were looked at"));
        Ok((Self(told), note))
    }

    /// The one that told this event.
    pub(super) fn told(&self, event_id: &str) -> Option<&Name> {
        self.0.get(event_id)
    }
}
