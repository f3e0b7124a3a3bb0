//! The endpoints of an environment.

use anyhow::Context;
use tollgate_aws::endpoints::S3Endpoints;
use tollgate_core::EndpointConfig;
use tollgate_pipeline::ports::{Configured, EndpointSource};

use crate::aws::Aws;

/// Every endpoint whose settings can be read.
///
/// # Errors
///
/// When AWS does not answer.
pub(crate) async fn all(aws: &Aws) -> anyhow::Result<Vec<EndpointConfig>> {
    Ok(listed(aws).await?.into_iter().flatten().collect())
}

/// Every endpoint, or why it cannot be read.
///
/// # Errors
///
/// When AWS does not answer.
pub async fn listed(aws: &Aws) -> anyhow::Result<Vec<Configured>> {
    let bucket = aws.names.endpoints_bucket(&aws.account().await?);
    let source = S3Endpoints::new(aws.config.clone(), bucket, aws.names.suffix());
    let listing = source.endpoints(None).await.context("reading the endpoints")?;
    Ok(listing.into_iter().flat_map(|listing| listing.endpoints).collect())
}
