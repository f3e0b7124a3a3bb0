//! What the commands share: which of those that are kept are meant, and with which keys they are verified.

use std::collections::HashSet;

use anyhow::Context;
use tollgate_core::EndpointId;
use tollgate_operate::{
    aws::Aws,
    rejected::{Filter, not_kept},
};
use tollgate_providers::{Endpoint, KeyRing};

use crate::{
    clock,
    dlq::span,
    endpoints::{self, KeyStore, Reference},
    signer::KeySource,
};

/// Which of those that are kept.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Which {
    /// Refused by this endpoint
    #[arg(long)]
    endpoint: Option<String>,
    /// For this reason, as `rejected list` has it
    #[arg(long = "for", value_name = "CAUSE")]
    cause: Option<String>,
    /// That arrived from then on: 2026-01-31T12:00:00Z, 2026-01-31, or so long ago: 90m, 36h, 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// That arrived before then; a day is included
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// This webhook
    #[arg(long = "id", value_name = "WEBHOOK_ID")]
    ids: Vec<String>,
}

impl Which {
    pub(super) fn filter(&self) -> anyhow::Result<Filter> {
        let Self { endpoint, cause, since, until, ids } = self.clone();
        let endpoint = endpoint.map(EndpointId::new).transpose().context("--endpoint")?;
        let (since, until) = span(since.as_deref(), until.as_deref(), clock::now())?;
        Ok(Filter { endpoint, reason: cause, since, until, ids })
    }
}

/// Says which of the filter's ids are not kept; whether all are.
pub(super) fn are_kept(filter: &Filter, found: &HashSet<String>) -> bool {
    let missing = not_kept(filter, found);
    for id in &missing {
        complain!("{id} is not kept");
    }
    missing.is_empty()
}

/// An endpoint as it is now, with its keys or the one that was handed in.
pub(super) async fn endpoint_with_keys(
    aws: &Aws,
    id: &EndpointId,
    key: &KeySource,
) -> anyhow::Result<(Endpoint, KeyRing)> {
    let endpoint = endpoints::find(aws, id.as_str()).await?;
    let keys = match key.read()? {
        Some(key) => key.keys("given"),
        None => {
            let reference = Reference::parse(&endpoint.config().secret)?;
            KeyStore::new(aws)
                .active(&reference)
                .await
                .context("reading its keys; --secret-file reads one of a file")?
        }
    };
    let ring = endpoint.keys(keys)?;
    Ok((endpoint, ring))
}
