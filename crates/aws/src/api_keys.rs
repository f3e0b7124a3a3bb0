//! The keys of providers' APIs, from Secrets Manager.
//!
//! The SDK's client would bring its crate into the processor for this one call.

use aws_config::SdkConfig;
use aws_smithy_types::error::ErrorMetadata;
use serde::{Deserialize, Serialize};
use tollgate_core::EndpointId;
use tollgate_pipeline::ports::{ApiKeys, PortError, PortResult};
use tollgate_providers::ApiKey;
use zeroize::Zeroizing;

use crate::{
    error::{build_error, in_time, port_error},
    json_service::{Call, JsonService},
    names::api_secret,
};

const SERVICE: &str = "secretsmanager";
/// What it answers of a secret that is not there (GetSecretValue, API reference).
const NOT_THERE: &str = "ResourceNotFoundException";

/// The keys of one environment's endpoints.
#[derive(Debug, Clone)]
pub struct AwsApiKeys {
    service: JsonService,
    suffix: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    secret_id: &'a str,
}

/// An answer. Not printable.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    secret_string: Option<String>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer(..)")
    }
}

impl AwsApiKeys {
    /// The keys of the environment `suffix`, at Secrets Manager's `url` of the region, unless the configuration has an endpoint of
    /// its own.
    pub fn new(config: SdkConfig, url: impl Into<String>, suffix: impl Into<String>) -> Self {
        let service = JsonService {
            config,
            name: SERVICE,
            signing_name: SERVICE,
            target: SERVICE,
            json_version: "1.1",
            url: url.into(),
        };
        Self { service, suffix: suffix.into() }
    }
}

impl ApiKeys for AwsApiKeys {
    async fn api_key(&self, endpoint: &EndpointId) -> PortResult<Option<ApiKey>> {
        let name = api_secret(&self.suffix, endpoint);
        let request =
            serde_json::to_string(&Request { secret_id: &name }).map_err(|_| build_error(SERVICE))?;
        let call: Call<Answer> = self.service.call("GetSecretValue")?;
        let answer = in_time(SERVICE, async {
            match call.invoke(request).await {
                // A binary one: it is there, and nobody can ask with it.
                Ok(Answer { secret_string: None }) => {
                    Err(PortError::permanent(SERVICE, "the secret holds no text"))
                }
                Ok(answer) => Ok(answer.secret_string),
                Err(problem)
                    if problem.as_service_error().and_then(ErrorMetadata::code) == Some(NOT_THERE) =>
                {
                    Ok(None)
                }
                Err(problem) => Err(port_error(SERVICE, &problem)),
            }
        });
        let Some(text) = answer.await?.map(Zeroizing::new) else { return Ok(None) };
        ApiKey::new(&text)
            .map(Some)
            .map_err(|_| PortError::permanent(SERVICE, "the secret holds no key of an API"))
    }
}
