//! Calls of one item: what an answer that refuses them says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread,
};

use tollgate_aws::{
    api_keys::AwsApiKeys, archive::S3Archive, history::DynamoHistory, materials::S3Materials, s3_client,
};
use tollgate_pipeline::{
    intake::Seal,
    ports::{
        ApiKeys, Archive, Claim, Claims, History, LEDGER_RETENTION_SECONDS, LedgerEntry, LedgerState,
        MaterialStore, Recent, Sealing, Stored, StoredMaterial, Terms,
    },
};
use tollgate_providers::Revision;

use super::*;

fn seal(number: u128) -> Seal {
    Seal::parse(&format!("{number:032x}")).unwrap()
}

fn entry() -> LedgerEntry {
    LedgerEntry {
        key: key("a"),
        state: LedgerState::Received,
        webhook_id: WebhookId::new(time(0), 1),
        fingerprint: "facts".to_owned(),
        received_at: time(0),
        terms: Terms {
            seals: vec![seal(1)],
            occurred_at: None,
            authenticity: Authenticity::Verified,
            revision: Revision::parse("0123456789abcdef").unwrap(),
        },
    }
}

/// A write whose condition does not hold, since this item is there.
fn refused(item: Option<Value>) -> Value {
    let mut refused =
        json!({"__type": "ConditionalCheckFailedException", "message": "The conditional request failed"});
    refused["Item"] = item.unwrap_or_default();
    refused
}

/// The claim that is there, as `change` has it.
fn there(change: impl FnOnce(&mut Value)) -> Value {
    let mut item = claim(&json!({"event_key": {"S": key("a").to_string()}}), "received");
    item["webhook_id"] = json!({"S": entry().webhook_id.to_string()});
    item["seals"] = json!({"SS": [seal(1).to_string()]});
    change(&mut item);
    item
}

/// The SDK repeats a put whose answer was lost. A delivery that names an event twice claims it twice.
#[tokio::test]
async fn a_claim_that_is_there_is_new_only_where_it_is_the_same() {
    let other = |item: &mut Value| item["webhook_id"] = json!({"S": WebhookId::new(time(0), 2).to_string()});
    for (answer, expected) in [
        (json!({}), "new"),
        (refused(Some(there(|_| {}))), "new"),
        (refused(Some(there(|item| item["fingerprint"] = json!({"S": "other facts"})))), "known"),
        (refused(Some(there(|item| item["state"] = json!({"S": "processed"})))), "known"),
        (refused(Some(there(other))), "known"),
        (refused(Some(there(|item| item["seals"] = json!({"SS": [seal(8).to_string()]})))), "known"),
        (refused(Some(there(|item| item["state"] = json!({"S": "strange"})))), "permanent"),
        (refused(None), "retryable"),
        (json!({"__type": "ThrottlingException", "message": "no"}), "retryable"),
        (json!({"__type": "ValidationException", "message": "no"}), "permanent"),
    ] {
        let text = answer.to_string();
        let server = Server::start(move |operation, _| {
            assert_eq!(operation, "PutItem");
            answer.clone()
        });
        let claimed = ledger(&server).await.claim(&entry(), time(1)).await;
        let word = |claim: &Claim| if *claim == Claim::New { "new" } else { "known" }.to_owned();
        assert_eq!(words(&[claimed], word), [expected], "{text}");
    }
}

