//! Endpoint configuration in SSM Parameter Store: one parameter for each endpoint under a common path, so that
//! adding a merchant takes one PutParameter call and no deployment.

use tollgate_core::EndpointConfig;
use tollgate_pipeline::ports::{EndpointSource, PortResult};
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
            for parameter in page.parameters() {
                match serde_json::from_str(parameter.value().unwrap_or_default()) {
                    Ok(endpoint) => endpoints.push(endpoint),
                    Err(problem) => {
                        let name = parameter.name().unwrap_or_default();
                        error!(
                            name,
                            line = problem.line(),
                            column = problem.column(),
                            "parameter is not an endpoint's configuration and is skipped"
                        );
                    }
                }
            }
        }
        Ok(endpoints)
    }
}
