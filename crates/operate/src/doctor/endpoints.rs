//! The endpoints: their document, their keys, and whether they hear something.

use std::collections::BTreeMap;

use anyhow::Context;
use tollgate_aws::endpoints::S3Endpoints;
use tollgate_core::{EndpointConfig, Timestamp};
use tollgate_pipeline::{endpoints::EndpointsDocument, ports::EndpointStore};
use tollgate_providers::Endpoint;

use super::{
    key,
    model::{Finding, told},
};
use crate::{
    aws::Aws,
    drift::{Drift, drift},
    endpoints, figures,
    secrets::{self, State},
};

const DOCUMENT: &str = "endpoints";
const KEYS: &str = "keys";
const HEARD: &str = "heard";

const STORE_KEY: &str =
    "`tollgate endpoints rotate ENDPOINT --secret-file FILE` stores it: docs/runbook.md#rotate-a-secret";
const RESTORE_KEY: &str =
    "`tollgate endpoints apply` restores and encrypts it again: docs/runbook.md#a-suffix-is-used-again";
const STORE_API_KEY: &str = "`tollgate endpoints api-key ENDPOINT --secret-file FILE` stores it: docs/providers.md#events-that-are-fetched";

/// Whether the document can be read, each endpoint serves, and all of it is as a file says.
pub(super) async fn configured(aws: &Aws, wanted: Option<&[EndpointConfig]>) -> Vec<Finding> {
    told(DOCUMENT, "the document", document(aws, wanted).await)
}

async fn document(aws: &Aws, wanted: Option<&[EndpointConfig]>) -> anyhow::Result<Vec<Finding>> {
    let bucket = aws.names.endpoints_bucket(&aws.account().await?);
    let remedy = "docs/runbook.md#endpoints-cannot-be-read";
    let stored = S3Endpoints::new(aws.config.clone(), &bucket, aws.names.suffix()).load().await;
    let Some(stored) = stored.context("reading the endpoints")? else {
        return Ok(vec![Finding::fail(DOCUMENT, bucket, "there is no document", remedy)]);
    };
    let document = match EndpointsDocument::read(&stored.document) {
        Ok(document) => document,
        Err(problem) => return Ok(vec![Finding::fail(DOCUMENT, bucket, problem.to_string(), remedy)]),
    };
    let (mut found, mut deployed) = (Vec::new(), Vec::new());
    for (id, config) in document.endpoints() {
        let remedy =
            "mend its row, then `tollgate endpoints apply`: docs/runbook.md#endpoints-cannot-be-read";
        let checked = config.map_err(|problem| problem.to_string()).and_then(|config| {
            deployed.push(config.clone());
            if !aws.names.is_own_secret(&config.secret) {
                return Err("its secret is not of this environment".to_owned());
            }
            Endpoint::new(config).map_err(|problem| problem.to_string())
        });
        match checked {
            Ok(endpoint) => found.extend(endpoint.warnings().iter().map(|warning| {
                Finding::warn(DOCUMENT, id.to_string(), warning.to_string(), "docs/custom-schemes.md")
            })),
            Err(problem) => found.push(Finding::fail(
                DOCUMENT,
                id.to_string(),
                format!("it cannot serve, and is answered 503: {problem}"),
                remedy,
            )),
        }
    }
    if found.is_empty() {
        found.push(Finding::ok(DOCUMENT, bucket, format!("{} endpoints, all serve", deployed.len())));
    }
    if let Some(wanted) = wanted {
        found.extend(of_file(wanted, &deployed));
    }
    Ok(found)
}

fn of_file(wanted: &[EndpointConfig], deployed: &[EndpointConfig]) -> Vec<Finding> {
    let drifts = drift(wanted, deployed);
    let one = |drift: &Drift| {
        let remedy = match drift {
            Drift::OnlyDeployed { .. } => "add it to the file, or `tollgate endpoints remove`",
            Drift::OnlyInFile { .. } | Drift::Differs { .. } => {
                "`tollgate endpoints apply FILE`, or mend the file"
            }
        };
        Finding::warn("drift", drift.id().to_string(), drift.to_string(), remedy)
    };
    let found: Vec<Finding> = drifts.iter().map(one).collect();
    if found.is_empty() {
        return vec![Finding::ok("drift", "the file", "the environment is as the file says")];
    }
    found
}

