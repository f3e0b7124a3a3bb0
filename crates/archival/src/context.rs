//! What the archival function holds: made once, at start-up.

use std::convert::Infallible;

use tollgate_archive::Archiver;
use tollgate_aws::{archive::S3Archive, payloads::S3Payloads};
use tollgate_lambda::{clock, metrics::Metrics};

use crate::settings::Settings;

/// The use case on its AWS ports, and where metrics go.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) archiver: Archiver<S3Archive, S3Payloads>,
    pub(crate) metrics: Metrics,
}

impl Context {
    /// Makes the clients. It calls no service, so nothing can fail.
    pub(crate) async fn new(settings: Settings) -> Result<Self, Infallible> {
        let config = tollgate_aws::sdk_config().await;
        let s3 = tollgate_aws::s3_client(&config);
        Ok(Self {
            archiver: Archiver::new(
                S3Archive::new(s3, settings.archive_bucket),
                S3Payloads::new(config, settings.payload_bucket),
            ),
            metrics: Metrics::start("archival", settings.environment, clock::now()),
        })
    }
}
