//! The whole pipeline in memory: both use cases on the ports here, each process of them with failures of its own.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use tollgate_batch::{Deadline, Kind, Unreportable};
use tollgate_core::{Delivery, EndpointConfig, EndpointId, Timestamp, WebhookId};
use tollgate_pipeline::{
    archive::{Line, unpack},
    directory::{Directory, Freshness},
    ingest::{Health, Incoming, Ingest, Rejection, Taken},
    intake::QueuedMessage,
    keys::Keys,
    materials::KeptMaterials,
    objects::Objects,
    ports::{Clock, IngestPorts, ProcessPorts},
    process::{Process, Receives, Record, Report},
    retrieved::{self, Sealed},
};
use tollgate_providers::{Headers, KeyMaterial, Secret, SignedWebhook};
use tollgate_risk::Thresholds;

use super::{
    bus::MemoryBus,
    clock::HandClock,
    effects::MemoryEffects,
    ledger::MemoryLedger,
    objects::{MemoryApiKeys, MemoryObjects},
    queues::{MAX_RECEIVES, MemoryArchiveQueue, MemoryIntake, MemoryQuarantine, Message},
    stores::{MemoryEndpoints, MemoryMaterialStore, MemoryMaterials, MemoryPayloadBucket, MemorySecrets},
    transactions::MemoryTransactions,
};
use crate::{
    failure::{Failing, Faults},
    webhook::KEY,
};

/// As `infra/tollgate.yaml` has it.
const RECEIVES: Receives = Receives { tries: 3, last: MAX_RECEIVES };

/// The largest body that is taken, in bytes.
pub const LIMIT: usize = 1_048_576;

/// The ports of a validator's process: those in memory, with failures.
#[derive(Debug)]
pub struct MemoryIngestPorts<'w>(PhantomData<&'w World>);

impl<'w> IngestPorts for MemoryIngestPorts<'w> {
    type Endpoints = Failing<'w, &'w MemoryEndpoints>;
    type Secrets = Failing<'w, &'w MemorySecrets>;
    type Clock = HandClock;
    type Materials = &'w MemoryMaterials;
    type MaterialStore = &'w MemoryMaterialStore;
    type Claims = Failing<'w, &'w MemoryLedger>;
    type Queue = Failing<'w, &'w MemoryIntake>;
    type Payloads = Failing<'w, &'w MemoryPayloadBucket>;
}

/// A validator's process.
pub type Intake<'w> = Ingest<MemoryIngestPorts<'w>>;

/// The ports of a processor's process: those in memory, with failures.
#[derive(Debug)]
pub struct MemoryProcessPorts<'w>(PhantomData<&'w World>);

impl<'w> ProcessPorts for MemoryProcessPorts<'w> {
    type Endpoints = Failing<'w, &'w MemoryEndpoints>;
    type Clock = HandClock;
    type Ledger = Failing<'w, &'w MemoryLedger>;
    type Effects = Failing<'w, &'w MemoryEffects>;
    type Transactions = Failing<'w, &'w MemoryTransactions>;
    type Bus = Failing<'w, &'w MemoryBus>;
    type ArchiveQueue = Failing<'w, &'w MemoryArchiveQueue>;
    type Payloads = Failing<'w, &'w MemoryPayloadBucket>;
    type Quarantine = Failing<'w, &'w MemoryQuarantine>;
    type ApiKeys = Failing<'w, &'w MemoryApiKeys>;
    type Objects = Failing<'w, &'w MemoryObjects>;
}

/// A processor's process.
pub type Processor<'w> = Process<MemoryProcessPorts<'w>>;