/// Whether each endpoint's key is there, as far as that is seen without reading it.
pub(super) async fn keys(aws: &Aws) -> Vec<Finding> {
    let endpoints = match endpoints::all(aws).await {
        Ok(endpoints) => endpoints,
        Err(problem) => return vec![Finding::unknown(KEYS, "all", &problem)],
    };
    // Several endpoints may share one.
    let mut by_secret: BTreeMap<(String, &str), Vec<&str>> = BTreeMap::new();
    for endpoint in &endpoints {
        let own = Some(&endpoint.secret).filter(|secret| aws.names.is_own_secret(secret));
        let signing = own.map(|secret| (secret.clone(), STORE_KEY));
        let enriching = secrets::enriching_key(aws, endpoint).map(|secret| (secret, STORE_API_KEY));
        for secret in signing.into_iter().chain(enriching) {
            by_secret.entry(secret).or_default().push(endpoint.id.as_str());
        }
    }
    let store = secrets::Store::of(aws);
    // Where it is not known, no secret is held against it: the check of the key says why.
    let own = key::find(aws).await.ok();
    let mut found = Vec::new();
    for ((secret, remedy), of) in by_secret {
        let of = of.join(", ");
        found.push(match store.look(&secret).await {
            Ok(State::There { kms_key, .. }) => match own.as_ref().and_then(|own| not_ours(own, kms_key)) {
                None => Finding::ok(KEYS, of, format!("{secret} is there")),
                Some(problem) => {
                    let remedy = if remedy == STORE_KEY { RESTORE_KEY } else { remedy };
                    Finding::fail(KEYS, of, format!("{secret}: {problem}"), remedy)
                }
            },
            Ok(State::Empty) => Finding::fail(KEYS, of, format!("{secret} has no value"), remedy),
            Ok(State::Missing) => Finding::fail(KEYS, of, format!("{secret} is not there"), remedy),
            Ok(State::Deleted) => Finding::fail(
                KEYS,
                of,
                format!("{secret} waits for its deletion, and cannot be read"),
                if remedy == STORE_KEY { RESTORE_KEY } else { remedy },
            ),
            Err(problem) => Finding::unknown(KEYS, of, &problem),
        });
    }
    found
}

/// Why the functions cannot decrypt a secret: they may use this environment's key, or AWS's own.
fn not_ours(own: &Option<key::Own>, kms_key: Option<String>) -> Option<String> {
    let kms_key = kms_key.filter(|key| !key.starts_with("alias/aws/"))?;
    let is_ours = own.as_ref().is_some_and(|own| own.is(&kms_key));
    (!is_ours).then(|| format!("it is encrypted with {kms_key}, which is not this environment's key"))
}

/// Whether each endpoint hears what is usual for it.
pub(super) async fn heard(aws: &Aws, now: Timestamp) -> Vec<Finding> {
    let heard = match figures::heard(aws, now).await {
        Ok(heard) => heard,
        Err(problem) => return vec![Finding::unknown(HEARD, "all", &problem)],
    };
    let mut found = Vec::new();
    let (mut used, mut unused) = (0_usize, Vec::new());
    for one in heard {
        match (one.silence, one.last) {
            (Some(silence), _) => found.push(Finding::fail(
                HEARD,
                one.endpoint.to_string(),
                format!("silent for {} hours", silence.hours),
                "docs/runbook.md#silence",
            )),
            (None, Some(_)) => used += 1,
            (None, None) => unused.push(one.endpoint.to_string()),
        }
    }
    if !unused.is_empty() {
        let detail = "nobody has used it in twelve weeks, or in all that the logs have";
        let remedy = "look at the provider's settings; one that nobody needs: `tollgate endpoints remove`";
        found.push(Finding::warn(HEARD, unused.join(", "), detail, remedy));
    }
    if found.is_empty() {
        found.push(Finding::ok(HEARD, "all", format!("{used} endpoints hear what is usual for them")));
    }
    found
}
