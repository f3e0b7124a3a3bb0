//! From decoded messages and the ledger's answers to a stride: which message does which event.

use tollgate_batch::Outcome;

use super::{
    admit::Verdict,
    decode::{Decoded, DecodedEvent},
    record::Tries,
    refusal::Refusal,
    steps::claims::{Claim, Claims},
    stride::{Arena, Event, Fit, Ix, Message, Part, Progress, Row, Stride},
};

/// Assembles a stride. The first message that tells an event does it, the others repeat it.
pub(super) fn assemble<'a>(decoded: Decoded<'a>, claims: Claims<'a>, tries: &Tries<'_, '_>) -> Stride<'a> {
    let Claims { mut claims, of_event, allowed } = claims;
    let mut stride = Stride {
        messages: Vec::with_capacity(decoded.messages.len()),
        parts: Vec::with_capacity(decoded.events.len()),
        events: Arena::with_capacity(decoded.events.len()),
    };
    let mut told = decoded.events.into_iter().zip(of_event);
    // Kept from message to message, so that a message costs no allocation.
    let mut own: Vec<Judged<'a>> = Vec::new();
    for message in decoded.messages {
        let begin = stride.parts.len();
        own.extend(told.by_ref().take(message.events).map(|(event, claim)| {
            let verdict = allowed.judge(&message, &event, &claims[claim].known);
            Judged { event, claim, verdict }
        }));
        let verdicts = || own.iter().filter_map(|judged| judged.verdict.as_ref().ok());
        let is_accepted = verdicts().any(|verdict| verdict.is_sealed());
        // A message that only tells what is settled must still be one that was accepted.
        let is_settled = |judged: &Judged<'_>| judged.verdict.as_ref().is_ok_and(Verdict::is_settled);
        let is_nothing = !is_accepted && own.iter().all(is_settled);
        let refusal = verdicts().filter_map(Verdict::refusal_of_reading).max();
        let refusal = refusal.or(is_nothing.then_some(Refusal::Altered));
        let awaited = refusal.map(|refusal| Outcome::Retry(refusal.reason()));
        let awaited = awaited.filter(|_| !tries.is_last(message.index));
        for judged in own.drain(..) {
            stride.parts.push(match (awaited, judged.verdict) {
                // Another version of ours may read what was accepted. Until then nothing of the message is done.
                (Some(outcome), _) => Part::Undecided(outcome, None),
                (None, Ok(_)) if is_nothing => Part::Refused(Refusal::Altered, None),
                (None, Ok(verdict)) => {
                    part(judged.event, verdict, &mut claims[judged.claim], &mut stride.events)
                }
                (None, Err(outcome)) => Part::Undecided(outcome, Some(judged.event.claimed())),
            });
        }
        stride.messages.push(Message {
            index: message.index,
            message: message.message,
            is_accepted,
            parts: stride.parts.len() - begin,
            row: Row::NotDue,
            fit: Fit::default(),
            object: None,
        });
    }
    stride
}

/// An event of a message, its claim, and what the message may do of it.
struct Judged<'a> {
    event: DecodedEvent<'a>,
    claim: Ix<Claim<'a>>,
    verdict: Result<Verdict, Outcome>,
}

fn part<'a>(
    mut told: DecodedEvent<'a>,
    verdict: Verdict,
    claim: &mut Claim<'a>,
    events: &mut Arena<Event<'a>>,
) -> Part<'a> {
    let claimed = told.claimed();
    let known = claim.known.as_ref().ok().and_then(Option::as_ref);
    if let (Verdict::Processed { .. } | Verdict::Settled | Verdict::Admitted, Some(known)) = (verdict, known)
    {
        told.take_terms(known);
    }
    match verdict {
        Verdict::Refused { refusal, is_sealed } => {
            // What is no conflict was refused in every try, before it claimed an effect. Where its seal gave way since, its claim
            // of the effect ends by itself.
            let may_have_claimed = is_sealed && refusal == Refusal::Conflict;
            return Part::Refused(refusal, may_have_claimed.then_some(claimed));
        }
        Verdict::Processed { .. } => {
            return Part::Done(Box::new(told.payment), known.and_then(|known| known.webhook_id));
        }
        Verdict::Settled => return Part::Aside(known.and_then(|known| known.webhook_id)),
        Verdict::Admitted => {}
    }
    let DecodedEvent { payment, fingerprint, is_dated, claimed_as } = told;
    match claim.owner {
        Some((owner, facts)) if facts == fingerprint => Part::Repeats(owner, Box::new(payment)),
        Some(_) => Part::Refused(Refusal::Conflict, Some(claimed)),
        None => {
            let json = String::new();
            let event = events.push(Event {
                payment,
                is_dated,
                claimed_as,
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
