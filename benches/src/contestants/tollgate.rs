//! Tollgate: the processor's own use case, its ports answering at once in memory and keeping what they are given in
//! the forms that `tollgate-aws` sends.

use std::{
    borrow::Cow,
    collections::HashMap,
    hint::black_box,
    sync::{Arc, Mutex},
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_eventbridge::{primitives::DateTime, types::PutEventsRequestEntry};
use tokio::runtime::Runtime;
use tollgate_batch::{Deadline, Kind};
use tollgate_core::{EndpointConfig, LedgerKey, PaymentEvent, Timestamp, event::Arrival};
use tollgate_lambda::sqs::{SqsEvent, SqsRecord};
use tollgate_pipeline::{
    directory::{Directory, Freshness},
    intake::{Content, IntakeMessage},
    ports::{
        ArchiveQueue, Clock, EndpointSource, EventBus, Known, LEDGER_RETENTION_SECONDS, Ledger, LedgerEntry,
        PayloadSource, PayloadStore, Poison, PortError, PortResult, Quarantine, Recorded, Transactions,
    },
    process::{Process, Record},
};
use tollgate_providers::Received;
use tollgate_risk::Thresholds;

use crate::{
    batch,
    outputs::{BUS, Item, Outputs},
};

type Sink = Arc<Mutex<Outputs>>;

/// The processor.
#[derive(Debug)]
pub struct Tollgate {
    runtime: Runtime,
    process: Process<Endpoints, Clockwork, Memory, Memory, Memory, Memory, Memory, Memory>,
    sink: Sink,
}

impl Default for Tollgate {
    fn default() -> Self {
        let sink = Sink::default();
        let memory = || Memory(Arc::clone(&sink));
        let process = Process {
            directory: Directory::new(Endpoints, Clockwork, Freshness::default()),
            clock: Clockwork,
            ledger: memory(),
            transactions: memory(),
            bus: memory(),
            archive: memory(),
            payloads: memory(),
            quarantine: memory(),
            thresholds: Thresholds::default(),
        };
        // As the function's: one thread.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { runtime, process, sink }
    }
}

impl Tollgate {
    /// Batch bytes to outputs.
    pub fn full(&self, payload: &str) -> Outputs {
        let event: SqsEvent<'_> = serde_json::from_str(payload).unwrap();
        let kind = Kind::of_queue(&event.records[0].event_source_arn);
        let records: Vec<Record<'_>> = event.records.iter().map(record).collect();
        let report =
            self.runtime.block_on(self.process.run(kind, &records, Deadline::at(u64::MAX, 0))).unwrap();
        let mut outputs = std::mem::take(&mut *self.sink.lock().unwrap());
        outputs.failures = report.response.failures().map(str::to_owned).collect();
        outputs
    }

    /// Batch bytes to canonical events with their risk tier, which are dropped.
    pub fn decode(&self, payload: &str) {
        let event: SqsEvent<'_> = serde_json::from_str(payload).unwrap();
        for record in &event.records {
            let record = self::record(record);
            let attribute = |name: &str| {
                let found = record.attributes.iter().find(|(known, _)| *known == name);
                found.map(|(_, text)| Cow::Borrowed(*text))
            };
            let message = IntakeMessage::read(record.body, attribute).unwrap();
            let directory = &self.process.directory;
            let endpoint =
                self.runtime.block_on(directory.endpoint(message.endpoint.as_str())).unwrap().unwrap();
            let Content::Inline(bytes) = message.inline_bytes().unwrap() else { panic!("claim check") };
            let request = &message.request;
            let received = Received { headers: &request.headers, query: &request.query, body: &bytes };
            let arrival = Arrival {
                webhook_id: &message.webhook_id,
                endpoint: &message.endpoint,
                provider: &message.provider,
                authenticity: message.notes.authenticity,
                received_at: message.received_at,
            };
            for facts in endpoint.normalise(received).unwrap() {
                let tier = self.process.thresholds.tier_of(facts.amount.as_ref());
                black_box(PaymentEvent::new(facts, arrival, tier));
            }
        }
    }
}

/// As the function does it.
fn record<'a>(record: &'a SqsRecord<'_>) -> Record<'a> {
    Record {
        message_id: &record.message_id,
        group: record.group(),
        body: &record.body,
        attributes: record
            .message_attributes
            .iter()
            .filter_map(|(name, value)| Some((name.0.as_ref(), value.string_value.as_ref()?.0.as_ref())))
            .collect(),
    }
}

#[derive(Debug, Clone, Copy)]
struct Clockwork;

impl Clock for Clockwork {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(batch::FIRST_ARRIVAL + 60).unwrap()
    }
}

#[derive(Debug)]
struct Endpoints;

impl EndpointSource for Endpoints {
    async fn endpoints(&self) -> PortResult<Vec<EndpointConfig>> {
        Ok(batch::endpoints(false))
    }
}

/// Every other port.
#[derive(Debug)]
struct Memory(Sink);

