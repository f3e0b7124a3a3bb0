//! Endpoint configuration in SSM Parameter Store: one parameter for each endpoint under a common path, so that
//! adding a merchant takes one PutParameter call and no deployment.

use aws_sdk_ssm::types::Parameter;
use tollgate_core::{EndpointConfig, EndpointId};
use tollgate_pipeline::ports::{
    CannotServe, Configured, EndpointLookup, EndpointSource, PortError, PortResult,
};
use tracing::error;

use crate::{error::port_error, names::own_secret};

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

impl SsmEndpoints {
    /// What a parameter holds. Why it cannot serve is logged. `None` where its name is no endpoint's either.
    fn read(&self, parameter: &Parameter) -> Option<Configured> {
        let name = parameter.name().unwrap_or_default();
        let read: Result<EndpointConfig, _> = serde_json::from_str(parameter.value().unwrap_or_default());
        match read {
            Ok(endpoint) if self.is_own(&endpoint) => Some(Ok(endpoint)),
            Ok(endpoint) => {
                error!(name, "endpoint names a secret outside of the platform's and cannot serve");
                Some(Err(CannotServe { id: endpoint.id }))
            }
            Err(problem) => {
                let (line, column) = (problem.line(), problem.column());
                error!(name, line, column, "parameter is not an endpoint's configuration and cannot serve");
                let id = EndpointId::new(name.rsplit('/').next().unwrap_or_default()).ok()?;
                Some(Err(CannotServe { id }))
            }
        }
    }

    /// Whether the endpoint's secret is beside the endpoints, under the same root.
    fn is_own(&self, endpoint: &EndpointConfig) -> bool {
        let root = self.path.trim_matches('/').strip_suffix("/endpoints");
        root.is_some_and(|root| own_secret(root, &endpoint.secret))
    }
}

impl EndpointSource for SsmEndpoints {
    async fn endpoints(&self) -> PortResult<Vec<Configured>> {
        let mut endpoints = Vec::new();
        let mut pages = self.client.get_parameters_by_path().path(&self.path).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|problem| port_error("ssm", &problem))?;
            endpoints.extend(page.parameters().iter().filter_map(|one| self.read(one)));
        }
        Ok(endpoints)
    }
}

impl EndpointLookup for SsmEndpoints {
    async fn endpoint(&self, id: &EndpointId) -> PortResult<Option<Configured>> {
        let answer = self.client.get_parameter().name(format!("{}/{id}", self.path)).send().await;
        match answer.map_err(|problem| port_error("ssm", &problem)) {
            // A name in the configuration counts, and not the parameter's: so it does in the listing.
            Ok(answer) => {
                Ok(answer.parameter().and_then(|one| self.read(one)).filter(|one| name_of(one) == id))
            }
            Err(PortError::Permanent { detail, .. }) if detail == "ParameterNotFound" => Ok(None),
            Err(problem) => Err(problem),
        }
    }
}

fn name_of(configured: &Configured) -> &EndpointId {
    match configured {
        Ok(endpoint) => &endpoint.id,
        Err(CannotServe { id }) => id,
    }
}
