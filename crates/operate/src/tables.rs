//! What the tables have of an id, each by its key.

use std::collections::BTreeMap;

use anyhow::Context;
use tollgate_aws::{
    effects::DynamoEffects,
    history::{DynamoHistory, Past},
    ledger::DynamoLedger,
    transactions::DynamoTransactions,
};
use tollgate_core::{
    Authenticity, EffectId, EndpointId, EventId, EventType, LedgerKey, PaymentEvent, Timestamp, WebhookId,
    id::bounded,
};
use tollgate_pipeline::intake::Seal;
use tollgate_pipeline::ports::{EffectClaim, Known, Latest, Ledger, PortResult, Subject, Transactions};

use crate::aws::Aws;

/// Events and decisions of a payment that are read.
const MOST_OF_A_PAYMENT: usize = 1_000;
/// Claims of effects that a movement is looked for in: 80 calls.
const MOST_EFFECTS: usize = 8_000;

/// The tables.
#[derive(Debug)]
pub(crate) struct Tables {
    ledger: DynamoLedger,
    effects: DynamoEffects,
    transactions: DynamoTransactions,
    history: DynamoHistory,
    now: Timestamp,
}

fn all<T>(answers: Vec<PortResult<T>>, what: &'static str) -> anyhow::Result<Vec<T>> {
    answers.into_iter().collect::<PortResult<Vec<T>>>().context(what)
}

impl Tables {
    pub(crate) fn of(aws: &Aws, now: Timestamp) -> Self {
        let client = aws_sdk_dynamodb::Client::new(&aws.config);
        let (ledger, transactions) = (aws.names.ledger_table(), aws.names.transactions_table());
        Self {
            ledger: DynamoLedger::new(client.clone(), ledger.clone()),
            effects: DynamoEffects::new(client.clone(), ledger),
            transactions: DynamoTransactions::new(client.clone(), transactions.clone()),
            history: DynamoHistory::new(client, transactions),
            now,
        }
    }

    /// The claims of events: those that are there and not forgotten.
    pub(crate) async fn claims(&self, keys: &[LedgerKey]) -> anyhow::Result<BTreeMap<LedgerKey, Known>> {
        let known = all(self.ledger.known(keys, self.now).await, "reading the ledger")?;
        let pairs = keys.iter().cloned().zip(known);
        Ok(pairs.filter_map(|(key, known)| Some((key, known?))).collect())
    }

    /// The claims of a provider's event at each endpoint.
    pub(crate) async fn provider_event(
        &self,
        endpoints: &[EndpointId],
        id: &str,
    ) -> anyhow::Result<Vec<(EndpointId, LedgerKey, Known)>> {
        let keys: Vec<LedgerKey> = endpoints.iter().map(|endpoint| LedgerKey::new(endpoint, id)).collect();
        let claims = self.claims(&keys).await?;
        let one = |(endpoint, key): (&EndpointId, &LedgerKey)| {
            Some((*endpoint, key.clone(), claims.get(key)?.clone()))
        };
        Ok(endpoints.iter().zip(&keys).filter_map(one).collect())
    }

