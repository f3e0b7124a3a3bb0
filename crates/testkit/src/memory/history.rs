//! The transaction history in memory, and the bus and clock that the fraud check needs besides.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use tollgate_core::{Category, PaymentEvent, Timestamp};
use tollgate_pipeline::ports::{
    Clock, Decisions, Document, EventBus, History, PortError, PortResult, Recent,
};
use tollgate_risk::Decision;

use crate::schema;

/// Events by transaction and sort key, with the decision on each.
#[derive(Debug, Default)]
pub struct MemoryHistory {
    events: Mutex<BTreeMap<(String, String), Entry>>,
}

#[derive(Debug, Clone)]
struct Entry {
    customer_key: Option<String>,
    occurred_at: Timestamp,
    decision: Option<(Decision, Timestamp)>,
}

impl MemoryHistory {
    /// Puts an event into its transaction's history.
    pub fn insert(&self, event: &PaymentEvent<'_>) {
        let counts = event.category == Category::Payment && event.restates.is_none();
        let customer_key = event.customer_key().filter(|_| counts);
        let entry = Entry { customer_key, occurred_at: event.occurred_at, decision: None };
        self.lock().insert((event.transaction_key(), event.sort_key()), entry);
    }

    /// What is recorded on an event, and since when.
    pub fn decision(&self, event: &PaymentEvent<'_>) -> Option<(Decision, Timestamp)> {
        self.lock().get(&(event.transaction_key(), event.sort_key()))?.decision.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), Entry>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History for &MemoryHistory {
    async fn recent(&self, recent: &Recent<'_>) -> PortResult<u32> {
        let events = self.lock();
        let payments: BTreeSet<&str> = events
            .iter()
            .filter(|(_, entry)| entry.customer_key.as_deref() == Some(recent.customer_key))
            .filter(|(_, entry)| (recent.since..=recent.until).contains(&entry.occurred_at))
            .map(|((transaction, _), _)| transaction.as_str())
            .filter(|transaction| *transaction != recent.except)
            .collect();
        Ok(u32::try_from(payments.len()).unwrap_or(u32::MAX).min(recent.at_most))
    }
}

impl Decisions for &MemoryHistory {
    async fn record(
        &self,
        event: &PaymentEvent<'_>,
        decision: &Decision,
        at: Timestamp,
    ) -> PortResult<Option<Decision>> {
        let mut events = self.lock();
        let entry = events.get_mut(&(event.transaction_key(), event.sort_key()));
        Ok(entry.map(|entry| entry.decision.get_or_insert_with(|| (decision.clone(), at)).0.clone()))
    }
}

/// A bus that keeps what is published. It panics at what is no payment event: no test has to ask.
#[derive(Debug, Default)]
pub struct MemoryBus {
    published: Mutex<Vec<String>>,
    failures: Mutex<Vec<PortError>>,
}

impl MemoryBus {
    /// Makes the next event's publication fail; called again, the one after it.
    pub fn fail(&self, problem: PortError) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
    }

    /// The JSON of every published event, in order.
    pub fn published(&self) -> Vec<String> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl EventBus for &MemoryBus {
    async fn publish(&self, events: &[Document<'_>]) -> Vec<PortResult<()>> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        let publish = |document: &Document<'_>| match failures.pop() {
            Some(problem) => Err(problem),
            None => {
                schema::check(document.json);
                published.push(document.json.to_owned());
                Ok(())
            }
        };
        events.iter().map(publish).collect()
    }
}

/// A clock that stands.
#[derive(Debug, Clone, Copy)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::{Currency, Money};

    use super::*;
    use crate::contract;

    #[tokio::test]
    #[should_panic(expected = "not a payment event")]
    async fn what_is_no_payment_event_is_not_published() {
        let money = Money::from_minor(1, Currency::new("EUR").unwrap()).unwrap();
        let event = contract::event("e", "t", "2026-01-02T03:04:05Z".parse().unwrap(), money);
        let _ = (&MemoryBus::default()).publish(&[Document { event: &event, json: "{}" }]).await;
    }
}
