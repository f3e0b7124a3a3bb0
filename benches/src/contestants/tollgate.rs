//! Tollgate: the processor's own use case, its ports answering at once in memory and keeping what they are given in
//! the forms that `tollgate-aws` sends.

use std::{
    collections::HashMap,
    hint::black_box,
    sync::{Arc, Mutex},
};

use tokio::runtime::Runtime;
use tollgate_aws::{
    bus::entry,
    effects::insertion,
    ledger::marking,
    prepared::PreparedItems,
    transactions::{history_item, latest_item},
};
use tollgate_batch::{Deadline, Kind};
use tollgate_core::{LedgerKey, PaymentEvent, Timestamp};
use tollgate_lambda::sqs::{self, Buffer, Buffers, SqsRecord};
use tollgate_pipeline::{
    directory::{Directory, Freshness},
    intake::Seal,
    objects::Objects,
    ports::{
        ArchiveQueue, Clock, Document, EffectClaim, Effects, EndpointSource, EventBus, Known, Latest, Ledger,
        LedgerEntry, Link, Listing, Mark, ObjectStore, PayloadSource, PayloadStore, Poison, PortError,
        PortResult, ProcessPorts, Quarantine, Recorded, Stored, Transactions,
    },
    process::{Nobody, Process, Receives, Record, init_thread_pool},
};
use tollgate_risk::Thresholds;

use crate::{
    batch,
    outputs::{BUS, Outputs},
};

type Sink = Arc<Mutex<Outputs>>;

/// What the ledger knows.
type Accepted = Arc<Mutex<HashMap<LedgerKey, Known>>>;

/// The processor.
#[derive(Debug)]
pub struct Tollgate {
    runtime: Runtime,
    process: Process<MemoryPorts>,
    sink: Sink,
    ledger: Accepted,
    buffers: Buffers,
}

impl Default for Tollgate {
    fn default() -> Self {
        Self::new(std::thread::available_parallelism().is_ok_and(|count| count.get() > 1))
    }
}

impl Tollgate {
    /// `is_parallel`: whether to work on two threads where it pays.
    pub fn new(is_parallel: bool) -> Self {
        if is_parallel {
            init_thread_pool();
        }
        let sink = Sink::default();
        let ledger = Accepted::default();
        let memory = || Memory { sink: Arc::clone(&sink), ledger: Arc::clone(&ledger), is_parallel };
        let process = Process {
            directory: Directory::new(Endpoints, Clockwork, Freshness::default()),
            clock: Clockwork,
            ledger: memory(),
            effects: memory(),
            transactions: memory(),
            bus: memory(),
            archive: memory(),
            payloads: memory(),
            objects: Objects::new(Nobody, Nobody, Clockwork, Freshness::default()),
            quarantine: memory(),
            receives: Receives { tries: 3, last: 20 },
            thresholds: Thresholds::default(),
            is_parallel,
        };
        // As the function's: one thread.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { runtime, process, sink, ledger, buffers: Buffers::default() }
    }

    /// Puts the claims of a batch's webhooks into the ledger, as the validator does when it accepts them.
    pub fn accept(&self, payload: &[u8]) {
        let known = |entry: LedgerEntry| {
            let LedgerEntry { key, state, received_at, fingerprint, terms, .. } = entry;
            (
                key,
                Known {
                    state,
                    webhook_id: None,
                    received_at,
                    fingerprint,
                    terms: Some(terms),
                    is_aside: false,
                },
            )
        };
        self.ledger.lock().unwrap().extend(batch::claims(payload).into_iter().map(known));
    }

    /// Batch bytes to outputs.
    pub fn full(&self, payload: &[u8]) -> Outputs {
        let mut buffer = self.buffers.take();
        let failures = {
            let event = self.read(payload, &mut buffer);
            let kind = Kind::of_queue(event[0].event_source_arn);
            let records: Vec<Record<'_>> = event.iter().map(record).collect();
            let process = self.process.run(kind, &records, Deadline::at(u64::MAX, 0));
            let report = self.runtime.block_on(process).unwrap();
            report.response.failures().map(str::to_owned).collect()
        };
        self.buffers.give_back(buffer);
        let mut outputs = std::mem::take(&mut *self.sink.lock().unwrap());
        outputs.failures = failures;
        outputs
    }

    /// Batch bytes to canonical events with their risk tier, which are dropped; how many there were.
    pub fn decode(&self, payload: &[u8]) -> usize {
        let mut buffer = self.buffers.take();
        let mut count = 0;
        {
            let event = self.read(payload, &mut buffer);
            let records: Vec<Record<'_>> = event.iter().map(record).collect();
            let show = |event: &PaymentEvent<'_>| {
                black_box(event);
                count += 1;
            };
            self.runtime.block_on(self.process.inspect(&records, show));
        }
        self.buffers.give_back(buffer);
        count
    }

    fn read<'a>(&self, payload: &'a [u8], buffer: &'a mut Buffer) -> Vec<SqsRecord<'a>> {
        sqs::read(payload, buffer, self.process.is_parallel).unwrap()
    }
}

