//! The bus in memory, and a clock that stands: what the fraud check needs besides the table.

use std::sync::{Mutex, PoisonError};

use serde_json::json;
use tollgate_core::Timestamp;
use tollgate_pipeline::ports::{Clock, Document, EventBus, PortError, PortResult};

use crate::{aws, schema};

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
                check_entry(document)?;
                schema::check(document.json);
                published.push(document.json.to_owned());
                Ok(())
            }
        };
        events.iter().map(publish).collect()
    }
}

/// What EventBridge refuses of an entry, by the same checks as [`crate::aws`].
fn check_entry(document: &Document<'_>) -> PortResult<()> {
    let detail_type = document.event.kind.as_str();
    let entry = json!({"Source": "tollgate", "DetailType": detail_type, "Detail": document.json, "Time": 0});
    let call = json!({ "Entries": [entry] });
    let entry = || aws::bad_entries("PutEvents", &call).first().map(|(_, code)| *code);
    let code = aws::refusal("PutEvents", &call).map(|refusal| refusal.code).or_else(entry);
    code.map_or(Ok(()), |code| Err(PortError::permanent("eventbridge", code)))
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
    async fn the_bus_keeps_its_contract() {
        let bus = MemoryBus::default();
        contract::bus(&bus, "memory", async |_| bus.published()).await;
    }

    #[tokio::test]
    #[should_panic(expected = "not a payment event")]
    async fn what_is_no_payment_event_is_not_published() {
        let money = Money::from_minor(1, Currency::new("EUR").unwrap()).unwrap();
        let event = contract::event("e", "t", "2026-01-02T03:04:05Z".parse().unwrap(), money);
        let _ = (&MemoryBus::default()).publish(&[Document { event: &event, json: "{}" }]).await;
    }
}
