//! An AWS endpoint that answers at once: a test tool without semantics, for `make bench-function`.
//!
//! ```text
//! sink PORT_FILE ENDPOINTS SECRET CLAIMS     listens on a free port of 127.0.0.1 and writes it to PORT_FILE
//! ```
//!
//! Nothing is kept and nothing is found, but for the endpoints (JSON list of `EndpointConfig`) in S3,
//! the one secret, and the items of the file CLAIMS (`race claims`) in the ledger. `GET /-/counts` says what was asked since the last time, by operation: calls, bytes of requests and
//! of answers, headers included.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test tool: what goes wrong must stop it"
)]

use std::{cell::RefCell, collections::BTreeMap, convert::Infallible, net::Ipv4Addr, rc::Rc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, body::Incoming, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, task::LocalSet};

#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Count {
    calls: u64,
    request_bytes: u64,
    response_bytes: u64,
}

struct Sink {
    endpoints: Vec<Value>,
    secret: String,
    claims: Map<String, Value>,
    counts: RefCell<BTreeMap<String, Count>>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port_file, endpoints, secret, claims] = arguments.as_slice() else {
        panic!("sink PORT_FILE ENDPOINTS SECRET CLAIMS")
    };
    let claims = std::fs::read(claims).expect("the claims");
    let sink = Rc::new(Sink {
        endpoints: serde_json::from_str(endpoints).expect("a JSON list"),
        secret: secret.clone(),
        claims: serde_json::from_slice(&claims).expect("a JSON object"),
        counts: RefCell::default(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port().to_string();
        let part = format!("{port_file}.part");
        std::fs::write(&part, port)
            .and_then(|()| std::fs::rename(part, port_file))
            .expect("the port is written");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("no delay");
            let sink = Rc::clone(&sink);
            tokio::task::spawn_local(async move {
                let service = service_fn(|request| {
                    let sink = Rc::clone(&sink);
                    async move { Ok::<_, Infallible>(sink.answer(request).await) }
                });
                // The client closed the connection: not our error.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

impl Sink {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("a whole request").to_bytes();
        if head.uri.path() == "/-/counts" {
            let counts = std::mem::take(&mut *self.counts.borrow_mut());
            return respond(StatusCode::OK, json!(counts).to_string());
        }
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = match target {
            Some(target) => target.rsplit('.').next().unwrap_or(target).to_owned(),
            None if head.method == Method::PUT => "PutObject".to_owned(),
            None => format!("{} {}", head.method, head.uri.path()),
        };
        let (status, answer) = self.reply(&operation, &body);
        let answer = respond(status, answer);
        let mut counts = self.counts.borrow_mut();
        let count = counts.entry(operation).or_default();
        count.calls += 1;
        count.request_bytes += bytes(&head.headers) + head.uri.path().len() as u64 + body.len() as u64;
        count.response_bytes +=
            bytes(answer.headers()) + hyper::body::Body::size_hint(answer.body()).exact().unwrap_or(0);
        answer
    }

    fn reply(&self, operation: &str, body: &[u8]) -> (StatusCode, String) {
        let answer = match operation {
            "BatchGetItem" => {
                let request: Value = serde_json::from_slice(body).expect("BatchGetItem");
                let asked = request["RequestItems"].as_object().expect("tables");
                let found = |(table, asked): (&String, &Value)| {
                    let keys = asked["Keys"].as_array().expect("keys").iter();
                    let items: Vec<&Value> =
                        keys.filter_map(|key| self.claims.get(key["event_key"]["S"].as_str()?)).collect();
                    (table.clone(), json!(items))
                };
                json!({"Responses": asked.iter().map(found).collect::<Map<_, _>>(), "UnprocessedKeys": {}})
            }
            "BatchWriteItem" => json!({"UnprocessedItems": {}}),
            "BatchExecuteStatement" => {
                let request: BatchExecuteStatement =
                    serde_json::from_slice(body).expect("BatchExecuteStatement");
                json!({"Responses": vec![json!({"TableName": "events"}); request.statements.len()]})
            }
            "PutItem" | "UpdateItem" | "TransactWriteItems" | "GetItem" => json!({}),
            "PutEvents" => {
                let request: PutEvents = serde_json::from_slice(body).expect("PutEvents");
                let id = json!({"EventId": "11710aed-b79e-4468-a20b-bb3c0c3b4860"});
                json!({"FailedEntryCount": 0, "Entries": vec![id; request.entries.len()]})
            }
            "SendMessage" => json!({"MessageId": MESSAGE_ID, "MD5OfMessageBody": MD5}),
            "SendMessageBatch" => {
                let request: SendMessageBatch<'_> = serde_json::from_slice(body).expect("SendMessageBatch");
                let sent = |entry: &Entry<'_>| json!({"Id": entry.id, "MessageId": MESSAGE_ID, "MD5OfMessageBody": MD5});
                json!({"Successful": request.entries.iter().map(sent).collect::<Vec<_>>(), "Failed": []})
            }
            "GET /endpoints-bench/endpoints.json" => {
                let named = |one: &Value| (one["id"].as_str().expect("a name").to_owned(), one.clone());
                let endpoints: Map<String, Value> = self.endpoints.iter().map(named).collect();
                json!({"format": "tollgate.endpoints/1", "endpoints": endpoints})
            }
            "GetSecretValue" => {
                let request: Value = serde_json::from_slice(body).expect("GetSecretValue");
                if request.get("VersionStage").and_then(Value::as_str) == Some("AWSPREVIOUS") {
                    let problem = json!({"__type": "ResourceNotFoundException", "message": "no such stage"});
                    return (StatusCode::BAD_REQUEST, problem.to_string());
                }
                json!({"Name": request.get("SecretId"), "SecretString": self.secret, "VersionId": MESSAGE_ID})
            }
            "PutObject" => return (StatusCode::OK, String::new()),
            other => {
                // A call that is not known here must not look like one that went well.
                let problem = json!({"__type": "UnknownOperationException", "message": other});
                return (StatusCode::BAD_REQUEST, problem.to_string());
            }
        };
        (StatusCode::OK, answer.to_string())
    }
}

const MESSAGE_ID: &str = "5fea7756-0ea4-451a-a703-a558b933e274";
const MD5: &str = "fafb00f5732ab283681e124bf8747ed1";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchExecuteStatement {
    statements: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutEvents {
    entries: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessageBatch<'a> {
    #[serde(borrow)]
    entries: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    id: &'a str,
}

fn respond(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amzn-requestid", MESSAGE_ID)
        // Of the endpoints' document alone; nothing else here has versions.
        .header("etag", "\"1\"")
        .body(Full::new(body.into()))
        .expect("an answer")
}

/// As HTTP/1.1 writes them: name, colon, space, value, line's end.
fn bytes(headers: &HeaderMap) -> u64 {
    headers.iter().map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64).sum()
}
