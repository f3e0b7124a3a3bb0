//! The budgets for keeping refused webhooks, in the ledger's table: one item for each endpoint and day.

use aws_sdk_dynamodb::{Client, operation::update_item::UpdateItemError};
use tollgate_core::{EndpointId, Timestamp};
use tollgate_pipeline::{
    ports::{PortResult, RejectedBudget},
    rejected::KEPT_SECONDS,
};

use crate::{
    dynamodb::{SERVICE, number, string},
    error::port_error,
};

/// How many parts of a day's budget are taken.
#[derive(Debug, Clone)]
pub struct DynamoRejected {
    client: Client,
    table: String,
}

impl DynamoRejected {
    /// In the ledger's table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }
}

/// No endpoint's name holds a colon, so it is no event's key.
fn key(endpoint: &EndpointId, now: Timestamp) -> String {
    format!("rejected:{endpoint}:{}", now.strftime("%Y-%m-%d"))
}

impl RejectedBudget for DynamoRejected {
    async fn take_part(&self, endpoint: &EndpointId, parts: u32, now: Timestamp) -> PortResult<bool> {
        let taken = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("event_key", string(key(endpoint, now)))
            .update_expression("ADD taken_parts :one SET expires_at = :expires_at")
            .condition_expression("attribute_not_exists(taken_parts) OR taken_parts < :parts")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":parts", number(parts))
            .expression_attribute_values(":expires_at", number(now.as_second() + KEPT_SECONDS))
            .send()
            .await;
        let Err(problem) = taken else { return Ok(true) };
        match problem.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
            _ => Err(port_error(SERVICE, &problem)),
        }
    }
}
