//! The ports on AWS. Clients share one configuration, made once at start-up, with one retry policy; each adapter
//! takes the client of its own service and nothing else.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, ConfigLoader, SdkConfig, environment::EnvironmentVariableCredentialsProvider,
    retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_dynamodb::config::ProvideCredentials;

pub mod api_keys;
pub mod archive;
mod batch;
pub mod bus;
pub mod cloudwatch;
mod dynamodb;
pub mod effects;
pub mod endpoints;
pub mod error;
pub mod hearing;
pub mod history;
mod http;
pub mod json_service;
pub mod lambda;
pub mod ledger;
pub mod materials;
pub mod names;
pub mod payloads;
pub mod prepared;
pub mod queues;
pub mod rejected;
pub mod secrets;
mod statements;
pub mod transactions;

/// Attempts for each call, the first included. The SDK's standard mode backs off with jitter between them, and has a budget
/// for the retries of a service in one process: 500, of which a retry costs 5 (10 after a timeout or a 5xx) and a call that
/// passes gives back 1 or what it took (`TokenBucket` of aws-smithy-runtime). A service that is away gets 50 to 100 retries.
const MAX_ATTEMPTS: u32 = 3;
/// A connection inside a region takes a few milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The slowest single call here is a 1 MiB put; well under the functions' own timeouts (30 s and more).
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// All attempts together.
const OPERATION_TIMEOUT: Duration = LONGEST_CALL;
/// The longest that a call of any port takes, a batch of calls included: 12 s.
pub const LONGEST_CALL: Duration = batch::PATIENCE;

/// The configuration that every client is made from: credentials, region and endpoint from the environment.
pub async fn sdk_config() -> SdkConfig {
    let loader = config_loader();
    // Lambda's credentials. The SDK's chain of providers looks at them first, too, but is long to set up.
    let environment = EnvironmentVariableCredentialsProvider::new();
    match environment.provide_credentials().await {
        Ok(_) => loader.credentials_provider(environment).load().await,
        Err(_) => loader.load().await,
    }
}

/// The configuration of [`sdk_config`], before anything of the environment: how calls are made, repeated and given up.
pub fn config_loader() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http::SharedHttps::default())
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT)
                .build(),
        )
}

/// An S3 client. A custom endpoint means a local server, which has no host name for each bucket.
pub fn s3_client(config: &SdkConfig) -> aws_sdk_s3::Client {
    let builder = aws_sdk_s3::config::Builder::from(config).force_path_style(config.endpoint_url().is_some());
    aws_sdk_s3::Client::from_conf(builder.build())
}
