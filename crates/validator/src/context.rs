//! The validator's context: made once, at start-up.

use std::sync::Arc;

use tollgate_aws::{
    endpoints::S3Endpoints,
    ledger::DynamoLedger,
    materials::{HttpsMaterials, S3Materials},
    payloads::S3Payloads,
    queues::SqsIntake,
    rejected::DynamoRejected,
    secrets::AwsSecrets,
};
use tollgate_lambda::{
    clock::{self, SYSTEM_CLOCK, SystemClock},
    metrics::Metrics,
};
use tollgate_pipeline::{
    directory::Directory,
    ingest::{Health, Ingest},
    keys::Keys,
    materials::KeptMaterials,
    ports::{IngestPorts, PortError},
    rejected::Keeper,
};

use crate::settings::Settings;

/// Ingest's ports on AWS.
#[derive(Debug)]
pub(crate) enum ValidatorPorts {}

impl IngestPorts for ValidatorPorts {
    type Endpoints = S3Endpoints;
    type Secrets = AwsSecrets;
    type Clock = SystemClock;
    type Materials = HttpsMaterials;
    type MaterialStore = S3Materials;
    type Claims = DynamoLedger;
    type Queue = SqsIntake;
    type Payloads = S3Payloads;
}

/// The use cases on their AWS ports, and the metrics.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) ingest: Arc<Ingest<ValidatorPorts>>,
    pub(crate) keeper: Keeper<DynamoRejected, S3Payloads>,
    /// What was kept.
    pub(crate) kept: S3Payloads,
    pub(crate) metrics: Metrics,
}

impl Context {
    /// Makes the clients. Reads the endpoints too, except on an on-demand start: there the first invocation reads them.
    ///
    /// # Errors
    ///
    /// The endpoints cannot be read. Without endpoints it could accept no webhook.
    pub(crate) async fn new(settings: Settings) -> Result<Self, PortError> {
        let config = tollgate_aws::sdk_config().await;
        let secrets =
            AwsSecrets::new(aws_sdk_secretsmanager::Client::new(&config), aws_sdk_ssm::Client::new(&config));
        let endpoints =
            S3Endpoints::new(config.clone(), settings.endpoints_bucket, settings.environment.as_str());
        let directory = Directory::new(endpoints, SYSTEM_CLOCK, settings.freshness);
        if !settings.is_on_demand_start {
            directory.warm().await?;
        }
        let tables = aws_sdk_dynamodb::Client::new(&config);
        let kept = S3Payloads::new(config.clone(), settings.payload_bucket.as_str());
        let budget = DynamoRejected::new(tables.clone(), settings.ledger_table.as_str());
        let keeper = Keeper::new(budget, kept.clone());
        let ingest = Ingest {
            directory,
            keys: Keys::new(secrets, SYSTEM_CLOCK, settings.freshness),
            materials: KeptMaterials::new(
                HttpsMaterials::new(),
                S3Materials::new(config.clone(), settings.payload_bucket.clone()),
                SYSTEM_CLOCK,
            ),
            ledger: DynamoLedger::new(tables, settings.ledger_table),
            queue: SqsIntake::new(
                aws_sdk_sqs::Client::new(&config),
                settings.intake_queue_url,
                settings.intake_ordered_queue_url,
            ),
            payloads: S3Payloads::new(config, settings.payload_bucket),
            max_body_bytes: settings.max_body_bytes,
            is_generic_by_name: settings.is_generic_by_name,
            health: Health::default(),
        };
        let ingest = Arc::new(ingest);
        // Lambda freezes the process between invocations, and this task with it: a call that is cut off so ends by its
        // time-out and is made again.
        let beside = Arc::clone(&ingest);
        tokio::spawn(async move { beside.keep_current().await });
        Ok(Self {
            ingest,
            keeper,
            kept,
            metrics: Metrics::start("validator", settings.environment, clock::now()),
        })
    }
}
