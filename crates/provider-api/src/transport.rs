//! One request to a provider, and its answer read whole.

use std::{fmt, sync::LazyLock, time::Duration};

use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::{
    client::{http::HttpConnector, orchestrator::HttpRequest},
    http::Headers,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};

/// Connections over HTTPS, through the proxy of the environment (`HTTPS_PROXY`), as all calls of AWS go. No redirect is followed.
pub(crate) struct Transport(LazyLock<Connector>);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

/// Why there is no whole answer. None of them shows what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("the request cannot be made")]
    Request,
    #[error("it is not reached")]
    NotReached,
    #[error("it broke off")]
    BrokeOff,
    #[error("its answer is too long")]
    TooLong,
    #[error("it took too long")]
    TooSlow,
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: Option<&'a str>,
    /// How long the answer may be, in bytes, and how long it may take.
    pub(crate) most_bytes: usize,
    pub(crate) within: Duration,
}

impl Transport {
    /// It connects when it is first asked: it reads every certificate that the system trusts.
    pub(crate) fn new() -> Self {
        Self(LazyLock::new(|| {
            let builder = Connector::builder().proxy_config(ProxyConfig::from_env());
            builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build()
        }))
    }

    pub(crate) async fn ask(&self, asked: &Asked<'_>) -> Result<Answer, NoAnswer> {
        let request = request(asked).ok_or(NoAnswer::Request)?;
        let answer = async {
            let answer = self.0.call(request).await.map_err(|_| NoAnswer::NotReached)?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let mut stream = ByteStream::new(answer.into_body());
            let mut body = Vec::new();
            while let Some(chunk) = stream.next().await {
                let chunk = chunk.map_err(|_| NoAnswer::BrokeOff)?;
                if body.len() + chunk.len() > asked.most_bytes {
                    return Err(NoAnswer::TooLong);
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Answer { status, headers, body })
        };
        // The call is large, and a worker's stack holds a few of its moves: in a box it is moved no more.
        tokio::time::timeout(asked.within, Box::pin(answer)).await.unwrap_or(Err(NoAnswer::TooSlow))
    }
}

fn request(asked: &Asked<'_>) -> Option<HttpRequest> {
    let mut request = HttpRequest::new(asked.body.map_or_else(SdkBody::empty, SdkBody::from));
    request.set_method(asked.method).ok()?;
    request.set_uri(asked.url).ok()?;
    for (name, value) in asked.headers {
        request.headers_mut().try_insert((*name).to_owned(), (*value).to_owned()).ok()?;
    }
    Some(request)
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

/// Whether a URL's host is this machine.
pub fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if let Some(port) = host.strip_prefix("[::1]") {
        return port.is_empty() || port.starts_with(':');
    }
    let host = host.split(':').next().unwrap_or_default();
    host == "localhost" || host.parse().is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_this_machine() {
        for local in ["http://127.0.0.1:4566", "http://localhost/", "http://[::1]:1/x"] {
            assert!(is_loopback(local), "{local}");
        }
        for remote in [
            "https://sqs.eu-west-1.amazonaws.com",
            "http://127.0.0.1@evil.test",
            "http://127.evil",
            "http://[::1].evil.test",
        ] {
            assert!(!is_loopback(remote), "{remote}");
        }
    }
}
