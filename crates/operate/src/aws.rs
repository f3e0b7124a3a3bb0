//! Which AWS to talk to: an account, or a local peer that speaks its protocol.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::Credentials;
use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput;
use serde::Deserialize;
use tollgate_aws::names::Names;
pub use tollgate_provider_api::is_loopback;

/// Where an environment is. What is not said is the platform file's, else the AWS profile's, else `dev` in us-east-1.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The environment's suffix.
    pub suffix: Option<String>,
    /// An AWS endpoint instead of Amazon's.
    pub endpoint_url: Option<String>,
    /// The AWS region.
    pub region: Option<String>,
    /// What `scripts/local/platform up` said.
    pub platform: Option<Platform>,
    /// The AWS profile, where it is not the usual one.
    pub profile: Option<String>,
}

/// What `scripts/local/platform up` says of the local platform.
#[derive(Debug, Clone, Deserialize)]
pub struct Platform {
    /// The AWS peer's URL.
    pub aws_endpoint: String,
    /// The region that it plays.
    pub region: String,
    /// The account that it plays.
    pub account_id: String,
    /// The environment's suffix.
    pub suffix: String,
    /// What `/webhook/…` follows.
    pub api_url: String,
    /// The control listener of the runner.
    #[serde(default)]
    pub runner_url: Option<String>,
    /// Where the functions' logs are.
    #[serde(default)]
    pub log_dir: Option<PathBuf>,
    /// DuckDB's command line, for `tollgate search`.
    #[serde(default)]
    pub duckdb: Option<PathBuf>,
    /// Functions' names in AWS by their logical names.
    #[serde(default)]
    pub functions: BTreeMap<String, String>,
}

/// A target made ready.
#[derive(Debug, Clone)]
pub struct Aws {
    /// For the SDK's clients.
    pub config: SdkConfig,
    /// Its resources' names.
    pub names: Names,
    /// Where it is a local platform: its file.
    pub platform: Option<Platform>,
    /// The account's number, where it is known without asking.
    pub account: Option<String>,
}

impl Platform {
    /// Reads the file that `scripts/local/platform up` writes.
    ///
    /// # Errors
    ///
    /// When it does not read, or is none.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no platform file", path.display()))
    }
}

impl Place {
    /// Reads the SDK's own configuration. No call is made yet.
    ///
    /// # Errors
    ///
    /// When the suffix fits no resource's name.
    pub async fn connect(self) -> anyhow::Result<Aws> {
        let Self { suffix, endpoint_url, region, platform, profile } = self;
        let from_platform = |f: fn(&Platform) -> &String| platform.as_ref().map(f).cloned();
        let suffix = suffix.or_else(|| from_platform(|p| &p.suffix));
        let names = Names::new(suffix.unwrap_or_else(|| "dev".to_owned()))?;
        let endpoint = endpoint_url.or_else(|| from_platform(|p| &p.aws_endpoint));
        let region = region.or_else(|| from_platform(|p| &p.region));

        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        if let Some(endpoint) = &endpoint {
            // A local peer takes any key; looking for real ones would hand them to it, or wait for a metadata
            // service that is not there.
            if is_loopback(endpoint) {
                loader = loader.credentials_provider(Credentials::new("test", "test", None, None, "local"));
            }
            loader = loader.endpoint_url(endpoint);
        }
        let mut config = loader.load().await;
        if config.region().is_none() {
            config = config.into_builder().region(Region::new("us-east-1")).build();
        }
        let account = platform.as_ref().map(|platform| platform.account_id.clone());
        Ok(Aws { config, names, platform, account })
    }
}

impl Aws {
    /// Where a service is in the region. A client with an endpoint of its own does not ask.
    pub fn url_of(&self, service: &str) -> String {
        let region = self.config.region().map_or("us-east-1", |region| region.as_ref());
        // China's partition alone has another domain ("AWS service endpoints", AWS general reference).
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        format!("https://{service}.{region}.{domain}")
    }

    /// The account's number, which bucket names hold.
    ///
    /// # Errors
    ///
    /// When AWS does not say it.
    pub async fn account(&self) -> anyhow::Result<String> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        self.identity().await?.account.context("AWS does not say the account's number")
    }

    /// Who asks, as AWS knows the credentials: an ARN. Of a role it has the session's name.
    ///
    /// # Errors
    ///
    /// When AWS does not say it.
    pub async fn actor(&self) -> anyhow::Result<String> {
        self.identity().await?.arn.context("AWS does not say whose credentials these are")
    }

    async fn identity(&self) -> anyhow::Result<GetCallerIdentityOutput> {
        let identity = aws_sdk_sts::Client::new(&self.config).get_caller_identity().send().await;
        identity.map_err(aws_sdk_sts::Error::from).context("asking whose credentials these are")
    }
}
