//! From a message's bytes to its payment events. No I/O: what panics here is one record's failure.

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Range,
    sync::Arc,
};

use tollgate_batch::{Outcome, guard};
use tollgate_core::{EventId, Facts, Fingerprint, PaymentEvent, event::Arrival};
use tollgate_providers::Endpoint;
use tollgate_risk::Thresholds;
use tracing::warn;

use crate::{
    intake::{Dequeued, QueuedMessage},
    normalising::{fifo_group, read_facts, unrecognized_facts},
};

/// A message with everything that decoding it needs.
#[derive(Debug)]
pub(super) struct Opened<'r> {
    /// Which record of the batch.
    pub(super) index: usize,
    pub(super) message: QueuedMessage<'r>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) webhook: Dequeued<'r>,
}

/// A decoded message.
#[derive(Debug)]
pub(super) struct Work<'a> {
    /// Which record of the batch.
    pub(super) index: usize,
    pub(super) message: &'a QueuedMessage<'a>,
    /// Where its events stand among those of all.
    pub(super) events: Range<usize>,
    /// Events that contradict what their id first said: no effect is made of them.
    pub(super) conflicts: usize,
}

/// What a message says happened.
#[derive(Debug)]
pub(super) struct Effect<'a> {
    pub(super) fingerprint: Fingerprint,
    /// Whether its provider says when it happened. Otherwise the time of arrival stands in for it.
    pub(super) is_dated: bool,
    pub(super) event: PaymentEvent<'a>,
    /// The place of the first one of the same event, which is done for all of them; `None` where it contradicts what
    /// stands under its id, and before the ledger was asked.
    pub(super) first: Option<usize>,
    pub(super) standing: Standing,
    /// It is the latest known state of its transaction.
    pub(super) is_latest: bool,
    /// Its JSON, as soon as it is final.
    pub(super) json: String,
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// To be done.
    Open,
    /// Its effects were done before.
    Known,
    /// Not now.
    Failed(Outcome),
}

impl<'a> Effect<'a> {
    fn new(fingerprint: Fingerprint, is_dated: bool, event: PaymentEvent<'a>) -> Self {
        Self {
            fingerprint,
            is_dated,
            event,
            first: None,
            standing: Standing::Open,
            is_latest: false,
            json: String::new(),
        }
    }
}

/// Messages and their events. The lists are shared, so that a message costs no allocation.
#[derive(Debug, Default)]
pub(super) struct Decoded<'a> {
    pub(super) works: Vec<Work<'a>>,
    /// Each message's events side by side, in the order of `works`.
    pub(super) effects: Vec<Effect<'a>>,
    /// Records that panicked or hold nothing.
    pub(super) failed: Vec<(usize, Outcome)>,
}

impl<'a> Decoded<'a> {
    /// Decodes messages. A panic is its record's failure.
    pub(super) fn of(all: &'a [Opened<'_>], thresholds: &Thresholds) -> Self {
        let mut decoded = Self {
            works: Vec::with_capacity(all.len()),
            effects: Vec::with_capacity(all.len()),
            failed: Vec::new(),
        };
        let mut facts = Vec::new();
        for opened in all {
            let begin = decoded.effects.len();
            match guard(|| decode(opened, thresholds, &mut facts, &mut decoded.effects)) {
                // Of a payment's share of a delivery, read otherwise than when it was taken in: nothing would come of it.
                Ok(_) if decoded.effects.len() == begin => {
                    decoded.failed.push((opened.index, Outcome::Poison("no_event_of_its_payment")));
                }
                Ok(conflicts) => decoded.works.push(Work {
                    index: opened.index,
                    message: &opened.message,
                    events: begin..decoded.effects.len(),
                    conflicts,
                }),
                Err(panic) => {
                    warn!(error = %panic, "record panicked");
                    facts.clear();
                    decoded.effects.truncate(begin);
                    decoded.failed.push((opened.index, Outcome::from(panic)));
                }
            }
        }
        decoded
    }

    /// Puts others' messages behind its own.
    pub(super) fn append(&mut self, mut other: Self) {
        let moved = self.effects.len();
        for work in &mut other.works {
            work.events = work.events.start + moved..work.events.end + moved;
        }
        self.works.append(&mut other.works);
        self.effects.append(&mut other.effects);
        self.failed.append(&mut other.failed);
    }
}

/// Adds a message's events to `effects`; how many more contradict one of them. `facts` is room, empty before and after.
fn decode<'a>(
    opened: &'a Opened<'_>,
    thresholds: &Thresholds,
    facts: &mut Vec<Facts<'a>>,
    effects: &mut Vec<Effect<'a>>,
) -> usize {
    let message = &opened.message;
    let trusted = opened.webhook.trusted();
    if let Err(why) = read_facts(&opened.endpoint, trusted, facts) {
        facts.push(unrecognized_facts(trusted.received().body, &why));
    }
    let arrival = Arrival {
        webhook_id: &message.webhook_id,
        endpoint: &message.endpoint,
        provider: &message.provider,
        authenticity: message.notes.authenticity,
        received_at: message.received_at,
    };
    let is_alone = facts.len() == 1;
    let mut first: HashMap<EventId, Fingerprint> = HashMap::new();
    let mut conflicts = 0;
    for facts in facts.drain(..) {
        if message.notes.only_transaction.as_deref().is_some_and(|only| only != fifo_group(&facts)) {
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
                    conflicts += usize::from(*known.get() != fingerprint);
                    continue;
                }
            }
        }
        effects.push(Effect::new(fingerprint, is_dated, event));
    }
    conflicts
}
