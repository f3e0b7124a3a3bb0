//! From decoded messages and the ledger's answers to a stride: which message does which event.

use tollgate_batch::Outcome;
use tollgate_core::PaymentEvent;

use super::{
    decode::{Decoded, DecodedEvent},
    record::retry,
    steps::claims::{Claim, Claims},
    stride::{Arena, Event, Message, Part, Progress, Row, Stride},
};
use crate::{
    intake::QueuedMessage,
    ports::{Known, LedgerState},
};

/// Assembles a stride. The first message that tells an event does it, the others repeat it.
pub(super) fn assemble<'a>(decoded: Decoded<'a>, claims: Claims<'a>) -> Stride<'a> {
    let Claims { mut claims, of_event } = claims;
    let mut stride = Stride {
        messages: Vec::with_capacity(decoded.messages.len()),
        parts: Vec::with_capacity(decoded.events.len()),
        events: Arena::with_capacity(decoded.events.len()),
    };
    let mut told = decoded.events.into_iter().zip(of_event);
    for message in decoded.messages {
        let begin = stride.parts.len();
        for _ in 0..message.events {
            stride.parts.push(match told.next() {
                Some((event, claim)) => part(event, &mut claims[claim], message.message, &mut stride.events),
                None => Part::Undecided(Outcome::Retry("unresolved")),
            });
        }
        stride.parts.extend((0..message.conflicts).map(|_| Part::Conflicts(None)));
        stride.messages.push(Message {
            index: message.index,
            message: message.message,
            parts: stride.parts.len() - begin,
            row: Row::NotDue,
        });
    }
    stride
}

fn part<'a>(
    told: DecodedEvent<'a>,
    claim: &mut Claim<'a>,
    message: &QueuedMessage<'_>,
    events: &mut Arena<Event<'a>>,
) -> Part<'a> {
    let DecodedEvent { mut payment, fingerprint, is_dated } = told;
    let known = match &claim.known {
        Ok(known) => known.as_ref(),
        // Lookup failed: retry, and choose no winner.
        Err(problem) => return Part::Undecided(retry("ledger_unavailable", problem)),
    };
    let conflicts = Part::Conflicts(Some((payment.id, payment.effect_id)));
    // Ingest found other facts under this id. They stand as long as the ledger has them.
    if known.is_some() && message.notes.conflicts.contains(&payment.id) {
        return conflicts;
    }
    let progress = apply_ledger_state(&mut payment, is_dated, known);
    match claim.owner {
        Some((owner, facts)) if facts == fingerprint => Part::Repeats(owner, Box::new(payment)),
        Some(_) => conflicts,
        None => {
            let json = String::new();
            let event = events.push(Event {
                payment,
                fingerprint,
                is_dated,
                at_work: None,
                is_latest: false,
                json,
                progress,
            });
            claim.owner = Some((event, fingerprint));
            Part::Owns(event)
        }
    }
}

fn apply_ledger_state(payment: &mut PaymentEvent<'_>, is_dated: bool, known: Option<&Known>) -> Progress {
    match known {
        Some(Known { state: LedgerState::Processed, .. }) => Progress::AlreadyProcessed,
        Some(Known { state: LedgerState::Received, received_at }) => {
            // Two deliveries of an event without a time must agree on one, or it would be recorded twice.
            if !is_dated {
                payment.occurred_at = *received_at;
            }
            Progress::Pending
        }
        None => Progress::Pending,
    }
}
