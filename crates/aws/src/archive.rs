//! The archive in S3.

use std::time::Duration;

use aws_sdk_s3::{
    Client,
    config::{Builder, timeout::TimeoutConfig},
    primitives::ByteStream,
};
use tollgate_pipeline::ports::{Archive, PortResult, Stored};

use crate::payloads::put_new;

/// An object is at most some tens of megabytes, and the function's bandwidth grows with its memory; the shared
/// limits are for calls of a megabyte.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that a write takes, with its second attempt.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(70);

/// The bucket `transaction-audit-logs`.
#[derive(Debug, Clone)]
pub struct S3Archive {
    client: Client,
    bucket: String,
}

impl S3Archive {
    /// The archive in `bucket`.
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into() }
    }
}

impl Archive for S3Archive {
    async fn put_new(&self, key: &str, bytes: Vec<u8>) -> PortResult<Stored> {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let is_json = key.ends_with(".json");
        let content_type = if is_json { "application/json" } else { "application/vnd.apache.parquet" };
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .if_none_match("*")
            .content_type(content_type)
            .body(ByteStream::from(bytes))
            .customize()
            .config_override(Builder::new().timeout_config(timeouts));
        put_new(put.send().await)
    }
}
