//! The batch adapters against a server that answers as AWS may: some items unprocessed, some entries failed, in another
//! order, too few, or about something else. The local AWS peer always answers whole.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests only"
)]

#[path = "partial_answers/hearing.rs"]
mod hearing;
#[path = "partial_answers/single.rs"]
mod single;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use serde_json::{Value, json};
use tollgate_aws::{
    bus::EventBridgeBus, effects::DynamoEffects, ledger::DynamoLedger, queues::SqsArchiveQueue,
    transactions::DynamoTransactions,
};
use tollgate_core::{
    Authenticity, EffectId, EndpointId, EventId, EventType, Facts, LedgerKey, PaymentEvent, ProviderId,
    RiskTier, Timestamp, WebhookId,
    event::{Arrival, Position},
};
use tollgate_pipeline::ports::{
    ArchiveQueue, Document, EFFECT_LEASE_SECONDS, EffectClaim, Effects, EventBus, Latest, Ledger, Link, Mark,
    PortError, PortResult, Recorded, State, Subject, Transactions,
};

use tollgate_testkit::aws::Server;

const URL: &str = "http://127.0.0.1/000000000000/archive";

async fn config(server: &Server) -> SdkConfig {
    let credentials = SharedCredentialsProvider::new(Credentials::for_tests());
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .credentials_provider(credentials)
        .region(Region::from_static("us-east-1"))
        .endpoint_url(server.url())
        .retry_config(RetryConfig::disabled())
        .load()
        .await
}

async fn ledger(server: &Server) -> DynamoLedger {
    DynamoLedger::new(aws_sdk_dynamodb::Client::new(&config(server).await), "events")
}

async fn transactions(server: &Server) -> DynamoTransactions {
    DynamoTransactions::new(aws_sdk_dynamodb::Client::new(&config(server).await), "transactions")
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_355_200 + second).unwrap()
}

fn key(event_id: &str) -> LedgerKey {
    LedgerKey::new(&EndpointId::new("acme").unwrap(), event_id)
}

/// Each answer as a short text.
fn words<T>(answers: &[PortResult<T>], word: impl Fn(&T) -> String) -> Vec<String> {
    let one = |answer: &PortResult<T>| match answer {
        Ok(value) => word(value),
        Err(PortError::Retryable { .. }) => "retryable".to_owned(),
        Err(PortError::Permanent { .. }) => "permanent".to_owned(),
    };
    answers.iter().map(one).collect()
}

fn done(answers: &[PortResult<()>]) -> Vec<String> {
    words(answers, |()| "ok".to_owned())
}

/// The keys that a BatchGetItem asks for.
fn asked(request: &Value, table: &str) -> Vec<Value> {
    request["RequestItems"][table]["Keys"].as_array().unwrap().clone()
}

/// The items that a BatchWriteItem puts.
fn put(request: &Value, table: &str) -> Vec<Value> {
    request["RequestItems"][table].as_array().unwrap().clone()
}

fn claim(key: &Value, state: &str) -> Value {
    json!({
        "event_key": key["event_key"], "state": {"S": state}, "received_at": {"S": time(0).to_string()},
        "fingerprint": {"S": "facts"}, "seals": {"SS": ["00112233445566778899aabbccddeeff"]},
        "authenticity": {"S": "verified"}, "revision": {"S": "0123456789abcdef"},
        "expires_at": {"N": time(100).as_second().to_string()},
    })
}

async fn known(answer: impl FnMut(&str, &Value) -> Value + Send + 'static) -> Vec<String> {
    let server = Server::start(answer);
    let keys = ["a", "b", "c"].map(key);
    let known = ledger(&server).await.known(&keys, time(1)).await;
    words(&known, |known| known.as_ref().map_or("absent".to_owned(), |known| known.state.as_str().to_owned()))
}

