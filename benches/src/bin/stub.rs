//! A stand-in for the validator that only makes its SDK calls, a claim and a message, of a webhook like those that
//! `make bench-function` sends: what the validator costs beyond this is its own.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a bench: it reads the validator's environment, and what goes wrong must stop it"
)]

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{json, value::RawValue};
use tollgate_aws::{ledger::DynamoLedger, queues::SqsIntake};
use tollgate_benches::batch;
use tollgate_core::{LedgerKey, Timestamp};
use tollgate_pipeline::ports::{Claims, IntakeQueue, LedgerEntry, LedgerState, Terms};
use tollgate_providers::Endpoint;

#[global_allocator]
static ALLOCATOR: tollgate_lambda::Allocator = tollgate_lambda::Allocator;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variable = |name: &str| std::env::var(name).expect("the validator's environment");
    let config = tollgate_aws::sdk_config().await;
    let ledger = DynamoLedger::new(aws_sdk_dynamodb::Client::new(&config), variable("LEDGER_TABLE"));
    let queue = SqsIntake::new(
        aws_sdk_sqs::Client::new(&config),
        variable("INTAKE_QUEUE_URL"),
        variable("INTAKE_ORDERED_QUEUE_URL"),
    );
    let message = batch::message("stripe", Timestamp::from_second(batch::FIRST_ARRIVAL).unwrap());
    let config = batch::endpoints(false).into_iter().find(|config| config.id == message.endpoint);
    let endpoint = Endpoint::new(config.expect("the message's endpoint")).expect("an endpoint");
    let entry = LedgerEntry {
        key: LedgerKey::new(&message.endpoint, "evt_ABCDEFGHIJKLMNOPQRSTUVWX"),
        state: LedgerState::Received,
        webhook_id: message.webhook_id,
        fingerprint: message.notes.body_sha256.to_string(),
        received_at: message.received_at,
        terms: Terms {
            seals: vec![message.seal()],
            occurred_at: Some(message.received_at),
            authenticity: message.notes.authenticity,
            revision: endpoint.revision(),
        },
    };
    let (ledger, queue, message, entry) = (&ledger, &queue, &message, &entry);
    lambda_runtime::run(service_fn(move |_: LambdaEvent<Box<RawValue>>| async move {
        ledger.claim(entry, message.received_at).await?;
        queue.send(message).await?;
        Ok::<_, Error>(json!({"statusCode": 200, "headers": {}, "body": "{}", "isBase64Encoded": false}))
    }))
    .await
}
