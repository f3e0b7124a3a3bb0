//! The ledger in DynamoDB: one item for each (endpoint, provider event id).

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    operation::put_item::PutItemError,
    types::{
        AttributeValue, KeysAndAttributes, PutRequest, ReturnValuesOnConditionCheckFailure, WriteRequest,
    },
};
use tollgate_core::{LedgerKey, Timestamp, WebhookId};
use tollgate_pipeline::ports::{
    Claim, Claims, Known, LEDGER_RETENTION_SECONDS, Ledger, LedgerEntry, LedgerState, PortError, PortResult,
};

use crate::{
    batch::{Item, Limits, batched},
    error::{build_error, port_error},
    prepared::PreparedItems,
};

const SERVICE: &str = "dynamodb";
const KEY: &str = "event_key";
const STATE: &str = "state";
const FINGERPRINT: &str = "fingerprint";
const EXPIRES_AT: &str = "expires_at";
const RECEIVED_AT: &str = "received_at";
const WEBHOOK_ID: &str = "webhook_id";

/// BatchGetItem: 100 keys a call, 16 MB of answer, which 100 of these items never reach.
const READ: Limits = Limits { service: SERVICE, items: 100, bytes: usize::MAX };
/// BatchWriteItem: 25 items and 16 MB a call.
pub(crate) const WRITE: Limits = Limits { service: SERVICE, items: 25, bytes: 16_000_000 };

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
                let fingerprint = text(known, FINGERPRINT).unwrap_or_default();
                // Our own put, made again because its first answer did not arrive.
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
        // No endpoint's name holds a colon, so this is nobody's event.
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
        batched(READ, &vec![1; keys.len()], async |chunk| {
            let asked: Vec<&str> = chunk.iter().filter_map(|&i| keys.get(i)).map(LedgerKey::as_str).collect();
            self.read(&asked, now).await
        })
        .await
    }

    async fn put(&self, entries: &[LedgerEntry]) -> Vec<PortResult<()>> {
        let items = PreparedItems::new(entries, self.is_parallel, item);
        batched(WRITE, &vec![1_024; entries.len()], async |chunk| {
            write(&self.client, &self.table, &[KEY], items.take(chunk)).await
        })
        .await
    }
}

impl DynamoLedger {
    async fn read(&self, keys: &[&str], now: Timestamp) -> Vec<Item<Option<Known>>> {
        let fail = |problem: PortError| keys.iter().map(|_| Item::Done(Err(problem.clone()))).collect();
        let wanted = keys.iter().map(|key| HashMap::from([(KEY.to_owned(), string(*key))])).collect();
        let request = KeysAndAttributes::builder()
            .set_keys(Some(wanted))
            .consistent_read(true)
            .projection_expression("event_key, #state, received_at, expires_at")
            .expression_attribute_names("#state", STATE)
            .build();
        let Ok(request) = request else { return fail(build_error(SERVICE)) };
        let answer = match self.client.batch_get_item().request_items(&self.table, request).send().await {
            Ok(answer) => answer,
            Err(problem) => return fail(port_error(SERVICE, &problem)),
        };
        let found = answer.responses().and_then(|tables| tables.get(&self.table));
        let found: HashMap<&str, _> =
            found.into_iter().flatten().filter_map(|item| Some((text(item, KEY)?, item))).collect();
        let unread = answer.unprocessed_keys().and_then(|tables| tables.get(&self.table));
        let unread: Vec<&str> =
            unread.into_iter().flat_map(KeysAndAttributes::keys).filter_map(|key| text(key, KEY)).collect();
        keys.iter()
            .map(|key| match found.get(key) {
                _ if unread.contains(key) => Item::LeftOver(PortError::retryable(SERVICE, "unprocessed key")),
                Some(item) if is_expired(item, now) => Item::Done(Ok(None)),
                Some(item) => Item::Done(known_of(item).map(Some)),
                None => Item::Done(Ok(None)),
            })
            .collect()
    }
}

/// Puts items in one BatchWriteItem call; what was left over is found by its primary key, whose attributes are
/// named in `key`.
pub(crate) async fn write(
    client: &Client,
    table: &str,
    key: &[&str],
    items: Vec<HashMap<String, AttributeValue>>,
) -> Vec<Item<()>> {
    let key_of = |item: &HashMap<String, AttributeValue>| -> Vec<Option<AttributeValue>> {
        key.iter().map(|name| item.get(*name).cloned()).collect()
    };
    let keys: Vec<Vec<Option<AttributeValue>>> = items.iter().map(key_of).collect();
    let fail = |problem: PortError| keys.iter().map(|_| Item::Done(Err(problem.clone()))).collect();
    let requests: Result<Vec<WriteRequest>, _> = items
        .into_iter()
        .map(|item| {
            let put = PutRequest::builder().set_item(Some(item)).build()?;
            Ok::<_, aws_sdk_dynamodb::error::BuildError>(WriteRequest::builder().put_request(put).build())
        })
        .collect();
    let Ok(requests) = requests else { return fail(build_error(SERVICE)) };
    let answer = match client.batch_write_item().request_items(table, requests).send().await {
        Ok(answer) => answer,
        Err(problem) => return fail(port_error(SERVICE, &problem)),
    };
    let left: Vec<Vec<Option<AttributeValue>>> = answer
        .unprocessed_items()
        .and_then(|tables| tables.get(table))
        .into_iter()
        .flatten()
        .filter_map(|request| request.put_request().map(|put| key_of(put.item())))
        .collect();
    keys.iter()
        .map(|key| {
            if left.contains(key) {
                Item::LeftOver(PortError::retryable(SERVICE, "unprocessed item"))
            } else {
                Item::Done(Ok(()))
            }
        })
        .collect()
}

/// An entry as the table holds it.
pub fn item(entry: &LedgerEntry) -> HashMap<String, AttributeValue> {
    HashMap::from([
        (KEY.to_owned(), string(entry.key.as_str())),
        (STATE.to_owned(), string(entry.state.as_str())),
        (WEBHOOK_ID.to_owned(), string(entry.webhook_id.as_str())),
        (FINGERPRINT.to_owned(), string(entry.fingerprint.as_str())),
        (RECEIVED_AT.to_owned(), string(entry.received_at.to_string())),
        (EXPIRES_AT.to_owned(), number(entry.received_at.as_second() + LEDGER_RETENTION_SECONDS)),
    ])
}

fn is_expired(item: &HashMap<String, AttributeValue>, now: Timestamp) -> bool {
    let expires_at = item.get(EXPIRES_AT).and_then(|value| value.as_n().ok());
    expires_at.and_then(|text| text.parse::<i64>().ok()).is_some_and(|at| at <= now.as_second())
}

fn known_of(item: &HashMap<String, AttributeValue>) -> PortResult<Known> {
    let received_at = text(item, RECEIVED_AT).and_then(|text| text.parse().ok());
    let received_at = received_at
        .ok_or_else(|| PortError::permanent(SERVICE, "ledger entry without its time of arrival"))?;
    Ok(Known { state: state_of(item)?, received_at })
}

fn state_of(item: &HashMap<String, AttributeValue>) -> PortResult<LedgerState> {
    match text(item, STATE) {
        Some("received") => Ok(LedgerState::Received),
        Some("processed") => Ok(LedgerState::Processed),
        _ => Err(PortError::permanent(SERVICE, "ledger entry without a state")),
    }
}

fn text<'a>(item: &'a HashMap<String, AttributeValue>, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(crate) fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