#[tokio::test]
async fn an_unprocessed_key_is_asked_for_again_and_no_answer_is_another_keys() {
    let mut calls = 0;
    let found = known(move |operation, request| {
        calls += 1;
        assert_eq!(operation, "BatchGetItem");
        let keys = asked(request, "events");
        match calls {
            // `b` is read, `a` is not, `c` is absent.
            1 => json!({
                "Responses": {"events": [claim(&keys[1], "processed")]},
                "UnprocessedKeys": {"events": {"Keys": [keys[0]]}},
            }),
            _ => {
                assert_eq!(keys.len(), 1);
                json!({"Responses": {"events": [claim(&keys[0], "received")]}, "UnprocessedKeys": {}})
            }
        }
    });
    assert_eq!(found.await, ["received", "processed", "absent"]);
}

#[tokio::test]
async fn items_in_another_order_are_told_apart_by_their_keys() {
    let found = known(|_, request| {
        let keys = asked(request, "events");
        json!({"Responses": {"events": [claim(&keys[2], "processed"), claim(&keys[0], "received")]}})
    });
    assert_eq!(found.await, ["received", "absent", "processed"]);
}

#[tokio::test]
async fn a_key_that_is_never_read_is_not_absent() {
    let found = known(|_, request| {
        let keys = asked(request, "events");
        let (unread, read): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| key["event_key"]["S"].as_str().unwrap().ends_with('b'));
        let read: Vec<Value> = read.iter().map(|key| claim(key, "processed")).collect();
        json!({"Responses": {"events": read}, "UnprocessedKeys": {"events": {"Keys": unread}}})
    });
    assert_eq!(found.await, ["processed", "retryable", "processed"]);
}

#[tokio::test]
async fn an_answer_about_something_else_is_no_answer() {
    let strange: [fn(Value) -> Value; 8] = [
        |mut item| {
            item.as_object_mut().unwrap().remove("event_key");
            item
        },
        |mut item| {
            item["event_key"] = json!({"S": "acme#another"});
            item
        },
        |mut item| {
            item["event_key"] = json!({"N": "1"});
            item
        },
        |mut item| {
            item["state"] = json!({"S": "unheard of"});
            item
        },
        |mut item| {
            item["seals"] = json!({"SS": ["no seal"]});
            item
        },
        |mut item| {
            item["occurred_at"] = json!({"S": "noon"});
            item
        },
        |mut item| {
            item["authenticity"] = json!({"S": "certain"});
            item
        },
        |mut item| {
            item.as_object_mut().unwrap().remove("revision");
            item
        },
    ];
    for (number, strange) in strange.into_iter().enumerate() {
        let found = known(move |_, request| {
            let keys = asked(request, "events");
            let others = keys[1..].iter().map(|key| claim(key, "received"));
            let items: Vec<Value> = others.chain([strange(claim(&keys[0], "processed"))]).collect();
            json!({"Responses": {"events": items}})
        });
        let found = found.await;
        assert!(matches!(found[0].as_str(), "retryable" | "permanent"), "{number}: {found:?}");
        assert!(!found.contains(&"absent".to_owned()), "{number}: {found:?}");
    }
}

#[tokio::test]
async fn an_expired_entry_counts_as_absent() {
    let found = known(|_, request| {
        let keys = asked(request, "events");
        let entry = |(age, key): (i64, &Value)| {
            let mut entry = claim(key, "processed");
            entry["expires_at"] = json!({"N": time(age).as_second().to_string()});
            entry
        };
        json!({"Responses": {"events": (0..).zip(&keys).map(entry).collect::<Vec<_>>()}})
    });
    // Asked at second 1.
    assert_eq!(found.await, ["absent", "absent", "processed"]);
}

async fn marked(answer: impl FnMut(&str, &Value) -> Value + Send + 'static) -> Vec<String> {
    let server = Server::start(answer);
    let mark = |event_id| Mark { key: key(event_id), webhook_id: WebhookId::new(time(0), 1) };
    done(&ledger(&server).await.mark(&["a", "b", "c"].map(mark)).await)
}

