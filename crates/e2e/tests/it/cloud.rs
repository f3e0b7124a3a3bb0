//! One function's real binary, with a Runtime API and an AWS endpoint of the test's own.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::{
    net::TcpListener,
    sync::{Barrier, Notify},
    task::JoinSet,
};
use tollgate_aws::names::ENDPOINTS_KEY;
use tollgate_core::EndpointConfig;
use tollgate_lambda::clock;
use tollgate_testkit::{
    schema,
    webhook::{KEY, config},
};

use crate::tool::program;

/// A function that waits for itself gives up after the SDK's three attempts; only a failing test waits that long.
const BOUND: Duration = Duration::from_secs(30);
const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/000000000000";
/// The one endpoint, a Stripe one.
pub const ENDPOINT: &str = "stripe-eu";

/// The operation that reads the endpoints' document.
pub const ENDPOINTS: &str = "GET endpoints";

const ENDPOINTS_BUCKET: &str = "endpoints";
/// Its usual name, for a function that goes by names, with the account's number.
pub const ACCOUNT: &str = "111122223333";
const NAMED_BUCKET: &str = "tollgate-endpoints-111122223333-test";

/// The document of these Stripe endpoints, as S3 gives it out.
pub fn document(ids: &[&str]) -> Value {
    let endpoints = ids.iter().map(|id| {
        let secret = format!("secretsmanager:tollgate/test/{id}");
        ((*id).to_owned(), json!(EndpointConfig { secret, ..config(id, "stripe") }))
    });
    json!({"format": "tollgate.endpoints/1", "endpoints": endpoints.collect::<Map<String, Value>>()})
}

/// The answer to an operation and its request.
pub type Aws = Box<dyn Fn(&str, &Value) -> (StatusCode, Value) + Send + Sync>;

/// How a function is run.
pub struct Setup<'a> {
    pub function: &'a str,
    /// `AWS_LAMBDA_MAX_CONCURRENCY`.
    pub at_once: usize,
    /// Every invocation's call of this is answered only when as many have made it.
    pub meets_at: Option<&'static str>,
    /// Besides those that every function has.
    pub settings: &'a [(&'a str, &'a str)],
    /// What AWS answers to an operation and its request.
    pub aws: Aws,
}

/// What a function was handed, said and asked.
pub struct Run {
    pub answers: Vec<Value>,
    /// In the order that they came.
    pub calls: Vec<Call>,
    /// The lines of its log.
    pub log: Vec<String>,
}

pub struct Call {
    pub operation: String,
    pub request: Value,
    /// How many invocations had been answered.
    pub after: usize,
}

/// Lambda and AWS, as far as one function's process sees them.
struct Cloud {
    waiting: Mutex<VecDeque<(usize, Value)>>,
    answers: Mutex<BTreeMap<usize, Value>>,
    calls: Mutex<Vec<Call>>,
    meets_at: Option<&'static str>,
    meeting: Barrier,
    answered: Notify,
    aws: Aws,
}

