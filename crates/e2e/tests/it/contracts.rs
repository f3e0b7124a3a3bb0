//! The same contract for the ports in memory and for those on AWS.

use tollgate_aws::{archive::S3Archive, history::DynamoHistory, payloads::S3Payloads};
use tollgate_core::Timestamp;
use tollgate_pipeline::ports::Secrets;
use tollgate_testkit::{
    contract,
    memory::{
        archive::MemoryArchive,
        effects::MemoryEffects,
        ledger::MemoryLedger,
        stores::{MemoryPayloadBucket, MemorySecrets},
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
    contract::payloads(&MemoryPayloadBucket::default(), "memory").await;
    contract::archive(&MemoryArchive::default(), "memory").await;
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
    let platform = Platform::open().await;
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
async fn effects_on_dynamodb() {
    let platform = Platform::open().await;
    contract::effects(platform.effects(), &platform.unique("e"), platform.now()).await;
}

#[tokio::test]
async fn transactions_on_dynamodb() {
    let platform = Platform::open().await;
    contract::transactions(platform.transactions(), &platform.unique("t"), platform.now()).await;
}

#[tokio::test]
async fn decisions_on_dynamodb() {
    let platform = Platform::open().await;
    let client = aws_sdk_dynamodb::Client::new(platform.config());
    let decisions = DynamoHistory::new(client, platform.output("TransactionsTable"));
    contract::decisions(platform.transactions(), decisions, &platform.unique("d"), platform.now()).await;
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
