//! From a message's bytes to its payment events. No I/O: what panics here is one record's failure.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use tollgate_core::{LedgerKey, PaymentEvent, event::Arrival};
use tollgate_providers::{Endpoint, Received};
use tollgate_risk::Thresholds;

use crate::{
    ingest::{messages::transaction_of, not_understood, understand},
    intake::IntakeMessage,
};

/// A message with everything that decoding it needs.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) message: IntakeMessage,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) bytes: Vec<u8>,
}

/// A decoded message.
#[derive(Debug)]
pub(super) struct Work<'a> {
    /// Which record of the batch.
    pub(super) index: usize,
    pub(super) message: &'a IntakeMessage,
    pub(super) events: Vec<Effect<'a>>,
    /// Events that contradict what their id first said: no effect is made of them.
    pub(super) conflicts: usize,
}

/// An event that is to take effect.
#[derive(Debug)]
pub(super) struct Effect<'a> {
    pub(super) key: LedgerKey,
    pub(super) fingerprint: String,
    /// Whether its provider says when it happened. Otherwise the time of arrival stands in for it.
    pub(super) is_dated: bool,
    pub(super) event: PaymentEvent<'a>,
}

pub(super) fn decode<'a>(index: usize, opened: &'a Opened, thresholds: &Thresholds) -> Work<'a> {
    let message = &opened.message;
    let received =
        Received { headers: &message.request.headers, query: &message.request.query, body: &opened.bytes };
    let facts =
        understand(&opened.endpoint, received).unwrap_or_else(|why| vec![not_understood(received, &why)]);
    let arrival = Arrival {
        webhook_id: &message.webhook_id,
        endpoint: &message.endpoint,
        provider: &message.provider,
        authenticity: message.notes.authenticity,
        received_at: message.received_at,
    };
    let mut work = Work { index, message, events: Vec::with_capacity(facts.len()), conflicts: 0 };
    let mut first: HashMap<LedgerKey, usize> = HashMap::new();
    for facts in facts {
        if message.notes.only_transaction.as_deref().is_some_and(|only| only != transaction_of(&facts)) {
            continue;
        }
        let tier = thresholds.tier_of(facts.amount.as_ref());
        let fingerprint = facts.fingerprint();
        let is_dated = facts.occurred_at.is_some();
        let event = PaymentEvent::new(facts, arrival, tier);
        let key = event.ledger_key();
        // A delivery may name an event twice: the same facts are one event, other facts contradict the first.
        match first.entry(key.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(work.events.len());
                work.events.push(Effect { key, fingerprint, is_dated, event });
            }
            Entry::Occupied(entry) => {
                let known = work.events.get(*entry.get());
                work.conflicts += usize::from(known.is_some_and(|known| known.fingerprint != fingerprint));
            }
        }
    }
    work
}
