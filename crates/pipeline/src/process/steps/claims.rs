//! What the ledger knows of the events.

use std::collections::HashMap;

use tollgate_core::{EventId, Fingerprint, LedgerKey};

use crate::{
    ports::{Clock, Known, Ledger, PortError, PortResult, ProcessPorts},
    process::{
        Process,
        answers::Answers,
        decode::Decoded,
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
    pub(in crate::process) async fn look_up_claims<'a>(&self, decoded: &Decoded<'a>) -> Claims<'a> {
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
        Claims { claims, of_event }
    }
}
