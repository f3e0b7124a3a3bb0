//! What a service that is away, or slow, costs a process that goes on working: so many calls, and so much time. The budgets are the process's: each
//! test takes a service, or a region, of its own.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests only")]

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use aws_config::{Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tollgate_aws::{
    bus::EventBridgeBus, config_loader, endpoints::S3Endpoints, ledger::DynamoLedger, materials::S3Materials,
    payloads::S3Payloads, queues::SqsArchiveQueue,
};
use tollgate_core::{EndpointId, LedgerKey, Timestamp};
use tollgate_pipeline::ports::{
    ArchiveQueue, Document, EndpointSource, EventBus, Ledger, MaterialStore, PayloadSource, PortError,
    PortResult,
};
use tollgate_testkit::{aws::Server, sample_events::example_event};

/// The retries that the SDK has for a service: 500 tokens at 5 each (`TokenBucket` of aws-smithy-runtime).
const RETRIES: usize = 100;
/// The items that are sent again for a service (`batch::BUDGET`).
const ITEMS: usize = 2_000;
/// Far more than that, so many at once.
const CALLS: usize = 400;
const AT_ONCE: usize = 32;

/// The functions' own configuration, but for credentials and where AWS is.
async fn config(url: &str, region: &'static str) -> SdkConfig {
    let credentials = SharedCredentialsProvider::new(Credentials::for_tests());
    config_loader()
        .credentials_provider(credentials)
        .region(Region::from_static(region))
        .endpoint_url(url)
        .load()
        .await
}

/// A server that answers everything with `answer`, and counts the requests by `count`.
fn counting(
    count: impl Fn(&Value) -> usize + Send + 'static,
    answer: impl Fn(&Value) -> Value + Send + 'static,
) -> (Server, Arc<AtomicUsize>) {
    let counted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&counted);
    let server = Server::start(move |_, request| {
        counter.fetch_add(count(request), SeqCst);
        answer(request)
    });
    (server, counted)
}

fn failed<T>(answers: &[PortResult<T>]) -> bool {
    !answers.is_empty() && answers.iter().all(Result::is_err)
}

/// Without a budget each call would be made three times.
#[tokio::test]
async fn calls_to_a_service_that_is_away_are_made_once_each_and_a_budget_more() {
    for (code, region) in [
        ("ThrottlingException", "eu-west-1"),
        ("InternalServerError", "eu-west-2"),
        ("ServiceUnavailable", "eu-west-3"),
    ] {
        let (server, calls) = counting(|_| 1, move |_| json!({"__type": code, "message": "no"}));
        let config = config(&server.url(), region).await;
        // Two clients of one service, as a process may have.
        let ledgers = [(); 2].map(|()| DynamoLedger::new(aws_sdk_dynamodb::Client::new(&config), "events"));
        let keys = [LedgerKey::new(&EndpointId::new("acme").unwrap(), "a")];
        let ask = |number: usize| ledgers[number % 2].known(&keys, Timestamp::UNIX_EPOCH);
        let answers: Vec<_> = stream::iter((0..CALLS).map(ask)).buffer_unordered(AT_ONCE).collect().await;
        assert!(answers.iter().all(|answer| failed(answer)), "{code}");
        let calls = calls.load(SeqCst);
        assert!(calls <= CALLS + RETRIES, "{code}: {calls}");
    }
}

#[tokio::test]
async fn messages_that_a_queue_does_not_take_are_sent_once_each_and_a_budget_more() {
    let failures = |request: &Value| {
        let entries = request["Entries"].as_array().unwrap();
        let one = |entry: &Value| json!({"Id": entry["Id"], "Code": "InternalError", "SenderFault": false});
        json!({"Failed": entries.iter().map(one).collect::<Vec<_>>()})
    };
    let (server, sent) = counting(|request| request["Entries"].as_array().unwrap().len(), failures);
    let client = aws_sdk_sqs::Client::new(&config(&server.url(), "us-east-1").await);
    for round in 0..3 {
        // Another adapter, the same process.
        let queue = SqsArchiveQueue::new(client.clone(), "http://127.0.0.1/000000000000/archive");
        assert!(failed(&queue.send(vec!["a".to_owned(); ITEMS]).await));
        let sent = sent.load(SeqCst);
        assert!(sent <= ITEMS * (round + 1) + ITEMS, "{sent}");
    }
}

#[tokio::test]
async fn entries_that_the_bus_does_not_take_are_published_once_each_and_a_budget_more() {
    let failures = |request: &Value| {
        let entries = request["Entries"].as_array().unwrap();
        let one = |_: &Value| json!({"ErrorCode": "ThrottlingException", "ErrorMessage": "no"});
        json!({"FailedEntryCount": entries.len(), "Entries": entries.iter().map(one).collect::<Vec<_>>()})
    };
    let (server, sent) = counting(|request| request["Entries"].as_array().unwrap().len(), failures);
    let client = aws_sdk_eventbridge::Client::new(&config(&server.url(), "us-east-1").await);
    let event = example_event();
    for round in 0..3 {
        let bus = EventBridgeBus::new(client.clone(), "bus");
        assert!(failed(&bus.publish(&vec![Document { event: &event, json: "{}" }; ITEMS]).await));
        let sent = sent.load(SeqCst);
        assert!(sent <= ITEMS * (round + 1) + ITEMS, "{sent}");
    }
}

/// Answers each request with a body that never ends, a byte at a time.
fn dribble(stream: &TcpStream) -> std::io::Result<()> {
    let (mut stream, mut requests) = (stream, BufReader::new(stream));
    let mut line = String::new();
    while requests.read_line(&mut line)? > 2 {
        line.clear();
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 100000\r\n\r\n")?;
    // Nothing more is asked on this connection: so long does each byte take.
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    loop {
        stream.write_all(b" ")?;
        let _ = requests.fill_buf();
    }
}

/// It takes `LONGEST_CALL`; without a bound of ours the bodies would take hours.
#[tokio::test]
async fn a_call_ends_though_nothing_answers_or_the_answer_never_ends() {
    // Connections are made, and nothing is read from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
    let (silent_config, slow_config) =
        (config(&url(&silent), "us-west-1").await, config(&url(&slow), "us-west-2").await);
    thread::spawn(move || {
        for stream in slow.incoming() {
            thread::spawn(|| dribble(&stream.unwrap()));
        }
    });
    let bus = EventBridgeBus::new(aws_sdk_eventbridge::Client::new(&silent_config), "bus");
    let ledger = DynamoLedger::new(aws_sdk_dynamodb::Client::new(&silent_config), "events");
    let materials = S3Materials::new(slow_config.clone(), "payloads");
    let payloads = S3Payloads::new(slow_config.clone(), "payloads");
    let endpoints = S3Endpoints::new(slow_config, "endpoints", "test");
    let (event, acme) = (example_event(), EndpointId::new("acme").unwrap());
    let documents = [Document { event: &event, json: "{}" }];
    let keys = [LedgerKey::new(&acme, "a")];
    let (published, known, material, payload, listing) = tokio::join!(
        bus.publish(&documents),
        ledger.known(&keys, Timestamp::UNIX_EPOCH),
        materials.load(&acme),
        payloads.get("key"),
        endpoints.endpoints(None),
    );
    let problems = [
        published.into_iter().next().unwrap().err(),
        known.into_iter().next().unwrap().err(),
        material.err(),
        payload.err(),
        listing.err(),
    ];
    let is_late = |problem: &Option<PortError>| matches!(problem, Some(PortError::Retryable { .. }));
    assert!(problems.iter().all(is_late), "{problems:?}");
}
