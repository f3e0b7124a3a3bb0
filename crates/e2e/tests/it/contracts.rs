//! The same contract for the ports in memory and for those on AWS. DynamoDB, SQS and EventBridge are the local peer behind
//! the checks of `tollgate_testkit::aws`: the peer alone takes more than AWS does, and always answers whole.

use std::sync::Mutex;

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use tollgate_aws::{
    archive::S3Archive,
    bus::EventBridgeBus,
    endpoints::S3Endpoints,
    history::DynamoHistory,
    payloads::S3Payloads,
    queues::{SqsArchiveQueue, SqsIntake, SqsQuarantine},
    rejected::DynamoRejected,
};
use tollgate_core::{Delivery, Timestamp};
use tollgate_pipeline::ports::Secrets;
use tollgate_testkit::{
    contract::{self, Seen},
    memory::{
        archive::MemoryArchive,
        effects::MemoryEffects,
        ledger::MemoryLedger,
        stores::{MemoryEndpoints, MemoryPayloadBucket, MemoryRejected, MemorySecrets},
        transactions::MemoryTransactions,
    },
};

use tollgate_e2e::Platform;

fn noon() -> Timestamp {
    "2026-01-02T12:00:00Z".parse().unwrap()
}

#[tokio::test]
async fn in_memory() {
    contract::ledger(&MemoryLedger::default(), "memory", noon()).await;
    contract::effects(&MemoryEffects::default(), "memory", noon()).await;
    contract::transactions(&MemoryTransactions::default(), "memory", noon()).await;
    let table = MemoryTransactions::default();
    contract::decisions(&table, &table, "memory", noon()).await;
    contract::history(&table, &table, "memory", noon()).await;
    contract::payloads(&MemoryPayloadBucket::default(), "memory").await;
    contract::rejected_budget(&MemoryRejected::default(), "memory", noon()).await;
    contract::archive(&MemoryArchive::default(), "memory").await;
    contract::endpoints(&MemoryEndpoints::default(), "ssm:").await;
    contract::endpoints_race(&*Box::leak(Box::<MemoryEndpoints>::default()), "ssm:").await;
}

#[tokio::test]
async fn one_of_many_concurrent_claims_wins_in_memory() {
    let ledger: &'static MemoryLedger = Box::leak(Box::default());
    contract::claim_race(ledger, "race", noon()).await;
    let effects: &'static MemoryEffects = Box::leak(Box::default());
    contract::effect_race(effects, "race", noon()).await;
}

