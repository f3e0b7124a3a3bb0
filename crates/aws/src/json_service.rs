//! Calls of a service in AWS's JSON protocol, for whose few calls the SDK's client of the service would bring more than they
//! are worth. They are made of what every client of the SDK is made of: its signer, its retries, its time-outs.

use std::fmt;

use aws_config::SdkConfig;
use aws_runtime::{
    auth::{
        SigV4OperationSigningConfig, SigningOptions,
        sigv4::{SCHEME_ID, SigV4AuthScheme},
    },
    retries::classifiers::AwsErrorCodeClassifier,
};
use aws_smithy_runtime::client::{
    identity::IdentityCache,
    orchestrator::operation::Operation,
    retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        auth::{
            AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
            static_resolver::StaticAuthSchemeOptionResolver,
        },
        identity::SharedIdentityResolver,
        orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
        runtime_components::RuntimeComponentsBuilder,
        runtime_plugin::StaticRuntimePlugin,
    },
};
use aws_smithy_types::{body::SdkBody, config_bag::Layer, error::ErrorMetadata, retry::RetryConfig};
use aws_types::{SigningName, region::SigningRegion};
use serde::{Deserialize, de::DeserializeOwned};
use tollgate_pipeline::ports::{PortError, PortResult};

/// A service and where it is.
#[derive(Debug, Clone)]
pub struct JsonService {
    /// Credentials, region, retries and time-outs; an endpoint of its own counts before `url`.
    pub config: SdkConfig,
    /// What errors call it.
    pub name: &'static str,
    /// What requests to it are signed for.
    pub signing_name: &'static str,
    /// What its operations are prefixed with (its public model, `targetPrefix`).
    pub target: &'static str,
    /// The version of its JSON protocol (its public model, `jsonVersion`).
    pub json_version: &'static str,
    /// Its URL in the region.
    pub url: String,
}

/// An answer, and the `Date` of its headers.
#[derive(Debug)]
pub struct Dated<T> {
    /// The answer.
    pub answer: T,
    /// As the service writes it (RFC 9110, IMF-fixdate).
    pub date: Option<String>,
}

/// An operation: its input is JSON, its answer is read as `T`.
pub type Call<T> = Operation<String, T, ErrorMetadata>;

impl JsonService {
    /// An operation of it, to be called any number of times.
    ///
    /// # Errors
    ///
    /// Permanent, where the configuration has no region or no credentials.
    pub fn call<T>(&self, operation: &'static str) -> PortResult<Call<T>>
    where
        T: DeserializeOwned + fmt::Debug + Send + Sync + 'static,
    {
        let target = format!("{}.{operation}", self.target);
        let content_type = format!("application/x-amz-json-{}", self.json_version);
        let serialize = move |body| serialize(body, &target, &content_type);
        self.service().operation(operation, serialize, deserialize)
    }

    /// An operation that is a GET in AWS's REST protocol with JSON. Its input is the path with the query, and its answer has the
    /// service's clock beside it.
    ///
    /// # Errors
    ///
    /// Those of [`Self::call`].
    pub fn rest<T>(&self, operation: &'static str) -> PortResult<Call<Dated<T>>>
    where
        T: DeserializeOwned + fmt::Debug + Send + Sync + 'static,
    {
        let dated = |response: &HttpResponse| {
            let date = response.headers().get("date").map(str::to_owned);
            Ok(Dated { answer: deserialize(response)?, date })
        };
        self.service().operation(operation, serialize_get, dated)
    }

    fn service(&self) -> Service<'_> {
        Service { config: &self.config, name: self.name, signing_name: self.signing_name, url: &self.url }
    }
}

/// A service whose calls are made here, in whatever protocol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service<'a> {
    pub(crate) config: &'a SdkConfig,
    pub(crate) name: &'static str,
    pub(crate) signing_name: &'static str,
    pub(crate) url: &'a str,
}

