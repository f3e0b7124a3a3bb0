//! Rows in a DynamoDB table with the partition key `movement` (a string) and TTL on `expires_at`.

use aws_sdk_dynamodb::{Client, operation::put_item::PutItemError, types::AttributeValue};
use tollgate_core::Timestamp;

use crate::store::{BoxError, Store, Stored};

const SECONDS_OF_A_DAY: i64 = 86_400;
const KEEP_DAYS: i64 = 400;

/// One item for each movement. An event takes a consistent read and two writes, of a unit each up to 1 KB.
#[derive(Debug, Clone)]
pub struct DynamoStore {
    client: Client,
    table: String,
    clock: fn() -> Timestamp,
    keep_days: i64,
}

impl DynamoStore {
    /// `clock` says the time, such as `Timestamp::now`. Items are kept for 400 days after their last change.
    pub fn new(client: Client, table: impl Into<String>, clock: fn() -> Timestamp) -> Self {
        Self { client, table: table.into(), clock, keep_days: KEEP_DAYS }
    }

    /// After that long without a change DynamoDB removes the item, and a repeat would be handled again.
    #[must_use]
    pub fn keep_days(self, keep_days: u16) -> Self {
        Self { keep_days: keep_days.into(), ..self }
    }
}

impl Store for DynamoStore {
    async fn load(&self, key: &str) -> Result<Option<Stored>, BoxError> {
        let movement = AttributeValue::S(key.to_owned());
        let get = self.client.get_item().table_name(&self.table).key("movement", movement);
        let Some(item) = get.consistent_read(true).send().await?.item else { return Ok(None) };
        let row = item.get("row").and_then(|row| row.as_s().ok()).ok_or("an item without row")?;
        let version = item.get("version").and_then(|row| row.as_n().ok()).ok_or("an item without version")?;
        Ok(Some(Stored { text: row.clone(), version: version.parse()? }))
    }

    async fn save(&self, key: &str, text: &str, expected: u64) -> Result<bool, BoxError> {
        let number = |number: i128| AttributeValue::N(number.to_string());
        let keep = self.keep_days.saturating_mul(SECONDS_OF_A_DAY);
        let expires_at = (self.clock)().as_second().saturating_add(keep);
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("movement", AttributeValue::S(key.to_owned()))
            .item("row", AttributeValue::S(text.to_owned()))
            .item("version", number(i128::from(expected) + 1))
            .item("expires_at", number(expires_at.into()));
        let put = match expected {
            0 => put.condition_expression("attribute_not_exists(movement)"),
            _ => put
                .condition_expression("#version = :expected")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":expected", number(expected.into())),
        };
        match put.send().await.map_err(aws_sdk_dynamodb::error::SdkError::into_service_error) {
            Ok(_) => Ok(true),
            Err(PutItemError::ConditionalCheckFailedException(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