/// A claim that is full: one seal gives way to each that is added, unless others add theirs each time.
#[tokio::test]
async fn a_seal_is_added_for_one_that_gives_way_or_the_delivery_comes_again() {
    let full = || {
        refused(Some(there(|item| item["seals"] = json!({"SS": [seal(8).to_string(), seal(7).to_string()]}))))
    };
    let none = || refused(Some(there(|item| _ = item.as_object_mut().unwrap().remove("seals"))));
    let expired =
        || refused(Some(there(|item| item["expires_at"] = json!({"N": time(1).as_second().to_string()}))));
    let processed = || refused(Some(there(|item| item["state"] = json!({"S": "processed"}))));
    let throttled = || json!({"__type": "ThrottlingException", "message": "no"});
    // The answers to the seals that are added, the last one again and again; that to those that are removed; how often one
    // is removed.
    for (added, removed, expected, removals) in [
        (vec![json!({})], json!({}), "sealed", 0),
        (vec![full(), json!({})], json!({}), "sealed", 1),
        // Another one made room meanwhile.
        (vec![full(), json!({})], refused(None), "sealed", 1),
        (vec![full()], json!({}), "retryable", 5),
        (vec![full()], throttled(), "retryable", 1),
        (vec![none()], json!({}), "retryable", 0),
        (vec![expired()], json!({}), "retryable", 0),
        (vec![refused(None)], json!({}), "retryable", 0),
        (vec![full(), processed()], json!({}), "processed", 1),
        (vec![throttled()], json!({}), "retryable", 0),
    ] {
        let told = Arc::new(Mutex::new(Vec::new()));
        let teller = Arc::clone(&told);
        let mut added = added.into_iter().peekable();
        let server = Server::start(move |operation, request| {
            assert_eq!(operation, "UpdateItem");
            if request["UpdateExpression"] == "ADD seals :seals" {
                let answer = added.next().unwrap();
                return if added.peek().is_some() {
                    answer
                } else {
                    added = vec![answer.clone()].into_iter().peekable();
                    answer
                };
            }
            teller.lock().unwrap().push(request["ExpressionAttributeValues"][":seals"]["SS"].clone());
            removed.clone()
        });
        let sealed = ledger(&server).await.seal(&key("a"), seal(9), time(1)).await;
        let word =
            |sealing: &Sealing| if *sealing == Sealing::Sealed { "sealed" } else { "processed" }.to_owned();
        let told = told.lock().unwrap();
        assert_eq!((words(&[sealed], word), told.len()), (vec![expected.to_owned()], removals));
        assert!(told.iter().all(|seals| *seals == json!([seal(7).to_string()])), "{told:?}");
    }
}

#[tokio::test]
async fn a_conflict_is_kept_as_long_as_a_claim() {
    let told = Arc::new(Mutex::new(Value::Null));
    let teller = Arc::clone(&told);
    let server = Server::start(move |_, request| {
        *teller.lock().unwrap() = request["Item"].clone();
        json!({})
    });
    let webhook_id = WebhookId::new(time(0), 1);
    ledger(&server).await.conflict(&key("a"), &webhook_id, "other facts").await.unwrap();
    let item = told.lock().unwrap().clone();
    assert_eq!(item["event_key"]["S"], format!("conflict:{}:{webhook_id}", key("a")));
    assert_eq!(item["expires_at"]["N"], time(LEDGER_RETENTION_SECONDS).as_second().to_string());
}

/// An answer holds a page of a query.
#[tokio::test]
async fn payments_are_counted_over_all_pages_until_they_are_enough() {
    for (at_most, expected) in [(9, (3, 2)), (3, (3, 2)), (2, (2, 1)), (1, (1, 1))] {
        let pages = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&pages);
        let server = Server::start(move |operation, request| {
            assert_eq!(operation, "Query");
            *counter.lock().unwrap() += 1;
            let items = |ids: [&str; 3]| ids.map(|id| json!({"transaction_id": {"S": id}}));
            match request["ExclusiveStartKey"].is_object() {
                false => {
                    json!({"Items": items(["t1", "own", "t2"]), "LastEvaluatedKey": {"transaction_id": {"S": "t2"}}})
                }
                true => json!({"Items": items(["t2", "own", "t3"])}),
            }
        });
        let history =
            DynamoHistory::new(aws_sdk_dynamodb::Client::new(&config(&server).await), "transactions");
        let (since, until) = (time(0), time(9));
        let recent = Recent { customer_key: "acme#c", since, until, except: "own", at_most };
        let counted = history.recent(&recent).await.unwrap();
        assert_eq!((counted, *pages.lock().unwrap()), expected, "{at_most}");
    }
}

