//! Endpoint configuration in SSM Parameter Store: one parameter for each endpoint under a common path, so that
//! adding a merchant takes one PutParameter call and no deployment.

use aws_sdk_ssm::types::Parameter;
use tollgate_core::{EndpointConfig, EndpointId};
use tollgate_pipeline::ports::{EndpointLookup, EndpointSource, PortError, PortResult};
use tracing::error;

use crate::error::port_error;

/// The parameters under a path.
#[derive(Debug, Clone)]
pub struct SsmEndpoints {
    client: aws_sdk_ssm::Client,
    path: String,
}

impl SsmEndpoints {
    /// The endpoints under `path`, such as `/tollgate/dev/endpoints`.
    pub fn new(client: aws_sdk_ssm::Client, path: impl Into<String>) -> Self {
        Self { client, path: path.into() }
    }
}

impl EndpointSource for SsmEndpoints {
    async fn endpoints(&self) -> PortResult<Vec<EndpointConfig>> {
        let mut endpoints = Vec::new();
        let mut pages = self.client.get_parameters_by_path().path(&self.path).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|problem| port_error("ssm", &problem))?;
            endpoints.extend(page.parameters().iter().filter_map(read));
        }
        Ok(endpoints)
    }
}

impl EndpointLookup for SsmEndpoints {
    async fn endpoint(&self, id: &EndpointId) -> PortResult<Option<EndpointConfig>> {
        let answer = self.client.get_parameter().name(format!("{}/{id}", self.path)).send().await;
        match answer.map_err(|problem| port_error("ssm", &problem)) {
            // A name in the configuration counts, and not the parameter's: so it does in the listing.
            Ok(answer) => Ok(answer.parameter().and_then(read).filter(|endpoint| endpoint.id == *id)),
            Err(PortError::Permanent { detail, .. }) if detail == "ParameterNotFound" => Ok(None),
            Err(problem) => Err(problem),
        }
    }
}

fn read(parameter: &Parameter) -> Option<EndpointConfig> {
    let read = serde_json::from_str(parameter.value().unwrap_or_default());
    let report = |problem: &serde_json::Error| {
        let (name, line, column) = (parameter.name().unwrap_or_default(), problem.line(), problem.column());
        error!(name, line, column, "parameter is not an endpoint's configuration and is skipped");
    };
    read.inspect_err(report).ok()
}
