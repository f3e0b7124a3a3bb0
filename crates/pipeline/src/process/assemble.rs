//! From decoded messages and the ledger's answers to a stride: which message does which event.

use tollgate_batch::Outcome;

use super::{
    admit::{Refusal, Verdict, admit},
    decode::{Decoded, DecodedEvent, DecodedMessage},
    record::retry,
    steps::claims::{Claim, Claims},
    stride::{Arena, Event, Fit, Message, Part, Progress, Row, Stride},
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
        // A message that only tells what is done must still be one that was accepted.
        let mut is_accepted = false;
        for _ in 0..message.events {
            stride.parts.push(match told.next() {
                Some((event, claim)) => {
                    part(event, &mut claims[claim], &message, &mut stride.events, &mut is_accepted)
                }
                None => Part::Undecided(Outcome::Retry("unresolved")),
            });
        }
        stride.parts.extend((0..message.conflicts).map(|_| Part::Refused(Refusal::Conflict, None)));
        let own = || stride.parts.iter().skip(begin);
        if !is_accepted && own().all(|part| matches!(part, Part::Done(..))) {
            let refused = own().map(|_| Part::Refused(Refusal::Altered, None)).collect::<Vec<_>>();
            stride.parts.truncate(begin);
            stride.parts.extend(refused);
        }
        stride.messages.push(Message {
            index: message.index,
            message: message.message,
            parts: stride.parts.len() - begin,
            row: Row::NotDue,
            fit: Fit::default(),
        });
    }
    stride
}

/// `is_accepted` becomes true where the event's claim proves that the message was accepted.
fn part<'a>(
    mut told: DecodedEvent<'a>,
    claim: &mut Claim<'a>,
    message: &DecodedMessage<'_>,
    events: &mut Arena<Event<'a>>,
    is_accepted: &mut bool,
) -> Part<'a> {
    let known = match &claim.known {
        Ok(known) => known.as_ref(),
        // Lookup failed: retry, and choose no winner.
        Err(problem) => return Part::Undecided(retry("ledger_unavailable", problem)),
    };
    let claimed = (told.payment.id, told.payment.effect_id);
    match admit(message, &told, known) {
        Verdict::Refused { refusal, is_sealed } => {
            *is_accepted |= is_sealed;
            return Part::Refused(refusal, is_sealed.then_some(claimed));
        }
        Verdict::Processed { is_sealed } => {
            *is_accepted |= is_sealed;
            if let Some(known) = known {
                told.take_terms(known);
            }
            return Part::Done(Box::new(told.payment), known.and_then(|known| known.webhook_id));
        }
        Verdict::Admitted(known) => {
            *is_accepted = true;
            told.take_terms(known);
        }
    }
    let DecodedEvent { payment, fingerprint, is_dated } = told;
    match claim.owner {
        Some((owner, facts)) if facts == fingerprint => Part::Repeats(owner, Box::new(payment)),
        Some(_) => Part::Refused(Refusal::Conflict, Some(claimed)),
        None => {
            let json = String::new();
            let event = events.push(Event {
                payment,
                is_dated,
                at_work: None,
                is_latest: false,
                json,
                progress: Progress::Pending,
            });
            claim.owner = Some((event, fingerprint));
            Part::Owns(event)
        }
    }
}
