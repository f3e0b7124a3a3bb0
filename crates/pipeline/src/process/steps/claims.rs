//! What the ledger knows of the events.

use std::collections::HashMap;

use tollgate_core::{EventId, Fingerprint, LedgerKey};

use crate::{
    intake::Seal,
    ports::{Clock, Known, Ledger, PortError, PortResult, ProcessPorts},
    process::{
        Process,
        answers::Answers,
        decode::Decoded,
        record::Tries,
        stride::{Arena, EventIx, Ix},
    },
};

/// The ledger's answer about one event id, and the event that takes effect under it.
#[derive(Debug)]
pub(in crate::process) struct Claim<'a> {
    pub(in crate::process) known: PortResult<Option<Known>>,
    /// Set while the stride is assembled.
    pub(in crate::process) owner: Option<(EventIx<'a>, Fingerprint)>,
}

/// The ledger's answers about decoded events.
#[derive(Debug)]
pub(in crate::process) struct Claims<'a> {
    pub(in crate::process) claims: Arena<Claim<'a>>,
    /// For each decoded event, in order.
    pub(in crate::process) of_event: Vec<Ix<Claim<'a>>>,
}

impl<P: ProcessPorts> Process<P> {
    /// Asks the ledger once for each event id.
    pub(in crate::process) async fn look_up_claims<'a>(
        &self,
        decoded: &Decoded<'a>,
        tries: &Tries<'_, '_>,
    ) -> Claims<'a> {
        let count = decoded.events.len();
        let mut claim_of: HashMap<EventId, Ix<Claim<'a>>> = HashMap::with_capacity(count);
        let mut claims = Arena::with_capacity(count);
        let mut keys: Vec<LedgerKey> = Vec::with_capacity(count);
        let mut of_event = Vec::with_capacity(count);
        for event in &decoded.events {
            let claim = *claim_of.entry(event.payment.id).or_insert_with(|| {
                keys.push(event.payment.ledger_key());
                claims.push(Claim { known: Err(PortError::retryable("ledger", "not asked")), owner: None })
            });
            of_event.push(claim);
        }
        let answers = self.ledger.known(&keys, self.clock.now()).await;
        for (claim, known) in Answers::checked(claims.indices().collect(), answers) {
            claims[claim].known = known;
        }
        self.look_up_other_ids(decoded, &of_event, &mut claims, tries).await;
        Claims { claims, of_event }
    }

    /// Asks for the claims that validators made under other ids than ours, for messages at their last try: until then
    /// they come back, for a version that reads the id that was claimed. A claim with the message's seal stands for its
    /// event under our id.
    async fn look_up_other_ids<'a>(
        &self,
        decoded: &Decoded<'a>,
        of_event: &[Ix<Claim<'a>>],
        claims: &mut Arena<Claim<'a>>,
        tries: &Tries<'_, '_>,
    ) {
        let mut told = decoded.events.iter().zip(of_event);
        let mut asked: Vec<(Ix<Claim<'a>>, Seal, usize)> = Vec::new();
        let mut keys: Vec<LedgerKey> = Vec::new();
        let mut place_of: HashMap<&LedgerKey, usize> = HashMap::new();
        for message in &decoded.messages {
            for (event, &claim) in told.by_ref().take(message.events) {
                let Some(key) = &event.claimed_as else { continue };
                let is_needed = matches!(&claims[claim].known, Ok(known) if !has_seal(known, message.seal));
                if is_needed && tries.is_last(message.index) {
                    let place = *place_of.entry(key).or_insert_with(|| {
                        keys.push(key.clone());
                        keys.len() - 1
                    });
                    asked.push((claim, message.seal, place));
                }
            }
        }
        if keys.is_empty() {
            return;
        }
        let found: HashMap<usize, PortResult<Option<Known>>> =
            Answers::checked((0..keys.len()).collect(), self.ledger.known(&keys, self.clock.now()).await)
                .into_iter()
                .collect();
        for (claim, seal, place) in asked {
            let known = &mut claims[claim].known;
            match (found.get(&place), &mut *known) {
                (Some(Ok(other)), Ok(own)) if has_seal(other, seal) => match own {
                    // Our id is claimed too, by another delivery: this one was accepted all the same.
                    Some(Known { terms: Some(terms), .. }) => terms.seals.push(seal),
                    Some(_) => {}
                    None => own.clone_from(other),
                },
                (Some(Err(problem)), Ok(None)) => *known = Err(problem.clone()),
                _ => {}
            }
        }
    }
}

fn has_seal(known: &Option<Known>, seal: Seal) -> bool {
    known.as_ref().and_then(|known| known.terms.as_ref()).is_some_and(|terms| terms.seals.contains(&seal))
}