/// Everything that outlives a process.
#[derive(Debug)]
pub struct World {
    /// The time.
    pub clock: HandClock,
    /// Endpoint configuration.
    pub endpoints: MemoryEndpoints,
    /// Keys; [`KEY`] for each endpoint at first.
    pub secrets: MemorySecrets,
    /// Certificates and public keys, as their providers hand them out.
    pub materials: MemoryMaterials,
    /// What outlives a process of those that were good.
    pub material_store: MemoryMaterialStore,
    /// The ledger.
    pub ledger: MemoryLedger,
    /// Who tells which effect.
    pub effects: MemoryEffects,
    /// Both intake queues.
    pub intake: MemoryIntake,
    /// The payload bucket.
    pub payloads: MemoryPayloadBucket,
    /// The endpoints' keys of their providers' APIs.
    pub api_keys: MemoryApiKeys,
    /// Providers' APIs.
    pub objects: MemoryObjects,
    /// The transaction history.
    pub transactions: MemoryTransactions,
    /// The bus.
    pub bus: MemoryBus,
    /// The archive queue.
    pub archive: MemoryArchiveQueue,
    /// The quarantine.
    pub quarantine: MemoryQuarantine,
    deliveries: AtomicU64,
}

impl World {
    /// An empty world with these endpoints.
    pub fn new(now: Timestamp, endpoints: Vec<EndpointConfig>) -> Self {
        let clock = HandClock::at(now);
        let secrets = MemorySecrets::default();
        for endpoint in &endpoints {
            secrets.rotate(endpoint.secret.clone(), KEY);
        }
        let intake = MemoryIntake::new(&clock);
        Self {
            quarantine: intake.quarantine(),
            intake,
            archive: MemoryArchiveQueue::new(&clock),
            clock,
            endpoints: MemoryEndpoints::new(endpoints),
            secrets,
            materials: MemoryMaterials::default(),
            material_store: MemoryMaterialStore::default(),
            ledger: MemoryLedger::default(),
            effects: MemoryEffects::default(),
            payloads: MemoryPayloadBucket::default(),
            api_keys: MemoryApiKeys::default(),
            objects: MemoryObjects::default(),
            transactions: MemoryTransactions::default(),
            bus: MemoryBus::default(),
            deliveries: AtomicU64::new(0),
        }
    }

    /// A validator that has just started.
    pub fn intake<'w>(&'w self, faults: &'w Faults) -> Intake<'w> {
        let freshness = Freshness::default();
        Ingest {
            directory: Directory::new(Failing::new(&self.endpoints, faults), self.clock.clone(), freshness),
            keys: Keys::new(Failing::new(&self.secrets, faults), self.clock.clone(), freshness),
            materials: KeptMaterials::new(&self.materials, &self.material_store, self.clock.clone()),
            ledger: Failing::new(&self.ledger, faults),
            queue: Failing::new(&self.intake, faults),
            payloads: Failing::new(&self.payloads, faults),
            max_body_bytes: LIMIT,
            is_generic_by_name: true,
            health: Health::default(),
        }
    }

    /// A processor that has just started.
    pub fn processor<'w>(&'w self, faults: &'w Faults) -> Processor<'w> {
        let freshness = Freshness::default();
        Process {
            directory: Directory::new(Failing::new(&self.endpoints, faults), self.clock.clone(), freshness),
            clock: self.clock.clone(),
            ledger: Failing::new(&self.ledger, faults),
            effects: Failing::new(&self.effects, faults),
            transactions: Failing::new(&self.transactions, faults),
            bus: Failing::new(&self.bus, faults),
            archive: Failing::new(&self.archive, faults),
            payloads: Failing::new(&self.payloads, faults),
            objects: Objects::new(
                Failing::new(&self.api_keys, faults),
                Failing::new(&self.objects, faults),
                self.clock.clone(),
                freshness,
            ),
            quarantine: Failing::new(&self.quarantine, faults),
            receives: RECEIVES,
            thresholds: Thresholds::default(),
            is_parallel: true,
        }
    }

    /// Delivers a webhook to a validator that has just started.
    ///
    /// # Errors
    ///
    /// The use case's.
    pub async fn take(&self, endpoint: Option<&str>, webhook: &SignedWebhook) -> Result<Taken, Rejection> {
        let faults = Faults::none();
        self.take_on(&self.intake(&faults), endpoint, webhook).await
    }