impl Ledger for Memory {
    async fn known(&self, keys: &[LedgerKey], _: Timestamp) -> Vec<PortResult<Option<Known>>> {
        keys.iter().map(|_| Ok(None)).collect()
    }

    async fn put(&self, entries: &[LedgerEntry]) -> Vec<PortResult<()>> {
        self.0.lock().unwrap().ledger.extend(entries.iter().map(ledger_item));
        entries.iter().map(|_| Ok(())).collect()
    }
}

impl Transactions for Memory {
    async fn latest(&self, keys: &[&str]) -> Vec<PortResult<Option<Timestamp>>> {
        keys.iter().map(|_| Ok(None)).collect()
    }

    async fn record(&self, events: &[Recorded<'_>]) -> Vec<PortResult<()>> {
        let mut sink = self.0.lock().unwrap();
        for recorded in events {
            sink.transactions.push(history_item(recorded));
            if recorded.is_latest {
                sink.transactions.push(latest_item(recorded));
            }
        }
        events.iter().map(|_| Ok(())).collect()
    }
}

impl EventBus for Memory {
    async fn publish(&self, events: &[&PaymentEvent<'_>]) -> Vec<PortResult<()>> {
        self.0.lock().unwrap().entries.extend(events.iter().map(|event| entry(event)));
        events.iter().map(|_| Ok(())).collect()
    }
}

impl ArchiveQueue for Memory {
    async fn send(&self, messages: &[String]) -> Vec<PortResult<()>> {
        self.0.lock().unwrap().archive.extend(messages.iter().cloned());
        messages.iter().map(|_| Ok(())).collect()
    }
}

impl PayloadStore for Memory {
    async fn put(&self, _: &str, _: Vec<u8>) -> PortResult<()> {
        Ok(())
    }
}

impl PayloadSource for Memory {
    async fn get(&self, _: &str) -> PortResult<Vec<u8>> {
        Err(PortError::permanent("memory", "no payload is claim-checked here"))
    }
}

impl Quarantine for Memory {
    async fn send(&self, _: Poison<'_>) -> PortResult<()> {
        Ok(())
    }
}

// What `tollgate-aws` builds of the same values.

fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn ledger_item(entry: &LedgerEntry) -> Item {
    HashMap::from([
        ("event_key".to_owned(), string(entry.key.as_str())),
        ("state".to_owned(), string(entry.state.as_str())),
        ("webhook_id".to_owned(), string(entry.webhook_id.as_str())),
        ("fingerprint".to_owned(), string(entry.fingerprint.as_str())),
        ("received_at".to_owned(), string(entry.received_at.to_string())),
        ("expires_at".to_owned(), number(entry.received_at.as_second() + LEDGER_RETENTION_SECONDS)),
    ])
}

fn history_item(recorded: &Recorded<'_>) -> Item {
    let event = recorded.event;
    let mut item = HashMap::from([
        ("transaction_id".to_owned(), string(event.transaction_key())),
        ("sort_key".to_owned(), string(event.sort_key())),
        ("event_id".to_owned(), string(event.id.as_str())),
        ("provider_event_id".to_owned(), string(event.provider_event_id.as_ref())),
        ("type".to_owned(), string(event.kind.as_str())),
        ("category".to_owned(), string(event.category.as_str())),
        ("endpoint".to_owned(), string(event.endpoint.as_str())),
        ("provider".to_owned(), string(event.provider.as_str())),
        ("webhook_id".to_owned(), string(event.webhook_id.as_str())),
        ("occurred_at".to_owned(), string(format!("{:.9}", event.occurred_at))),
        ("received_at".to_owned(), string(format!("{:.9}", event.received_at))),
        ("event".to_owned(), string(serde_json::to_string(event).unwrap())),
    ]);
    if let Some(amount) = &event.amount {
        item.insert("minor_units".to_owned(), number(amount.minor_units()));
        item.insert("currency".to_owned(), string(amount.currency().code()));
        if let Some(value) = amount.to_decimal() {
            item.insert("amount".to_owned(), string(value));
        }
    }
    if let Some(customer) = event.customer_key() {
        item.insert("customer_key".to_owned(), string(customer));
    }
    item
}

fn latest_item(recorded: &Recorded<'_>) -> Item {
    let event = recorded.event;
    HashMap::from([
        ("transaction_id".to_owned(), string(event.transaction_key())),
        ("sort_key".to_owned(), string("latest")),
        ("latest_at".to_owned(), string(event.occurred_at.to_string())),
        ("type".to_owned(), string(event.kind.as_str())),
        ("event_id".to_owned(), string(event.id.as_str())),
    ])
}

fn entry(event: &PaymentEvent<'_>) -> PutEventsRequestEntry {
    PutEventsRequestEntry::builder()
        .event_bus_name(BUS)
        .source("tollgate")
        .detail_type(event.kind.as_str())
        .detail(serde_json::to_string(event).unwrap())
        .time(DateTime::from_millis(event.received_at.as_millisecond()))
        .build()
}
