//! A verified delivery as queue messages.

use std::{borrow::Cow, collections::HashMap};

use tollgate_core::{Delivery, Facts, LedgerKey, WebhookId, id::hex_sha256};
use tollgate_providers::{Endpoint, Verified};

use super::{claimed::Claimed, request::Incoming};
use crate::{
    intake::{IntakeMessage, Notes, RequestParts, encode},
    normalising::fifo_group,
};

/// What the first event's id adds to the template, in bytes.
pub(super) const EVENT_ID_BYTES: usize = 64;
/// The most that one slice of several adds to the template, in bytes: its payment's id, which is bounded, escaped in JSON (six bytes
/// for one), and its first event's id.
pub(super) const SLICE_BYTES: usize = 4_096;

/// A delivery as it goes to the queue: one message, or for an ordered delivery of several payments one for each.
#[derive(Debug)]
pub(super) struct Slices {
    /// What all of them share.
    pub(super) template: IntakeMessage,
    pub(super) slices: Vec<Slice>,
}

#[derive(Debug)]
pub(super) struct Slice {
    /// The payment.
    group: String,
    /// Its events' stable ids.
    event_ids: Vec<String>,
    deduplication_id: String,
}

impl Slice {
    /// The message of a delivery's only slice.
    pub(super) fn alone(self, template: IntakeMessage) -> IntakeMessage {
        IntakeMessage {
            event_id: self.event_ids.into_iter().next().unwrap_or_default(),
            deduplication_id: self.deduplication_id,
            group: self.group,
            ..template
        }
    }

    /// The message of one slice of several: for its payment only.
    pub(super) fn of_several(self, template: &IntakeMessage) -> IntakeMessage {
        let only_transaction = Some(self.group.clone());
        let mut message = self.alone(template.clone());
        message.notes.only_transaction = only_transaction;
        message
    }
}

/// The messages of a verified and claimed delivery.
pub(super) fn messages(
    endpoint: &Endpoint,
    incoming: &Incoming<'_>,
    verified: &Verified<'_>,
    facts: &[Facts<'_>],
    claimed: &Claimed,
) -> Slices {
    let event_id = |facts: &Facts<'_>| LedgerKey::new(endpoint.id(), &facts.event_id).event_id().to_string();
    let mut slices: Vec<Slice> = Vec::new();
    let mut slice_of: HashMap<Cow<'_, str>, usize> = HashMap::new();
    for facts in facts {
        let transaction = match endpoint.delivery() {
            Delivery::Ordered => fifo_group(facts),
            Delivery::Fast => Cow::Borrowed(""),
        };
        let position = *slice_of.entry(transaction.clone()).or_insert(slices.len());
        match slices.get_mut(position) {
            Some(slice) => slice.event_ids.push(event_id(facts)),
            None => slices.push(Slice {
                group: transaction.into_owned(),
                event_ids: vec![event_id(facts)],
                deduplication_id: String::new(),
            }),
        }
    }
    for slice in &mut slices {
        slice.deduplication_id = deduplication_id(&slice.event_ids, incoming.webhook_id, claimed);
    }
    let (encoding, body) = encode(incoming.body);
    let template = IntakeMessage {
        webhook_id: *incoming.webhook_id,
        endpoint: *endpoint.id(),
        provider: *endpoint.provider(),
        event_id: String::new(),
        received_at: incoming.received_at,
        source_ip: incoming.source_ip.to_owned(),
        key_id: verified.key_id().to_owned(),
        notes: Notes {
            authenticity: verified.authenticity(),
            body_sha256: Cow::Owned(hex_sha256(incoming.body)),
            signed_at: verified.signed_at(),
            conflicts: claimed.conflicts.clone(),
            only_transaction: None,
        },
        request: RequestParts {
            headers: endpoint.kept_headers(incoming.headers),
            query: endpoint.kept_query(incoming.query),
        },
        encoding,
        body,
        delivery: endpoint.delivery(),
        group: String::new(),
        deduplication_id: String::new(),
        trace: incoming.trace.map(str::to_owned),
    };
    Slices { template, slices }
}

/// The ledger key's event id; of several events all of them, since another delivery may hold one of them beside
/// others, and FIFO must not take it for this one. A contradiction is a message of its own.
fn deduplication_id(ids: &[String], webhook_id: &WebhookId, claimed: &Claimed) -> String {
    match ids {
        _ if !claimed.conflicts.is_empty() => webhook_id.to_string(),
        [only] => only.clone(),
        several => hex_sha256(several.join(",").as_bytes()),
    }
}
