//! Small shapes that both listeners share.

use std::{convert::Infallible, future::Future};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// An answer with its whole body.
pub type Answer = Response<Full<Bytes>>;

/// The largest event and the largest response of a synchronous invocation, in bytes: 6 MB and a little, as
/// Lambda's own error message has it.
pub const MAX_PAYLOAD: usize = 6_291_556;

/// Serves connections until dropped; `handle` answers each request.
pub async fn accept<H, F>(listener: TcpListener, handle: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + 'static,
    F: Future<Output = Answer> + 'static,
{
    // Dropping the set ends the connections with the listener.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                // Without this, small answers wait for the peer's delayed acknowledgement.
                let _ = stream.set_nodelay(true);
                let handle = handle.clone();
                let service = service_fn(move |request| {
                    let answer = handle(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                connections.spawn_local(async move {
                    // The peer closed the connection during the request: not our error.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The whole body, or `None` when it is longer than [`MAX_PAYLOAD`] or breaks off.
pub async fn read(body: Incoming) -> Result<Bytes, ReadError> {
    match Limited::new(body, MAX_PAYLOAD).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ReadError::TooLarge),
        Err(_) => Err(ReadError::BrokenOff),
    }
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// More than [`MAX_PAYLOAD`] bytes.
    TooLarge,
    /// The peer went away.
    BrokenOff,
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    raw_json(status, Bytes::from(value.to_string()))
}

/// An answer whose body is JSON already.
pub fn raw_json(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// The shape of Lambda's own errors.
pub fn error(status: StatusCode, kind: &str, message: &str) -> Answer {
    json(status, &serde_json::json!({"errorType": kind, "errorMessage": message}))
}

/// A header's text.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
