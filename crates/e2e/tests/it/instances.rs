//! Lambda Managed Instances: one process is handed several invocations at once. Each real function serves them on a
//! Runtime API and an AWS endpoint of the test's own, where a call of each invocation waits for the same call of all
//! the others: a function that takes one after the other never gets past it.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
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
use tollgate_lambda::clock;
use tollgate_testkit::{
    schema,
    webhook::{KEY, Payment, Sender, config},
};

/// `AWS_LAMBDA_MAX_CONCURRENCY`.
const AT_ONCE: usize = 4;
/// So that what invocations leave to later ones, buffers and caches, is used again.
const ROUNDS: usize = 3;
const EVENTS: usize = AT_ONCE * ROUNDS;
/// A function that waits for itself gives up after the SDK's three attempts; only a failing test waits that long.
const BOUND: Duration = Duration::from_secs(30);
const ENDPOINT: &str = "stripe-eu";
const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/000000000000";

/// What a function was handed, said and asked.
#[derive(Default)]
struct JsonBody {
    answers: Vec<Value>,
    /// Operation and request of each call, in the order that they came.
    calls: Vec<(String, Value)>,
}

/// Lambda and AWS, as far as one function's process sees them.
struct Cloud {
    /// What the ledger holds.
    claims: Vec<Value>,
    waiting: Mutex<VecDeque<(usize, Value)>>,
    answers: Mutex<BTreeMap<usize, Value>>,
    calls: Mutex<Vec<(String, Value)>>,
    meets_at: &'static str,
    meeting: Barrier,
    answered: Notify,
}

/// Hands `events` to the real binary of `function`, [`AT_ONCE`] at once. Every invocation's call of `meets_at` is
/// answered only when as many have made it.
async fn run(function: &str, meets_at: &'static str, events: Vec<Value>) -> JsonBody {
    run_with(function, meets_at, events, Vec::new()).await
}

