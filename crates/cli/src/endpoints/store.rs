//! Where an environment's endpoints are: one document, which several people may change at once.

use std::time::Duration;

use anyhow::Context;
use tollgate_aws::endpoints::S3Endpoints;
use tollgate_core::EndpointConfig;
use tollgate_pipeline::{
    endpoints::{DocumentError, EndpointsDocument, change},
    ports::{EndpointStore, PortError, PortResult, StoredEndpoints},
};

use tollgate_operate::aws::Aws;
use tollgate_providers::Endpoint;

/// Between looks for a bucket that a deployment is about to make.
const PAUSE: Duration = Duration::from_secs(2);
/// So many looks are half an hour.
const LOOKS: u32 = 900;

pub(super) struct Store {
    endpoints: S3Endpoints,
    pub(super) bucket: String,
}

impl Store {
    pub(super) async fn open(aws: &Aws) -> anyhow::Result<Self> {
        let bucket = aws.names.endpoints_bucket(&aws.account().await?);
        let endpoints = S3Endpoints::new(aws.config.clone(), bucket.as_str(), aws.names.suffix());
        Ok(Self { endpoints, bucket })
    }

    /// Every endpoint.
    pub(super) async fn document(&self) -> anyhow::Result<EndpointsDocument> {
        let stored = self.load().await.context("reading the endpoints")?;
        let stored = stored.with_context(|| {
            format!(
                "no endpoints are configured in {}: `tollgate endpoints apply --new` does it, or `migrate` where they were \
                 SSM parameters",
                self.bucket
            )
        })?;
        EndpointsDocument::read(&stored.document)
            .with_context(|| format!("the document {} of {}", stored.version, self.bucket))
    }

    /// Whether there is a document.
    pub(super) async fn exists(&self) -> anyhow::Result<bool> {
        Ok(self.load().await.context("reading the endpoints")?.is_some())
    }

    /// Adds endpoints, or replaces those of their names, all in one step.
    pub(super) async fn put(&self, endpoints: &[&EndpointConfig]) -> anyhow::Result<()> {
        self.change(|document| endpoints.iter().try_for_each(|endpoint| document.put(endpoint))).await
    }

    /// Changes the document, or makes one: the functions take one that has no endpoints for true. Whoever means to change
    /// one asks for it before.
    pub(super) async fn change(
        &self,
        edit: impl FnMut(&mut EndpointsDocument) -> Result<(), DocumentError>,
    ) -> anyhow::Result<()> {
        change(&self.endpoints, edit)
            .await
            .with_context(|| format!("changing the endpoints in {}", self.bucket))?;
        Ok(())
    }

    /// Waits until there is the bucket.
    pub(super) async fn until_made(&self) -> anyhow::Result<()> {
        for look in 0..LOOKS {
            match self.load().await {
                Err(PortError::Retryable { detail, .. }) if detail == "NoSuchBucket" => {
                    if look == 0 {
                        say!("waiting for the bucket {}: deploy now", self.bucket);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer.map(drop).context("looking for the bucket of the endpoints"),
            }
        }
        anyhow::bail!("there is no bucket {}", self.bucket)
    }

    async fn load(&self) -> PortResult<Option<StoredEndpoints>> {
        self.endpoints.load().await
    }
}

/// Every endpoint of the environment, by name.
///
/// # Errors
///
/// When AWS does not answer, or an endpoint is no configuration.
pub async fn stored(aws: &Aws) -> anyhow::Result<Vec<EndpointConfig>> {
    let document = Store::open(aws).await?.document().await?;
    let endpoints = document.endpoints().map(|(id, config)| config.with_context(|| format!("endpoint {id}")));
    endpoints.collect()
}

/// One endpoint of the environment, checked.
pub(crate) async fn find(aws: &Aws, id: &str) -> anyhow::Result<Endpoint> {
    let endpoints = stored(aws).await?;
    let config = endpoints
        .into_iter()
        .find(|config| config.id.as_str() == id)
        .with_context(|| format!("no endpoint {id}: see `tollgate endpoints list`"))?;
    Ok(Endpoint::new(config)?)
}
