//! What the tables have of an id: the ledger knows an event from its first delivery on, and the history a transaction's
//! events as soon as they are processed. The archive comes some minutes later.

use std::collections::BTreeSet;

use anyhow::Context;
use tollgate_aws::{endpoints::S3Endpoints, history::DynamoHistory, ledger::DynamoLedger};
use tollgate_core::{EndpointId, LedgerKey, PaymentEvent, Timestamp, WebhookId};
use tollgate_pipeline::{
    endpoints::EndpointsDocument,
    ports::{EndpointStore, Ledger, LedgerState},
};

use super::found::{Found, Source};
use crate::aws::Aws;

/// Events of one transaction that are read. A payment has some tens.
const MOST_EVENTS: usize = 1_000;

/// What the tables have of an id, in every endpoint or in those that are named.
///
/// # Errors
///
/// When AWS does not answer, or something there cannot be read.
pub(super) async fn found(
    aws: &Aws,
    id: &str,
    endpoints: &[String],
    now: Timestamp,
) -> anyhow::Result<Vec<Found>> {
    let endpoints = if endpoints.is_empty() { all(aws).await? } else { endpoints.to_vec() };
    // A name that is none is no endpoint's.
    let endpoints: Vec<EndpointId> =
        endpoints.iter().filter_map(|name| EndpointId::new(name.as_str()).ok()).collect();
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws.config);
    let history = DynamoHistory::new(dynamodb.clone(), aws.names.transactions_table());
    let mut found = Vec::new();
    for endpoint in &endpoints {
        let past = history.past(&format!("{endpoint}#{id}"), MOST_EVENTS).await;
        for event in past.context("reading the transactions")?.events {
            let event: PaymentEvent<'_> =
                serde_json::from_str(&event).context("an event of the history cannot be read")?;
            found.push(Found::of_event(&event));
        }
    }
    let keys: Vec<LedgerKey> = endpoints.iter().map(|endpoint| LedgerKey::new(endpoint, id)).collect();
    let ledger = DynamoLedger::new(dynamodb, aws.names.ledger_table());
    let known: BTreeSet<String> = found.iter().filter_map(|one| one.event_id.clone()).collect();
    for ((endpoint, key), entry) in endpoints.iter().zip(&keys).zip(ledger.known(&keys, now).await) {
        let Some(entry) = entry.context("reading the ledger")? else { continue };
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

/// The names of every endpoint.
async fn all(aws: &Aws) -> anyhow::Result<Vec<String>> {
    let bucket = aws.names.endpoints_bucket(&aws.account().await?);
    let stored = S3Endpoints::new(aws.config.clone(), bucket, aws.names.suffix()).load().await;
    let Some(stored) = stored.context("reading the endpoints")? else { return Ok(Vec::new()) };
    let document = EndpointsDocument::read(&stored.document).context("the endpoints' document")?;
    Ok(document.endpoints().map(|(id, _)| id.to_string()).collect())
}