/// S3 that answers every call so; where it listens.
fn s3(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut length = 0;
        for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
            if let Some((_, value)) = line.to_ascii_lowercase().split_once("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        let head =
            format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + body).as_bytes()).unwrap();
    });
    url
}

/// An error of S3's as it writes them.
macro_rules! error {
    ($code:literal) => {
        concat!("<?xml version=\"1.0\"?><Error><Code>", $code, "</Code><Message>no</Message></Error>")
    };
}

async fn s3_config(status: &'static str, body: &'static str) -> SdkConfig {
    let server = Server::start(|_, _| json!({}));
    config(&server).await.into_builder().endpoint_url(s3(status, body)).build()
}

#[tokio::test]
async fn an_object_was_there_only_where_s3_says_so() {
    for (status, body, expected) in [
        ("200 OK", "", "new"),
        ("412 Precondition Failed", error!("PreconditionFailed"), "there"),
        // Another put of it is not done yet.
        ("409 Conflict", error!("ConditionalRequestConflict"), "retryable"),
        ("403 Forbidden", error!("AccessDenied"), "retryable"),
        ("404 Not Found", error!("NoSuchBucket"), "retryable"),
        ("503 Slow Down", error!("SlowDown"), "retryable"),
    ] {
        let archive = S3Archive::new(s3_client(&s3_config(status, body).await), "archive");
        let stored = archive.put_new("key", b"rows".to_vec()).await;
        let word = |stored: &Stored| if *stored == Stored::New { "new" } else { "there" }.to_owned();
        assert_eq!(words(&[stored], word), [expected], "{body}");
    }
}

#[tokio::test]
async fn materials_that_cannot_be_read_are_not_none() {
    let one = r#"[{"name": "cert", "fetched_at": "2026-01-02T12:00:00Z"}]"#;
    for (status, body, expected) in [
        ("200 OK", one, "1"),
        ("200 OK", "no list", "0"),
        ("404 Not Found", error!("NoSuchKey"), "0"),
        ("403 Forbidden", error!("InvalidObjectState"), "0"),
        ("403 Forbidden", error!("AccessDenied"), "retryable"),
        ("404 Not Found", error!("NoSuchBucket"), "retryable"),
        ("400 Bad Request", error!("ValidationException"), "permanent"),
    ] {
        let materials = S3Materials::new(s3_config(status, body).await, "payloads");
        let loaded = materials.load(&EndpointId::new("acme").unwrap()).await;
        assert_eq!(words(&[loaded], |all: &Vec<StoredMaterial>| all.len().to_string()), [expected], "{body}");
    }
}

#[tokio::test]
async fn there_is_no_key_of_an_api_only_where_secrets_manager_says_so() {
    for (answer, expected) in [
        (json!({"SecretString": "rk_test_1"}), "a key"),
        (json!({"__type": "ResourceNotFoundException", "message": "no"}), "none"),
        // A binary one.
        (json!({"SecretBinary": "cmtfdGVzdF8x"}), "permanent"),
        (json!({"SecretString": ""}), "permanent"),
        (json!({}), "permanent"),
        (json!({"__type": "AccessDeniedException", "message": "no"}), "retryable"),
        (json!({"__type": "DecryptionFailure", "message": "no"}), "retryable"),
        (json!({"__type": "InternalServiceError", "message": "no"}), "retryable"),
        (json!({"__type": "ThrottlingException", "message": "no"}), "retryable"),
    ] {
        let text = answer.to_string();
        let server = Server::start(move |operation, request| {
            assert_eq!(
                (operation, &request["SecretId"]),
                ("GetSecretValue", &json!("tollgate-api/test/acme"))
            );
            answer.clone()
        });
        let keys = AwsApiKeys::new(config(&server).await, server.url(), "test");
        let key = keys.api_key(&EndpointId::new("acme").unwrap()).await;
        let word = |key: &Option<_>| if key.is_some() { "a key" } else { "none" }.to_owned();
        assert_eq!(words(&[key], word), [expected], "{text}");
    }
}