/// Whether a statement is about an event's claim.
fn is_of(statement: &Value, event_id: &str) -> bool {
    let key = key(event_id).to_string();
    statement["Parameters"].as_array().unwrap().iter().any(|value| value["S"] == key)
}

#[tokio::test]
async fn each_mark_has_its_own_verdict() {
    let mut calls = 0;
    let marked_all = marked(move |operation, request| {
        calls += 1;
        assert_eq!(operation, "BatchExecuteStatement");
        let statements = statements(request);
        assert!(calls == 1 || statements.len() == 1, "what was marked is not marked again");
        // An insert or a put would lose the seals that are added at the same moment.
        assert!(statements.iter().all(|it| it["Statement"].as_str().unwrap().starts_with("UPDATE")));
        let answer = |statement: &Value| match is_of(statement, "b") && calls == 1 {
            true => json!({"Error": {"Code": "ThrottlingError", "Message": "no"}}),
            false => json!({"TableName": "events"}),
        };
        json!({"Responses": statements.iter().map(answer).collect::<Vec<_>>()})
    });
    assert_eq!(marked_all.await, ["ok", "ok", "ok"]);
    for (code, outcome) in [
        ("ThrottlingError", "retryable"),
        ("AccessDenied", "retryable"),
        ("ValidationError", "permanent"),
        // The claim is gone.
        ("ConditionalCheckFailed", "ok"),
    ] {
        let partial = marked(move |_, request| {
            let answer = |statement: &Value| match is_of(statement, "c") {
                true => json!({"Error": {"Code": code, "Message": "no"}}),
                false => json!({"TableName": "events"}),
            };
            json!({"Responses": statements(request).iter().map(answer).collect::<Vec<_>>()})
        });
        assert_eq!(partial.await, ["ok", "ok", outcome], "{code}");
    }
    for answered in [0, 2, 4] {
        let responses = vec![json!({"TableName": "events"}); answered];
        let other = marked(move |_, _| json!({"Responses": responses}));
        assert_eq!(other.await, ["retryable"; 3], "{answered} answers for 3 statements");
    }
}

/// The claims of three effects, each by an event and a delivery of its own.
fn effect_claims() -> [EffectClaim; 3] {
    [("a", 1), ("b", 2), ("c", 3)].map(|(id, number)| EffectClaim {
        subject: Subject::Effect(
            EffectId::new(&EndpointId::new("acme").unwrap(), id, EventType::PaymentSucceeded, ""),
            Authenticity::Verified,
        ),
        event_id: EventId::new(&EndpointId::new("acme").unwrap(), id),
        webhook_id: WebhookId::new(time(0), number),
        claimed_at: time(EFFECT_LEASE_SECONDS),
    })
}

/// Another event's claim of the same effect.
fn others_item(claim: &EffectClaim) -> Value {
    let other = EventId::new(&EndpointId::new("acme").unwrap(), "other");
    json!({
        "event_key": {"S": claim.subject.to_string()}, "event_id": {"S": other.to_string()},
        "webhook_id": {"S": claim.webhook_id.to_string()}, "claimed_at": {"S": time(0).to_string()},
    })
}

async fn claimed(answer: impl FnMut(&str, &Value) -> Value + Send + 'static) -> Vec<String> {
    let server = Server::start(answer);
    let effects = DynamoEffects::new(aws_sdk_dynamodb::Client::new(&config(&server).await), "events");
    let claims = effect_claims();
    let answers = effects.claim(&claims).await;
    assert_eq!(answers.len(), claims.len());
    let mut word = claims.iter().zip(&answers).map(|(claim, answer)| {
        words(std::slice::from_ref(answer), |stands| {
            if stands == claim { "ours" } else { "other's" }.to_owned()
        })
    });
    std::iter::from_fn(|| word.next()).flatten().collect()
}

fn statements(request: &Value) -> Vec<Value> {
    request["Statements"].as_array().unwrap().clone()
}

/// Whether a statement is about the effect of the claim at `index`.
fn is_about(statement: &Value, index: usize) -> bool {
    let subject = effect_claims()[index].subject.to_string();
    statement["Parameters"].as_array().unwrap().iter().any(|value| value["S"] == subject)
}

