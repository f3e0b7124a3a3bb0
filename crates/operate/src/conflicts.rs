//! Conflicts: deliveries that told a known event with other payment facts, and an operator's decision which facts are true.
//!
//! Each is a dead letter of an intake until it is decided, or SQS deletes it. A decision writes no claim and publishes nothing:
//! the facts that an event was claimed with stand, and others have an effect as an event of its own alone. What is deleted is a
//! message that can have no effect.

use std::sync::atomic::AtomicBool;

use anyhow::{Context, ensure};
use aws_sdk_sqs::Client;
use serde::Serialize;
use serde_json::json;
use tollgate_core::{
    EndpointConfig, EndpointId, EventId, LedgerKey, PaymentEvent, Queue, Timestamp, WebhookId,
};
use tollgate_pipeline::{
    intake::attribute,
    ports::{Known, LedgerState},
};

use crate::{
    archived::Archive,
    audit::{Act, Reason},
    aws::Aws,
    dlq::{
        self, Dead, Filter, Opened, Source,
        forecast::{Clock, EventTold, Forecaster, PaymentFacts},
        purge::{self, Purged, purge},
    },
    endpoints,
    tables::Tables,
    way::{ClaimOf, archived_event, claim_of, is_remembered},
};

/// The reason of their dead letters.
pub const REASON: &str = "conflicting_facts";
/// Those of a list that are looked into, each with a few calls.
pub const MOST_LISTED: usize = 100;

/// A delivery that contradicts what is known, as long as it is among the dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contested {
    /// The delivery.
    pub webhook_id: WebhookId,
    /// Where it arrived.
    pub endpoint: EndpointId,
    /// The dead-letter queue, without the environment's suffix.
    pub queue: String,
    /// When it was set aside.
    pub set_aside_at: Timestamp,
    /// When SQS deletes it, at the earliest.
    pub expires_at: Timestamp,
    /// Its events that contradict a claim.
    pub conflicts: Vec<Conflict>,
    /// Its other events that still need its message: as long as there are any, it is not decided.
    pub needed_by: Vec<EventId>,
    /// What could not be read.
    pub notes: Vec<String>,
    #[serde(skip)]
    message_id: String,
}

/// Two sets of facts under one event id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The provider's id of the event.
    pub provider_event_id: String,
    /// Ours.
    pub event_id: EventId,
    /// Its claim.
    pub claim: ClaimOf,
    /// The facts that it was claimed with: they stand. `None` where neither the transactions nor the archive has them.
    pub stands: Option<PaymentFacts>,
    /// Those of the delivery that contradicts them: they have no effect.
    pub told: PaymentFacts,
    #[serde(skip)]
    event: EventTold,
}

/// Which facts are true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Those that the event was claimed with.
    Keep,
    /// The others: they came as events of their own, which have these ids of the provider.
    Take(Vec<String>),
}

impl Decision {
    /// The command that decides so.
    pub fn command(&self) -> &'static str {
        match self {
            Self::Keep => "conflicts keep",
            Self::Take(_) => "conflicts take",
        }
    }
}

/// What was looked for among the dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Those that were found, the newest first.
    pub all: Vec<Contested>,
    /// There are more of them than [`MOST_LISTED`]: the others were not looked into.
    pub is_full: bool,
    /// Queues with more dead letters than were looked at: any of those may be one of them.
    pub cut: Vec<String>,
}

impl Found {
    /// Whether there is none: all were looked at.
    pub fn is_none(&self) -> bool {
        self.all.is_empty() && !self.is_full && self.cut.is_empty()
    }
}

/// What may be decided, and what may not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// Deliveries that are decided, or would be.
    pub decided: Vec<WebhookId>,
    /// Those that are not, and why.
    pub refused: Vec<(WebhookId, String)>,
}

impl Judgement {
    /// Of a delivery with several messages all are decided, or none.
    fn of(each: Vec<(WebhookId, Option<String>)>) -> Self {
        let mut judgement = Self::default();
        for (webhook_id, why_not) in &each {
            match why_not {
                Some(why) => judgement.refused.push((*webhook_id, why.clone())),
                None if each.iter().any(|(other, why_not)| other == webhook_id && why_not.is_some()) => {}
                None => judgement.decided.push(*webhook_id),
            }
        }
        judgement
    }
}