impl Service<'_> {
    /// An operation, by what makes its request and reads its answer.
    pub(crate) fn operation<I, T>(
        self,
        operation: &'static str,
        serialize: impl Fn(I) -> Result<HttpRequest, BoxError> + Send + Sync + 'static,
        deserialize: impl Fn(&HttpResponse) -> Result<T, OrchestratorError<ErrorMetadata>> + Send + Sync + 'static,
    ) -> PortResult<Operation<I, T, ErrorMetadata>>
    where
        I: fmt::Debug + Send + Sync + 'static,
        T: fmt::Debug + Send + Sync + 'static,
    {
        let Self { config, name, .. } = self;
        let missing = |what| PortError::permanent(name, what);
        let region = config.region().cloned().ok_or_else(|| missing("no region"))?;
        let credentials = config.credentials_provider().ok_or_else(|| missing("no credentials"))?;
        let mut signing = Layer::new(name);
        signing.store_put(SigV4OperationSigningConfig {
            region: Some(SigningRegion::from(region)),
            region_set: None,
            name: Some(SigningName::from_static(self.signing_name)),
            signing_options: SigningOptions::default(),
        });
        signing.store_put(AuthSchemeOptionResolverParams::new(()));
        let scheme = StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]);
        let components = RuntimeComponentsBuilder::new(name)
            .with_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()))
            .with_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(scheme)))
            .with_identity_cache(Some(IdentityCache::lazy().build()))
            .with_identity_resolver(SCHEME_ID, SharedIdentityResolver::new(credentials))
            .with_retry_classifier(HttpStatusCodeClassifier::default())
            .with_retry_classifier(TransientErrorClassifier::<ErrorMetadata>::new())
            .with_retry_classifier(AwsErrorCodeClassifier::<ErrorMetadata>::new());
        let plugin =
            StaticRuntimePlugin::new().with_config(signing.freeze()).with_runtime_components(components);
        let retries = config.retry_config().cloned().unwrap_or_else(RetryConfig::disabled);
        let mut call = Operation::builder()
            .service_name(name)
            .operation_name(operation)
            .endpoint_url(config.endpoint_url().unwrap_or(self.url))
            .standard_retry(&retries)
            .with_connection_poisoning()
            .runtime_plugin(plugin);
        if let Some(version) = config.behavior_version() {
            call = call.behavior_version(version);
        }
        if let Some(client) = config.http_client() {
            call = call.http_client(client);
        }
        if let Some(timeouts) = config.timeout_config() {
            call = call.timeout_config(timeouts.clone());
        }
        if let Some(sleep) = config.sleep_impl() {
            call = call.sleep_impl(sleep);
        }
        if let Some(time) = config.time_source() {
            call = call.time_source(time);
        }
        Ok(call.serializer(serialize).deserializer(deserialize).build())
    }
}

/// The request, before it is signed (AWS JSON protocol, Smithy).
fn serialize(body: String, target: &str, content_type: &str) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST")?;
    request.set_uri("/")?;
    let headers = request.headers_mut();
    headers.insert("content-type", content_type.to_owned());
    headers.insert("x-amz-target", target.to_owned());
    Ok(request)
}

fn serialize_get(path: String) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::empty());
    request.set_method("GET")?;
    request.set_uri(path)?;
    Ok(request)
}

/// The answer, or the error's code and message (the same protocol, "Operation error serialization").
fn deserialize<T: DeserializeOwned>(response: &HttpResponse) -> Result<T, OrchestratorError<ErrorMetadata>> {
    #[derive(Deserialize)]
    struct Problem {
        #[serde(rename = "__type", default)]
        kind: Option<String>,
        #[serde(default, alias = "Message")]
        message: Option<String>,
    }
    let body = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        return serde_json::from_slice(body)
            .map_err(|_| OrchestratorError::response("not an answer to the call".into()));
    }
    let problem = serde_json::from_slice::<Problem>(body).ok();
    // The REST protocol has it in a header, with more behind a colon ("AWS restJson1 protocol", Smithy).
    let in_header = response.headers().get("x-amzn-errortype").and_then(|kind| kind.split(':').next());
    let kind = problem.as_ref().and_then(|problem| problem.kind.as_deref()).or(in_header);
    let code = kind.and_then(|kind| kind.rsplit('#').next()).unwrap_or("service error");
    let mut metadata = ErrorMetadata::builder().code(code);
    if let Some(message) = problem.as_ref().and_then(|problem| problem.message.as_ref()) {
        metadata = metadata.message(message);
    }
    Err(OrchestratorError::operation(metadata.build()))
}
