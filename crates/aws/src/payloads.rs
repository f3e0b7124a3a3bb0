//! Large bodies in S3.

use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::put_object::{PutObjectError, PutObjectOutput},
    primitives::ByteStream,
};
use tollgate_pipeline::ports::{ObjectStore, PayloadSource, PayloadStore, PortError, PortResult, Stored};

use crate::error::{in_time, port_error};

const SERVICE: &str = "s3";

/// The bucket `webhook-payloads`.
#[derive(Debug, Clone)]
pub struct S3Payloads {
    config: SdkConfig,
    /// Made for the first large body: few bodies are large, and making it takes a tenth of a function's start.
    client: OnceLock<Client>,
    bucket: String,
}

impl S3Payloads {
    /// The payloads in `bucket`.
    pub fn new(config: SdkConfig, bucket: impl Into<String>) -> Self {
        Self { config, client: OnceLock::new(), bucket: bucket.into() }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| crate::s3_client(&self.config))
    }
}

impl PayloadStore for S3Payloads {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> PortResult<()> {
        self.client()
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map(|_| ())
            .map_err(|problem| port_error(SERVICE, &problem))
    }
}

impl ObjectStore for S3Payloads {
    async fn keep(&self, key: &str, bytes: Vec<u8>) -> PortResult<Stored> {
        let put = self.client().put_object().bucket(&self.bucket).key(key).if_none_match("*");
        put_new(put.body(ByteStream::from(bytes)).send().await)
    }
}

/// What a put found that replaces nothing. The SDK also gets `PreconditionFailed` when it repeats a put whose first answer was lost.
pub(crate) fn put_new<R>(put: Result<PutObjectOutput, SdkError<PutObjectError, R>>) -> PortResult<Stored> {
    match put {
        Ok(_) => Ok(Stored::New),
        Err(problem) => {
            let code = problem.as_service_error().and_then(ProvideErrorMetadata::code);
            if code == Some("PreconditionFailed") {
                Ok(Stored::Existed)
            } else {
                Err(port_error(SERVICE, &problem))
            }
        }
    }
}

impl PayloadSource for S3Payloads {
    async fn get(&self, key: &str) -> PortResult<Vec<u8>> {
        let read = async {
            let object = self.client().get_object().bucket(&self.bucket).key(key).send().await;
            let object = object.map_err(|problem| port_error(SERVICE, &problem))?;
            let bytes = object.body.collect().await;
            Ok(bytes.map_err(|_| PortError::retryable(SERVICE, "body cut off"))?.to_vec())
        };
        in_time(SERVICE, read).await
    }
}
