//! What the reconciler holds: made once, at start-up.

use std::convert::Infallible;

use tollgate_aws::archive::S3Archive;
use tollgate_lambda::{clock, metrics::Metrics};
use tollgate_operate::{aws::Aws, provider_api::Timing};

use crate::settings::Settings;

/// The environment, where reports and metrics go, and the clock.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) aws: Aws,
    pub(crate) reports: S3Archive,
    pub(crate) metrics: Metrics,
    pub(crate) timing: Timing,
}

impl Context {
    /// Makes the clients. It calls no service, so nothing can fail.
    pub(crate) async fn new(settings: Settings) -> Result<Self, Infallible> {
        let Settings { names, account } = settings;
        let config = tollgate_aws::sdk_config().await;
        Ok(Self {
            reports: S3Archive::new(tollgate_aws::s3_client(&config), names.archive_bucket(&account)),
            metrics: Metrics::start("reconciler", names.suffix(), clock::now()),
            aws: Aws { config, names, platform: None, account: Some(account) },
            timing: Timing::new(clock::now),
        })
    }
}