    /// Endpoints at which a payment has this id, or another one by this name; with what is known of it.
    pub(crate) async fn transaction(
        &self,
        endpoints: &[EndpointId],
        id: &str,
    ) -> anyhow::Result<Vec<(EndpointId, Latest)>> {
        let id = bounded(id.into());
        let keys: Vec<String> =
            endpoints.iter().map(|endpoint| PaymentEvent::transaction_key_of(endpoint, &id)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let latest = all(self.transactions.latest(&keys).await, "reading the transactions")?;
        let pairs = endpoints.iter().copied().zip(latest);
        Ok(pairs.filter(|(_, latest)| latest.is_known()).collect())
    }

    /// What is known of one payment.
    pub(crate) async fn latest(&self, transaction_key: &str) -> anyhow::Result<Latest> {
        let latest = all(self.transactions.latest(&[transaction_key]).await, "reading the transactions")?;
        Ok(latest.into_iter().next().unwrap_or_default())
    }

    /// The claims of effects in which a movement may have been told: every state that it reaches once. `None`: these are more
    /// than are asked for.
    pub(crate) async fn movement(
        &self,
        endpoints: &[EndpointId],
        id: &str,
    ) -> anyhow::Result<Option<Vec<(EndpointId, EffectClaim)>>> {
        let states: Vec<EventType> =
            EventType::ALL.iter().copied().filter(|state| !state.may_recur()).collect();
        if endpoints.len().saturating_mul(states.len()).saturating_mul(2) > MOST_EFFECTS {
            return Ok(None);
        }
        let mut asked = Vec::new();
        for endpoint in endpoints {
            for state in &states {
                let effect = EffectId::new(endpoint, id, *state, "");
                let both = [Authenticity::Verified, Authenticity::Authenticated];
                asked.extend(both.map(|authenticity| (*endpoint, Subject::Effect(effect, authenticity))));
            }
        }
        let subjects: Vec<Subject> = asked.iter().map(|(_, subject)| *subject).collect();
        let claims = self.subjects(&subjects).await?;
        let pairs = asked.iter().map(|(endpoint, _)| *endpoint).zip(claims);
        Ok(Some(pairs.filter_map(|(endpoint, claim)| Some((endpoint, claim?))).collect()))
    }

    /// The claims of an effect.
    pub(crate) async fn effect(&self, effect: EffectId) -> anyhow::Result<Vec<EffectClaim>> {
        let both = [Authenticity::Verified, Authenticity::Authenticated];
        let subjects = both.map(|authenticity| Subject::Effect(effect, authenticity));
        Ok(self.subjects(&subjects).await?.into_iter().flatten().collect())
    }

    /// The claim by which an event was told that restates another one.
    pub(crate) async fn telling(&self, event: EventId) -> anyhow::Result<Option<EffectClaim>> {
        Ok(self.subjects(&[Subject::Telling(event)]).await?.into_iter().flatten().next())
    }

    /// The first event of each event's effect, as far as that is remembered.
    pub(crate) async fn first_told(
        &self,
        events: &[PaymentEvent<'static>],
    ) -> anyhow::Result<BTreeMap<EventId, EventId>> {
        // One question for each subject.
        let subject = |event: &PaymentEvent<'_>| Subject::Effect(event.effect_id, event.authenticity.class());
        let asked: BTreeMap<String, Subject> =
            events.iter().map(|event| (subject(event).to_string(), subject(event))).collect();
        let subjects: Vec<Subject> = asked.values().copied().collect();
        let claims = self.subjects(&subjects).await?;
        let first: BTreeMap<&String, EventId> =
            asked.keys().zip(claims).filter_map(|(name, claim)| Some((name, claim?.event_id))).collect();
        let one = |event: &PaymentEvent<'_>| Some((event.id, *first.get(&subject(event).to_string())?));
        Ok(events.iter().filter_map(one).collect())
    }

    async fn subjects(&self, subjects: &[Subject]) -> anyhow::Result<Vec<Option<EffectClaim>>> {
        let claims = all(self.effects.claims_of(subjects).await, "reading the claims of effects")?;
        let now = self.now.as_second();
        Ok(claims.into_iter().map(|claim| claim.filter(|claim| claim.expires_at() > now)).collect())
    }

    /// The deliveries of these that are noted to contradict the event that stands beside them.
    pub(crate) async fn contradictions(
        &self,
        asked: &[(LedgerKey, WebhookId)],
    ) -> anyhow::Result<Vec<(LedgerKey, WebhookId)>> {
        let noted = all(self.ledger.contradictions(asked, self.now).await, "reading the conflicts")?;
        Ok(noted.into_iter().flatten().map(|noted| (noted.key, noted.webhook_id)).collect())
    }

    /// Which of these messages an operator allows, though they are too old.
    pub(crate) async fn allowed(&self, seals: &[Seal]) -> anyhow::Result<Vec<Seal>> {
        let allowed = all(self.ledger.allowed(seals, self.now).await, "reading the allowances")?;
        Ok(seals.iter().copied().zip(allowed).filter_map(|(seal, stands)| stands.then_some(seal)).collect())
    }

    /// The events of a payment and the decisions on them.
    pub(crate) async fn past(&self, transaction_key: &str) -> anyhow::Result<Past> {
        let past = self.history.past(transaction_key, MOST_OF_A_PAYMENT).await;
        past.with_context(|| format!("reading the history of {transaction_key}"))
    }
}
