//! The ledger in DynamoDB: one item for each (endpoint, provider event id).

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client, operation::put_item::PutItemError, types::ReturnValuesOnConditionCheckFailure,
};
use tollgate_core::{LedgerKey, Timestamp, WebhookId};
use tollgate_pipeline::ports::{
    Claim, Claims, Known, LEDGER_RETENTION_SECONDS, Ledger, LedgerEntry, LedgerState, PortError, PortResult,
};

use crate::{
    batch::batched,
    dynamodb::{Attributes, READ, Read, SERVICE, WRITE, number, string, text, write},
    error::port_error,
    prepared::PreparedItems,
};

const KEY: &str = "event_key";
const STATE: &str = "state";
const FINGERPRINT: &str = "fingerprint";
const EXPIRES_AT: &str = "expires_at";
const RECEIVED_AT: &str = "received_at";
const WEBHOOK_ID: &str = "webhook_id";

/// The table `webhook-events`.
#[derive(Debug, Clone)]
pub struct DynamoLedger {
    client: Client,
    table: String,
    is_parallel: bool,
}

impl DynamoLedger {
    /// The ledger in `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into(), is_parallel: false }
    }

    /// Has items made on all processors, where there is more than one.
    pub fn in_parallel(self, is_parallel: bool) -> Self {
        Self { is_parallel, ..self }
    }
}

impl Claims for DynamoLedger {
    async fn claim(&self, entry: &LedgerEntry, now: Timestamp) -> PortResult<Claim> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item(entry)))
            // The time to live is not a filter: what has expired but is not yet removed counts as absent.
            .condition_expression("attribute_not_exists(event_key) OR expires_at <= :now")
            .expression_attribute_values(":now", number(now.as_second()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(problem) = put else { return Ok(Claim::New) };
        match problem.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(known)) => {
                let known =
                    known.item().ok_or_else(|| PortError::retryable(SERVICE, "entry not returned"))?;
                let state = state_of(known)?;
                let fingerprint = text(known, FINGERPRINT)
                    .ok_or_else(|| PortError::retryable(SERVICE, "entry without a fingerprint"))?;
                // Our own put, which the SDK repeated because its first answer did not arrive.
                let is_ours = text(known, WEBHOOK_ID) == Some(entry.webhook_id.as_str());
                if is_ours && state == LedgerState::Received && fingerprint == entry.fingerprint {
                    return Ok(Claim::New);
                }
                Ok(Claim::Known { state, fingerprint: fingerprint.to_owned() })
            }
            _ => Err(port_error(SERVICE, &problem)),
        }
    }

    async fn conflict(&self, key: &LedgerKey, webhook_id: &WebhookId, fingerprint: &str) -> PortResult<()> {
        // No endpoint's name holds a colon, so this is no event's key.
        let conflict_key = format!("conflict:{key}:{webhook_id}");
        self.client
            .put_item()
            .table_name(&self.table)
            .item(KEY, string(conflict_key))
            .item(STATE, string("conflict"))
            .item("of", string(key.as_str()))
            .item("webhook_id", string(webhook_id.as_str()))
            .item(FINGERPRINT, string(fingerprint))
            .item(EXPIRES_AT, number(webhook_id.arrived_at().as_second() + LEDGER_RETENTION_SECONDS))
            .send()
            .await
            .map(|_| ())
            .map_err(|problem| port_error(SERVICE, &problem))
    }
}

impl Ledger for DynamoLedger {
    async fn known(&self, keys: &[LedgerKey], now: Timestamp) -> Vec<PortResult<Option<Known>>> {
        let read = Read {
            client: &self.client,
            table: &self.table,
            key: KEY,
            projection: "event_key, #state, received_at, expires_at",
            names: &[("#state", STATE)],
        };
        let key = |key: &LedgerKey| HashMap::from([(KEY.to_owned(), string(key.as_str()))]);
        let wanted = PreparedItems::new(keys, false, key);
        let sizes = vec![1; keys.len()];
        let known = batched(READ, &sizes, async |chunk| {
            // What has expired and is not removed yet counts as absent.
            let parse =
                |item: &Attributes| if is_expired(item, now) { Ok(None) } else { known_of(item).map(Some) };
            read.call(wanted.take(chunk), parse).await
        })
        .await;
        known.into_iter().map(|known| known.map(Option::flatten)).collect()
    }

    async fn put(&self, entries: &[LedgerEntry]) -> Vec<PortResult<()>> {
        let items = PreparedItems::new(entries, self.is_parallel, item);
        batched(WRITE, &vec![1_024; entries.len()], async |chunk| {
            write(&self.client, &self.table, &[KEY], items.take(chunk)).await
        })
        .await
    }
}

/// An entry as the table holds it.
pub fn item(entry: &LedgerEntry) -> Attributes {
    HashMap::from([
        (KEY.to_owned(), string(entry.key.as_str())),
        (STATE.to_owned(), string(entry.state.as_str())),
        (WEBHOOK_ID.to_owned(), string(entry.webhook_id.as_str())),
        (FINGERPRINT.to_owned(), string(entry.fingerprint.as_str())),
        (RECEIVED_AT.to_owned(), string(entry.received_at.to_string())),
        (EXPIRES_AT.to_owned(), number(entry.received_at.as_second() + LEDGER_RETENTION_SECONDS)),
    ])
}

fn is_expired(item: &Attributes, now: Timestamp) -> bool {
    let expires_at = item.get(EXPIRES_AT).and_then(|value| value.as_n().ok());
    expires_at.and_then(|text| text.parse::<i64>().ok()).is_some_and(|at| at <= now.as_second())
}

fn known_of(item: &Attributes) -> PortResult<Known> {
    let received_at = text(item, RECEIVED_AT).and_then(|text| text.parse().ok());
    let received_at = received_at
        .ok_or_else(|| PortError::permanent(SERVICE, "ledger entry without its time of arrival"))?;
    Ok(Known { state: state_of(item)?, received_at })
}

fn state_of(item: &Attributes) -> PortResult<LedgerState> {
    match text(item, STATE) {
        Some("received") => Ok(LedgerState::Received),
        Some("processed") => Ok(LedgerState::Processed),
        _ => Err(PortError::permanent(SERVICE, "ledger entry without a state")),
    }
}
