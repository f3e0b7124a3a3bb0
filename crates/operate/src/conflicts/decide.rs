//! An operator's decision which facts are true.

use std::sync::atomic::AtomicBool;

use anyhow::Context;
use serde::Serialize;
use serde_json::json;
use tollgate_core::{LedgerKey, Timestamp, WebhookId};
use tollgate_pipeline::ports::{Known, LedgerState};

use super::model::{Conflict, Contested, filter};
use crate::{
    archived::Archive,
    audit::{Act, Reason},
    aws::Aws,
    dlq::{
        Filter,
        forecast::Clock,
        purge::{self, Purged, choose, purge},
    },
    tables::Tables,
};

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
    /// When it began.
    #[serde(skip)]
    pub began: Timestamp,
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
/// and why. `most` dead letters of each queue are looked at to find them again. `stop` ends it: what was not deleted by then is where it
/// was, and the record of the end says so.
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
    stop: &AtomicBool,
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
    let messages = chosen.iter().map(|one| one.message_id.clone()).collect();
    let plan = purge::Plan { filter: Filter { ids: messages, ..filter() }, most };
    let letters = choose(aws, &plan).await?;
    let mut act = Act::begin(aws, clock(), decision.command(), reason, ids, details).await?;
    let purged = purge(aws, clock, &plan, letters, &mut act, stop, |_| {}).await;
    act.end(clock(), Vec::new(), serde_json::to_value(&purged)?)
        .await
        .context("the messages were deleted")?;
    Ok(Ok(Done { judgement, purged, act: act.name().to_owned(), began: act.began() }))
}

#[cfg(test)]
mod tests {
    use tollgate_core::{EndpointId, EventId, EventType, Facts};

    use super::*;
    use crate::{
        conflicts::{
            find::parted,
            model::{REASON, tests::contested},
        },
        dlq::forecast::{EventTold, PaymentFacts},
        way::ClaimOf,
    };

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

    fn contested_by(events: Vec<EventTold>) -> Contested {
        let (contradicting, needed_by) = parted(events);
        let conflict = |event: EventTold| Conflict {
            provider_event_id: "first".to_owned(),
            event_id: event.id,
            claim: ClaimOf::Forgotten,
            stands: None,
            told: event.facts.clone(),
            event,
        };
        contested(contradicting.into_iter().map(conflict).collect(), needed_by)
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
            let contested = contested_by(vec![contradicts(), other]);
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
