//! A delivery as its rows in the archive have it.

use std::collections::BTreeMap;

use tollgate_archive::read::ArchivedRow;
use tollgate_core::{
    Authenticity, EndpointConfig, EndpointId, Facts, LedgerKey, PaymentEvent, ProviderId, RiskTier,
    WebhookId, event::Arrival, id::hex_sha256,
};
use tollgate_pipeline::intake::{Content, QueuedMessage};
use tollgate_providers::{Endpoint, Headers, Received, Trusted};

use super::model::ReceiptOf;
use crate::archived::Found;

/// A delivery, as far as it is archived.
#[derive(Debug, Default)]
pub(super) struct Archived {
    pub(super) endpoint: Option<EndpointId>,
    pub(super) provider: Option<ProviderId>,
    /// Of a row of a message that could not be read, none: nothing proves it.
    pub(super) receipt: Option<ReceiptOf>,
    /// Where no row has any, as this version reads the body.
    pub(super) events: Vec<PaymentEvent<'static>>,
    /// The events that it was claimed with, where its row says them.
    pub(super) claimed: Vec<LedgerKey>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Vec<u8>>,
    /// What was fetched for its event.
    pub(super) object: Option<Vec<u8>>,
}

/// Reads the rows of one webhook.
pub(super) fn read(webhook_id: &WebhookId, rows: &[&Found], endpoints: &[EndpointConfig]) -> Archived {
    let webhook = |found: &&&Found| found.row.webhook_id == webhook_id.as_str();
    // One for each part, the one with the most events (docs/archive.md).
    let mut best: BTreeMap<(Option<&str>, i32), &ArchivedRow> = BTreeMap::new();
    for found in rows.iter().filter(webhook) {
        let row = &found.row;
        let one = best.entry((row.only_transaction.as_deref(), row.part)).or_insert(row);
        if one.events.len() < row.events.len() {
            *one = row;
        }
    }
    let Some(first) = best.values().next() else {
        return rows.first().map(|found| unread(webhook_id, &found.row, endpoints)).unwrap_or_default();
    };
    let mut events: Vec<PaymentEvent<'static>> = Vec::new();
    for row in best.values() {
        let archived = row.events.iter().filter_map(|json| serde_json::from_str(json).ok());
        events.extend(archived);
    }
    let endpoint = EndpointId::new(&first.endpoint).ok();
    let authenticity = Authenticity::parse(&first.authenticity).unwrap_or(Authenticity::Authenticated);
    if events.is_empty() {
        let headers = first.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let config = endpoints.iter().find(|config| Some(config.id) == endpoint);
        let read = config
            .map(|config| decode(webhook_id, config, &headers, &first.query, &first.body, authenticity));
        events = read.unwrap_or_default();
        if let Some(only) = &first.only_transaction {
            events.retain(|event| event.transaction_id == *only || event.provider_event_id == *only);
        }
    }
    Archived {
        endpoint,
        provider: ProviderId::new(&first.provider).ok(),
        receipt: Some(ReceiptOf {
            authenticity,
            key_id: first.key_id.clone(),
            signed_at: first.signed_at,
            verified_at: first.verified_at,
            taken_in_at: first.taken_in_at,
            body_sha256: first.body_sha256.clone(),
            is_of_archived_body: Some(hex_sha256(&first.body) == first.body_sha256),
            source_ip: first.source_ip.clone(),
        }),
        events,
        claimed: Vec::new(),
        headers: first.headers.clone(),
        body: Some(first.body.clone()),
        object: best.values().find_map(|row| row.object.clone()),
    }
}

/// A message that could not be taken for a webhook that was let in: what it says of itself.
fn unread(webhook_id: &WebhookId, row: &ArchivedRow, endpoints: &[EndpointConfig]) -> Archived {
    let attributes: Vec<(&str, &str)> =
        row.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let text = String::from_utf8_lossy(&row.body);
    let Ok(queued) = QueuedMessage::read(&text, &attributes) else {
        return Archived { body: Some(row.body.clone()), ..Archived::default() };
    };
    let body = match queued.content() {
        Ok(Content::Inline(bytes)) => Some(bytes.to_vec()),
        _ => None,
    };
    let config = endpoints.iter().find(|config| config.id == queued.endpoint);
    let events = match (config, &body, queued.request()) {
        (Some(config), Some(body), Ok(request)) => {
            let authenticity = queued.notes.authenticity;
            decode(webhook_id, config, &request.headers, &request.query, body, authenticity)
        }
        _ => Vec::new(),
    };
    let ids = queued.notes.claimed.split('\n').filter(|id| !id.is_empty());
    Archived {
        endpoint: Some(queued.endpoint),
        provider: Some(queued.provider),
        receipt: None,
        events,
        claimed: ids.map(|id| LedgerKey::new(&queued.endpoint, id)).collect(),
        headers: Vec::new(),
        body,
        object: None,
    }
}

/// The events that this version reads in a body. They are shown and have no effect.
fn decode(
    webhook_id: &WebhookId,
    config: &EndpointConfig,
    headers: &Headers,
    query: &str,
    body: &[u8],
    authenticity: Authenticity,
) -> Vec<PaymentEvent<'static>> {
    let Ok(endpoint) = Endpoint::new(config.clone()) else { return Vec::new() };
    let arrival = Arrival {
        webhook_id,
        endpoint: endpoint.id(),
        provider: endpoint.provider(),
        authenticity,
        received_at: webhook_id.arrived_at(),
    };
    let received = Received { headers, query, body };
    let facts = endpoint.normalise(Trusted::for_inspection(received)).unwrap_or_else(|_| {
        let id = format!("sha256:{}", hex_sha256(body));
        vec![Facts::unrecognized(id, "", "the body cannot be read")]
    });
    let event = |facts| PaymentEvent::new(facts, arrival, RiskTier::Unrated);
    let owned = |event: PaymentEvent<'_>| serde_json::from_str(&serde_json::to_string(&event).ok()?).ok();
    facts.into_iter().map(event).filter_map(owned).collect()
}
