//! From a message's bytes to its payment events. No I/O: what panics here is one record's failure.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use tollgate_core::{EventId, Fingerprint, PaymentEvent, event::Arrival};
use tollgate_providers::{Endpoint, Received};
use tollgate_risk::Thresholds;

use crate::{
    ingest::{messages::transaction_of, not_understood, understand},
    intake::{Arrived, RequestParts},
};

/// A message with everything that decoding it needs.
#[derive(Debug)]
pub(super) struct Opened<'r> {
    /// Which record of the batch.
    pub(super) index: usize,
    pub(super) message: Arrived<'r>,
    pub(super) endpoint: Arc<Endpoint>,
    /// Empty unless the endpoint's normaliser reads it.
    pub(super) request: RequestParts,
    pub(super) bytes: Cow<'r, [u8]>,
}

/// A decoded message.
#[derive(Debug)]
pub(super) struct Work<'a> {
    /// Which record of the batch.
    pub(super) index: usize,
    pub(super) message: &'a Arrived<'a>,
    pub(super) events: Vec<Effect<'a>>,
    /// Events that contradict what their id first said: no effect is made of them.
    pub(super) conflicts: usize,
}

/// An event that is to take effect.
#[derive(Debug)]
pub(super) struct Effect<'a> {
    pub(super) fingerprint: Fingerprint,
    /// Whether its provider says when it happened. Otherwise the time of arrival stands in for it.
    pub(super) is_dated: bool,
    pub(super) event: PaymentEvent<'a>,
}

pub(super) fn decode<'a>(opened: &'a Opened<'_>, thresholds: &Thresholds) -> Work<'a> {
    let message = &opened.message;
    let received =
        Received { headers: &opened.request.headers, query: &opened.request.query, body: &opened.bytes };
    let facts =
        understand(&opened.endpoint, received).unwrap_or_else(|why| vec![not_understood(received, &why)]);
    let arrival = Arrival {
        webhook_id: &message.webhook_id,
        endpoint: &message.endpoint,
        provider: &message.provider,
        authenticity: message.notes.authenticity,
        received_at: message.received_at,
    };
    let mut work =
        Work { index: opened.index, message, events: Vec::with_capacity(facts.len()), conflicts: 0 };
    let is_alone = facts.len() == 1;
    let mut first: HashMap<EventId, Fingerprint> = HashMap::new();
    for facts in facts {
        if message.notes.only_transaction.as_deref().is_some_and(|only| only != transaction_of(&facts)) {
            continue;
        }
        let tier = thresholds.tier_of(facts.amount.as_ref());
        let fingerprint = facts.fingerprint();
        let is_dated = facts.occurred_at.is_some();
        let event = PaymentEvent::new(facts, arrival, tier);
        // A delivery may name an event twice: the same facts are one event, other facts contradict the first.
        if !is_alone {
            match first.entry(event.id) {
                Entry::Vacant(entry) => _ = entry.insert(fingerprint),
                Entry::Occupied(known) => {
                    work.conflicts += usize::from(*known.get() != fingerprint);
                    continue;
                }
            }
        }
        work.events.push(Effect { fingerprint, is_dated, event });
    }
    work
}
