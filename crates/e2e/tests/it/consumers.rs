//! The Rust package for consumers, with its rows in DynamoDB.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use futures_util::future::join_all;
use tollgate_core::Timestamp;
use tollgate_e2e::Platform;
use tollgate_events::{Consumer, DynamoStore, Event, Outcome, Store, Stored, parse};
use tollgate_testkit::sample_events;

const TELLINGS: usize = 20;

fn noon() -> Timestamp {
    "2026-01-02T12:00:00Z".parse().unwrap()
}

async fn store(platform: &Platform) -> DynamoStore {
    let client = aws_sdk_dynamodb::Client::new(platform.config());
    let name = platform.unique("consumed");
    let attribute = AttributeDefinition::builder()
        .attribute_name("movement")
        .attribute_type(ScalarAttributeType::S)
        .build()
        .unwrap();
    let key = KeySchemaElement::builder().attribute_name("movement").key_type(KeyType::Hash).build().unwrap();
    client
        .create_table()
        .table_name(&name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute)
        .key_schema(key)
        .send()
        .await
        .unwrap();
    DynamoStore::new(client, name, noon)
}

#[tokio::test]
async fn a_row_is_changed_by_compare_and_swap() {
    let platform = Platform::open().await;
    let store = store(&platform).await;
    let stored = |text: &str, version| Some(Stored { text: text.to_owned(), version });
    assert_eq!(store.load("k").await.unwrap(), None);
    assert!(!store.save("k", "x", 1).await.unwrap());
    assert!(store.save("k", "a", 0).await.unwrap());
    assert!(!store.save("k", "x", 0).await.unwrap());
    assert_eq!(store.load("k").await.unwrap(), stored("a", 1));
    assert!(store.save("k", "b", 1).await.unwrap());
    assert!(!store.save("k", "x", 1).await.unwrap());
    assert_eq!(store.load("k").await.unwrap(), stored("b", 2));
}

#[tokio::test]
async fn tellings_at_once_are_one_effect() {
    let platform = Platform::open().await;
    let store = store(&platform).await;
    let told = sample_events::story().into_iter().next().map(|event| serde_json::to_string(&event).unwrap());
    let told = told.unwrap();
    let id = parse(&told).unwrap().id().to_string();
    let calls = AtomicU32::new(0);
    let outcomes = join_all((0..TELLINGS).map(|number| {
        let (told, store, calls) = (told.replace(&id, &format!("evt_{number:032x}")), &store, &calls);
        async move {
            let handle = async |_: &Event| {
                calls.fetch_add(1, Ordering::SeqCst);
                Ok(())
            };
            let consumer = Consumer::new(handle, store, noon);
            loop {
                let ended = consumer.consume(&told, 1).await;
                if ended.outcome.is_done() {
                    return ended.outcome;
                }
                assert_eq!(ended.outcome, Outcome::Busy, "{ended:?}");
            }
        }
    }))
    .await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Handled).count(), 1);
}
