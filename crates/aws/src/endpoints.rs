//! The document of all endpoints: one object of a bucket of its own. It is read whole with one GetObject, and replaced with
//! a PutObject that S3 refuses where somebody else has replaced it meanwhile ("How to prevent object overwrites with
//! conditional writes", Amazon S3 user guide).

use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_sdk_s3::{Client, error::SdkError, primitives::ByteStream};
use tollgate_pipeline::{
    endpoints::{EndpointsDocument, MAX_DOCUMENT_BYTES},
    ports::{EndpointSource, EndpointStore, Listing, PortError, PortResult, StoredEndpoints},
};
use tracing::error;

use crate::{
    error::{in_time, port_error},
    names::{ENDPOINTS_KEY, is_own_secret},
};

const SERVICE: &str = "endpoints";
/// What S3 answers to a write whose condition does not hold: somebody else's was earlier, is at this moment under way, or
/// removed the object ("Conditional write behavior", Amazon S3 user guide: 412, 409, 404).
const CHANGED: [&str; 3] = ["PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"];

/// The document in `tollgate-endpoints`.
#[derive(Debug, Clone)]
pub struct S3Endpoints {
    config: SdkConfig,
    client: OnceLock<Client>,
    bucket: String,
    suffix: String,
}

/// What there is beside the version that is known.
enum Found {
    Same,
    Nothing,
    Document(StoredEndpoints),
}

impl S3Endpoints {
    /// The document in `bucket`, of the environment whose names end in `suffix`.
    pub fn new(config: SdkConfig, bucket: impl Into<String>, suffix: impl Into<String>) -> Self {
        Self { config, client: OnceLock::new(), bucket: bucket.into(), suffix: suffix.into() }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| crate::s3_client(&self.config))
    }

    async fn find(&self, known: Option<&str>) -> PortResult<Found> {
        let get = self.client().get_object().bucket(&self.bucket).key(ENDPOINTS_KEY);
        let object = match get.set_if_none_match(known.map(str::to_owned)).send().await {
            Ok(object) => object,
            Err(SdkError::ServiceError(problem)) if problem.raw().status().as_u16() == 304 => {
                return Ok(Found::Same);
            }
            Err(problem) => {
                return match port_error(SERVICE, &problem) {
                    PortError::Permanent { detail, .. } if detail == "NoSuchKey" => Ok(Found::Nothing),
                    problem => Err(problem),
                };
            }
        };
        let is_short = |length: i64| usize::try_from(length).is_ok_and(|length| length <= MAX_DOCUMENT_BYTES);
        if !object.content_length().is_some_and(is_short) {
            return Err(PortError::permanent(SERVICE, "document is too long"));
        }
        let version = object.e_tag().ok_or_else(|| PortError::permanent(SERVICE, "document has no ETag"))?;
        let version = version.to_owned();
        let bytes = object.body.collect().await;
        let document = bytes.map_err(|_| PortError::retryable(SERVICE, "document cut off"))?.to_vec();
        Ok(Found::Document(StoredEndpoints { version, document }))
    }
}

impl EndpointSource for S3Endpoints {
    async fn endpoints(&self, known: Option<&str>) -> PortResult<Option<Listing>> {
        let stored = match in_time(SERVICE, self.find(known)).await? {
            Found::Same => return Ok(None),
            Found::Document(stored) => stored,
            Found::Nothing => {
                error!(
                    bucket = self.bucket,
                    "no endpoints are configured: `tollgate endpoints apply` does it"
                );
                return Err(PortError::retryable(SERVICE, "no document"));
            }
        };
        let document = EndpointsDocument::read(&stored.document).map_err(|problem| {
            error!(bucket = self.bucket, version = stored.version, error = %problem, "the endpoints' document cannot be read");
            PortError::permanent(SERVICE, "document cannot be read")
        })?;
        let endpoints = document.configured(|endpoint| is_own_secret(&self.suffix, &endpoint.secret));
        Ok(Some(Listing { version: stored.version, endpoints }))
    }
}

impl EndpointStore for S3Endpoints {
    async fn load(&self) -> PortResult<Option<StoredEndpoints>> {
        match in_time(SERVICE, self.find(None)).await? {
            Found::Document(stored) => Ok(Some(stored)),
            Found::Nothing => Ok(None),
            Found::Same => Err(PortError::permanent(SERVICE, "unchanged, and never read")),
        }
    }

    async fn replace(&self, document: Vec<u8>, replaced: Option<&str>) -> PortResult<bool> {
        let put = self.client().put_object().bucket(&self.bucket).key(ENDPOINTS_KEY);
        let put = match replaced {
            Some(version) => put.if_match(version),
            None => put.if_none_match("*"),
        };
        let put = put.content_type("application/json").body(ByteStream::from(document));
        match put.send().await.map_err(|problem| port_error(SERVICE, &problem)) {
            Ok(_) => Ok(true),
            Err(PortError::Retryable { detail, .. } | PortError::Permanent { detail, .. })
                if CHANGED.contains(&detail.as_str()) =>
            {
                Ok(false)
            }
            Err(problem) => Err(problem),
        }
    }
}
