//! What the ledger knows of the events.

use std::collections::{BTreeSet, HashMap};

use tollgate_batch::Outcome;
use tollgate_core::{EventId, Fingerprint, LedgerKey};
use tracing::warn;

use crate::{
    intake::Seal,
    ports::{Clock, Known, Ledger, PortError, PortResult, ProcessPorts},
    process::{
        Process,
        admit::{Verdict, admit, is_too_old},
        answers::Answers,
        decode::{Decoded, DecodedEvent, DecodedMessage},
        record::{Ended, Tries, retry},
        refusal::Refusal,
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
    /// Whether an operator allows the messages that tell what is too old.
    pub(in crate::process) allowed: Allowed,
}

/// An operator's decisions about messages that tell what is too old.
#[derive(Debug, Default)]
pub(in crate::process) struct Allowed {
    /// By the messages' seals.
    decisions: HashMap<Seal, PortResult<bool>>,
    /// The claims of what is too old, with the index of the message's record.
    pub(in crate::process) told: Vec<(usize, LedgerKey)>,
}

impl Allowed {
    /// What a message may do of one of its events. A lookup that failed is a retry.
    pub(in crate::process) fn judge(
        &self,
        message: &DecodedMessage<'_>,
        event: &DecodedEvent<'_>,
        known: &PortResult<Option<Known>>,
    ) -> Result<Verdict, Outcome> {
        let unavailable = |problem| retry("ledger_unavailable", problem);
        let verdict = admit(message, event, known.as_ref().map_err(unavailable)?.as_ref());
        let Verdict::Refused { refusal: Refusal::TooOld, .. } = verdict else { return Ok(verdict) };
        match self.decisions.get(&message.seal) {
            Some(Ok(true)) => Ok(Verdict::Admitted),
            Some(Err(problem)) => Err(unavailable(problem)),
            Some(Ok(false)) | None => Ok(verdict),
        }
    }
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
        let allowed = self.look_up_allowances(decoded, &of_event, &claims).await;
        Claims { claims, of_event, allowed }
    }

    /// Notes in the claims of what is too old that a message is set aside, once it is: further copies of the event are
    /// duplicates then, and cost nobody anything.
    pub(in crate::process) async fn note_aside(&self, told: Vec<(usize, LedgerKey)>, ended: &[Ended]) {
        let is_aside =
            |index: usize| ended.contains(&(index, Outcome::Quarantined(Refusal::TooOld.reason())));
        let keys: BTreeSet<LedgerKey> =
            told.into_iter().filter(|(index, _)| is_aside(*index)).map(|(_, key)| key).collect();
        let keys: Vec<LedgerKey> = keys.into_iter().collect();
        if keys.is_empty() {
            return;
        }
        let answers = self.ledger.put_aside(&keys, self.clock.now()).await;
        for (_, answer) in Answers::checked(keys, answers) {
            // Then the next copy is set aside as well.
            if let Err(problem) = answer {
                warn!(error = %problem, "a claim does not say that its message is set aside");
            }
        }
    }

    /// Asks for an operator's decision about each message that tells what is too old.
    async fn look_up_allowances<'a>(
        &self,
        decoded: &Decoded<'a>,
        of_event: &[Ix<Claim<'a>>],
        claims: &Arena<Claim<'a>>,
    ) -> Allowed {
        let mut told = decoded.events.iter().zip(of_event);
        let (mut seals, mut old) = (BTreeSet::new(), Vec::new());
        for message in &decoded.messages {
            for (event, &claim) in told.by_ref().take(message.events) {
                let known = claims[claim].known.as_ref().ok().and_then(Option::as_ref);
                if known.is_some_and(|known| is_too_old(message, event, known)) {
                    seals.insert(message.seal);
                    let verdict = admit(message, event, known);
                    if !matches!(verdict, Verdict::Refused { refusal: Refusal::TooOld, .. }) {
                        continue;
                    }
                    // Where the validator read another id, the claim has that one.
                    old.extend(event.claimed_as.clone().map(|key| (message.index, key)));
                    old.push((message.index, event.payment.ledger_key()));
                }
            }
        }
        if seals.is_empty() {
            return Allowed::default();
        }
        let seals: Vec<Seal> = seals.into_iter().collect();
        let answers = self.ledger.allowed(&seals, self.clock.now()).await;
        Allowed { decisions: Answers::checked(seals, answers).into_iter().collect(), told: old }
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