#[tokio::test]
async fn each_claim_has_its_own_verdict() {
    let whole = claimed(|operation, request| {
        assert_eq!(operation, "BatchExecuteStatement");
        let done = statements(request).iter().map(|_| json!({"TableName": "events"})).collect::<Vec<_>>();
        json!({"Responses": done})
    });
    assert_eq!(whole.await, ["ours"; 3]);
    for (code, outcome, is_repeated) in [
        ("ThrottlingError", "retryable", true),
        ("ProvisionedThroughputExceeded", "retryable", true),
        ("RequestLimitExceeded", "retryable", true),
        ("InternalServerError", "retryable", true),
        ("BrandNew", "retryable", true),
        ("AccessDenied", "retryable", false),
        ("ValidationError", "permanent", false),
    ] {
        let mut calls = 0;
        let partial = claimed(move |_, request| {
            calls += 1;
            let statements = statements(request);
            if calls > 1 {
                assert!(
                    is_repeated && statements.len() == 1,
                    "{code}: what was claimed is not claimed again"
                );
            }
            let answer = |statement: &Value| match is_about(statement, 1) {
                true => json!({"Error": {"Code": code, "Message": "no"}}),
                false => json!({"TableName": "events"}),
            };
            json!({"Responses": statements.iter().map(answer).collect::<Vec<_>>()})
        });
        assert_eq!(partial.await, ["ours", outcome, "ours"], "{code}");
    }
    for answered in [0, 2, 4] {
        let responses = vec![json!({"TableName": "events"}); answered];
        let other = claimed(move |_, _| json!({"Responses": responses}));
        assert_eq!(other.await, ["retryable"; 3], "{answered} answers for 3 statements");
    }
}

