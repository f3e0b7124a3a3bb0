//! What DynamoDB says of a table.

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_aws::{
    error::port_error,
    json_service::{Call, JsonService},
};

use crate::aws::Aws;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    table: Table,
}

/// A table, without its items. The SDK's client does not read the local peer's answer, which has a text in a boolean's place.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Table {
    /// `ACTIVE` where it serves.
    #[serde(default)]
    pub table_status: String,
    /// How many items it has, up to six hours ago ("DescribeTable", API reference, ItemCount). To count now would take the right
    /// to scan, which with a filter answers any question about the items.
    pub item_count: u64,
    #[serde(default)]
    deletion_protection_enabled: Value,
}

impl Table {
    /// Whether it refuses to be deleted.
    pub fn is_protected(&self) -> bool {
        self.deletion_protection_enabled == Value::Bool(true) || self.deletion_protection_enabled == "true"
    }
}

/// Asks for a table.
///
/// # Errors
///
/// When there is none, or AWS does not answer.
pub async fn table(aws: &Aws, name: &str) -> anyhow::Result<Table> {
    let service = JsonService {
        config: aws.config.clone(),
        name: "dynamodb",
        signing_name: "dynamodb",
        target: "DynamoDB_20120810",
        json_version: "1.0",
        url: aws.url_of("dynamodb"),
    };
    let call: Call<Answer> = service.call("DescribeTable")?;
    let answer = call.invoke(json!({ "TableName": name }).to_string()).await;
    let answer = answer.map_err(|problem| port_error("dynamodb", &problem));
    Ok(answer.with_context(|| format!("table {name}"))?.table)
}