/// As the processor's handler does it.
fn record<'a>(record: &'a SqsRecord<'a>) -> Record<'a> {
    Record {
        message_id: record.message_id,
        group: record.group,
        receive_count: record.receive_count,
        body: record.body,
        escaped_body: Some(record.escaped_body),
        attributes: record.attributes().into(),
    }
}

#[derive(Debug)]
enum MemoryPorts {}

impl ProcessPorts for MemoryPorts {
    type Endpoints = Endpoints;
    type Clock = Clockwork;
    type Ledger = Memory;
    type Effects = Memory;
    type Transactions = Memory;
    type Bus = Memory;
    type ArchiveQueue = Memory;
    type Payloads = Memory;
    type Quarantine = Memory;
    type ApiKeys = Nobody;
    type Objects = Nobody;
}

#[derive(Debug, Clone, Copy)]
struct Clockwork;

impl Clock for Clockwork {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(batch::NOW).unwrap()
    }
}

#[derive(Debug)]
struct Endpoints;

impl EndpointSource for Endpoints {
    async fn endpoints(&self, _: Option<&str>) -> PortResult<Option<Listing>> {
        let endpoints = batch::endpoints(false).into_iter().map(Ok).collect();
        Ok(Some(Listing { version: String::new(), endpoints }))
    }
}

/// Every other port.
#[derive(Debug)]
struct Memory {
    sink: Sink,
    ledger: Accepted,
    is_parallel: bool,
}

impl Ledger for Memory {
    async fn allowed(&self, seals: &[Seal], _: Timestamp) -> Vec<PortResult<bool>> {
        seals.iter().map(|_| Ok(false)).collect()
    }

    async fn known(&self, keys: &[LedgerKey], _: Timestamp) -> Vec<PortResult<Option<Known>>> {
        let ledger = self.ledger.lock().unwrap();
        keys.iter().map(|key| Ok(ledger.get(key).cloned())).collect()
    }

    async fn put_aside(&self, keys: &[LedgerKey], _: Timestamp) -> Vec<PortResult<()>> {
        keys.iter().map(|_| Ok(())).collect()
    }

    async fn mark(&self, marks: &[Mark]) -> Vec<PortResult<()>> {
        let statements = PreparedItems::new(marks, self.is_parallel, |mark| marking("events", mark).unwrap());
        self.sink.lock().unwrap().ledger.extend(statements.take_all());
        marks.iter().map(|_| Ok(())).collect()
    }
}

impl Effects for Memory {
    /// Every event is the first that tells its effect.
    async fn claim(&self, claims: &[EffectClaim]) -> Vec<PortResult<EffectClaim>> {
        let statements =
            PreparedItems::new(claims, self.is_parallel, |claim| insertion("events", claim).unwrap());
        self.sink.lock().unwrap().claims.extend(statements.take_all());
        claims.iter().map(|claim| Ok(*claim)).collect()
    }

    async fn release(&self, claims: &[EffectClaim]) -> Vec<PortResult<()>> {
        claims.iter().map(|_| Ok(())).collect()
    }
}

impl Transactions for Memory {
    async fn latest(&self, keys: &[&str]) -> Vec<PortResult<Latest>> {
        keys.iter().map(|_| Ok(Latest::default())).collect()
    }

    async fn link(&self, links: &[Link]) -> Vec<PortResult<()>> {
        links.iter().map(|_| Ok(())).collect()
    }

    async fn record(&self, events: &[Recorded<'_>]) -> Vec<PortResult<()>> {
        let history = |recorded: &Recorded<'_>| history_item(&recorded.document);
        let history = PreparedItems::new(events, self.is_parallel, history).take_all();
        let latest: Vec<&Recorded<'_>> = events.iter().filter(|it| it.ahead_of.is_some()).collect();
        let latest =
            PreparedItems::new(&latest, self.is_parallel, |recorded| latest_item(recorded)).take_all();
        self.sink.lock().unwrap().transactions.extend(history.into_iter().chain(latest));
        events.iter().map(|_| Ok(())).collect()
    }

    /// Nothing of the batch was done before.
    async fn recorded(&self, events: &[(String, String)]) -> Vec<PortResult<Option<String>>> {
        events.iter().map(|_| Ok(None)).collect()
    }
}

impl EventBus for Memory {
    async fn publish(&self, events: &[Document<'_>]) -> Vec<PortResult<()>> {
        let entries = PreparedItems::new(events, self.is_parallel, |document| entry(BUS, document));
        self.sink.lock().unwrap().entries.extend(entries.take_all());
        events.iter().map(|_| Ok(())).collect()
    }
}

impl ArchiveQueue for Memory {
    async fn send(&self, messages: Vec<String>) -> Vec<PortResult<()>> {
        let results = messages.iter().map(|_| Ok(())).collect();
        self.sink.lock().unwrap().archive.extend(messages);
        results
    }
}

impl ObjectStore for Memory {
    async fn keep(&self, _: &str, _: Vec<u8>) -> PortResult<Stored> {
        Err(PortError::permanent("payloads", "nothing is fetched here"))
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
