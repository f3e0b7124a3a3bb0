//! Lambda's runtime API: the next invocation, and what became of it ("Using the Lambda runtime API for custom runtimes", Lambda
//! developer guide).
//!
//! AWS's own crate, `lambda_runtime`, puts the trace header of each invocation into the process's environment. The C library keeps every
//! value that was ever there (`setenv`, which glibc cannot free), so that a process grew by 156 bytes with each invocation: by 150 MiB in a
//! million. Nothing here reads that variable.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, body::Incoming, header::HeaderValue, http};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Serialize;
use tracing::error;

/// Invocations are 6 MB at most; by default hyper reads in steps of a few hundred kilobytes.
const READ_BYTES: usize = 1024 * 1024;

/// One of Lambda's invocations.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) head: Head,
    pub(crate) deadline_ms: u64,
    pub(crate) trace: Option<String>,
    pub(crate) payload: Bytes,
}

/// What an invocation is known by.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) request_id: String,
    /// Sent back as it came, where there is one.
    invocation_id: Option<HeaderValue>,
}

/// What a function says of a failure, as Lambda and a workflow's `Catch` read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Diagnostic {
    pub(crate) error_type: String,
    pub(crate) error_message: String,
}

/// Why no invocation can be had. Nothing but a new process helps.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The process was not started by Lambda, or by what stands in for it.
    #[error("AWS_LAMBDA_RUNTIME_API is not set: only Lambda starts a function")]
    NotLambda,
    /// The address, or an id, cannot be in a request.
    #[error("no request can be made of it: {0}")]
    Request(#[from] http::Error),
    /// Nobody answers.
    #[error("the runtime API does not answer: {0}")]
    NoAnswer(#[from] hyper_util::client::legacy::Error),
    /// The answer ended too early.
    #[error("the runtime API broke off: {0}")]
    BrokenOff(#[from] hyper::Error),
    /// An answer of another kind.
    #[error("the runtime API has no invocation, and says {0}")]
    Status(StatusCode),
    /// A header that each invocation has is missing or cannot be read.
    #[error("an invocation without {0}")]
    Header(&'static str),
    /// Of several workers none is left.
    #[error("a worker has ended: {0}")]
    Worker(#[from] tokio::task::JoinError),
}

/// The API at one address.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeApi {
    client: Client<HttpConnector, Full<Bytes>>,
    /// `http://HOST:PORT/2018-06-01/runtime/invocation`
    invocations: String,
}

impl RuntimeApi {
    /// `address` is `AWS_LAMBDA_RUNTIME_API`: a host and a port.
    pub(crate) fn new(address: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).http1_max_buf_size(READ_BYTES).build_http();
        Self { client, invocations: format!("http://{address}/2018-06-01/runtime/invocation") }
    }

    /// Waits until there is one.
    pub(crate) async fn next(&self) -> Result<Next, RuntimeError> {
        let answer = self.ask(Method::GET, "next", HeaderMap::new(), Vec::new()).await?;
        if answer.status() != StatusCode::OK {
            return Err(RuntimeError::Status(answer.status()));
        }
        let (parts, body) = answer.into_parts();
        let text = |name: &'static str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let wanted = |name: &'static str| text(name).ok_or(RuntimeError::Header(name));
        const DEADLINE: &str = "lambda-runtime-deadline-ms";
        Ok(Next {
            head: Head {
                request_id: wanted("lambda-runtime-aws-request-id")?.to_owned(),
                invocation_id: parts.headers.get("lambda-runtime-invocation-id").cloned(),
            },
            deadline_ms: wanted(DEADLINE)?.parse().map_err(|_| RuntimeError::Header(DEADLINE))?,
            trace: text("lambda-runtime-trace-id").map(str::to_owned),
            payload: body.collect().await?.to_bytes(),
        })
    }

    /// Ends an invocation well.
    pub(crate) async fn answer(&self, head: &Head, json: Vec<u8>) -> Result<(), RuntimeError> {
        self.end(head, "response", HeaderMap::new(), json).await
    }

    /// Ends an invocation as failed.
    pub(crate) async fn fail(&self, head: &Head, diagnostic: &Diagnostic) -> Result<(), RuntimeError> {
        let json = serde_json::to_vec(diagnostic).unwrap_or_default();
        let mut headers = HeaderMap::new();
        headers.insert("lambda-runtime-function-error-type", HeaderValue::from_static("Unhandled"));
        self.end(head, "error", headers, json).await
    }

    /// What Lambda does not take any more, such as what comes after the deadline, is told; the next invocation is another one.
    async fn end(
        &self,
        head: &Head,
        what: &str,
        mut headers: HeaderMap,
        json: Vec<u8>,
    ) -> Result<(), RuntimeError> {
        if let Some(id) = &head.invocation_id {
            headers.insert("lambda-runtime-invocation-id", id.clone());
        }
        let answer = self.ask(Method::POST, &format!("{}/{what}", head.request_id), headers, json).await?;
        let status = answer.status();
        if !status.is_success() {
            error!(request_id = head.request_id, %status, "Lambda does not take what became of the invocation");
        }
        // The connection is used again once this is read.
        answer.into_body().collect().await?;
        Ok(())
    }

    async fn ask(
        &self,
        method: Method,
        what: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Response<Incoming>, RuntimeError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/{what}", self.invocations))
            .body(Full::new(Bytes::from(body)))?;
        *request.headers_mut() = headers;
        Ok(self.client.request(request).await?)
    }
}
