//! A proxy between a function and the AWS peer that counts what is asked for.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpListener;

/// How often each operation was asked for, by its name (`GetSecretValue`; S3's by method).
pub(crate) type Calls = BTreeMap<String, usize>;

/// It serves until the program ends.
pub(crate) struct Proxy {
    url: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    calls: Calls,
    /// This operation is answered as a throttled one.
    throttled: Option<String>,
}

impl Proxy {
    /// Begins to pass on to the peer at `upstream`.
    pub(crate) async fn start(upstream: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::default());
        let peer = Arc::new(Peer {
            upstream,
            client: Client::builder(TokioExecutor::new()).build_http(),
            seen: Arc::clone(&seen),
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let peer = Arc::clone(&peer);
                let service = service_fn(move |request| {
                    let peer = Arc::clone(&peer);
                    async move { Ok::<_, Infallible>(peer.pass(request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, seen }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The calls since the last question.
    pub(crate) fn take(&self) -> Calls {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner).calls)
    }

    /// Answers one operation as AWS does when it throttles.
    pub(crate) fn throttle(&self, operation: Option<&str>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).throttled = operation.map(str::to_owned);
    }
}

struct Peer {
    upstream: String,
    client: Client<HttpConnector, Full<Bytes>>,
    seen: Arc<Mutex<Seen>>,
}

impl Peer {
    async fn pass(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (mut head, body) = request.into_parts();
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let is_s3 = target.is_none();
        let operation = target.and_then(|target| target.rsplit('.').next()).unwrap_or(head.method.as_str());
        let operation = operation.to_owned();
        if self.is_throttled(operation) {
            // "Error responses", Amazon S3 API reference.
            let (status, body) = match is_s3 {
                false => {
                    let body = br#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
                    (StatusCode::BAD_REQUEST, Bytes::from_static(body))
                }
                true => {
                    let body =
                        b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>";
                    (StatusCode::SERVICE_UNAVAILABLE, Bytes::from_static(body))
                }
            };
            let mut answer = Response::new(Full::new(body));
            *answer.status_mut() = status;
            return answer;
        }
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let passed = format!("{}{path}", self.upstream).parse();
        let (Ok(uri), Ok(body)) = (passed, body.collect().await) else { return unreachable_peer() };
        head.uri = uri;
        let Ok(answer) = self.client.request(Request::from_parts(head, Full::new(body.to_bytes()))).await
        else {
            return unreachable_peer();
        };
        let (head, body) = answer.into_parts();
        match body.collect().await {
            Ok(body) => {
                let mut answer = Response::from_parts(head, Full::new(body.to_bytes()));
                // It is written anew.
                answer.headers_mut().remove("transfer-encoding");
                answer
            }
            Err(_) => unreachable_peer(),
        }
    }
}

impl Peer {
    /// Counts the operation, and says whether it is refused.
    fn is_throttled(&self, operation: String) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_throttled = seen.throttled.as_ref() == Some(&operation);
        *seen.calls.entry(operation).or_default() += 1;
        is_throttled
    }
}

/// The address of a server that answers every request with this JSON, until the program ends.
pub(crate) async fn answering(body: String) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let body = Bytes::from(body);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let body = body.clone();
            let service = service_fn(move |_| {
                let mut answer = Response::new(Full::new(body.clone()));
                answer.headers_mut().insert("content-type", "application/json".parse().expect("a value"));
                async move { Ok::<_, Infallible>(answer) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    url
}

fn unreachable_peer() -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    answer
}

/// A proxy for HTTPS that is asked for tunnels, and opens none.
pub(crate) struct Tunnels {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tunnels {
    /// It refuses until the program ends.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let served = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let asked = Arc::clone(&served);
                let service = service_fn(move |request: Request<Incoming>| {
                    let host = request.uri().to_string();
                    asked.lock().unwrap_or_else(PoisonError::into_inner).push(host);
                    async { Ok::<_, Infallible>(unreachable_peer()) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, asked }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The hosts since the last question.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
