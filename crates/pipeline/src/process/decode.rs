//! From a message's bytes to its payment events. No I/O: a panic here is one record's failure.

use std::{borrow::Cow, collections::HashSet};

use tollgate_batch::{Outcome, guard};
use tollgate_core::{EventId, Facts, Fingerprint, LedgerKey, PaymentEvent, event::Arrival, id::bounded};
use tollgate_providers::Revision;
use tollgate_risk::Thresholds;
use tracing::warn;

use super::{open::Opened, record::Ended};
use crate::{
    intake::{QueuedMessage, Seal},
    normalising::{fifo_group, read_facts, unrecognized_facts},
};

/// A decoded message.
#[derive(Debug)]
pub(super) struct DecodedMessage<'a> {
    /// Its record's index in the batch.
    pub(super) index: usize,
    pub(super) message: &'a QueuedMessage<'a>,
    pub(super) seal: Seal,
    /// How its events' facts were read.
    pub(super) revision: Revision,
    /// How many of [`Decoded::events`] are its own.
    pub(super) events: usize,
}

/// An event as its message tells it.
#[derive(Debug)]
pub(super) struct DecodedEvent<'a> {
    pub(super) payment: PaymentEvent<'a>,
    pub(super) fingerprint: Fingerprint,
    /// Whether its provider says when it happened. If not, `occurred_at` is the time of arrival.
    pub(super) is_dated: bool,
    /// The claim that the validator made, where it read another id. Of the same delivery's ids, the one in the same place.
    pub(super) claimed_as: Option<LedgerKey>,
}

/// Messages and their events. The list of events is shared, so that a message costs no allocation.
#[derive(Debug, Default)]
pub(super) struct Decoded<'a> {
    pub(super) messages: Vec<DecodedMessage<'a>>,
    /// Each message's events side by side, in the order of `messages`.
    pub(super) events: Vec<DecodedEvent<'a>>,
    /// Records that panicked or hold nothing.
    pub(super) ended: Vec<Ended>,
}

impl<'a> Decoded<'a> {
    /// Decodes messages. A panic is its record's failure.
    pub(super) fn decode(all: &'a [Opened<'_>], thresholds: &Thresholds) -> Self {
        let mut decoded = Self {
            messages: Vec::with_capacity(all.len()),
            events: Vec::with_capacity(all.len()),
            ended: Vec::new(),
        };
        let mut facts = Vec::new();
        for opened in all {
            let index = opened.index;
            let begin = decoded.events.len();
            let result = guard(|| decode_message(opened, thresholds, &mut facts, &mut decoded.events));
            let events = decoded.events.len().saturating_sub(begin);
            match result {
                // A message for one payment of its delivery, read by other rules than when it was received. Another
                // version of ours may find it.
                Ok(()) if events == 0 => {
                    decoded.ended.push((index, Outcome::Retry("no_event_of_its_payment")))
                }
                Ok(()) => {
                    decoded.messages.push(DecodedMessage {
                        index,
                        message: &opened.message,
                        seal: opened.seal,
                        revision: opened.endpoint.revision(),
                        events,
                    });
                }
                Err(panic) => {
                    warn!(error = %panic, "record panicked");
                    facts.clear();
                    decoded.events.truncate(begin);
                    decoded.ended.push((index, Outcome::from(panic)));
                }
            }
        }
        decoded
    }

    /// Adds the messages of another share behind its own.
    pub(super) fn append(&mut self, mut other: Self) {
        self.messages.append(&mut other.messages);
        self.events.append(&mut other.events);
        self.ended.append(&mut other.ended);
    }
}

