//! What is known of one movement of money, and what that says about an event of it. Pure: no clock, no I/O.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tollgate_core::{EventType, event::nine_decimals};

use crate::{
    parse::Event,
    states::{begins, rank, settled},
};

/// What to do with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Handle it.
    Handle,
    /// This event was handled.
    Repeat,
    /// Its effect was handled, told by another event.
    Restated,
    /// Its movement is past this state.
    Stale,
    /// Another event of its movement is being handled.
    Busy,
}

/// All that a consumer keeps of one movement. Its JSON form is the same in the packages of all languages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Row {
    /// The event that told it, by effect.
    pub done: BTreeMap<String, String>,
    /// The type of the last ranked event that was handled.
    pub state: Option<String>,
    /// When that happened: RFC 3339 with nine decimals.
    pub at: Option<String>,
    /// Who handles an event of the movement.
    pub owner: Option<String>,
    /// How long the owner may take: milliseconds since 1970.
    pub until: i64,
}

impl Row {
    /// What to do with the event. `now` in milliseconds since 1970.
    pub fn decide(&self, event: &Event, now: i64) -> Decision {
        if self.done.values().any(|id| id == event.id().as_str()) {
            return Decision::Repeat;
        }
        if self.done.contains_key(event.effect_id().as_str()) {
            return Decision::Restated;
        }
        if self.owner.is_some() && self.until > now {
            return Decision::Busy;
        }
        if self.is_past(event) { Decision::Stale } else { Decision::Handle }
    }

    /// Whether the movement is past the event's state.
    ///
    /// 1. A state of a higher rank is not stale.
    /// 2. One of the same rank is, if it happened before the state that was reached.
    /// 3. One of a lower rank is, unless the provider says that it happened later: a payment that fails after its success.
    ///    What only begins a movement ([`begins`]) is stale after a settled state ([`settled`]) whatever its time.
    pub fn is_past(&self, event: &Event) -> bool {
        let reached = self.state.as_deref().and_then(EventType::parse);
        let (Some(kind), Some(reached), Some(reached_at)) = (event.kind(), reached, &self.at) else {
            return false;
        };
        let (Some(new), Some(old)) = (rank(kind), rank(reached)) else { return false };
        let at = nine_decimals(event.times().0);
        if new >= old {
            return new == old && at < *reached_at;
        }
        // Where the provider gives no time, `occurred_at` is that of the arrival and says nothing about the order.
        let is_later = event.dated().is_some() && at > *reached_at;
        !is_later || (begins(kind) && settled(reached))
    }

    pub(crate) fn lease(&mut self, owner: &str, until: i64) {
        self.owner = Some(owner.to_owned());
        self.until = until;
    }

    /// Ends the lease, if it is still this owner's.
    pub(crate) fn release(&mut self, owner: &str) {
        if self.owner.as_deref() == Some(owner) {
            self.owner = None;
            self.until = 0;
        }
    }

    /// The event's effect is done and its state reached. Where the handler took longer than its lease, another event may have
    /// brought the movement further meanwhile: that state stands.
    pub(crate) fn finish(&mut self, event: &Event) {
        self.done.insert(event.effect_id().as_str().to_owned(), event.id().as_str().to_owned());
        if let Some(kind) = event.kind().filter(|kind| rank(*kind).is_some() && !self.is_past(event)) {
            self.state = Some(kind.as_str().to_owned());
            self.at = Some(nine_decimals(event.times().0));
        }
    }
}