/// The same, with these items in the ledger.
async fn run_with(
    function: &str,
    meets_at: &'static str,
    events: Vec<Value>,
    claims: Vec<Value>,
) -> JsonBody {
    let count = events.len();
    let cloud = Arc::new(Cloud {
        claims,
        waiting: Mutex::new(events.into_iter().enumerate().collect()),
        answers: Mutex::default(),
        calls: Mutex::default(),
        meets_at,
        meeting: Barrier::new(AT_ONCE),
        answered: Notify::new(),
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
    let mut process = Process(start(function, port));
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
    let answers = std::mem::take(&mut *cloud.answers.lock().unwrap()).into_values().collect();
    let calls = std::mem::take(&mut *cloud.calls.lock().unwrap());
    JsonBody { answers, calls }
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(function: &str, port: u16) -> Child {
    let test = std::env::current_exe().unwrap();
    let binary = test.ancestors().nth(2).unwrap().join(function);
    assert!(binary.is_file(), "{} is missing: `make test` builds it", binary.display());
    Command::new(binary)
        .env_clear()
        .envs([
            ("AWS_LAMBDA_MAX_CONCURRENCY", AT_ONCE.to_string()),
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
            ("ENDPOINTS_PATH", "/endpoints"),
            ("LEDGER_TABLE", "ledger"),
            ("TRANSACTIONS_TABLE", "transactions"),
            ("EVENT_BUS_NAME", "bus"),
            ("ARCHIVE_BUCKET", "archive"),
            ("PAYLOAD_BUCKET", "payloads"),
            ("INTAKE_QUEUE_URL", &format!("{QUEUE}/intake")),
            ("INTAKE_ORDERED_QUEUE_URL", &format!("{QUEUE}/ordered.fifo")),
            ("ARCHIVE_QUEUE_URL", &format!("{QUEUE}/archive")),
            ("QUARANTINE_QUEUE_URL", &format!("{QUEUE}/quarantine")),
            ("QUARANTINE_ORDERED_QUEUE_URL", &format!("{QUEUE}/quarantine.fifo")),
        ])
        .stdout(Stdio::null())
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
        if operation == self.meets_at {
            self.meeting.wait().await;
        }
        let (status, said) = said(operation, &body, &self.claims);
        self.calls.lock().unwrap().push((operation.to_owned(), body));
        answer(status, &said)
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
fn said(operation: &str, request: &Value, claims: &[Value]) -> (StatusCode, Value) {
    let entries = || request["Entries"].as_array().unwrap().iter();
    let answer = match operation {
        "GetParametersByPath" => {
            let value = serde_json::to_string(&config(ENDPOINT, "stripe")).unwrap();
            json!({"Parameters": [{"Name": ENDPOINT, "Type": "String", "Value": value}]})
        }
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

fn answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(body.to_string().into())).unwrap()
}

impl JsonBody {
    fn calls(&self, operation: &str) -> impl Iterator<Item = &Value> {
        self.calls.iter().filter(move |(name, _)| name == operation).map(|(_, request)| request)
    }

    /// What each invocation reported as failed.
    fn failures(&self) -> Vec<Value> {
        self.answers.iter().map(|answer| answer["batchItemFailures"].clone()).collect()
    }
}

fn http_event(number: usize, sender: &Sender) -> Value {
    let (id, now) = (format!("evt_{number}"), clock::now());
    let webhook = sender.payment(&Payment::new(&id, format!("pi_{number}"), now), now);
    let headers: Map<String, Value> =
        webhook.headers.iter().map(|(name, value)| (name.to_lowercase(), value.into())).collect();
    json!({
        "version": "2.0", "rawPath": format!("/webhook/{ENDPOINT}"), "rawQueryString": "", "headers": headers,
        "requestContext": {"http": {"method": "POST", "sourceIp": "203.0.113.9"}},
        "body": String::from_utf8(webhook.body).unwrap(), "isBase64Encoded": false,
    })
}

/// One message and one that cannot be read, whose id tells which invocation had it.
fn batch(number: usize, body: &str, attributes: &Map<String, Value>) -> Value {
    let attributes: Map<String, Value> = attributes
        .iter()
        .map(|(name, value)| {
            (name.clone(), json!({"dataType": "String", "stringValue": value["StringValue"]}))
        })
        .collect();
    let record = |id: String, body: &str, attributes: &Map<String, Value>| {
        json!({
            "messageId": id, "receiptHandle": "r", "body": body, "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": attributes, "md5OfBody": "", "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:queue", "awsRegion": "us-east-1",
        })
    };
    json!({"Records": [
        record(format!("good-{number}"), body, &attributes),
        record(format!("bad-{number}"), "neither a webhook nor a row", &Map::new()),
    ]})
}

fn of_each_the_bad_one() -> Vec<Value> {
    (0..EVENTS).map(|number| json!([{"itemIdentifier": format!("bad-{number}")}])).collect()
}

#[tokio::test]
async fn every_function_serves_as_many_invocations_at_once_as_it_is_handed() {
    let sender = Sender::new(config(ENDPOINT, "stripe"), KEY);
    let webhooks = (0..EVENTS).map(|number| http_event(number, &sender)).collect();
    let taken = run("validator", "PutItem", webhooks).await;
    for (number, answer) in taken.answers.iter().enumerate() {
        assert_eq!(answer["statusCode"], 200, "{answer}");
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["event_id"], format!("evt_{number}"));
    }

    let batches = taken.calls("SendMessage").enumerate().map(|(number, message)| {
        batch(
            number,
            message["MessageBody"].as_str().unwrap(),
            message["MessageAttributes"].as_object().unwrap(),
        )
    });
    let claims = taken.calls("PutItem").map(|put| put["Item"].clone()).collect();
    let processed = run_with("processor", "BatchGetItem", batches.collect(), claims).await;
    assert_eq!(processed.failures(), of_each_the_bad_one());

    let rows = processed.calls("SendMessageBatch").flat_map(|call| call["Entries"].as_array().unwrap());
    let batches = rows
        .enumerate()
        .map(|(number, entry)| batch(number, entry["MessageBody"].as_str().unwrap(), &Map::new()));
    let archived = run("archival", "PUT", batches.collect()).await;
    assert_eq!(archived.failures(), of_each_the_bad_one());

    let events: Vec<Value> = processed
        .calls("PutEvents")
        .flat_map(|call| call["Entries"].as_array().unwrap())
        .map(|entry| serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap())
        .collect();
    let assessed = run("fraud-detector", "GetItem", events.clone()).await;
    let ids =
        |values: &[Value], name: &str| values.iter().map(|value| value[name].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&assessed.answers, "event_id"), ids(&events, "id"));
    assert_eq!(events.len(), EVENTS);
}
