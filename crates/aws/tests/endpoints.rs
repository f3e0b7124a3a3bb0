//! The endpoints' document in S3: what reading and replacing it cost, and what S3 can answer.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests only"
)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use serde_json::json;
use tollgate_aws::endpoints::S3Endpoints;
use tollgate_pipeline::{
    endpoints::MAX_DOCUMENT_BYTES,
    ports::{EndpointSource, EndpointStore, PortError},
};

const OBJECT: &str = "/tollgate-endpoints-dev/endpoints.json";

/// An answer of S3: status, ETag, body.
type Answer = (u16, Option<&'static str>, String);

/// S3 that gives these answers one after the other, and what it was asked: method and path, with the header that makes a
/// request conditional.
struct Bucket {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Bucket {
    fn answering(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            for (status, tag, body) in answers {
                let mut stream = listener.accept().unwrap().0;
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut line, mut length) = (String::new(), 0);
                reader.read_line(&mut line).unwrap();
                let path = line.split('?').next().unwrap().trim_end_matches(" HTTP/1.1\r\n");
                let mut request = path.to_owned();
                loop {
                    let mut header = String::new();
                    reader.read_line(&mut header).unwrap();
                    let Some((name, value)) = header.trim().split_once(": ") else { break };
                    match name {
                        "if-match" | "if-none-match" => request.push_str(&format!(" {name} {value}")),
                        "content-length" => length = value.parse().unwrap(),
                        _ => {}
                    }
                }
                reader.read_exact(&mut vec![0; length]).unwrap();
                seen.lock().unwrap().push(request);
                let tag = tag.map(|tag| format!("ETag: {tag}\r\n")).unwrap_or_default();
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} x\r\n{tag}Connection: close\r\nContent-Length: {length}\r\n\r\n"
                );
                stream.write_all((head + &body).as_bytes()).unwrap();
            }
        });
        Self { url, asked }
    }

    async fn endpoints(&self) -> S3Endpoints {
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
            .region(Region::from_static("us-east-1"))
            .endpoint_url(&self.url)
            .retry_config(RetryConfig::disabled())
            .load()
            .await;
        S3Endpoints::new(config, "tollgate-endpoints-dev", "dev")
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn document(endpoints: &serde_json::Value) -> String {
    json!({"format": "tollgate.endpoints/1", "endpoints": endpoints}).to_string()
}

fn error(code: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>m</Message></Error>"
    )
}

#[tokio::test]
async fn five_hundred_endpoints_are_one_call_and_nothing_new_is_no_body() {
    let endpoints: serde_json::Map<_, _> = (0..500)
        .map(|number| {
            let id = format!("merchant-{number}");
            let secret = format!("ssm:/tollgate/dev/secrets/{id}");
            (id.clone(), json!({"id": id, "scheme": "stripe", "secret": secret}))
        })
        .collect();
    let text = document(&endpoints.into());
    let bucket = Bucket::answering(vec![(200, Some("\"v1\""), text), (304, None, String::new())]);
    let endpoints = bucket.endpoints().await;
    let listing = endpoints.endpoints(None).await.unwrap().unwrap();
    assert!(listing.endpoints.len() == 500 && listing.endpoints.iter().all(Result::is_ok));
    assert_eq!(endpoints.endpoints(Some(&listing.version)).await, Ok(None));
    assert_eq!(bucket.asked(), [format!("GET {OBJECT}"), format!("GET {OBJECT} if-none-match \"v1\"")]);
}

#[tokio::test]
async fn an_endpoint_that_names_a_secret_of_others_cannot_serve() {
    let secrets = [
        ("database", "secretsmanager:prod/database"),
        ("neighbour", "secretsmanager:tollgate/prod/stripe"),
        ("own", "secretsmanager:tollgate/dev/own"),
        ("own-ssm", "ssm:/tollgate/dev/secrets/own"),
        ("setting", "ssm:/tollgate/dev/endpoints/own"),
    ];
    let named =
        |(id, secret): (&str, &str)| (id.to_owned(), json!({"id": id, "scheme": "stripe", "secret": secret}));
    let mut endpoints: serde_json::Map<_, _> = secrets.into_iter().map(named).collect();
    endpoints.insert("unreadable".to_owned(), json!("no endpoint"));
    let bucket = Bucket::answering(vec![(200, Some("\"v1\""), document(&endpoints.into()))]);
    let listing = bucket.endpoints().await.endpoints(None).await.unwrap().unwrap();
    assert_eq!(listing.endpoints.len(), 6, "none is unknown");
    let serving: Vec<_> = listing.endpoints.into_iter().flatten().map(|one| one.id.to_string()).collect();
    assert_eq!(serving, ["own", "own-ssm"]);
}

#[tokio::test]
async fn what_is_not_the_whole_document_is_no_listing() {
    let too_long = " ".repeat(MAX_DOCUMENT_BYTES + 1);
    for (answer, expected) in [
        ((404, None, error("NoSuchKey")), PortError::retryable("endpoints", "no document")),
        ((404, None, error("NoSuchBucket")), PortError::retryable("endpoints", "NoSuchBucket")),
        ((403, None, error("AccessDenied")), PortError::retryable("endpoints", "AccessDenied")),
        ((503, None, error("SlowDown")), PortError::retryable("endpoints", "SlowDown")),
        ((200, Some("\"v\""), too_long), PortError::permanent("endpoints", "document is too long")),
        ((200, None, document(&json!({}))), PortError::permanent("endpoints", "document has no ETag")),
        ((200, Some("\"v\""), "{}".to_owned()), PortError::permanent("endpoints", "document cannot be read")),
    ] {
        let bucket = Bucket::answering(vec![answer]);
        assert_eq!(bucket.endpoints().await.endpoints(None).await, Err(expected));
    }
}

#[tokio::test]
async fn a_document_is_replaced_only_where_nobody_else_was_first() {
    for (answer, expected) in [
        ((200, Some("\"v2\""), String::new()), Ok(true)),
        ((412, None, error("PreconditionFailed")), Ok(false)),
        ((409, None, error("ConditionalRequestConflict")), Ok(false)),
        ((404, None, error("NoSuchKey")), Ok(false)),
        ((404, None, error("NoSuchBucket")), Err(PortError::retryable("endpoints", "NoSuchBucket"))),
        ((403, None, error("AccessDenied")), Err(PortError::retryable("endpoints", "AccessDenied"))),
    ] {
        for (replaced, condition) in [(None, "if-none-match *"), (Some("\"v1\""), "if-match \"v1\"")] {
            let bucket = Bucket::answering(vec![answer.clone()]);
            let endpoints = bucket.endpoints().await;
            assert_eq!(endpoints.replace(b"{}".to_vec(), replaced).await, expected);
            assert_eq!(bucket.asked(), [format!("PUT {OBJECT} {condition}")]);
        }
    }
}
