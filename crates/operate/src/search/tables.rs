//! What the tables have of an id: the ledger knows an event from its first delivery on, and the history a transaction's
//! events as soon as they are processed. The archive comes some minutes later.

use std::collections::BTreeSet;

use anyhow::Context;
use tollgate_core::{EndpointId, PaymentEvent, Timestamp, WebhookId, id::bounded};
use tollgate_pipeline::ports::LedgerState;

use super::found::{Found, Source};
use crate::{aws::Aws, endpoints, tables::Tables};

/// What the tables have of an id, in every endpoint or in those that are named.
///
/// # Errors
///
/// When AWS does not answer, or something there cannot be read.
pub(super) async fn found(
    aws: &Aws,
    id: &str,
    named: &[String],
    now: Timestamp,
) -> anyhow::Result<Vec<Found>> {
    let endpoints: Vec<EndpointId> = if named.is_empty() {
        endpoints::all(aws).await?.into_iter().map(|endpoint| endpoint.id).collect()
    } else {
        // A name that is none is no endpoint's.
        named.iter().filter_map(|name| EndpointId::new(name.as_str()).ok()).collect()
    };
    let tables = Tables::of(aws, now);
    let mut found = Vec::new();
    for (endpoint, _) in tables.transaction(&endpoints, id).await? {
        let past = tables.past(&PaymentEvent::transaction_key_of(&endpoint, &bounded(id.into()))).await?;
        for event in past.events {
            let event: PaymentEvent<'_> =
                serde_json::from_str(&event).context("an event of the history cannot be read")?;
            found.push(Found::of_event(&event));
        }
    }
    let known: BTreeSet<String> = found.iter().filter_map(|one| one.event_id.clone()).collect();
    for (endpoint, key, entry) in tables.provider_event(&endpoints, id).await? {
        if !known.contains(key.event_id().as_str()) {
            let is_processed = entry.state == LedgerState::Processed;
            found.push(Found {
                webhook_id: entry.webhook_id.as_ref().map(WebhookId::to_string).unwrap_or_default(),
                received_at: entry.received_at.to_string(),
                endpoint: endpoint.to_string(),
                outcome: if is_processed { "processed" } else { "received" }.to_owned(),
                event_id: Some(key.event_id().to_string()),
                provider_event_id: Some(id.to_owned()),
                source: Source::Ledger,
                ..Found::default()
            });
        }
    }
    Ok(found)
}
