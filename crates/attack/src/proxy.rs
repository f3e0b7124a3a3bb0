//! What stands between the attacker's functions and others: a proxy that counts, a server that answers, and one that
//! is asked for tunnels.

use std::{
    convert::Infallible,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tollgate_faults::{Calls, Upstream};

/// The one function behind a proxy.
const FUNCTION: &str = "validator";

/// A proxy between a function and the AWS peer, which serves until the program ends.
pub(crate) struct Proxy {
    url: String,
    proxy: Arc<tollgate_faults::Proxy>,
}

impl Proxy {
    /// Begins to pass on to the peer.
    pub(crate) async fn start(upstream: Upstream) -> Self {
        let proxy = tollgate_faults::start(&[FUNCTION.to_owned()], "0", None).await.expect("free ports");
        proxy.set_upstream(upstream);
        let port = proxy.ports.aws.get(FUNCTION).expect("the function's port");
        Self { url: format!("http://127.0.0.1:{port}"), proxy }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The calls since the last question.
    pub(crate) fn take(&self) -> Calls {
        self.proxy.take_calls(FUNCTION)
    }

    /// Answers one operation as AWS does when it throttles.
    pub(crate) fn throttle(&self, operation: Option<&str>) {
        let rule =
            |operation| json!({"id": "throttled", "kind": "throttle", "side": "aws", "operation": operation});
        let rules = operation.map(|operation| serde_json::from_value(rule(operation)).expect("a rule"));
        self.proxy.replace_rules(rules.into_iter().collect()).expect("a rule that holds");
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
