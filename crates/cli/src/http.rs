//! Sending webhooks over HTTP.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Uri, header::RETRY_AFTER};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tollgate_providers::{Headers, SignedWebhook};

/// API Gateway waits 29 s for a function, so an answer later than this is none.
const TIMEOUT: Duration = Duration::from_secs(35);
/// Our answers are one line. A longer answer is not ours.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// An HTTP client: connections are kept, TLS roots are the system's.
#[derive(Debug, Clone)]
pub struct Sender {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// A request, ready to be sent more than once.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Where it goes.
    pub uri: Uri,
    /// Its headers.
    pub headers: Headers,
    /// Its exact bytes.
    pub body: Bytes,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// From `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// Its JSON; null where it is none.
    pub body: Value,
}

impl Answer {
    /// The text under `name` in the body.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name)?.as_str()
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the event had been accepted before.
    pub fn is_duplicate(&self) -> bool {
        let said = self.text("message").or_else(|| self.text("error"));
        matches!(self.status, 200 | 409) && said == Some("Duplicate event")
    }
}

impl Parcel {
    /// A signed webhook for `api`, the URL that `/webhook/…` follows. The generic scheme's senders call
    /// `/webhook` and name themselves in a header.
    ///
    /// # Errors
    ///
    /// When `api` is no URL.
    pub fn new(
        api: &str,
        endpoint: &tollgate_providers::Endpoint,
        signed: SignedWebhook,
    ) -> anyhow::Result<Self> {
        let SignedWebhook { mut headers, query, body } = signed;
        let mut url = format!("{}/webhook", api.trim_end_matches('/'));
        if endpoint.is_generic() {
            headers.push("X-Provider-ID", endpoint.id().as_str());
        } else {
            url = format!("{url}/{}", endpoint.id());
        }
        if !query.is_empty() {
            url = format!("{url}?{query}");
        }
        let uri = url.parse().with_context(|| format!("{url} is no URL"))?;
        Ok(Self { uri, headers, body: body.into() })
    }
}

impl Sender {
    /// A client without connections yet.
    ///
    /// # Errors
    ///
    /// When the system's TLS roots do not read.
    pub fn new() -> anyhow::Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .context("reading the system's TLS roots")?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// Sends it once.
    ///
    /// # Errors
    ///
    /// When no whole answer came: whether it arrived is then not known.
    pub async fn send(&self, parcel: &Parcel) -> anyhow::Result<Answer> {
        let mut request = Request::post(parcel.uri.clone());
        for (name, value) in parcel.headers.iter() {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(parcel.body.clone())).context("the request cannot be made")?;
        let answer = async {
            let answer = self.client.request(request).await.context("no answer")?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|problem| anyhow::anyhow!("the answer broke off: {problem}"))?.to_bytes();
            let retry_after =
                head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            // A gateway in front of the functions may answer itself, and not in JSON.
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            Ok(Answer { status: head.status.as_u16(), retry_after, body })
        };
        tokio::time::timeout(TIMEOUT, answer).await.context("no answer in time")?
    }
}
