//! What a contestant makes of a batch, in the forms that the AWS SDK takes.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, BatchStatementRequest};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use serde_json::{Map, Value, json};

/// The bus that every contestant publishes to.
pub const BUS: &str = "payment-events-live";

/// What claims an effect that is not claimed yet.
pub const CLAIM: &str = concat!(
    r#"INSERT INTO "events" VALUE "#,
    "{'event_key': ?, 'event_id': ?, 'webhook_id': ?, 'claimed_at': ?, 'expires_at': ?}"
);

/// What marks an event as processed.
pub const MARK: &str = r#"UPDATE "events" SET "state" = 'processed' SET webhook_id = ? WHERE event_key = ?"#;

/// An item of a DynamoDB table.
pub type Item = HashMap<String, AttributeValue>;

/// A batch's outputs.
#[derive(Debug, Default)]
pub struct Outputs {
    /// For BatchExecuteStatement on the ledger: the claim of each effect.
    pub claims: Vec<BatchStatementRequest>,
    /// For PutEvents.
    pub entries: Vec<PutEventsRequestEntry>,
    /// For BatchWriteItem on the transactions table: each event, and each transaction's latest state.
    pub transactions: Vec<Item>,
    /// For BatchExecuteStatement on the ledger: the mark of each event.
    pub ledger: Vec<BatchStatementRequest>,
    /// For SendMessageBatch on the archive queue: message bodies of JSON lines.
    pub archive: Vec<String>,
    /// Message ids of records that failed.
    pub failures: Vec<String>,
}

impl Outputs {
    /// As JSON, for `benches/drivers/race` to compare with other contestants'.
    pub fn to_json(&self) -> Value {
        let entry = |entry: &PutEventsRequestEntry| {
            json!({
                "EventBusName": entry.event_bus_name(),
                "Source": entry.source(),
                "DetailType": entry.detail_type(),
                "Detail": entry.detail(),
                "Time": entry.time().map(|time| time.to_millis().unwrap()),
            })
        };
        let statement = |request: &BatchStatementRequest| {
            json!({
                "Statement": request.statement(),
                "Parameters": request.parameters().iter().map(attribute).collect::<Vec<_>>(),
            })
        };
        let statements =
            |requests: &[BatchStatementRequest]| requests.iter().map(statement).collect::<Vec<_>>();
        let items = |items: &[Item]| items.iter().map(item).collect::<Vec<_>>();
        json!({
            "claims": statements(&self.claims),
            "bus": self.entries.iter().map(entry).collect::<Vec<_>>(),
            "transactions": items(&self.transactions),
            "ledger": statements(&self.ledger),
            "archive": self.archive,
            "failures": self.failures,
        })
    }
}

/// An item as DynamoDB's JSON has it.
pub fn item(item: &Item) -> Value {
    Value::Object(item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect::<Map<_, _>>())
}

fn attribute(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::N(text) => json!({"N": text}),
        AttributeValue::Ss(texts) => json!({"SS": texts}),
        other => panic!("no contestant writes {other:?}"),
    }
}
