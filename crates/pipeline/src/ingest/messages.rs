//! A verified delivery as queue messages.

use std::{borrow::Cow, collections::HashMap};

use tollgate_core::{
    Delivery, EventId, Facts, LedgerKey,
    id::{bounded, hex_sha256},
};
use tollgate_providers::{Endpoint, Verified};

use super::{claimed::Claimed, request::Incoming};
use crate::{
    intake::{Encoding, IntakeMessage, MAX_CLAIMED_BYTES, Notes, RequestParts, encode},
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
    /// The delivery has further payments than those of `slices`, or these are several.
    pub(super) is_of_several: bool,
}

#[derive(Debug)]
pub(super) struct Slice {
    /// The payment.
    transaction: String,
    /// Its events' stable ids.
    event_ids: Vec<EventId>,
}

impl Slice {
    /// The message of a delivery's only slice.
    pub(super) fn alone(self, template: IntakeMessage) -> IntakeMessage {
        IntakeMessage {
            event_id: self.event_ids.first().map(EventId::to_string).unwrap_or_default(),
            // The delivery's and not the event's: SQS would accept and drop another delivery's message for five minutes, which
            // is perhaps the only one that the claim still admits. So it would a replay's, of which the first may be set aside.
            deduplication_id: match &template.notes.replayed_by {
                None => template.webhook_id.to_string(),
                Some(act) => format!("{}-{act}", template.webhook_id),
            },
            // Another endpoint's payment of the same name is another payment, and must not wait for this one.
            group: format!("{}#{}", template.endpoint, self.transaction),
            ..template
        }
    }

    /// The message of one slice of several: for its payment only.
    pub(super) fn of_several(self, position: usize, template: &IntakeMessage) -> IntakeMessage {
        let only_transaction = Some(self.transaction.clone());
        let mut message = self.alone(template.clone());
        message.deduplication_id = format!("{}-{position}", message.deduplication_id);
        message.notes.only_transaction = only_transaction;
        message
    }
}

/// What every message of a verified delivery says, still without its body. Its seal is that of each.
pub(super) fn template(
    endpoint: &Endpoint,
    incoming: &Incoming<'_>,
    verified: &Verified<'_>,
    facts: &[Facts<'_>],
) -> IntakeMessage {
    IntakeMessage {
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
            taken_in_at: None,
            claimed: Cow::Owned(claimed(facts)),
            conflicts: Vec::new(),
            only_transaction: None,
            replayed_by: None,
        },
        request: RequestParts {
            headers: endpoint.kept_headers(incoming.headers),
            query: endpoint.kept_query(incoming.query),
        },
        encoding: Encoding::Empty,
        body: String::new(),
        delivery: endpoint.delivery(),
        group: String::new(),
        deduplication_id: String::new(),
        trace: incoming.trace.map(str::to_owned),
    }
}

/// [`Notes::claimed`].
fn claimed(facts: &[Facts<'_>]) -> String {
    let ids: Vec<Cow<'_, str>> =
        facts.iter().map(|facts| bounded(Cow::Borrowed(facts.event_id.as_ref()))).collect();
    let is_told = ids.iter().all(|id| !id.contains('\n'));
    Some(ids.join("\n")).filter(|text| is_told && text.len() <= MAX_CLAIMED_BYTES).unwrap_or_default()
}

/// The messages of a claimed delivery. A payment whose events are all processed needs none.
pub(super) fn messages(
    mut template: IntakeMessage,
    body: &[u8],
    facts: &[Facts<'_>],
    claimed: &Claimed,
) -> Slices {
    let mut slices: Vec<Slice> = Vec::new();
    let mut slice_of: HashMap<Cow<'_, str>, usize> = HashMap::new();
    for facts in facts {
        let transaction = match template.delivery {
            Delivery::Ordered => fifo_group(facts),
            Delivery::Fast => Cow::Borrowed(""),
        };
        let event_id = LedgerKey::new(&template.endpoint, &facts.event_id).event_id();
        let position = *slice_of.entry(transaction.clone()).or_insert(slices.len());
        match slices.get_mut(position) {
            Some(slice) => slice.event_ids.push(event_id),
            None => slices.push(Slice { transaction: transaction.into_owned(), event_ids: vec![event_id] }),
        }
    }
    let is_of_several = slices.len() > 1;
    slices.retain(|slice| slice.event_ids.iter().any(|id| claimed.unfinished.contains(id)));
    (template.encoding, template.body) = encode(body);
    template.notes.conflicts.clone_from(&claimed.conflicts);
    Slices { template, slices, is_of_several }
}
