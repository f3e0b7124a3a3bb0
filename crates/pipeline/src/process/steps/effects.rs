//! Who tells which effect.

use std::{
    collections::{HashMap, HashSet},
    mem,
};

use tollgate_batch::Outcome;
use tollgate_core::{Authenticity, PaymentEvent, Timestamp};
use tracing::{info, warn};

use crate::{
    ports::{Clock, EffectClaim, Effects, PortError, PortResult, ProcessPorts, Subject},
    process::{
        Process,
        answers::Answers,
        record::Tries,
        stride::{Arena, Event, EventIx, Events, Ix, Part, Progress, Stride},
    },
};

/// What a failed call does to its events.
const UNAVAILABLE: &str = "effects_unavailable";
const REFUSED: &str = "effect_refused";

impl<P: ProcessPorts> Process<P> {
    /// Claims each event's effect. An event whose effect another event has told before restates that one. An event
    /// that another delivery of it works on comes back.
    pub(in crate::process) async fn claim_effects(&self, stride: &mut Stride<'_>) {
        let now = self.clock.now();
        let restating = self.claim_first(&mut stride.events, now).await;
        self.claim_tellings(&mut stride.events, restating, now).await;
        stride.give_to_claimants();
    }

    /// Asks once for each effect, for the first of its events in the stride. Returns the events that restate another.
    async fn claim_first<'a>(&self, events: &mut Events<'a>, now: Timestamp) -> Vec<EventIx<'a>> {
        let pending = events.pending();
        let mut effect_of: HashMap<Subject, Ix<PortResult<EffectClaim>>> =
            HashMap::with_capacity(pending.len());
        let mut standing = Arena::with_capacity(pending.len());
        let mut claims = Vec::with_capacity(pending.len());
        let mut of_event = Vec::with_capacity(pending.len());
        for event in pending {
            let payment = &events[event].payment;
            let subject = Subject::Effect(payment.effect_id, payment.authenticity.class());
            let effect = *effect_of.entry(subject).or_insert_with(|| {
                claims.push(claim(subject, payment, now));
                standing.push(Err(PortError::retryable("effects", "not asked")))
            });
            of_event.push((event, effect));
        }
        let answers = self.effects.claim(&claims).await;
        for (effect, answer) in Answers::checked(standing.indices().collect(), answers) {
            standing[effect] = answer;
        }
        let mut restating = Vec::new();
        for (ix, effect) in of_event {
            let event = &mut events[ix];
            match &standing[effect] {
                Ok(claim) if claim.event_id == event.payment.id => event.yield_to(claim),
                Ok(claim) => {
                    event.payment.restates = Some(claim.event_id);
                    restating.push(ix);
                }
                Err(problem) => event.fail(problem, UNAVAILABLE, REFUSED),
            }
        }
        restating
    }

    /// Asks for the telling of each event that restates another: of its deliveries one does the work.
    async fn claim_tellings<'a>(&self, events: &mut Events<'a>, restating: Vec<EventIx<'a>>, now: Timestamp) {
        let telling = |&event: &EventIx<'a>| {
            let payment = &events[event].payment;
            claim(Subject::Telling(payment.id), payment, now)
        };
        let claims: Vec<EffectClaim> = restating.iter().map(telling).collect();
        let answers = self.effects.claim(&claims).await;
        for (event, answer) in Answers::checked(restating, answers) {
            match answer {
                Ok(claim) => events[event].yield_to(&claim),
                Err(problem) => events[event].fail(&problem, UNAVAILABLE, REFUSED),
            }
        }
    }

    /// Gives up the claims of messages that are set aside, so that other deliveries of their events need not wait.
    pub(in crate::process) async fn release_effects(&self, stride: &Stride<'_>, tries: &Tries<'_, '_>) {
        let mut claims = Vec::new();
        for (message, parts) in stride.messages() {
            let outcome = tries.judge(message.index, stride.events.outcome(message, parts));
            if !matches!(outcome, Outcome::Poison(_)) {
                continue;
            }
            let unfinished = parts.iter().filter_map(|part| match part {
                Part::Owns(event) if stride.events[*event].is_finished() => None,
                Part::Owns(event) => {
                    Some((stride.events[*event].payment.id, stride.events[*event].payment.effect_id))
                }
                Part::Refused(_, claimed) | Part::Undecided(_, claimed) => *claimed,
                Part::Repeats(..) | Part::Done(..) | Part::Aside(_) => None,
            });
            for (event_id, effect_id) in unfinished {
                // Whichever it has.
                for subject in [
                    Subject::Effect(effect_id, Authenticity::Verified),
                    Subject::Effect(effect_id, Authenticity::Authenticated),
                    Subject::Telling(event_id),
                ] {
                    let webhook_id = message.message.webhook_id;
                    claims.push(EffectClaim { subject, event_id, webhook_id, claimed_at: self.clock.now() });
                }
            }
        }
        // A call names a subject once, and several messages may have claimed it.
        while !claims.is_empty() {
            let mut named = HashSet::with_capacity(claims.len());
            let (once, again): (Vec<_>, Vec<_>) =
                claims.into_iter().partition(|claim: &EffectClaim| named.insert(claim.subject));
            // What cannot be released is given to another delivery when its lease is over.
            for answer in self.effects.release(&once).await {
                if let Err(problem) = answer {
                    warn!(error = %problem, "claim of an effect not released");
                }
            }
            claims = again;
        }
    }
}

fn claim(subject: Subject, payment: &PaymentEvent<'_>, now: Timestamp) -> EffectClaim {
    EffectClaim { subject, event_id: payment.id, webhook_id: payment.webhook_id, claimed_at: now }
}

impl Stride<'_> {
    /// Gives an event that comes back to the message of the delivery that has claimed it, where the stride holds that
    /// too, and gives each copy its event's `restates`.
    fn give_to_claimants(&mut self) {
        let Self { parts, events, .. } = self;
        let mut given = Vec::new();
        for part in parts.iter_mut() {
            let Part::Repeats(ix, payment) = part else { continue };
            let ix = *ix;
            let event = &mut events[ix];
            payment.restates = event.payment.restates;
            if event.at_work == Some(payment.webhook_id) {
                mem::swap(&mut event.payment, payment);
                event.at_work = None;
                event.progress = Progress::Pending;
                given.push((ix, mem::replace(part, Part::Owns(ix))));
            }
        }
        for (ix, copy) in given {
            // The message that had it comes first in the stride.
            if let Some(part) =
                parts.iter_mut().find(|part| matches!(part, Part::Owns(owned) if *owned == ix))
            {
                *part = copy;
            }
        }
    }
}

impl Event<'_> {
    fn is_finished(&self) -> bool {
        self.progress == Progress::Done
    }

    /// Comes back where the claim stands for another delivery of the event; it finds the event processed then.
    fn yield_to(&mut self, claim: &EffectClaim) {
        if claim.webhook_id != self.payment.webhook_id {
            info!(
                webhook_id = %self.payment.webhook_id, at_work = %claim.webhook_id,
                "another delivery of the event is at work"
            );
            self.at_work = Some(claim.webhook_id);
            self.progress = Progress::Failed(Outcome::Retry("another_delivery_in_progress"));
        }
    }
}
