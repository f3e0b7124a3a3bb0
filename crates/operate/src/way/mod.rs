//! The whole way of one webhook, event or payment: what an id names, where it was, and where it is missing.
//!
//! The tables are asked by their keys, and the archive by the day that a webhook's id says; nothing is scanned. What waits in a
//! queue is counted and never taken. Dead letters are looked at and given back.

mod advice;
mod arrival;
mod letters;
mod model;
mod naming;
mod reading;
mod routes;
mod trace;

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use anyhow::Context;
use tollgate_aws::history::Decided;
use tollgate_core::{EndpointConfig, EndpointId, EventId, LedgerKey, PaymentEvent, Timestamp, WebhookId};
use tollgate_pipeline::{intake::Seal, ports::Known};

pub use self::advice::advice;
pub use self::model::{
    ClaimOf, Conflict, DecisionOf, EventOf, Named, Part, Payment, Progress, ReceiptOf, Step, Way, Webhook,
};
pub(crate) use self::trace::{claim_of, is_remembered};
use self::{
    arrival::Arrival,
    letters::{Asked, Letter},
    naming::Hits,
    reading::Archived,
    trace::{EventSeen, Seen},
};
use crate::{
    archived::{Archive, Found},
    aws::Aws,
    endpoints,
    queues::{self, Depth},
    tables::Tables,
};

/// Deliveries whose way is shown.
pub const MOST_WEBHOOKS: usize = 20;
/// Payments whose events are shown.
pub const MOST_PAYMENTS: usize = 10;

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Question {
    /// A webhook's id, our id of an event or an effect, a provider's id of an event, an id of a payment or a movement.
    pub id: String,
    /// At this endpoint alone.
    pub endpoint: Option<EndpointId>,
    /// Days (UTC) of the archive that are looked through for what no table knows.
    pub days: Vec<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

/// Looks for an id.
///
/// # Errors
///
/// When AWS does not answer or does not allow it. What only the archive would say is left out with a note instead.
pub async fn look(aws: &Aws, question: &Question) -> anyhow::Result<Way> {
    let mut endpoints = endpoints::all(aws).await?;
    if let Some(only) = question.endpoint {
        endpoints.retain(|endpoint| endpoint.id == only);
        anyhow::ensure!(!endpoints.is_empty(), "no endpoint is called {only}: see `tollgate endpoints list`");
    }
    let names: Vec<EndpointId> = endpoints.iter().map(|endpoint| endpoint.id).collect();
    let tables = Tables::of(aws, question.now);
    let archive = Archive::of(aws).await?;
    let mut hits = naming::in_tables(&tables, &names, &question.id).await?;
    let in_archive = naming::in_archive(&archive, &question.days, &names, &question.id, &mut hits).await;
    let mut search = Search {
        aws,
        now: question.now,
        endpoints,
        tables,
        archive,
        archived: BTreeMap::new(),
        arrivals: BTreeMap::new(),
        is_archive_read: true,
        notes: Vec::new(),
    };
    if let Err(problem) = in_archive {
        search.not_read(&problem);
    }
    search.run(question, hits).await
}

/// An event as the archive has it of the delivery that brought it.
pub(crate) async fn archived_event(
    archive: &Archive,
    endpoints: &[EndpointConfig],
    webhook_id: &WebhookId,
    id: EventId,
) -> anyhow::Result<Option<PaymentEvent<'static>>> {
    let found = archive.of_webhook(webhook_id).await?;
    let rows: Vec<&Found> = found.rows.iter().collect();
    Ok(reading::read(webhook_id, &rows, endpoints).events.into_iter().find(|event| event.id == id))
}

/// A search that is under way.
struct Search<'a> {
    aws: &'a Aws,
    now: Timestamp,
    endpoints: Vec<EndpointConfig>,
    tables: Tables,
    archive: Archive,
    /// The rows of each webhook.
    archived: BTreeMap<WebhookId, Vec<Found>>,
    arrivals: BTreeMap<WebhookId, Arrival>,
    is_archive_read: bool,
    notes: Vec<String>,
}

/// What was found beside the deliveries.
struct Finds {
    told: Vec<Told>,
    claims: BTreeMap<LedgerKey, Known>,
    contradictions: BTreeSet<(LedgerKey, WebhookId)>,
    letters: Vec<Letter>,
    allowed: Vec<Seal>,
    depths: Vec<Depth>,
    first_told: BTreeMap<EventId, EventId>,
}