#[tokio::test]
async fn ledger_on_dynamodb() {
    let platform = Platform::open().await.strict();
    contract::ledger(platform.ledger(), &platform.unique("l"), platform.now()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_concurrent_claims_wins_on_dynamodb() {
    let platform = Platform::open().await;
    for round in 0..5 {
        contract::claim_race(platform.ledger(), &platform.unique(&format!("race{round}")), platform.now())
            .await;
        contract::effect_race(platform.effects(), &platform.unique(&format!("race{round}")), platform.now())
            .await;
    }
}

#[tokio::test]
async fn budgets_for_keeping_on_dynamodb() {
    let platform = Platform::open().await.strict();
    let client = aws_sdk_dynamodb::Client::new(platform.config());
    let budget = DynamoRejected::new(client, platform.output("LedgerTable"));
    contract::rejected_budget(budget, &platform.unique("k"), platform.now()).await;
}

#[tokio::test]
async fn effects_on_dynamodb() {
    let platform = Platform::open().await.strict();
    contract::effects(platform.effects(), &platform.unique("e"), platform.now()).await;
}

#[tokio::test]
async fn transactions_on_dynamodb() {
    let platform = Platform::open().await.strict();
    contract::transactions(platform.transactions(), &platform.unique("t"), platform.now()).await;
}

/// A queue of this test's own: the deployed ones are emptied by the functions.
async fn queue(platform: &Platform, name: &str, is_fifo: bool) -> String {
    let name = platform.unique(name);
    let create = platform.sqs().create_queue();
    let create = match is_fifo {
        false => create.queue_name(name),
        // As the template has it.
        true => create
            .queue_name(format!("{name}.fifo"))
            .attributes(QueueAttributeName::FifoQueue, "true")
            .attributes(QueueAttributeName::DeduplicationScope, "messageGroup")
            .attributes(QueueAttributeName::FifoThroughputLimit, "perMessageGroupId"),
    };
    create.send().await.unwrap().queue_url.unwrap()
}

/// Takes everything out of a queue.
async fn drained(platform: &Platform, url: &str) -> Vec<Seen> {
    let sqs = platform.sqs();
    let mut seen = Vec::new();
    loop {
        let received = sqs.receive_message().queue_url(url).max_number_of_messages(10);
        let received = received.message_system_attribute_names(MessageSystemAttributeName::All);
        let received = received.message_attribute_names("All").send().await.unwrap();
        let messages = received.messages.unwrap_or_default();
        if messages.is_empty() {
            return seen;
        }
        for message in messages {
            let attributes = message.message_attributes.unwrap_or_default().into_iter();
            let mut system = message.attributes.unwrap_or_default();
            seen.push(Seen {
                group: system.remove(&MessageSystemAttributeName::MessageGroupId),
                body: message.body.unwrap(),
                attributes: attributes.map(|(name, it)| (name, it.string_value.unwrap())).collect(),
            });
            let receipt = message.receipt_handle.unwrap();
            sqs.delete_message().queue_url(url).receipt_handle(receipt).send().await.unwrap();
        }
    }
}

#[tokio::test]
async fn queues_on_sqs() {
    let platform = Platform::open().await.strict();
    let (fast, ordered) = (queue(&platform, "fast", false).await, queue(&platform, "ordered", true).await);
    let arrived = async |delivery| match delivery {
        Delivery::Fast => drained(&platform, &fast).await,
        Delivery::Ordered => drained(&platform, &ordered).await,
    };
    contract::intake(SqsIntake::new(platform.sqs(), &fast, &ordered), arrived).await;
    contract::quarantine(SqsQuarantine::new(platform.sqs(), &fast, &ordered), arrived).await;
    let bodies = async || drained(&platform, &fast).await.into_iter().map(|seen| seen.body).collect();
    contract::archive_queue(SqsArchiveQueue::new(platform.sqs(), &fast), bodies).await;
}

#[tokio::test]
async fn the_bus_on_eventbridge() {
    let platform = Platform::open().await.strict();
    let (bus, url) = (platform.unique("bus"), queue(&platform, "bus", false).await);
    let client = aws_sdk_eventbridge::Client::new(platform.config());
    client.create_event_bus().name(&bus).send().await.unwrap();
    let pattern = r#"{"source":["tollgate"]}"#;
    client.put_rule().name(&bus).event_bus_name(&bus).event_pattern(pattern).send().await.unwrap();
    let arn = platform.sqs().get_queue_attributes().queue_url(&url);
    let arn = arn.attribute_names(QueueAttributeName::QueueArn).send().await.unwrap();
    let arn = arn.attributes.unwrap().remove(&QueueAttributeName::QueueArn).unwrap();
    let target = aws_sdk_eventbridge::types::Target::builder().id("queue").arn(arn).build().unwrap();
    client.put_targets().rule(&bus).event_bus_name(&bus).targets(target).send().await.unwrap();
    let seen = Mutex::new(Vec::new());
    let arrived = async |count| {
        platform
            .until("the events are in the queue", async || {
                let messages = drained(&platform, &url).await;
                let mut seen = seen.lock().unwrap();
                seen.extend(messages.into_iter().map(|message| {
                    let envelope: serde_json::Value = serde_json::from_str(&message.body).unwrap();
                    envelope["detail"].to_string()
                }));
                (seen.len() >= count).then(|| seen.clone())
            })
            .await
    };
    contract::bus(EventBridgeBus::new(client, &bus), &platform.unique("e"), arrived).await;
}

#[tokio::test]
async fn decisions_on_dynamodb() {
    let platform = Platform::open().await.strict();
    let client = aws_sdk_dynamodb::Client::new(platform.config());
    let decisions = DynamoHistory::new(client, platform.output("TransactionsTable"));
    contract::decisions(platform.transactions(), decisions.clone(), &platform.unique("d"), platform.now())
        .await;
    contract::history(platform.transactions(), decisions, &platform.unique("h"), platform.now()).await;
}

#[tokio::test]
async fn payloads_and_archive_on_s3() {
    let platform = Platform::open().await;
    let payloads = S3Payloads::new(platform.config().clone(), platform.output("PayloadBucket"));
    contract::payloads(payloads, &platform.unique("p")).await;
    let archive = S3Archive::new(platform.s3(), platform.output("AuditBucket"));
    contract::archive(archive, &platform.unique("a")).await;
}

/// The current key and the one before it, under either service, as texts and as lists.
#[tokio::test]
async fn secrets_current_and_previous() {
    let platform = Platform::open().await;
    let name = platform.unique("secret");
    let ids = async |reference: String| {
        let keys = platform.secrets().keys(&reference).await.unwrap();
        keys.into_iter().map(|key| key.id).collect::<Vec<_>>()
    };
    let manager = aws_sdk_secretsmanager::Client::new(platform.config());
    let by_manager = || format!("secretsmanager:{name}");
    manager.create_secret().name(&name).secret_string("one").send().await.unwrap();
    assert_eq!(ids(by_manager()).await, ["current"]);
    let put = async |value: &str| {
        manager.put_secret_value().secret_id(&name).secret_string(value).send().await.unwrap();
    };
    put("two").await;
    put("three").await;
    assert_eq!(ids(by_manager()).await, ["current", "previous"]);
    put(r#"{"keys":[{"id":"a","value":"one"},{"id":"b","value":"two"}]}"#).await;
    put(r#"{"keys":[{"id":"b","value":"two"},{"id":"c","value":"three"}]}"#).await;
    assert_eq!(ids(by_manager()).await, ["b", "c", "a"], "one that stays is one key");

    let ssm = aws_sdk_ssm::Client::new(platform.config());
    for value in ["one", "two", "three"] {
        let kind = aws_sdk_ssm::types::ParameterType::SecureString;
        ssm.put_parameter().name(&name).value(value).r#type(kind).overwrite(true).send().await.unwrap();
    }
    assert_eq!(ids(format!("ssm:{name}")).await, ["current", "previous"]);
    for missing in [format!("secretsmanager:{name}-none"), format!("ssm:{name}-none"), "plain".to_owned()] {
        let answer = platform.secrets().keys(&missing).await;
        assert!(
            matches!(answer, Err(tollgate_pipeline::ports::PortError::Permanent { .. })),
            "{missing}: {answer:?}"
        );
    }

    let memory = MemorySecrets::default();
    for value in ["one", "two", "three"] {
        memory.rotate("ref", value);
    }
    let keys = (&memory).keys("ref").await.unwrap();
    assert_eq!(keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["current", "previous"]);
    assert!((&memory).keys("none").await.is_err());
}

/// A bucket of this test's own, with versions as the template has it.
async fn endpoints_bucket(platform: &Platform, name: &str) -> String {
    let bucket = platform.unique(name).replace('_', "-");
    let s3 = platform.s3();
    s3.create_bucket().bucket(&bucket).send().await.unwrap();
    let versions = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    s3.put_bucket_versioning().bucket(&bucket).versioning_configuration(versions).send().await.unwrap();
    bucket
}

#[tokio::test]
async fn endpoints_on_s3() {
    let platform = Platform::open().await;
    let bucket = endpoints_bucket(&platform, "endpoints").await;
    let store = S3Endpoints::new(platform.config().clone(), bucket, "test");
    contract::endpoints(store, "secretsmanager:tollgate/test/").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_change_of_many_at_once_is_lost_on_s3() {
    let platform = Platform::open().await;
    let bucket = endpoints_bucket(&platform, "race").await;
    let store = S3Endpoints::new(platform.config().clone(), bucket, "test");
    contract::endpoints_race(store, "secretsmanager:tollgate/test/").await;
}