/// Hands `events` to the function.
pub async fn run(setup: Setup<'_>, events: Vec<Value>) -> Run {
    let Setup { function, at_once, meets_at, settings, aws } = setup;
    let count = events.len();
    let cloud = Arc::new(Cloud {
        waiting: Mutex::new(events.into_iter().enumerate().collect()),
        answers: Mutex::default(),
        calls: Mutex::default(),
        meets_at,
        meeting: Barrier::new(at_once),
        answered: Notify::new(),
        aws,
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut connections = JoinSet::new();
    let served = Arc::clone(&cloud);
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let cloud = Arc::clone(&served);
            let service = service_fn(move |request| {
                let cloud = Arc::clone(&cloud);
                async move { Ok::<_, Infallible>(cloud.respond(request).await) }
            });
            connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    };
    let mut process = Process(start(function, at_once, settings, port));
    let log = BufReader::new(process.0.stdout.take().unwrap());
    let log = thread::spawn(move || log.lines().map(Result::unwrap).collect::<Vec<String>>());
    let all_answered = async {
        loop {
            let answered = cloud.answered.notified();
            if cloud.answers.lock().unwrap().len() == count {
                break;
            }
            answered.await;
        }
    };
    let all_answered = async {
        tokio::select! {
            () = accept => unreachable!(),
            () = all_answered => {}
        }
    };
    if tokio::time::timeout(BOUND, all_answered).await.is_err() {
        let answers = cloud.answers.lock().unwrap();
        panic!(
            "{function} answered {} of {count}: {answers:?}, exit {:?}",
            answers.len(),
            process.0.try_wait()
        );
    }
    drop(process);
    let answers = std::mem::take(&mut *cloud.answers.lock().unwrap()).into_values().collect();
    let calls = std::mem::take(&mut *cloud.calls.lock().unwrap());
    Run { answers, calls, log: log.join().unwrap() }
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(function: &str, at_once: usize, settings: &[(&str, &str)], port: u16) -> Child {
    Command::new(program(function))
        .env_clear()
        .envs([
            ("AWS_LAMBDA_MAX_CONCURRENCY", at_once.to_string()),
            ("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{port}")),
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
        ])
        .envs([
            ("AWS_LAMBDA_FUNCTION_NAME", function),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "2048"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("ENVIRONMENT", "test"),
            ("ACCOUNT_ID", ACCOUNT),
            ("ENDPOINTS_BUCKET", ENDPOINTS_BUCKET),
            ("LEDGER_TABLE", "ledger"),
            ("TRANSACTIONS_TABLE", "transactions"),
            ("EVENT_BUS_NAME", "bus"),
            ("METRICS_URL", &format!("http://127.0.0.1:{port}")),
            ("SECRETS_URL", &format!("http://127.0.0.1:{port}")),
            ("ARCHIVE_BUCKET", "archive"),
            ("PAYLOAD_BUCKET", "payloads"),
            ("INTAKE_QUEUE_URL", &format!("{QUEUE}/intake")),
            ("INTAKE_ORDERED_QUEUE_URL", &format!("{QUEUE}/ordered.fifo")),
            ("ARCHIVE_QUEUE_URL", &format!("{QUEUE}/archive")),
            ("QUARANTINE_QUEUE_URL", &format!("{QUEUE}/quarantine")),
            ("QUARANTINE_ORDERED_QUEUE_URL", &format!("{QUEUE}/quarantine.fifo")),
        ])
        .envs(settings.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

impl Cloud {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if let Some(path) = head.uri.path().strip_prefix("/2018-06-01/runtime/invocation/") {
            return match path.split_once('/') {
                None => self.next().await,
                // An answer and an error alike: the test looks at what it is.
                Some((id, _)) => {
                    self.answers.lock().unwrap().insert(id.parse().unwrap(), body);
                    self.answered.notify_one();
                    answer(StatusCode::ACCEPTED, &json!({"status": "OK"}))
                }
            };
        }
        let target = head.headers.get("x-amz-target").map(|target| target.to_str().unwrap());
        let operation = target.and_then(|target| target.rsplit('.').next()).unwrap_or(head.method.as_str());
        let document = [ENDPOINTS_BUCKET, NAMED_BUCKET].map(|bucket| format!("/{bucket}/{ENDPOINTS_KEY}"));
        let is_document = operation == "GET" && document.iter().any(|path| head.uri.path() == path);
        let operation = if is_document { ENDPOINTS } else { operation };
        if self.meets_at == Some(operation) {
            self.meeting.wait().await;
        }
        let (status, said) = (self.aws)(operation, &body);
        let version = format!("\"{}\"", tollgate_core::id::hex_sha256(said.to_string().as_bytes()));
        let is_known = head.headers.get("if-none-match").is_some_and(|known| *known == *version);
        let status = if is_known { StatusCode::NOT_MODIFIED } else { status };
        let after = self.answers.lock().unwrap().len();
        self.calls.lock().unwrap().push(Call { operation: operation.to_owned(), request: body, after });
        let mut answer = answer(status, &said);
        if is_known {
            *answer.body_mut() = Full::default();
        }
        answer.headers_mut().insert("etag", version.parse().unwrap());
        answer
    }

    async fn next(&self) -> Response<Full<Bytes>> {
        let Some((id, event)) = self.waiting.lock().unwrap().pop_front() else {
            return std::future::pending().await;
        };
        let deadline = clock::now().as_millisecond() + 60_000;
        let mut handed = answer(StatusCode::OK, &event);
        let headers = handed.headers_mut();
        headers.insert("lambda-runtime-aws-request-id", id.into());
        headers.insert("lambda-runtime-deadline-ms", deadline.into());
        headers.insert("lambda-runtime-invoked-function-arn", "arn:function".parse().unwrap());
        handed
    }
}

/// An AWS that keeps nothing and takes everything, but for single messages to the quarantine; it finds `claims` alone.
pub fn aws(operation: &str, request: &Value, claims: &[Value]) -> (StatusCode, Value) {
    let entries = || request["Entries"].as_array().unwrap().iter();
    let answer = match operation {
        ENDPOINTS => document(&[ENDPOINT]),
        "GetSecretValue" if request["VersionStage"] == "AWSPREVIOUS" => {
            return (StatusCode::BAD_REQUEST, json!({"__type": "ResourceNotFoundException"}));
        }
        "GetSecretValue" => json!({"SecretString": KEY, "VersionId": "1"}),
        "SendMessage" if request["QueueUrl"].as_str().unwrap().ends_with("/quarantine") => {
            return (StatusCode::BAD_REQUEST, json!({"__type": "InvalidMessageContents"}));
        }
        "SendMessage" => json!({"MessageId": "m"}),
        "SendMessageBatch" => {
            let sent = entries().map(|entry| json!({"Id": entry["Id"], "MessageId": "m"}));
            json!({"Successful": sent.collect::<Vec<_>>(), "Failed": []})
        }
        "BatchGetItem" => {
            let asked = request["RequestItems"]["ledger"]["Keys"].as_array().into_iter().flatten();
            let found = |key: &Value| claims.iter().find(|claim| claim["event_key"] == key["event_key"]);
            let found: Vec<&Value> = asked.filter_map(found).collect();
            json!({"Responses": {"ledger": found}, "UnprocessedKeys": {}})
        }
        "BatchWriteItem" => json!({"UnprocessedItems": {}}),
        "BatchExecuteStatement" => {
            let done =
                request["Statements"].as_array().unwrap().iter().map(|_| json!({"TableName": "ledger"}));
            json!({"Responses": done.collect::<Vec<_>>()})
        }
        "PutEvents" => {
            entries().for_each(|entry| schema::check(entry["Detail"].as_str().unwrap()));
            json!({"FailedEntryCount": 0, "Entries": entries().map(|_| json!({"EventId": "e"})).collect::<Vec<_>>()})
        }
        "GetItem" => json!({"Item": {"sort_key": {"S": "0#"}}}),
        "PutItem" | "PUT" => json!({}),
        other => {
            return (
                StatusCode::BAD_REQUEST,
                json!({"__type": "UnknownOperationException", "message": other}),
            );
        }
    };
    (StatusCode::OK, answer)
}

/// A text is sent as it is.
fn answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    Response::builder().status(status).body(Full::new(text.into())).unwrap()
}

impl Run {
    /// The requests of an operation.
    pub fn calls(&self, operation: &str) -> impl Iterator<Item = &Value> {
        self.calls.iter().filter(move |call| call.operation == operation).map(|call| &call.request)
    }
}
