//! The event bus on EventBridge.

use aws_sdk_eventbridge::{Client, primitives::DateTime, types::PutEventsRequestEntry};
use tollgate_core::EventType;
use tollgate_pipeline::ports::{Document, EventBus, PortError, PortResult};

use crate::{
    batch::{Budget, Item, Limits, batched},
    error::port_error,
    prepared::PreparedItems,
};

const SERVICE: &str = "eventbridge";
static BUDGET: Budget = Budget::full();
/// The `source` of every entry.
pub const SOURCE: &str = "tollgate";
/// Of an entry, its time's part.
const TIME_BYTES: usize = 14;
/// PutEvents: 10 entries and 1 MB a call.
static LIMITS: Limits = Limits { service: SERVICE, items: 10, bytes: 1_000_000, budget: &BUDGET };

/// The bus `payment-events`.
#[derive(Debug, Clone)]
pub struct EventBridgeBus {
    client: Client,
    name: String,
    is_parallel: bool,
}

impl EventBridgeBus {
    /// The bus called `name`.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into(), is_parallel: false }
    }

    /// Has entries made on all processors, where there is more than one.
    pub fn in_parallel(self, is_parallel: bool) -> Self {
        Self { is_parallel, ..self }
    }

    async fn put(&self, entries: Vec<PutEventsRequestEntry>) -> Vec<Item<()>> {
        let count = entries.len();
        match self.client.put_events().set_entries(Some(entries)).send().await {
            Ok(answer) => answer
                .entries()
                .iter()
                .map(|entry| match entry.error_code() {
                    None => Item::Done(Ok(())),
                    // The entry itself is wrong (PutEventsResultEntry, API reference); whatever else it is may pass.
                    Some(code @ ("InvalidArgument" | "MalformedDetail" | "ValidationException")) => {
                        Item::Done(Err(PortError::permanent(SERVICE, code)))
                    }
                    Some(code) => Item::LeftOver(PortError::retryable(SERVICE, code)),
                })
                .collect(),
            Err(problem) => {
                let problem = port_error(SERVICE, &problem);
                (0..count).map(|_| Item::Done(Err(problem.clone()))).collect()
            }
        }
    }
}

/// An event as PutEvents takes it.
pub fn entry(bus: &str, document: &Document<'_>) -> PutEventsRequestEntry {
    PutEventsRequestEntry::builder()
        .event_bus_name(bus)
        .source(SOURCE)
        .detail_type(document.event.kind.as_str())
        .detail(document.json)
        .time(DateTime::from_millis(document.event.received_at.as_millisecond()))
        .build()
}

/// What EventBridge counts for an entry ("Calculating Amazon EventBridge event entry size").
fn entry_bytes(kind: EventType, json: &str) -> usize {
    TIME_BYTES + SOURCE.len() + kind.as_str().len() + json.len()
}

impl EventBus for EventBridgeBus {
    async fn publish(&self, events: &[Document<'_>]) -> Vec<PortResult<()>> {
        let bytes = |document: &Document<'_>| entry_bytes(document.event.kind, document.json);
        let sizes: Vec<usize> = events.iter().map(bytes).collect();
        let entries = PreparedItems::new(events, self.is_parallel, |document| entry(&self.name, document));
        batched(LIMITS, &sizes, async |chunk| self.put(entries.take(chunk)).await).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_the_bytes_of_its_time_source_type_and_detail() {
        assert_eq!(entry_bytes(EventType::PaymentSucceeded, "{}"), 14 + 8 + 17 + 2);
    }
}