#[tokio::test]
async fn a_claim_that_was_there_is_read_or_nothing_is_decided() {
    // A panic of the server is only a call that fails.
    static REPLACED: AtomicBool = AtomicBool::new(false);
    let taken = |request: &Value| {
        let is_insert = |statement: &Value| statement["Statement"].as_str().unwrap().starts_with("INSERT");
        if !statements(request).iter().all(is_insert) {
            REPLACED.store(true, Ordering::Relaxed);
        }
        let answer = |statement: &Value| match is_about(statement, 1) {
            true => {
                json!({"Error": {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"}})
            }
            false => json!({"TableName": "events"}),
        };
        json!({"Responses": statements(request).iter().map(answer).collect::<Vec<_>>()})
    };
    let read = async |items: fn(Vec<Value>) -> Value| {
        claimed(move |operation, request| match operation {
            "BatchExecuteStatement" => taken(request),
            _ => {
                assert_eq!(request["RequestItems"]["events"]["ConsistentRead"], true);
                items(asked(request, "events"))
            }
        })
        .await
    };
    let found = read(|keys| {
        assert_eq!(keys.len(), 1);
        json!({"Responses": {"events": [others_item(&effect_claims()[1])]}})
    });
    assert_eq!(found.await, ["ours", "other's", "ours"]);
    let missing = read(|_| json!({"Responses": {"events": []}}));
    assert_eq!(missing.await, ["ours", "retryable", "ours"]);
    let unread = read(|keys| json!({"UnprocessedKeys": {"events": {"Keys": keys}}}));
    assert_eq!(unread.await, ["ours", "retryable", "ours"]);
    let unreadable = read(
        |keys| json!({"Responses": {"events": [{"event_key": keys[0]["event_key"], "event_id": {"S": "strange"}}]}}),
    );
    assert_eq!(unreadable.await, ["ours", "permanent", "ours"]);
    assert!(!REPLACED.load(Ordering::Relaxed), "a claim that stands is left alone");
}

/// The claim of the same event, whose lease is over, is replaced where it is still as it was read.
#[tokio::test]
async fn a_claim_changes_hands_once() {
    for (verdict, outcome) in [
        (json!({"TableName": "events"}), "ours"),
        (json!({"Error": {"Code": "ConditionalCheckFailed", "Message": "no"}}), "retryable"),
    ] {
        let answers = claimed(move |operation, request| {
            if operation == "BatchGetItem" {
                let mut item = others_item(&effect_claims()[1]);
                item["event_id"] = json!({"S": effect_claims()[1].event_id.to_string()});
                item["webhook_id"] = json!({"S": WebhookId::new(time(0), 9).to_string()});
                return json!({"Responses": {"events": [item]}});
            }
            let answer = |statement: &Value| {
                let text = statement["Statement"].as_str().unwrap();
                let is_second = is_about(statement, 1);
                match (text.starts_with("INSERT"), is_second) {
                    (true, true) => json!({"Error": {"Code": "DuplicateItem", "Message": "there"}}),
                    (true, false) => json!({"TableName": "events"}),
                    (false, _) => {
                        let old = statement["Parameters"].as_array().unwrap().last().unwrap();
                        assert_eq!(old["S"], time(0).to_string(), "as it was read");
                        verdict.clone()
                    }
                }
            };
            json!({"Responses": statements(request).iter().map(answer).collect::<Vec<_>>()})
        });
        assert_eq!(answers.await, ["ours", outcome, "ours"]);
    }
}

/// What is known of a transaction: an event of that second, the only one of its second.
fn standing(key: &Value, second: i64) -> Value {
    json!({
        "transaction_id": key["transaction_id"], "latest_at": {"S": time(second).to_string()},
        "type": {"S": "payment.succeeded"}, "event_id": {"S": event(&format!("of-{second}")).id},
    })
}

#[tokio::test]
async fn a_transaction_whose_latest_state_is_unread_is_not_new() {
    let latest = async |answer: fn(&[Value]) -> Value| {
        let server = Server::start(move |_, request| answer(&asked(request, "transactions")));
        let latest = transactions(&server).await.latest(&["acme#t1", "acme#t2"]).await;
        words(&latest, |known| {
            let seconds = |state: State| state.position.at.as_second() - time(0).as_second();
            known.state.map_or("none".to_owned(), |state| seconds(state).to_string())
        })
    };
    let whole = latest(|keys| {
        json!({"Responses": {"transactions": [
            standing(&keys[1], 7)]}})
    });
    assert_eq!(whole.await, ["none", "7"]);
    let partial = latest(|keys| {
        let (unread, read): (Vec<_>, Vec<_>) =
            keys.iter().partition(|key| key["transaction_id"]["S"] == "acme#t1");
        let read = read.into_iter().map(|key| standing(key, 7));
        json!({"Responses": {"transactions": read.collect::<Vec<_>>()},
            "UnprocessedKeys": {"transactions": {"Keys": unread}}})
    });
    assert_eq!(partial.await, ["retryable", "7"]);
    let broken = latest(
        |keys| json!({"Responses": {"transactions": [{"transaction_id": keys[0]["transaction_id"]}]}}),
    );
    assert_eq!(broken.await, ["permanent", "none"]);
}

fn record(key: &Value) -> Value {
    json!({"sort_key": key["sort_key"], "event": {"S": key["sort_key"]["S"]}})
}

#[tokio::test]
async fn a_record_that_is_unread_is_not_missing() {
    let recorded = async |answer: fn(&[Value]) -> Value| {
        let server = Server::start(move |_, request| answer(&asked(request, "transactions")));
        let places = ["1", "2"].map(|sort_key| ("acme#t1".to_owned(), sort_key.to_owned()));
        let records = transactions(&server).await.recorded(&places).await;
        words(&records, |record| record.clone().unwrap_or("none".to_owned()))
    };
    let whole = recorded(|keys| json!({"Responses": {"transactions": [record(&keys[1])]}}));
    assert_eq!(whole.await, ["none", "2"]);
    let partial = recorded(|keys| {
        let (unread, read): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key["sort_key"]["S"] == "1");
        let read = read.into_iter().map(record);
        json!({"Responses": {"transactions": read.collect::<Vec<_>>()},
            "UnprocessedKeys": {"transactions": {"Keys": unread}}})
    });
    assert_eq!(partial.await, ["retryable", "2"]);
    let broken = recorded(|keys| json!({"Responses": {"transactions": [{"sort_key": keys[0]["sort_key"]}]}}));
    assert_eq!(broken.await, ["permanent", "none"]);
}

fn event(id: &str) -> PaymentEvent<'static> {
    let facts = Facts {
        transaction_id: Some(format!("t-{id}").into()),
        ..Facts::new(id.to_owned(), "paid", EventType::PaymentSucceeded)
    };
    let arrival = Arrival {
        webhook_id: &WebhookId::new(time(0), 1),
        endpoint: &EndpointId::new("acme").unwrap(),
        provider: &ProviderId::new("generic").unwrap(),
        authenticity: Authenticity::Verified,
        received_at: time(0),
    };
    PaymentEvent::new(facts, arrival, RiskTier::Unrated)
}

fn events() -> [PaymentEvent<'static>; 3] {
    ["a", "b", "c"].map(event)
}

/// Each of the events, of second 0, is ahead of what was known of its transaction.
async fn recorded(known: &Latest, answer: impl FnMut(&str, &Value) -> Value + Send + 'static) -> Vec<String> {
    let server = Server::start(answer);
    let events = events();
    let record =
        |event| Recorded { document: Document { event, json: "{}" }, is_dated: true, ahead_of: Some(known) };
    done(&transactions(&server).await.record(&events.each_ref().map(record)).await)
}

fn state_of(second: i64) -> State {
    let event = event(&format!("of-{second}"));
    State { position: Position { at: time(second), ..event.position(true) }, event_id: event.id }
}

/// The transaction that a statement writes, and the statement.
fn writes(request: &Value) -> Vec<(String, String)> {
    let statements = request["Statements"].as_array().unwrap().iter();
    statements
        .map(|statement| {
            let parameters = statement["Parameters"].as_array().unwrap().iter();
            let mut texts = parameters.filter_map(|parameter| parameter["S"].as_str());
            let transaction = texts.rfind(|text| text.starts_with("acme#")).unwrap().to_owned();
            (transaction, statement["Statement"].as_str().unwrap().to_owned())
        })
        .collect()
}

/// The statements' answers: an error's code, or none.
fn answered(request: &Value, code: impl Fn(&str, &str) -> Option<&'static str>) -> Value {
    let answer = |(transaction, statement): &(String, String)| match code(transaction, statement) {
        Some(code) => json!({"TableName": "transactions", "Error": {"Code": code, "Message": "m"}}),
        None => json!({"TableName": "transactions"}),
    };
    json!({"Responses": writes(request).iter().map(answer).collect::<Vec<_>>()})
}

#[tokio::test]
async fn an_event_is_recorded_when_both_its_items_are() {
    for (left, expected) in [("", "ok"), ("history", "retryable"), ("latest", "retryable")] {
        let answer = move |operation: &str, request: &Value| match operation {
            "BatchWriteItem" => {
                let unprocessed = put(request, "transactions").into_iter().filter(|row| {
                    left == "history" && row["PutRequest"]["Item"]["transaction_id"]["S"] == "acme#t-b"
                });
                json!({"UnprocessedItems": {"transactions": unprocessed.collect::<Vec<_>>()}})
            }
            _ => answered(request, |transaction, _| {
                (left == "latest" && transaction == "acme#t-b").then_some("ThrottlingError")
            }),
        };
        assert_eq!(recorded(&Latest::default(), answer).await, ["ok", expected, "ok"], "{left}");
    }
}

/// Another processor wrote what is known of transaction b since it was read.
#[tokio::test]
async fn what_is_known_of_a_transaction_is_changed_only_as_it_was_read() {
    let old = Latest { state: Some(state_of(-9)), ..Latest::default() };
    let alias = Latest { alias_of: Some("acme#t-x".to_owned()), ..Latest::default() };
    for (known, refusal, first) in [
        (Latest::default(), "DuplicateItem", "INSERT"),
        (old, "ConditionalCheckFailed", "AND event_id = ?"),
        (alias, "ConditionalCheckFailed", "AND event_id IS MISSING"),
    ] {
        // Behind the event, ahead of it, and changed again at every try.
        for (second, changes, expected) in [(-5, 1, "ok"), (5, 1, "ok"), (-5, 99, "retryable")] {
            let (mut tries, told) = (0, Arc::new(Mutex::new(Vec::new())));
            let teller = Arc::clone(&told);
            let answer = move |operation: &str, request: &Value| match operation {
                "BatchWriteItem" => json!({"UnprocessedItems": {}}),
                "BatchGetItem" => {
                    let read = asked(request, "transactions");
                    json!({"Responses": {"transactions": read.iter().map(|key| standing(key, second)).collect::<Vec<_>>()}})
                }
                _ => {
                    tries += 1;
                    teller.lock().unwrap().push(writes(request));
                    answered(request, |transaction, _| {
                        (transaction == "acme#t-b" && tries <= changes).then_some(refusal)
                    })
                }
            };
            assert_eq!(recorded(&known, answer).await, ["ok", expected, "ok"], "{first} {second}");
            let told = told.lock().unwrap();
            assert!(told[0].iter().all(|(_, statement)| statement.contains(first)), "{told:?}");
            let again: Vec<_> = told.iter().skip(1).flatten().collect();
            let is_of_b = |(transaction, statement): &&(String, String)| {
                transaction == "acme#t-b" && statement.contains("AND event_id = ?")
            };
            assert!(again.iter().all(is_of_b), "{again:?}");
            assert_eq!(again.len(), if second > 0 { 0 } else { changes.min(3) }, "{first} {second}");
        }
    }
}

/// Links of either authenticity, which travel in calls apart.
#[tokio::test]
async fn each_link_has_its_own_verdict() {
    let link = |alias: &str, authenticity| Link {
        alias: format!("acme#{alias}"),
        of: "acme#t".to_owned(),
        authenticity,
        is_known: false,
    };
    let links = [
        link("a", Authenticity::Verified),
        link("b", Authenticity::Authenticated),
        link("c", Authenticity::Verified),
        link("b", Authenticity::Verified),
    ];
    for (bad, attribute, expected) in [
        ("acme#a", "alias_of", ["permanent", "ok", "ok", "ok"]),
        ("acme#b", "authenticated_alias_of", ["ok", "permanent", "ok", "ok"]),
        ("acme#b", "alias_of", ["ok", "ok", "ok", "permanent"]),
        ("acme#c", "alias_of", ["ok", "ok", "permanent", "ok"]),
    ] {
        let server = Server::start(move |_, request| {
            let answer = |statement: &Value| {
                let is_of = statement["Statement"].as_str().unwrap().contains(&format!("'{attribute}'"));
                match is_of && statement["Parameters"][0]["S"] == bad {
                    true => json!({"Error": {"Code": "ValidationError", "Message": "no"}}),
                    false => json!({"TableName": "transactions"}),
                }
            };
            json!({"Responses": statements(request).iter().map(answer).collect::<Vec<_>>()})
        });
        assert_eq!(done(&transactions(&server).await.link(&links).await), expected, "{bad} {attribute}");
    }
}

async fn published(answer: impl FnMut(&str, &Value) -> Value + Send + 'static) -> Vec<String> {
    let server = Server::start(answer);
    let bus = EventBridgeBus::new(aws_sdk_eventbridge::Client::new(&config(&server).await), "bus");
    let events = events();
    let ids = events.each_ref().map(|event| format!(r#"{{"id":"{}"}}"#, event.provider_event_id));
    let documents: Vec<Document<'_>> =
        events.iter().zip(&ids).map(|(event, json)| Document { event, json }).collect();
    done(&bus.publish(&documents).await)
}

fn sent_entries(request: &Value) -> Vec<Value> {
    request["Entries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_failed_entry_alone_is_published_again() {
    let whole = published(|_, request| {
        let entries = sent_entries(request).iter().map(|_| json!({"EventId": "1"})).collect::<Vec<_>>();
        json!({"FailedEntryCount": 0, "Entries": entries})
    });
    assert_eq!(whole.await, ["ok"; 3]);
    for (code, outcome) in [
        ("ThrottlingException", "retryable"),
        ("InternalFailure", "retryable"),
        ("MalformedDetail", "permanent"),
    ] {
        let mut calls = 0;
        let partial = published(move |_, request| {
            calls += 1;
            let entries = sent_entries(request);
            if calls > 1 {
                assert_eq!(entries.len(), 1, "what was published is not published again");
            }
            let is_bad = |entry: &Value| entry["Detail"].as_str().unwrap().contains(r#""b""#);
            let answer = |entry: &Value| match is_bad(entry) {
                true => json!({"ErrorCode": code, "ErrorMessage": "no"}),
                false => json!({"EventId": "1"}),
            };
            json!({"FailedEntryCount": 1, "Entries": entries.iter().map(answer).collect::<Vec<_>>()})
        });
        assert_eq!(partial.await, ["ok", outcome, "ok"], "{code}");
    }
    for answered in [0, 2, 4] {
        let entries = vec![json!({"EventId": "1"}); answered];
        let other = published(move |_, _| json!({"FailedEntryCount": 0, "Entries": entries}));
        assert_eq!(other.await, ["retryable"; 3], "{answered} answers for 3 entries");
    }
}

async fn queued(answer: impl FnMut(&str, &Value) -> Value + Send + 'static) -> Vec<String> {
    let server = Server::start(answer);
    let queue = SqsArchiveQueue::new(aws_sdk_sqs::Client::new(&config(&server).await), URL);
    done(&queue.send(["a", "b", "c"].map(str::to_owned).to_vec()).await)
}

fn sent(entry: &Value) -> Value {
    // The SDK compares it with the MD5 of what it sent.
    let md5 = match entry["MessageBody"].as_str().unwrap() {
        "a" => "0cc175b9c0f1b6a831c399e269772661",
        "b" => "92eb5ffee6ae2fec3ad71c777531578f",
        _ => "4a8a08f09d37b73795649038408b5f33",
    };
    json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": md5})
}

#[tokio::test]
async fn a_failed_message_alone_is_sent_again() {
    let scrambled = queued(|operation, request| {
        assert_eq!(operation, "SendMessageBatch");
        json!({"Successful": sent_entries(request).iter().rev().map(sent).collect::<Vec<_>>(), "Failed": []})
    });
    assert_eq!(scrambled.await, ["ok"; 3]);
    for (is_senders, outcome) in [(false, "retryable"), (true, "permanent")] {
        let mut calls = 0;
        let partial = queued(move |_, request| {
            calls += 1;
            let entries = sent_entries(request);
            if calls > 1 {
                assert_eq!(entries.len(), 1, "what was sent is not sent again");
            }
            let (bad, good): (Vec<Value>, Vec<Value>) =
                entries.into_iter().partition(|entry| entry["MessageBody"] == "b");
            let failed = bad
                .iter()
                .map(|entry| json!({"Id": entry["Id"], "Code": "InternalError", "SenderFault": is_senders}));
            json!({"Successful": good.iter().map(sent).collect::<Vec<_>>(), "Failed": failed.collect::<Vec<_>>()})
        });
        assert_eq!(partial.await, ["ok", outcome, "ok"]);
    }
    let silent = queued(|_, request| {
        let entries = sent_entries(request);
        let good = entries.iter().filter(|entry| entry["MessageBody"] != "c").map(sent);
        json!({"Successful": good.collect::<Vec<_>>(), "Failed": []})
    });
    assert_eq!(silent.await, ["ok", "ok", "retryable"]);
}
