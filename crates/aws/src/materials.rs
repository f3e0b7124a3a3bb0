//! Public material over https: the certificates that some schemes name in their headers.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorSettings},
    orchestrator::HttpRequest,
};
use tollgate_pipeline::ports::{Materials, PortError, PortResult};
use tollgate_providers::{Material, MaterialRequest};

const SERVICE: &str = "materials";
/// A certificate chain is some 6 KB of PEM.
const MAX_BYTES: usize = 65_536;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Material from the URL that a scheme has checked to be its provider's.
#[derive(Debug)]
pub struct HttpsMaterials {
    connector: Connector,
}

impl Default for HttpsMaterials {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpsMaterials {
    /// A client that connects only when it is first asked.
    pub fn new() -> Self {
        let settings =
            HttpConnectorSettings::builder().connect_timeout(TIMEOUT).read_timeout(TIMEOUT).build();
        let tls = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        Self { connector: tls.connector_settings(settings).build() }
    }

    async fn get(&self, url: &str) -> PortResult<Vec<u8>> {
        if !url.starts_with("https://") {
            return Err(PortError::permanent(SERVICE, "not https"));
        }
        let request = HttpRequest::get(url).map_err(|_| PortError::permanent(SERVICE, "not a URL"))?;
        let answer = self.connector.call(request).await;
        let answer = answer.map_err(|_| PortError::retryable(SERVICE, "not reached"))?;
        if answer.status().as_u16() != 200 {
            return Err(PortError::retryable(SERVICE, format!("status {}", answer.status().as_u16())));
        }
        let mut stream = ByteStream::new(answer.into_body());
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(|_| PortError::retryable(SERVICE, "cut off"))?);
            if bytes.len() > MAX_BYTES {
                return Err(PortError::permanent(SERVICE, "too large"));
            }
        }
        Ok(bytes)
    }
}

impl Materials for HttpsMaterials {
    async fn fetch(&self, request: &MaterialRequest) -> PortResult<Material> {
        match request {
            MaterialRequest::Certificate { url } => self.get(url).await.map(Material),
            // Plaid hands its keys to authenticated clients only.
            MaterialRequest::JsonWebKey { .. } => {
                Err(PortError::permanent(SERVICE, "no source of JSON Web Keys is configured"))
            }
        }
    }
}
