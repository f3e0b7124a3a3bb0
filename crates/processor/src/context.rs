//! What the processor holds: made once, at start-up.

use tollgate_aws::{
    api_keys::AwsApiKeys,
    bus::EventBridgeBus,
    effects::DynamoEffects,
    endpoints::S3Endpoints,
    hearing::CloudWatchHearing,
    ledger::DynamoLedger,
    payloads::S3Payloads,
    queues::{SqsArchiveQueue, SqsQuarantine},
    transactions::DynamoTransactions,
};
use tollgate_lambda::{
    clock::{self, SYSTEM_CLOCK, SystemClock},
    metrics::Metrics,
    sqs::Buffers,
};
use tollgate_pipeline::{
    directory::Directory,
    objects::Objects,
    ports::{PortError, ProcessPorts},
    process::{Process, init_thread_pool},
    silence::SilenceCheck,
};
use tollgate_provider_api::HttpsObjects;

use crate::settings::Settings;

/// The processor's ports on AWS.
#[derive(Debug)]
pub(crate) enum ProcessorPorts {}

impl ProcessPorts for ProcessorPorts {
    type Endpoints = S3Endpoints;
    type Clock = SystemClock;
    type Ledger = DynamoLedger;
    type Effects = DynamoEffects;
    type Transactions = DynamoTransactions;
    type Bus = EventBridgeBus;
    type ArchiveQueue = SqsArchiveQueue;
    type Payloads = S3Payloads;
    type Quarantine = SqsQuarantine;
    type ApiKeys = AwsApiKeys;
    type Objects = HttpsObjects;
}

/// The use cases on their AWS ports, and where metrics go.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) process: Process<ProcessorPorts>,
    pub(crate) silence: SilenceCheck<S3Endpoints, CloudWatchHearing, SystemClock>,
    pub(crate) metrics: Metrics,
    pub(crate) buffers: Buffers,
}

impl Context {
    /// Makes the clients and reads the endpoints, unless an invocation waits: then the first one reads them.
    ///
    /// # Errors
    ///
    /// When the endpoints cannot be read.
    pub(crate) async fn new(settings: Settings) -> Result<Self, PortError> {
        if settings.is_parallel {
            init_thread_pool();
        }
        let config = tollgate_aws::sdk_config().await;
        let endpoints =
            S3Endpoints::new(config.clone(), settings.endpoints_bucket, settings.environment.as_str());
        let silence = SilenceCheck {
            endpoints: endpoints.clone(),
            hearing: CloudWatchHearing::new(
                config.clone(),
                settings.metrics_url,
                settings.environment.as_str(),
            ),
            clock: SYSTEM_CLOCK,
        };
        let directory = Directory::new(endpoints, SYSTEM_CLOCK, settings.freshness);
        if !settings.is_on_demand_start {
            directory.warm().await?;
        }
        let api_keys = AwsApiKeys::new(config.clone(), settings.secrets_url, settings.environment.as_str());
        let objects = HttpsObjects::new(settings.provider_apis_url);
        let dynamodb = aws_sdk_dynamodb::Client::new(&config);
        let sqs = aws_sdk_sqs::Client::new(&config);
        let is_parallel = settings.is_parallel;
        let process = Process {
            directory,
            clock: SYSTEM_CLOCK,
            effects: DynamoEffects::new(dynamodb.clone(), settings.ledger_table.clone())
                .in_parallel(is_parallel),
            ledger: DynamoLedger::new(dynamodb.clone(), settings.ledger_table).in_parallel(is_parallel),
            transactions: DynamoTransactions::new(dynamodb, settings.transactions_table)
                .in_parallel(is_parallel),
            bus: EventBridgeBus::new(aws_sdk_eventbridge::Client::new(&config), settings.event_bus_name)
                .in_parallel(is_parallel),
            archive: SqsArchiveQueue::new(sqs.clone(), settings.archive_queue_url),
            payloads: S3Payloads::new(config, settings.payload_bucket),
            objects: Objects::new(api_keys, objects, SYSTEM_CLOCK, settings.freshness),
            quarantine: SqsQuarantine::new(
                sqs,
                settings.quarantine_queue_url,
                settings.quarantine_ordered_queue_url,
            ),
            receives: settings.receives,
            thresholds: settings.thresholds,
            is_parallel,
        };
        let metrics = Metrics::start("processor", settings.environment, clock::now());
        Ok(Self { process, silence, metrics, buffers: Buffers::default() })
    }
}
