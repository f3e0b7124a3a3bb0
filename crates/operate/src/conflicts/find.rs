//! Conflicts among the dead letters, with the facts that stand.

use anyhow::ensure;
use aws_sdk_sqs::Client;
use tollgate_core::{EndpointConfig, EndpointId, EventId, LedgerKey, PaymentEvent, Timestamp, WebhookId};
use tollgate_pipeline::{intake::attribute, ports::Known};

use super::model::{Conflict, Contested, Found, MOST_LISTED, REASON, filter};
use crate::{
    archived::Archive,
    aws::Aws,
    dlq::{
        self, Dead, Filter, Opened,
        forecast::{Clock, EventTold, Forecaster, PaymentFacts},
    },
    endpoints,
    tables::Tables,
    way::{archived_event, claim_of, is_remembered},
};

/// Those that wait, of an endpoint or of all. `most` dead letters of each queue are looked at.
///
/// # Errors
///
/// When AWS does not answer.
pub async fn waiting(
    aws: &Aws,
    clock: Clock,
    endpoint: Option<EndpointId>,
    most: u64,
) -> anyhow::Result<Found> {
    let filter = Filter { endpoint: endpoint.map(|endpoint| endpoint.to_string()), ..filter() };
    look(aws, clock, &filter, most).await
}

/// The messages of these deliveries that conflict. What is set aside names its delivery, and of its events none: the reason has the
/// place of their id. `most` dead letters of each queue are looked at.
///
/// # Errors
///
/// When no delivery is named, AWS does not answer, or there are more than [`MOST_LISTED`].
pub async fn of(aws: &Aws, clock: Clock, ids: &[WebhookId], most: u64) -> anyhow::Result<Found> {
    // A filter without ids wants every one.
    ensure!(!ids.is_empty(), "no delivery is named");
    let ids = ids.iter().map(ToString::to_string).collect();
    let found = look(aws, clock, &Filter { ids, ..filter() }, most).await?;
    ensure!(!found.is_full, "these ids name more than {MOST_LISTED} dead letters: name fewer");
    Ok(found)
}

async fn look(aws: &Aws, clock: Clock, filter: &Filter, most: u64) -> anyhow::Result<Found> {
    let sqs = Client::new(&aws.config);
    let mut reader = Reader::of(aws, clock()).await?;
    let mut looked = Found::default();
    for source in filter.sources() {
        let opened = Opened::of(aws, &sqs, source).await?;
        let mut found: Vec<Dead> = Vec::new();
        let room = MOST_LISTED.saturating_sub(looked.all.len());
        let mut is_full = false;
        let is_cut = dlq::look(&sqs, &opened, most, |dead| {
            if filter.wants(&dead.letter(&opened)?) {
                is_full = found.len() == room;
                if !is_full {
                    found.push(dead.clone());
                }
            }
            Ok(!is_full)
        })
        .await?;
        looked.is_full |= is_full;
        for dead in &found {
            // One for each: what one tells decides nothing of another.
            let explained = Forecaster::new(aws, &sqs, clock, source).await?.explain(dead).await;
            looked.all.extend(reader.read(&opened, dead, explained.events).await?);
        }
        looked.cut.extend(is_cut.then_some(opened.name));
    }
    looked.all.sort_by_key(|one| std::cmp::Reverse(one.set_aside_at));
    Ok(looked)
}

/// Reads the facts that stand.
struct Reader {
    tables: Tables,
    archive: Archive,
    endpoints: Vec<EndpointConfig>,
    now: Timestamp,
}

impl Reader {
    async fn of(aws: &Aws, now: Timestamp) -> anyhow::Result<Self> {
        Ok(Self {
            tables: Tables::of(aws, now),
            archive: Archive::of(aws).await?,
            endpoints: endpoints::all(aws).await?,
            now,
        })
    }

    /// `None`: no message of ours, which nothing is known of.
    async fn read(
        &mut self,
        opened: &Opened,
        dead: &Dead,
        events: Vec<EventTold>,
    ) -> anyhow::Result<Option<Contested>> {
        let webhook_id = dead.attribute(attribute::WEBHOOK_ID).and_then(WebhookId::parse);
        let endpoint = dead.attribute(attribute::ENDPOINT).and_then(|name| EndpointId::new(name).ok());
        let (Some(webhook_id), Some(endpoint)) = (webhook_id, endpoint) else { return Ok(None) };
        let letter = dead.letter(opened)?;
        let mut contested = Contested {
            webhook_id,
            endpoint,
            queue: letter.alike.queue,
            set_aside_at: letter.sent_at,
            expires_at: letter.expires_at,
            conflicts: Vec::new(),
            needed_by: Vec::new(),
            notes: Vec::new(),
            message_id: letter.message_id,
        };
        let keys: Vec<LedgerKey> = events.iter().map(|event| event.key.clone()).collect();
        let claims = self.tables.claims(&keys).await?;
        let (contradicting, needed_by) = parted(events);
        contested.needed_by = needed_by;
        for event in contradicting {
            let known = claims.get(&event.key);
            let (stands, notes) = self.stands(&contested, &event, known).await;
            contested.notes.extend(notes);
            let own = event.key.as_str().split_once('#').map_or("", |(_, id)| id);
            contested.conflicts.push(Conflict {
                provider_event_id: own.to_owned(),
                event_id: event.id,
                claim: claim_of(known, webhook_id.arrived_at(), |at| is_remembered(at, self.now)),
                stands,
                told: event.facts.clone(),
                event,
            });
        }
        Ok(Some(contested))
    }

    /// By the payment that both name; else by the delivery that claimed the event.
    async fn stands(
        &self,
        contested: &Contested,
        event: &EventTold,
        known: Option<&Known>,
    ) -> (Option<PaymentFacts>, Vec<String>) {
        let mut notes = Vec::new();
        let key = PaymentEvent::transaction_key_of(&contested.endpoint, &event.facts.transaction_id);
        match self.tables.past(&key).await {
            Ok(past) => {
                let all = past.events.iter().filter_map(|json| serde_json::from_str(json).ok());
                let found = all.into_iter().find(|one: &PaymentEvent<'static>| one.id == event.id);
                if let Some(found) = found {
                    return (Some(facts(&found)), notes);
                }
            }
            Err(problem) => notes.push(format!("{problem:#}")),
        }
        if let Some(webhook_id) = known.and_then(|known| known.webhook_id) {
            match archived_event(&self.archive, &self.endpoints, &webhook_id, event.id).await {
                Ok(found) => return (found.as_ref().map(facts), notes),
                Err(problem) => notes.push(format!("the archive was not read ({problem:#})")),
            }
        }
        (None, notes)
    }
}

/// The events of a message that contradict a claim, and which others still need it.
pub(super) fn parted(events: Vec<EventTold>) -> (Vec<EventTold>, Vec<EventId>) {
    let (contradicting, others): (Vec<EventTold>, Vec<EventTold>) =
        events.into_iter().partition(|event| event.refused == Some(REASON));
    (contradicting, others.iter().filter(|event| !event.is_done).map(|event| event.id).collect())
}

fn facts(event: &PaymentEvent<'_>) -> PaymentFacts {
    PaymentFacts {
        kind: event.kind,
        transaction_id: event.transaction_id.to_string(),
        movement_id: event.movement_id.to_string(),
        amount: event.amount,
        occurred_at: event.occurred_at,
    }
}
