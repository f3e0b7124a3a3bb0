//! From one SSM parameter for each endpoint, as it was until version 0.1, to the document.

use std::process::ExitCode;

use anyhow::Context;
use tollgate_core::EndpointConfig;

use super::store::Store;
use tollgate_operate::aws::Aws;

/// Copies every parameter whose endpoint the document lacks. The parameters stay: a version before reads them.
pub(super) async fn run(aws: &Aws) -> anyhow::Result<ExitCode> {
    let path = aws.names.former_endpoints_path();
    if endpoints(aws, &path).await?.is_none() {
        return Ok(ExitCode::FAILURE);
    }
    let store = Store::open(aws).await?;
    store.until_made().await?;
    // Once more, since they may have changed while the bucket was waited for.
    let Some(endpoints) = endpoints(aws, &path).await? else { return Ok(ExitCode::FAILURE) };
    let mut copied = 0;
    store
        .change(|document| {
            copied = 0;
            for endpoint in
                endpoints.iter().filter(|endpoint| !document.contains(&endpoint.id)).collect::<Vec<_>>()
            {
                document.put(endpoint)?;
                copied += 1;
            }
            Ok(())
        })
        .await?;
    say!(
        "{copied} of {} endpoints copied to {}; the others were there. The parameters under {path} stay, for a version before",
        endpoints.len(),
        store.bucket
    );
    Ok(ExitCode::SUCCESS)
}

/// How many endpoints are parameters of the version before.
pub(super) async fn former(aws: &Aws) -> anyhow::Result<usize> {
    Ok(parameters(aws, &aws.names.former_endpoints_path()).await?.len())
}

/// The endpoints that are parameters. `None`, and it is said why, where there are none or one cannot be read.
async fn endpoints(aws: &Aws, path: &str) -> anyhow::Result<Option<Vec<EndpointConfig>>> {
    let (mut endpoints, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in parameters(aws, path).await? {
        match serde_json::from_str::<EndpointConfig>(&value) {
            Ok(endpoint) => endpoints.push(endpoint),
            // Its message may quote what is there: people paste keys.
            Err(problem) => problems.push(format!("{name}: no endpoint, at column {}", problem.column())),
        }
    }
    if !problems.is_empty() {
        for problem in &problems {
            complain!("{problem}");
        }
        complain!("nothing was written: put these right or delete them, and begin again");
        return Ok(None);
    }
    if endpoints.is_empty() {
        complain!("no endpoints under {path}: nothing was written");
        return Ok(None);
    }
    Ok(Some(endpoints))
}

/// Names and values.
async fn parameters(aws: &Aws, path: &str) -> anyhow::Result<Vec<(String, String)>> {
    let ssm = aws_sdk_ssm::Client::new(&aws.config);
    let mut pages = ssm.get_parameters_by_path().path(path).into_paginator().send();
    let mut parameters = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws_sdk_ssm::Error::from).with_context(|| format!("reading {path}"))?;
        parameters.extend(page.parameters().iter().map(|one| {
            (one.name().unwrap_or_default().to_owned(), one.value().unwrap_or_default().to_owned())
        }));
    }
    Ok(parameters)
}