/// What deciding did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// What was decided.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// What became of the messages.
    pub purged: Purged,
    /// The act of its records.
    pub act: String,
}

impl Done {
    /// Whether every message of what was decided is gone.
    pub fn is_whole(&self) -> bool {
        let purged = &self.purged;
        self.judgement.refused.is_empty()
            && purged.error.is_none()
            && !purged.stopped
            && purged.kept.is_empty()
            && usize::try_from(purged.count).is_ok_and(|count| count >= self.judgement.decided.len())
    }
}

/// The intakes' dead letters that conflict.
fn filter() -> Filter {
    Filter {
        queues: vec![Source::Of(Queue::Intake), Source::Of(Queue::IntakeOrdered)],
        reason: Some(REASON.to_owned()),
        ..Filter::default()
    }
}

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
fn parted(events: Vec<EventTold>) -> (Vec<EventTold>, Vec<EventId>) {
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

/// Whether each may be decided so. Nothing is done by that.
///
/// # Errors
///
/// When the ledger or the archive does not answer.
pub async fn judge(
    aws: &Aws,
    now: Timestamp,
    all: &[Contested],
    decision: &Decision,
) -> anyhow::Result<Judgement> {
    let (tables, archive) = (Tables::of(aws, now), Archive::of(aws).await?);
    let mut each = Vec::new();
    for contested in all {
        let known = match decision {
            Decision::Keep => Vec::new(),
            Decision::Take(by) => {
                let keys: Vec<LedgerKey> =
                    by.iter().map(|id| LedgerKey::new(&contested.endpoint, id)).collect();
                tables.claims(&keys).await?.into_values().collect()
            }
        };
        let mut why_not = why_not(contested, decision, &known);
        if why_not.is_none() && archive.of_webhook(&contested.webhook_id).await?.rows.is_empty() {
            why_not = Some("it is not in the archive: look again in some minutes".to_owned());
        }
        each.push((contested.webhook_id, why_not));
    }
    Ok(Judgement::of(each))
}

fn why_not(contested: &Contested, decision: &Decision, known: &[Known]) -> Option<String> {
    if contested.conflicts.is_empty() {
        return Some("nothing in it can be read now that contradicts a claim: see `dlq show`".to_owned());
    }
    if let Some(event) = contested.needed_by.first() {
        return Some(format!("its event {event} is not processed: redrive it first, with --all"));
    }
    if *decision == Decision::Keep {
        return None;
    }
    let is_told = |conflict: &Conflict| {
        known.iter().any(|known| {
            known.state == LedgerState::Processed && conflict.event.fingerprint.is(&known.fingerprint)
        })
    };
    let missing = contested.conflicts.iter().find(|conflict| !is_told(conflict))?;
    Some(format!(
        "no processed event of those that are named says what {} does: have its sender send these facts under another event id",
        missing.provider_event_id
    ))
}

/// Decides what may be decided so: records it, and deletes the messages whose webhooks the archive has. Otherwise nothing may be,
/// and why. `most` dead letters of each queue are looked at to find them again.
///
/// # Errors
///
/// When AWS does not answer, or does not take the record; then nothing was done, or the record of its end is missing.
pub async fn decide(
    aws: &Aws,
    clock: Clock,
    all: &[Contested],
    decision: &Decision,
    reason: Reason,
    most: u64,
) -> anyhow::Result<Result<Done, Judgement>> {
    let judgement = judge(aws, clock(), all, decision).await?;
    let is_decided = |one: &&Contested| judgement.decided.contains(&one.webhook_id);
    let chosen: Vec<&Contested> = all.iter().filter(is_decided).collect();
    if chosen.is_empty() {
        return Ok(Err(judgement));
    }
    let mut ids: Vec<String> = chosen.iter().map(|one| one.webhook_id.to_string()).collect();
    if let Decision::Take(by) = decision {
        ids.extend(by.iter().cloned());
    }
    ids.dedup();
    let details = json!({ "decision": decision, "conflicts": chosen });
    let mut act = Act::begin(aws, clock(), decision.command(), reason, ids, details).await?;
    let messages = chosen.iter().map(|one| one.message_id.clone()).collect();
    let plan = purge::Plan { filter: Filter { ids: messages, ..filter() }, most };
    let purged = purge(aws, clock, &plan, Some(&mut act), &AtomicBool::new(false), |_| {}).await;
    act.end(clock(), Vec::new(), serde_json::to_value(&purged)?)
        .await
        .context("the messages were deleted")?;
    Ok(Ok(Done { judgement, purged, act: act.name().to_owned() }))
}

#[cfg(test)]
mod tests {
    use tollgate_core::{EventType, Facts};

    use super::*;

    fn delivery(number: u128) -> WebhookId {
        WebhookId::new(Timestamp::UNIX_EPOCH, number)
    }

    fn told(id: &str, refused: Option<&'static str>, is_done: bool) -> EventTold {
        let endpoint = EndpointId::new("acme").unwrap();
        let key = LedgerKey::new(&endpoint, id);
        let facts = Facts::new(id, "payment", EventType::PaymentSucceeded);
        EventTold {
            id: EventId::new(&endpoint, id),
            facts: PaymentFacts {
                kind: facts.kind,
                transaction_id: "pay_1".to_owned(),
                movement_id: "pay_1".to_owned(),
                amount: None,
                occurred_at: Timestamp::UNIX_EPOCH,
            },
            claim: key.as_str().to_owned(),
            refused,
            is_behind: None,
            key,
            fingerprint: facts.fingerprint(),
            is_done,
        }
    }

    fn contested(events: Vec<EventTold>) -> Contested {
        let (contradicting, needed_by) = parted(events);
        let conflict = |event: EventTold| Conflict {
            provider_event_id: "first".to_owned(),
            event_id: event.id,
            claim: ClaimOf::Forgotten,
            stands: None,
            told: event.facts.clone(),
            event,
        };
        Contested {
            webhook_id: delivery(1),
            endpoint: EndpointId::new("acme").unwrap(),
            queue: "webhook-intake-dlq".to_owned(),
            set_aside_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
            conflicts: contradicting.into_iter().map(conflict).collect(),
            needed_by,
            notes: Vec::new(),
            message_id: "m1".to_owned(),
        }
    }

    /// Its message is the only one of the event that is not processed: deleting it would lose that.
    #[test]
    fn a_message_that_another_event_needs_is_not_decided() {
        let contradicts = || told("first", Some(REASON), false);
        for (other, is_needed) in [
            (told("second", None, false), true),
            (told("second", Some("altered"), false), true),
            (told("second", None, true), false),
        ] {
            let id = other.id.to_string();
            let contested = contested(vec![contradicts(), other]);
            assert_eq!(contested.conflicts.len(), 1);
            // An event of its own tells what contradicts, so `take` has no other reason to refuse.
            let known = Known {
                state: LedgerState::Processed,
                webhook_id: None,
                received_at: Timestamp::UNIX_EPOCH,
                fingerprint: contested.conflicts[0].event.fingerprint.to_string(),
                terms: None,
                is_aside: false,
            };
            for decision in [Decision::Keep, Decision::Take(vec!["corrected".to_owned()])] {
                let refused = why_not(&contested, &decision, std::slice::from_ref(&known));
                assert_eq!(refused.is_some(), is_needed, "{decision:?}: {refused:?}");
                assert!(refused.is_none_or(|why| why.contains(&id)), "it says which");
            }
        }
    }

    #[test]
    fn there_is_none_where_all_were_looked_at() {
        assert!(Found::default().is_none());
        let cut = vec!["webhook-intake-dlq".to_owned()];
        let of_these = Found { all: vec![contested(Vec::new())], ..Found::default() };
        for found in
            [of_these, Found { is_full: true, ..Found::default() }, Found { cut, ..Found::default() }]
        {
            assert!(!found.is_none(), "{found:?}");
        }
    }

    #[test]
    fn of_a_delivery_with_several_messages_all_are_decided_or_none() {
        let why = || Some("it is not in the archive".to_owned());
        let (one, other) = (delivery(1), delivery(2));
        for (each, decided, refused) in [
            (vec![(one, None), (one, None), (other, why())], vec![one, one], vec![other]),
            (vec![(one, None), (one, why()), (other, None)], vec![other], vec![one]),
            (vec![(one, why()), (one, None)], vec![], vec![one]),
        ] {
            let judgement = Judgement::of(each.clone());
            let not: Vec<WebhookId> =
                judgement.refused.into_iter().map(|(webhook_id, _)| webhook_id).collect();
            assert_eq!((judgement.decided, not), (decided, refused), "{each:?}");
        }
    }
}
