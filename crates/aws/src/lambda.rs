//! Invoking a function, for the operator's tool: one call, for which the SDK's client would bring more than it is worth.

use aws_config::SdkConfig;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
};
use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};
use tollgate_pipeline::ports::{PortError, PortResult};

use crate::{error::port_error, json_service::Service};

const SERVICE: &str = "lambda";
/// The alias that everything calls a function by.
const ALIAS: &str = "live";

/// A function, to be invoked any number of times.
#[derive(Debug)]
pub struct Function {
    invoke: Operation<String, Answer, ErrorMetadata>,
}

#[derive(Debug)]
enum Answer {
    Done(Vec<u8>),
    /// The function ended without an answer of its own.
    Failed(String),
}

impl Function {
    /// The function of this name; Lambda is at `url`, where the configuration has no endpoint of its own.
    ///
    /// # Errors
    ///
    /// Permanent, where the configuration has no region or no credentials.
    pub fn new(config: &SdkConfig, url: &str, name: &str) -> PortResult<Self> {
        let service = Service { config, name: SERVICE, signing_name: SERVICE, url };
        // Invoke, Lambda's API reference.
        let path = format!("/2015-03-31/functions/{name}/invocations?Qualifier={ALIAS}");
        let invoke = service.operation("Invoke", move |body| serialize(body, &path), deserialize)?;
        Ok(Self { invoke })
    }

    /// Invokes it and waits for its answer. A call whose answer is lost is made again.
    ///
    /// # Errors
    ///
    /// Lambda does not take the call, or the function fails.
    pub async fn invoke(&self, payload: String) -> PortResult<Vec<u8>> {
        match self.invoke.invoke(payload).await.map_err(|problem| port_error(SERVICE, &problem))? {
            Answer::Done(answer) => Ok(answer),
            Answer::Failed(kind) => Err(PortError::retryable(SERVICE, kind)),
        }
    }
}

fn serialize(body: String, path: &str) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST")?;
    request.set_uri(path)?;
    request.headers_mut().insert("content-type", "application/json");
    Ok(request)
}

fn deserialize(response: &HttpResponse) -> Result<Answer, OrchestratorError<ErrorMetadata>> {
    let body = response.body().bytes().unwrap_or_default();
    let header = |name: &str| response.headers().get(name).map(str::to_owned);
    if !response.status().is_success() {
        let code = header("x-amzn-errortype").unwrap_or_else(|| "service error".to_owned());
        let code = code.split(':').next().unwrap_or_default().to_owned();
        return Err(OrchestratorError::operation(ErrorMetadata::builder().code(code).build()));
    }
    Ok(match header("x-amz-function-error") {
        Some(kind) => Answer::Failed(format!("the function failed: {kind}")),
        None => Answer::Done(body.to_vec()),
    })
}