/// Adds a message's events to `events`. `facts` is a buffer, empty before and after.
fn decode_message<'a>(
    opened: &'a Opened<'_>,
    thresholds: &Thresholds,
    facts: &mut Vec<Facts<'a>>,
    events: &mut Vec<DecodedEvent<'a>>,
) {
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
    let mut told: HashSet<(EventId, Fingerprint)> = HashSet::new();
    let mut claims = claims_of_other_ids(message, facts).into_iter();
    for facts in facts.drain(..) {
        let claimed_as = claims.next().flatten();
        if message.notes.only_transaction.as_deref().is_some_and(|only| only != fifo_group(&facts)) {
            continue;
        }
        let tier = thresholds.tier_of(facts.amount.as_ref());
        let fingerprint = facts.fingerprint();
        let is_dated = facts.occurred_at.is_some();
        let payment = PaymentEvent::new(facts, arrival, tier);
        // A delivery may name an event twice: with the same facts it is one event.
        if is_alone || told.insert((payment.id, fingerprint)) {
            events.push(DecodedEvent { payment, fingerprint, is_dated, claimed_as });
        }
    }
}

/// For each of the facts, the claim that the validator made of them, where it read another id; nothing where it did nowhere,
/// or where it cannot be told which id is whose: their number differs, or an id moved from one event to another.
fn claims_of_other_ids(message: &QueuedMessage<'_>, facts: &[Facts<'_>]) -> Vec<Option<LedgerKey>> {
    let own = |facts: &Facts<'_>| bounded(Cow::Borrowed(facts.event_id.as_ref())).into_owned();
    let claimed = message.notes.claimed.as_ref();
    let told = || claimed.split('\n').zip(facts);
    let is_other = |(name, facts): (&str, &Facts<'_>)| name != facts.event_id && name != own(facts);
    if claimed.is_empty() || claimed.split('\n').count() != facts.len() || !told().any(is_other) {
        return Vec::new();
    }
    let mut named: HashSet<String> = facts.iter().map(own).collect();
    let others: Vec<Option<&str>> =
        told().map(|(name, facts)| is_other((name, facts)).then_some(name)).collect();
    if !others.iter().flatten().all(|name| named.insert((*name).to_owned())) {
        return Vec::new();
    }
    let key = |name: Option<&str>| name.map(|name| LedgerKey::new(&message.endpoint, name));
    others.into_iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use tollgate_core::{
        EventType,
        id::{MAX_PROVIDER_EVENT_ID_LEN, hex_sha256},
    };

    use super::*;

    #[test]
    fn another_id_is_told_only_where_it_is_clear_whose_it_is() {
        let long = "e".repeat(MAX_PROVIDER_EVENT_ID_LEN + 1);
        let short = format!("sha256:{}", hex_sha256(long.as_bytes()));
        let nothing: &[Option<&str>] = &[];
        for (claimed, ours, expected) in [
            ("", &["a"][..], nothing),
            ("a", &["a"], nothing),
            ("x", &["a"], &[Some("x")]),
            ("a\nx", &["a", "b"], &[None, Some("x")]),
            ("x\ny", &["a", "b"], &[Some("x"), Some("y")]),
            // More or fewer than ours.
            ("x\nb\nc", &["a", "b"], nothing),
            ("x", &["a", "b"], nothing),
            // An id that moved to another event, or is that of two.
            ("b\nx", &["a", "b"], nothing),
            ("x\nx", &["a", "b"], nothing),
            // A long id is told by its digest.
            (&short, &[&long], nothing),
            (&format!("x\n{short}"), &["a", &long], &[Some("x"), None]),
            (&format!("{short}\nx"), &["a", &long], nothing),
        ] {
            let mut message = QueuedMessage::example();
            message.notes.claimed = claimed.into();
            let facts: Vec<Facts<'_>> =
                ours.iter().map(|id| Facts::new(*id, "paid", EventType::PaymentSucceeded)).collect();
            let key = |name: &Option<&str>| name.map(|name| LedgerKey::new(&message.endpoint, name));
            let expected: Vec<Option<LedgerKey>> = expected.iter().map(key).collect();
            assert_eq!(claims_of_other_ids(&message, &facts), expected, "{claimed:?} {ours:?}");
        }
    }
}
