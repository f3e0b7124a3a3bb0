//! What a conflict is.

use serde::Serialize;
use tollgate_core::{EndpointId, EventId, Queue, Timestamp, WebhookId};

use crate::{
    dlq::{
        Filter, Source,
        forecast::{EventTold, PaymentFacts},
    },
    way::ClaimOf,
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
    pub(super) message_id: String,
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
    pub(super) event: EventTold,
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

/// The intakes' dead letters that conflict.
pub(super) fn filter() -> Filter {
    Filter {
        queues: vec![Source::Of(Queue::Intake), Source::Of(Queue::IntakeOrdered)],
        reason: Some(REASON.to_owned()),
        ..Filter::default()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::conflicts) fn contested(conflicts: Vec<Conflict>, needed_by: Vec<EventId>) -> Contested {
        Contested {
            webhook_id: WebhookId::new(Timestamp::UNIX_EPOCH, 1),
            endpoint: EndpointId::new("acme").unwrap(),
            queue: "webhook-intake-dlq".to_owned(),
            set_aside_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
            conflicts,
            needed_by,
            notes: Vec::new(),
            message_id: "m1".to_owned(),
        }
    }

    #[test]
    fn there_is_none_where_all_were_looked_at() {
        assert!(Found::default().is_none());
        let cut = vec!["webhook-intake-dlq".to_owned()];
        let of_these = Found { all: vec![contested(Vec::new(), Vec::new())], ..Found::default() };
        for found in
            [of_these, Found { is_full: true, ..Found::default() }, Found { cut, ..Found::default() }]
        {
            assert!(!found.is_none(), "{found:?}");
        }
    }
}