    /// Delivers a webhook, a millisecond after the one before.
    ///
    /// # Errors
    ///
    /// The use case's.
    pub async fn take_on(
        &self,
        intake: &Intake<'_>,
        endpoint: Option<&str>,
        webhook: &SignedWebhook,
    ) -> Result<Taken, Rejection> {
        self.clock.advance_ms(1);
        let now = self.clock.now();
        let webhook_id = WebhookId::new(now, self.deliveries.fetch_add(1, SeqCst).into());
        let incoming = Incoming {
            webhook_id: &webhook_id,
            received_at: now,
            endpoint,
            headers: &webhook.headers,
            query: &webhook.query,
            body: &webhook.body,
            source_ip: "203.0.113.9",
            trace: None,
        };
        let endpoint = intake.endpoint(&incoming).await?;
        intake.take(&endpoint, incoming).await
    }

    /// Takes in what an operator retrieved and signed with this key, a millisecond after the delivery before.
    ///
    /// # Errors
    ///
    /// The use case's.
    pub async fn take_retrieved(
        &self,
        key: &str,
        endpoint: &str,
        event_id: &str,
        body: &[u8],
    ) -> Result<Taken, Rejection> {
        let faults = Faults::none();
        self.clock.advance_ms(1);
        let now = self.clock.now();
        let webhook_id = WebhookId::new(now, self.deliveries.fetch_add(1, SeqCst).into());
        let incoming = Incoming {
            webhook_id: &webhook_id,
            received_at: now,
            endpoint: Some(endpoint),
            headers: &Headers::new(),
            query: "",
            body: &[],
            source_ip: "provider-api",
            trace: None,
        };
        let reference = retrieved::key_reference("secretsmanager:tollgate/test/any").unwrap();
        let signer = retrieved::signer(&reference).unwrap();
        let keys = signer.keys(vec![KeyMaterial::unnamed("current", Secret::new(key))]).unwrap();
        let endpoint = EndpointId::new(endpoint).unwrap();
        let sealed = Sealed::new(&signer, &keys, endpoint, event_id, body, now).unwrap();
        self.intake(&faults).take_retrieved(incoming, &sealed).await
    }

    /// What is in an intake queue.
    pub fn queued(&self, delivery: Delivery) -> Vec<Message> {
        self.intake.messages(delivery)
    }

    /// Everything that was published, in order.
    pub fn published(&self) -> Vec<tollgate_core::PaymentEvent<'static>> {
        self.bus.published().iter().map(|json| serde_json::from_str(json).expect("an event")).collect()
    }

    /// Every webhook that was sent to the archive, in order.
    pub fn archived(&self) -> Vec<tollgate_pipeline::archive::Row<'static>> {
        self.archive_lines().into_iter().filter_map(Line::into_row).collect()
    }

    /// The same, with the messages that could not be read.
    pub fn archive_lines(&self) -> Vec<Line<'static>> {
        let messages = self.archive.messages();
        messages.iter().flat_map(|message| unpack(message)).map(|(_, line)| line.expect("a line")).collect()
    }
}

/// A queue message as the processor reads it.
pub fn read(message: &Message) -> QueuedMessage<'_> {
    QueuedMessage::read(&message.body, &attributes(message)).expect("an intake message")
}

fn attributes(message: &Message) -> Vec<(&str, &str)> {
    message.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// The records of a batch.
pub fn records(batch: &[Message]) -> Vec<Record<'_>> {
    batch
        .iter()
        .map(|message| Record {
            message_id: &message.id,
            group: message.group.as_deref(),
            receive_count: message.receive_count,
            body: &message.body,
            escaped_body: None,
            attributes: attributes(message).into(),
        })
        .collect()
}

/// Runs a batch with all the time there is.
///
/// # Errors
///
/// The use case's.
pub async fn run(processor: &Processor<'_>, kind: Kind, batch: &[Message]) -> Result<Report, Unreportable> {
    processor.run(kind, &records(batch), Deadline::at(u64::MAX, 0)).await
}

/// The message ids that a report returns to the queue.
pub fn failures(report: &Report) -> Vec<String> {
    let answer = serde_json::to_value(&report.response).expect("a response");
    let listed = answer["batchItemFailures"].as_array().expect("a list").iter();
    listed.map(|item| item["itemIdentifier"].as_str().expect("an identifier").to_owned()).collect()
}
