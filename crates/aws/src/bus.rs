//! The event bus on EventBridge.

use aws_sdk_eventbridge::{Client, primitives::DateTime, types::PutEventsRequestEntry};
use tollgate_core::PaymentEvent;
use tollgate_pipeline::ports::{EventBus, PortError, PortResult};

use crate::{
    batch::{Item, Limits, batched},
    error::port_error,
};

const SERVICE: &str = "eventbridge";
/// The `source` of every entry.
pub const SOURCE: &str = "tollgate";
/// What EventBridge counts for an entry's time ("Calculating Amazon EventBridge event entry size").
const TIME_BYTES: usize = 14;
/// PutEvents: 10 entries and 1 MB a call.
const LIMITS: Limits = Limits { service: SERVICE, items: 10, bytes: 1_000_000 };

/// The bus `payment-events`.
#[derive(Debug, Clone)]
pub struct EventBridgeBus {
    client: Client,
    name: String,
}

impl EventBridgeBus {
    /// The bus called `name`.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    async fn put(&self, entries: Vec<PutEventsRequestEntry>) -> Vec<Item<()>> {
        let count = entries.len();
        match self.client.put_events().set_entries(Some(entries)).send().await {
            Ok(answer) if answer.entries().len() == count => answer
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
            Ok(_) => fill(count, &PortError::retryable(SERVICE, "results do not match entries")),
            Err(problem) => fill(count, &port_error(SERVICE, &problem)),
        }
    }
}

fn fill(count: usize, problem: &PortError) -> Vec<Item<()>> {
    (0..count).map(|_| Item::Done(Err(problem.clone()))).collect()
}

impl EventBus for EventBridgeBus {
    async fn publish(&self, events: &[&PaymentEvent<'_>]) -> Vec<PortResult<()>> {
        let details: Vec<Option<String>> =
            events.iter().map(|event| serde_json::to_string(event).ok()).collect();
        let size = |event: &PaymentEvent<'_>, detail: &Option<String>| {
            TIME_BYTES + SOURCE.len() + event.kind.as_str().len() + detail.as_ref().map_or(0, String::len)
        };
        let sizes: Vec<usize> =
            events.iter().zip(&details).map(|(event, detail)| size(event, detail)).collect();
        batched(LIMITS, &sizes, async |chunk| {
            let entry = |&index: &usize| {
                let (event, detail) = (events.get(index)?, details.get(index)?.as_ref()?);
                let entry = PutEventsRequestEntry::builder()
                    .event_bus_name(&self.name)
                    .source(SOURCE)
                    .detail_type(event.kind.as_str())
                    .detail(detail)
                    .time(DateTime::from_millis(event.received_at.as_millisecond()));
                Some(entry.build())
            };
            let entries: Option<Vec<_>> = chunk.iter().map(entry).collect();
            match entries {
                Some(entries) => self.put(entries).await,
                None => fill(chunk.len(), &PortError::permanent(SERVICE, "event cannot be written")),
            }
        })
        .await
    }
}
