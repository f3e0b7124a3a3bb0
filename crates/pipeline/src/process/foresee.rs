//! What would become of messages: the steps up to the claims, which only read. For operators, before they send dead letters
//! back.

use std::{collections::HashMap, marker::PhantomData};

use tollgate_batch::{Kind, Outcome, Reason};
use tollgate_core::{
    EndpointId, EventId, EventType, Fingerprint, LedgerKey, Money, PaymentEvent, ProviderId, Timestamp,
};
use tollgate_providers::{ApiKey, NamedObject};

use super::{
    Process,
    admit::Verdict,
    answers::Answers,
    decode::DecodedEvent,
    record::{Indexed, Receives, Record, Tries},
    refusal::Refusal,
};
use crate::ports::{
    ApiKeys, ArchiveQueue, Clock, Document, EffectClaim, Effects, EndpointSource, EventBus, Ledger,
    LedgerState, ObjectStore, PayloadSource, PayloadStore, Poison, PortError, PortResult, ProcessPorts,
    ProviderObjects, Quarantine, Stored, Transactions, Unfetched,
};

/// Each message is looked at as if it were at its last try: what another version may read is not waited for.
const LAST_TRY: Receives = Receives { tries: 1, last: 1 };

/// What would become of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    /// How it would end.
    pub end: End,
    /// Its events, as far as they could be read.
    pub events: Vec<Told>,
}

/// How a message would end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// An event of it takes effect.
    TakesEffect,
    /// Nothing is left to do: its events are processed, or are told by a message before it.
    Done,
    /// It is set aside again: no repeat helps before its cause is mended.
    Refused(Reason),
    /// It cannot be told: something that is asked does not answer, or does not answer this caller.
    Unknown(Reason),
}

/// An event of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Our id of it.
    pub id: EventId,
    /// What happened.
    pub kind: EventType,
    /// Endpoint and provider event id.
    pub key: LedgerKey,
    /// The payment object, as the message names it.
    pub transaction_id: String,
    /// What moved or is to move.
    pub movement_id: String,
    /// Absent where the message has none.
    pub amount: Option<Money>,
    /// When it happened, or arrived where the message does not say it.
    pub occurred_at: Timestamp,
    /// The facts that two deliveries of the event must share.
    pub fingerprint: Fingerprint,
    /// Why it has no effect.
    pub refused: Option<Reason>,
    /// Whether it needs this message no more: it is done, or another message of it is set aside.
    pub is_done: bool,
    /// Whether a later state of its transaction is known: it would be published as superseded. `None` where that cannot be told,
    /// or where nothing would be published.
    pub is_behind: Option<bool>,
}

/// Events that messages before would do, so that each is told once.
#[derive(Debug, Default)]
pub struct Before(HashMap<EventId, Fingerprint>);

