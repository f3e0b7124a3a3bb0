//! HTTP on loopback: connections that can be broken off, whole bodies, and the way on.

use std::{
    future::poll_fn,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, HeaderValue, TRANSFER_ENCODING},
    http::{request, response},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::lock::locked;

/// An answer with its whole body.
pub type Answer = Response<Full<Bytes>>;

/// The longest body, in bytes. The largest that a function sends is an object of the archive; events end at 6 MB.
pub const MAX_BODY: usize = 64 * 1024 * 1024;
/// Connections of one listener. More wait.
const MAX_CONNECTIONS: usize = 1_024;
/// The peer closes a connection that is idle for 5 s: one that is used again must be younger than that.
const IDLE: Duration = Duration::from_secs(2);
const IDLE_CONNECTIONS: usize = 64;

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Whoever calls.
    pub caller: SocketAddr,
    /// Our listener.
    pub listener: SocketAddr,
}

/// What is done when an answer is written, as an extension of the answer. Its connection is closed then.
#[derive(Clone)]
pub struct Written(pub Arc<dyn Fn() + Send + Sync>);

/// Instead of an answer: the connection is reset.
#[derive(Debug, Clone, Copy)]
pub struct Reset;

impl std::fmt::Display for Reset {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("the connection is reset")
    }
}

impl std::error::Error for Reset {}

/// Serves connections until dropped; `handle` answers each request.
pub async fn accept<H, F>(listener: TcpListener, handle: H)
where
    H: Fn(Request<Incoming>, Link) -> F + Clone + Send + Unpin + 'static,
    F: Future<Output = Result<Answer, Reset>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(held) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, caller)) = listener.accept().await else { continue };
        let Ok(listener) = stream.local_addr() else { continue };
        // Without this, small answers wait for the caller's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let connection = serve(stream, Link { caller, listener }, handle.clone());
        tokio::spawn(async move {
            connection.await;
            drop(held);
        });
    }
}

async fn serve<H, F>(stream: TcpStream, link: Link, handle: H)
where
    H: Fn(Request<Incoming>, Link) -> F + Unpin,
    F: Future<Output = Result<Answer, Reset>>,
{
    let written: Arc<Mutex<Option<Written>>> = Arc::default();
    let last = Arc::clone(&written);
    let service = service_fn(move |request| {
        let (answer, last) = (handle(request, link), Arc::clone(&last));
        Box::pin(async move {
            let mut answer = answer.await?;
            if let Some(written) = answer.extensions_mut().remove::<Written>() {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                *locked(&last) = Some(written);
            }
            Ok::<_, Reset>(answer)
        })
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let end = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    if let Some(Written(then)) = locked(&written).take() {
        then();
    }
    let stream = connection.into_parts().io.into_inner();
    if end.is_err_and(|error| error.is_user()) {
        // What is closed without lingering is reset.
        let _ = stream.set_zero_linger();
    }
}

/// A whole request.
#[derive(Debug, Clone)]
pub struct Whole {
    /// All but the body.
    pub head: request::Parts,
    /// The body.
    pub body: Bytes,
}

impl Whole {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// The answer to a request whose body is longer than [`MAX_BODY`] or breaks off.
    pub async fn read(request: Request<Incoming>) -> Result<Self, Answer> {
        let (head, body) = request.into_parts();
        match collect(body).await {
            Ok(body) => Ok(Self { head, body }),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"))
            }
            Err(_) => Err(text(StatusCode::BAD_REQUEST, "the body is broken off")),
        }
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// The path and the query.
    pub fn target(&self) -> &str {
        self.head.uri.path_and_query().map_or("/", |path| path.as_str())
    }
}

async fn collect(body: Incoming) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Limited::new(body, MAX_BODY).collect().await?.to_bytes())
}

/// Passes requests on, over connections that stay open.
#[derive(Debug, Clone)]
pub struct Onward(Client<HttpConnector, Full<Bytes>>);

impl Default for Onward {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        Self(client)
    }
}

impl Onward {
    /// Sends the request to `server` (`http://127.0.0.1:PORT`) as it is, for `target`.
    ///
    /// # Errors
    ///
    /// [`Reset`] where the server cannot be reached or breaks off: the caller sees the same as without us.
    pub async fn pass(&self, server: &str, target: &str, request: Whole) -> Result<Answer, Reset> {
        let Whole { mut head, body } = request;
        head.uri = format!("{server}{target}").parse::<Uri>().map_err(|_| Reset)?;
        without_hop_headers(&mut head.headers);
        // The body may be another one now; its length is written anew.
        head.headers.remove(CONTENT_LENGTH);
        let answer = self.0.request(Request::from_parts(head, Full::new(body))).await.map_err(|_| Reset)?;
        let (mut head, body): (response::Parts, Incoming) = answer.into_parts();
        without_hop_headers(&mut head.headers);
        let body = collect(body).await.map_err(|_| Reset)?;
        Ok(Response::from_parts(head, Full::new(body)))
    }
}

/// Of one connection only (RFC 9110, section 7.6.1), and of a body that was sent in another way than ours is.
fn without_hop_headers(headers: &mut HeaderMap) {
    for name in [CONNECTION, EXPECT, TRANSFER_ENCODING] {
        headers.remove(name);
    }
}

/// The body of an answer.
///
/// # Errors
///
/// None that can be: it is whole already.
pub async fn body(answer: Answer) -> Result<Bytes, Reset> {
    answer.into_body().collect().await.map(|body| body.to_bytes()).map_err(|_| Reset)
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(value.to_string())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// A problem in words.
pub fn text(status: StatusCode, problem: &str) -> Answer {
    json(status, &serde_json::json!({ "error": problem }))
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, sync::mpsc::channel};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_follows_the_answer_happens_when_all_of_it_can_be_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut caller = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        caller.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        // Reading what is not there fails, and does not wait.
        caller.set_nonblocking(true).unwrap();
        let (told, seen) = channel();
        let then = Written(Arc::new(move || {
            let mut bytes = [0; 1_024];
            let length = caller.peek(&mut bytes).unwrap_or_default();
            told.send(String::from_utf8_lossy(&bytes[..length]).into_owned()).unwrap();
        }));
        tokio::spawn(accept(listener, move |_, _| {
            let mut answer = text(StatusCode::OK, "all of it");
            answer.extensions_mut().insert(then.clone());
            async { Ok(answer) }
        }));
        let seen = tokio::task::spawn_blocking(move || seen.recv().unwrap()).await.unwrap();
        assert!(seen.ends_with(r#"{"error":"all of it"}"#), "{seen}");
    }
}