/// A payment as the table has it.
struct Told {
    endpoint: EndpointId,
    transaction_id: String,
    latest: Option<EventId>,
    events: Vec<PaymentEvent<'static>>,
    decisions: Vec<Decided>,
    is_cut: bool,
}

impl Search<'_> {
    async fn run(mut self, question: &Question, hits: Hits) -> anyhow::Result<Way> {
        let Hits { names, mut webhooks, mut keys, mut payments, notes } = hits;
        self.notes.extend(notes);
        // Of a payment, all that told it.
        let mut told = BTreeMap::new();
        for payment in payments.clone() {
            let one = self.payment(&payment).await?;
            webhooks.extend(one.events.iter().map(|event| event.webhook_id));
            told.insert(payment, one);
        }
        let webhooks = self.bounded(webhooks);
        let mut deliveries: BTreeMap<WebhookId, Archived> = BTreeMap::new();
        for webhook_id in &webhooks {
            let delivery = self.delivery(webhook_id).await;
            keys.extend(delivery.events.iter().map(PaymentEvent::ledger_key));
            keys.extend(delivery.claimed.iter().cloned());
            keys.extend(self.arrivals.get(webhook_id).and_then(Arrival::key));
            let of_delivery =
                delivery.events.iter().map(|event| (event.endpoint, event.transaction_id.to_string()));
            payments.extend(of_delivery);
            deliveries.insert(*webhook_id, delivery);
        }
        if payments.len() > MOST_PAYMENTS {
            self.notes.push(format!("{MOST_PAYMENTS} of its {} payments are shown", payments.len()));
        }
        for payment in payments.into_iter().take(MOST_PAYMENTS) {
            if let Entry::Vacant(place) = told.entry(payment) {
                let one = self.payment(place.key()).await?;
                place.insert(one);
            }
        }
        let told: Vec<Told> = told.into_values().collect();
        let events = || told.iter().flat_map(|payment| &payment.events);
        keys.extend(events().map(PaymentEvent::ledger_key));

        let depths = queues::depths(self.aws).await?;
        let asked = Asked {
            webhooks: webhooks.iter().copied().collect(),
            events: keys.iter().map(LedgerKey::event_id).chain(events().map(|event| event.id)).collect(),
            keys: keys.clone(),
        };
        let letters = letters::look(self.aws, &depths, &asked).await?;
        self.notes.extend(letters.notes);
        let letters = letters.found;
        keys.extend(
            letters.iter().filter_map(|letter| letter.intake.as_ref()).flat_map(|one| one.claimed.clone()),
        );
        let keys: Vec<LedgerKey> = keys.into_iter().collect();
        let claims = self.tables.claims(&keys).await?;
        let contradictions = self.contradictions(&deliveries, &letters).await?;

        let seals: BTreeSet<Seal> =
            letters.iter().filter_map(|letter| Some(letter.intake.as_ref()?.seal)).collect();
        let allowed = self.tables.allowed(&seals.into_iter().collect::<Vec<_>>()).await?;

        let all: Vec<PaymentEvent<'static>> = events().cloned().collect();
        let first_told = self.tables.first_told(&all).await?;
        let finds = Finds { told, claims, contradictions, letters, allowed, depths, first_told };
        let found =
            deliveries.into_iter().map(|(webhook_id, delivery)| self.webhook(webhook_id, delivery, &finds));
        let found: Vec<Webhook> = found.collect();
        let payments = finds.told.iter().filter(|payment| !payment.events.is_empty());
        let payments: Vec<Payment> = payments.map(|payment| self.shown(payment, &finds)).collect();
        let is_empty = |depth: &Depth| depth.visible + depth.in_flight + depth.delayed == 0;
        Ok(Way {
            asked: question.id.clone(),
            looked_at: self.now,
            names,
            webhooks: found,
            payments,
            queues: finds.depths.into_iter().filter(|depth| !is_empty(depth)).collect(),
            notes: self.notes,
        })
    }

    fn bounded(&mut self, webhooks: BTreeSet<WebhookId>) -> Vec<WebhookId> {
        if webhooks.len() > MOST_WEBHOOKS {
            self.notes.push(format!(
                "the ways of {MOST_WEBHOOKS} of its {} deliveries are shown: ask for each of the others by its id",
                webhooks.len()
            ));
        }
        webhooks.into_iter().take(MOST_WEBHOOKS).collect()
    }

    fn not_read(&mut self, problem: &anyhow::Error) {
        self.is_archive_read = false;
        self.notes.push(format!(
            "the archive was not read ({problem:#}): it takes the role of investigators.json, which BucketReaders names"
        ));
    }

    /// What is kept of a delivery.
    async fn delivery(&mut self, webhook_id: &WebhookId) -> Archived {
        if self.is_archive_read {
            match self.archive.of_webhook(webhook_id).await {
                Ok(found) => {
                    self.notes.extend(found.notes);
                    self.archived.insert(*webhook_id, found.rows);
                }
                Err(problem) => self.not_read(&problem),
            }
        }
        match arrival::of(self.aws, webhook_id) {
            Ok(arrival) => self.arrivals.extend(arrival.map(|arrival| (*webhook_id, arrival))),
            Err(problem) => self.notes.push(format!("the validator's log was not read ({problem:#})")),
        }
        reading::read(webhook_id, &self.rows(webhook_id), &self.endpoints)
    }

    fn rows(&self, webhook_id: &WebhookId) -> Vec<&Found> {
        self.archived.get(webhook_id).into_iter().flatten().collect()
    }

    async fn payment(&self, (endpoint, id): &(EndpointId, String)) -> anyhow::Result<Told> {
        let key = PaymentEvent::transaction_key_of(endpoint, id);
        let (past, latest) = (self.tables.past(&key).await?, self.tables.latest(&key).await?);
        let events = past.events.iter().map(|json| serde_json::from_str(json));
        Ok(Told {
            endpoint: *endpoint,
            transaction_id: id.clone(),
            latest: latest.state.map(|state| state.event_id),
            events: events.collect::<Result<_, _>>().with_context(|| format!("an event of {key}"))?,
            decisions: past.decisions,
            is_cut: past.is_cut,
        })
    }

    /// Which delivery contradicts which event.
    async fn contradictions(
        &self,
        deliveries: &BTreeMap<WebhookId, Archived>,
        letters: &[Letter],
    ) -> anyhow::Result<BTreeSet<(LedgerKey, WebhookId)>> {
        let mut asked: BTreeSet<(LedgerKey, WebhookId)> = BTreeSet::new();
        for (webhook_id, delivery) in deliveries {
            let keys =
                delivery.events.iter().map(PaymentEvent::ledger_key).chain(delivery.claimed.iter().cloned());
            asked.extend(keys.map(|key| (key, *webhook_id)));
        }
        for intake in letters.iter().filter_map(|letter| letter.intake.as_ref()) {
            asked.extend(intake.claimed.iter().map(|key| (key.clone(), intake.webhook_id)));
        }
        let asked: Vec<(LedgerKey, WebhookId)> = asked.into_iter().collect();
        let mut found: BTreeSet<(LedgerKey, WebhookId)> =
            self.tables.contradictions(&asked).await?.into_iter().collect();
        // The message says it too, for longer than the ledger.
        for intake in letters.iter().filter_map(|letter| letter.intake.as_ref()) {
            let told = intake.claimed.iter().filter(|key| intake.conflicts.contains(&key.event_id()));
            found.extend(told.map(|key| (key.clone(), intake.webhook_id)));
        }
        Ok(found)
    }

    fn webhook(&self, webhook_id: WebhookId, delivery: Archived, finds: &Finds) -> Webhook {
        let Finds { told, claims, contradictions, letters, allowed, depths, .. } = finds;
        let rows = self.rows(&webhook_id);
        let arrival = self.arrivals.get(&webhook_id);
        let own = letters.iter().filter_map(|letter| letter.intake.as_ref());
        let own: Vec<_> = own.filter(|intake| intake.webhook_id == webhook_id).collect();
        let mut events = delivery.events.clone();
        // What the history has of it is as it was published.
        for event in told.iter().flat_map(|payment| &payment.events) {
            match events.iter_mut().find(|known| known.id == event.id) {
                Some(known) => *known = event.clone(),
                None if event.webhook_id == webhook_id => events.push(event.clone()),
                None => {}
            }
        }
        let mut keys: Vec<LedgerKey> = events.iter().map(PaymentEvent::ledger_key).collect();
        let more = delivery.claimed.iter().cloned().chain(arrival.and_then(Arrival::key));
        for key in more.chain(own.iter().flat_map(|intake| intake.claimed.clone())) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let is_at = |at| is_remembered(at, self.now);
        let seen = |key: LedgerKey| {
            let event = events.iter().find(|event| event.ledger_key() == key);
            let payment = event.and_then(|event| {
                told.iter()
                    .find(|one| one.endpoint == event.endpoint && one.transaction_id == event.transaction_id)
            });
            let id = event.map_or_else(|| key.event_id(), |event| event.id);
            EventSeen {
                claim: claim_of(claims.get(&key), webhook_id.arrived_at(), is_at),
                is_recorded: payment.map(|one| one.events.iter().any(|known| known.id == id)),
                decision: payment.and_then(|one| decision(&one.decisions, id)),
                is_contradicted: contradictions.contains(&(key.clone(), webhook_id)),
                event: event.cloned(),
                key,
            }
        };
        let seen: Vec<EventSeen> = keys.into_iter().map(seen).collect();
        let endpoint = delivery
            .endpoint
            .or_else(|| own.first().map(|intake| intake.endpoint))
            .or_else(|| arrival.and_then(|arrival| EndpointId::new(&arrival.endpoint).ok()));
        let config = self.endpoints.iter().find(|config| Some(config.id) == endpoint);
        let steps = Seen {
            now: self.now,
            names: &self.aws.names,
            webhook_id,
            arrival,
            receipt: delivery.receipt.as_ref(),
            delivery: config.map(|config| config.delivery),
            rows: &rows,
            is_archive_read: self.is_archive_read,
            letters,
            allowed,
            events: &seen,
            depths,
        }
        .steps();
        Webhook {
            webhook_id,
            endpoint,
            provider: delivery.provider.or_else(|| events.first().map(|event| event.provider)),
            receipt: delivery.receipt,
            steps,
            events,
            headers: delivery.headers,
            body: delivery.body,
            object: delivery.object,
        }
    }

    fn shown(&self, told: &Told, finds: &Finds) -> Payment {
        let Finds { claims, contradictions, first_told, .. } = finds;
        let mut arrivals: Vec<(Timestamp, EventId)> =
            told.events.iter().map(|event| (event.received_at, event.id)).collect();
        arrivals.sort();
        let place = |id| arrivals.iter().position(|(_, known)| *known == id).map_or(0, |place| place + 1);
        let aliases: BTreeSet<String> = told
            .events
            .iter()
            .flat_map(|event| event.transaction_aliases.iter().map(|id| id.to_string()))
            .collect();
        let keys: BTreeMap<LedgerKey, &PaymentEvent<'static>> =
            told.events.iter().map(|event| (event.ledger_key(), event)).collect();
        let conflict = |(key, webhook_id): &(LedgerKey, WebhookId)| {
            let event = keys.get(key)?;
            Some(Conflict {
                webhook_id: *webhook_id,
                provider_event_id: event.provider_event_id.to_string(),
                event_id: event.id,
            })
        };
        let conflicts = contradictions.iter().filter_map(conflict).collect();
        let is_at = |at| is_remembered(at, self.now);
        let events = told.events.iter().map(|event| EventOf {
            arrived_as: place(event.id),
            claim: claim_of(claims.get(&event.ledger_key()), event.received_at, is_at),
            effect_told_by: first_told.get(&event.id).copied(),
            decision: decision(&told.decisions, event.id),
            event: event.clone(),
        });
        let events = events.collect();
        Payment {
            endpoint: told.endpoint,
            transaction_id: told.transaction_id.clone(),
            aliases: aliases.into_iter().collect(),
            latest: told.latest,
            events,
            is_cut: told.is_cut,
            conflicts,
        }
    }
}

fn decision(decisions: &[Decided], id: EventId) -> Option<DecisionOf> {
    let decided = decisions.iter().find(|decided| decided.event_id == id)?;
    Some(DecisionOf {
        at: decided.at,
        score: decided.decision.score,
        verdict: decided.decision.verdict.as_str().to_owned(),
        reasons: decided.decision.reasons.iter().map(|reason| reason.code().to_owned()).collect(),
    })
}