impl<P: ProcessPorts> Process<P> {
    /// What would become of each message, in their order, if it were processed behind those that `before` has seen. Nothing is
    /// written anywhere.
    pub async fn foresee(&self, records: &[Record<'_>], before: &mut Before) -> Vec<Foreseen> {
        let tried: Vec<Record<'_>> =
            records.iter().map(|record| Record { receive_count: LAST_TRY.last, ..record.clone() }).collect();
        let indexed: Vec<Indexed<'_, '_>> =
            tried.iter().enumerate().map(|(index, record)| Indexed { index, record }).collect();
        let tries = Tries::new(LAST_TRY, Kind::Standard, &tried);
        let mut ended = Vec::new();
        let opened = self.open(&indexed, &mut ended).await;
        let decoded = self.decode(&opened, &mut ended);
        let claims = self.look_up_claims(&decoded, &tries).await;
        let unread = Foreseen { end: End::Unknown("unresolved"), events: Vec::new() };
        let mut foreseen = vec![unread; records.len()];
        for (index, outcome) in ended {
            if let (Some(one), Some(reason)) = (foreseen.get_mut(index), outcome.reason()) {
                one.end = end_of(reason);
            }
        }
        let mut told = decoded.events.iter().zip(&claims.of_event);
        for message in &decoded.messages {
            let own: Vec<(&DecodedEvent<'_>, Result<Verdict, Outcome>)> = told
                .by_ref()
                .take(message.events)
                .map(|(event, &claim)| {
                    (event, claims.allowed.judge(message, event, &claims.claims[claim].known))
                })
                .collect();
            if let Some(one) = foreseen.get_mut(message.index) {
                *one = self.end_of_message(own, before).await;
            }
        }
        for (record, one) in records.iter().zip(&mut foreseen) {
            if one.end == End::Unknown("payload_unavailable") && self.is_done_by_its_claims(record).await {
                one.end = End::Done;
            }
        }
        foreseen
    }

    async fn end_of_message(
        &self,
        own: Vec<(&DecodedEvent<'_>, Result<Verdict, Outcome>)>,
        before: &mut Before,
    ) -> Foreseen {
        let verdicts = || own.iter().filter_map(|(_, verdict)| verdict.as_ref().ok());
        let is_nothing = !verdicts().any(|verdict| verdict.is_sealed())
            && own.iter().all(|(_, verdict)| verdict.as_ref().is_ok_and(Verdict::is_settled));
        let mut refusal = is_nothing.then_some(Refusal::Altered);
        let (mut unknown, mut takes_effect) = (None, false);
        let mut events = Vec::with_capacity(own.len());
        for (event, verdict) in &own {
            let (mut is_behind, mut refused, mut is_done) = (None, None, false);
            match verdict {
                Err(outcome) => unknown = unknown.or(outcome.reason()),
                Ok(Verdict::Refused { refusal: reason, .. }) => refused = Some(*reason),
                Ok(Verdict::Processed { .. } | Verdict::Settled) => is_done = true,
                Ok(Verdict::Admitted) => match before.0.get(&event.payment.id) {
                    Some(facts) if *facts == event.fingerprint => {}
                    Some(_) => refused = Some(Refusal::Conflict),
                    None => {
                        before.0.insert(event.payment.id, event.fingerprint);
                        takes_effect = true;
                        is_behind = self.is_behind(event).await;
                    }
                },
            }
            refusal = refusal.max(refused);
            let PaymentEvent { id, kind, transaction_id, movement_id, amount, occurred_at, .. } =
                &event.payment;
            events.push(Told {
                id: *id,
                kind: *kind,
                key: event.payment.ledger_key(),
                transaction_id: transaction_id.to_string(),
                movement_id: movement_id.to_string(),
                amount: *amount,
                occurred_at: *occurred_at,
                fingerprint: event.fingerprint,
                refused: refused.map(Refusal::reason),
                is_done,
                is_behind,
            });
        }
        let end = match (unknown, refusal) {
            (Some(reason), _) => End::Unknown(reason),
            (None, Some(refusal)) => End::Refused(refusal.reason()),
            (None, None) if takes_effect => End::TakesEffect,
            (None, None) => End::Done,
        };
        Foreseen { end, events }
    }

    /// By what the table says of the transaction's own id: of its aliases only a processor learns.
    async fn is_behind(&self, event: &DecodedEvent<'_>) -> Option<bool> {
        if event.payment.kind.is_update() {
            return Some(false);
        }
        let key = event.payment.transaction_key();
        let known = self.transactions.latest(&[&key]).await.pop()?.ok()?;
        let position = event.payment.position(event.is_dated);
        Some(known.state.is_some_and(|state| position.is_behind(&state.position)))
    }

    /// Whether the events that were claimed for a message, whose body cannot be fetched, are processed. Each claim must have the
    /// message's seal.
    async fn is_done_by_its_claims(&self, record: &Record<'_>) -> bool {
        let Ok(message) = record.read() else { return false };
        let keys = message.claimed_keys();
        let seal = message.seal();
        let answers = self.ledger.known(&keys, self.clock.now()).await;
        let answers = Answers::checked((0..keys.len()).collect(), answers);
        !keys.is_empty()
            && answers.into_iter().all(|(_, known)| {
                known.is_ok_and(|known| {
                    known.is_some_and(|known| {
                        let is_sealed = known.terms.is_some_and(|terms| terms.seals.contains(&seal));
                        is_sealed && known.state == LedgerState::Processed
                    })
                })
            })
    }
}

/// What a failure before the claims are known is to an operator. Whether endpoints can be read is asked before.
fn end_of(reason: Reason) -> End {
    match reason {
        "payload_unavailable" | "ledger_unavailable" => End::Unknown(reason),
        reason => End::Refused(reason),
    }
}

/// The ports of a [`Process`] that only [foresees](Process::foresee): what it would write goes nowhere.
#[derive(Debug)]
pub struct Looking<E, C, L, T, S>(PhantomData<(E, C, L, T, S)>);

impl<E, C, L, T, S> ProcessPorts for Looking<E, C, L, T, S>
where
    E: EndpointSource,
    C: Clock,
    L: Ledger,
    T: Transactions,
    S: PayloadSource,
{
    type Endpoints = E;
    type Clock = C;
    type Ledger = L;
    type Effects = Nobody;
    type Transactions = T;
    type Bus = Nobody;
    type ArchiveQueue = Nobody;
    type Payloads = ReadOnly<S>;
    type Quarantine = Nobody;
    type ApiKeys = Nobody;
    type Objects = Nobody;
}

/// Takes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

fn refused<T>() -> PortResult<T> {
    Err(PortError::permanent("nobody", "what only looks writes nothing"))
}

impl Effects for Nobody {
    async fn claim(&self, claims: &[EffectClaim]) -> Vec<PortResult<EffectClaim>> {
        claims.iter().map(|_| refused()).collect()
    }

    async fn release(&self, claims: &[EffectClaim]) -> Vec<PortResult<()>> {
        claims.iter().map(|_| refused()).collect()
    }
}

impl EventBus for Nobody {
    async fn publish(&self, events: &[Document<'_>]) -> Vec<PortResult<()>> {
        events.iter().map(|_| refused()).collect()
    }
}

impl ArchiveQueue for Nobody {
    async fn send(&self, messages: Vec<String>) -> Vec<PortResult<()>> {
        messages.iter().map(|_| refused()).collect()
    }
}

impl ApiKeys for Nobody {
    async fn api_key(&self, _: &EndpointId) -> PortResult<Option<ApiKey>> {
        Ok(None)
    }
}

impl ProviderObjects for Nobody {
    async fn fetch(&self, _: &ProviderId, _: &ApiKey, _: &NamedObject<'_>) -> Result<Vec<u8>, Unfetched> {
        Err(Unfetched::Unavailable(None))
    }
}

impl Quarantine for Nobody {
    async fn send(&self, _: Poison<'_>) -> PortResult<()> {
        refused()
    }
}

/// A store of large bodies that stores none.
#[derive(Debug, Clone)]
pub struct ReadOnly<S>(pub S);

impl<S: PayloadSource> PayloadSource for ReadOnly<S> {
    async fn get(&self, key: &str) -> PortResult<Vec<u8>> {
        self.0.get(key).await
    }
}

impl<S: PayloadSource> PayloadStore for ReadOnly<S> {
    async fn put(&self, _: &str, _: Vec<u8>) -> PortResult<()> {
        refused()
    }
}

impl<S: Send + Sync> ObjectStore for ReadOnly<S> {
    async fn keep(&self, _: &str, _: Vec<u8>) -> PortResult<Stored> {
        refused()
    }
}
