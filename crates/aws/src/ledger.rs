//! The ledger in DynamoDB: one item for each (endpoint, provider event id).

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    error::BuildError,
    operation::{put_item::PutItemError, update_item::UpdateItemError},
    types::{AttributeValue, BatchStatementRequest, ReturnValuesOnConditionCheckFailure},
};
use tollgate_core::{Authenticity, LedgerKey, Timestamp, WebhookId};
use tollgate_pipeline::{
    intake::Seal,
    ports::{
        ASIDE_SECONDS, Allowance, Allowances, Answers, Claim, Claims, Known, LEDGER_RETENTION_SECONDS,
        Ledger, LedgerEntry, LedgerState, MAX_SEALS, Mark, PortError, PortResult, Sealing, Terms,
    },
};
use tollgate_providers::Revision;
use tracing::warn;

use crate::{
    batch::batched,
    dynamodb::{Attributes, READ, Read, SERVICE, number, string, strings, text},
    error::port_error,
    prepared::PreparedItems,
    statements::{Statements, Verdict},
};

const KEY: &str = "event_key";
const STATE: &str = "state";
const FINGERPRINT: &str = "fingerprint";
const EXPIRES_AT: &str = "expires_at";
const RECEIVED_AT: &str = "received_at";
const WEBHOOK_ID: &str = "webhook_id";
const SEALS: &str = "seals";
const OCCURRED_AT: &str = "occurred_at";
const AUTHENTICITY: &str = "authenticity";
const REVISION: &str = "revision";
const ASIDE: &str = "aside";

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

/// What was noted of a delivery that told an event with other payment facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The event.
    pub key: LedgerKey,
    /// The delivery.
    pub webhook_id: WebhookId,
    /// The facts that it told.
    pub fingerprint: String,
}

/// No endpoint's name holds a colon, so this is no event's key.
fn conflict_key(key: &LedgerKey, webhook_id: &WebhookId) -> String {
    format!("conflict:{key}:{webhook_id}")
}

impl DynamoLedger {
    /// Which of these deliveries is noted to contradict the event that stands beside it, in the order asked; `None` where
    /// nothing is noted, or no longer.
    pub async fn contradictions(
        &self,
        asked: &[(LedgerKey, WebhookId)],
        now: Timestamp,
    ) -> Vec<PortResult<Option<Contradiction>>> {
        let read = Read {
            client: &self.client,
            table: &self.table,
            key: KEY,
            projection: "event_key, fingerprint, expires_at",
            names: &[],
        };
        let item_key = |(key, webhook_id): &(LedgerKey, WebhookId)| {
            HashMap::from([(KEY.to_owned(), string(conflict_key(key, webhook_id)))])
        };
        let wanted = PreparedItems::new(asked, false, item_key);
        let noted = |item: &Attributes| {
            Ok(text(item, FINGERPRINT).filter(|_| !is_expired(item, now)).map(str::to_owned))
        };
        let sizes = vec![1; asked.len()];
        let found = batched(READ, &sizes, async |chunk| read.call(wanted.take(chunk), noted).await).await;
        let one =
            |((key, webhook_id), found): (&(LedgerKey, WebhookId), PortResult<Option<Option<String>>>)| {
                let of =
                    |fingerprint| Contradiction { key: key.clone(), webhook_id: *webhook_id, fingerprint };
                Ok(found?.flatten().map(of))
            };
        asked.iter().zip(found).map(one).collect()
    }
}

/// The most seals that give way for one to be added, where others add theirs at the same moment.
const ROUNDS: usize = 4;

/// What adding a seal found.
enum Added {
    Done(Sealing),
    /// The claim has these others, and room for no more.
    Full(Vec<String>),
}

impl DynamoLedger {
    /// Adds a seal where there is room for it.
    async fn add_seal(&self, key: &LedgerKey, seal: Seal, now: Timestamp) -> PortResult<Added> {
        let added = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, string(key.as_str()))
            .update_expression("ADD seals :seals")
            .condition_expression(
                "#state = :received AND expires_at > :now AND attribute_exists(seals) \
                 AND (size(seals) < :most OR contains(seals, :seal))",
            )
            .expression_attribute_names("#state", STATE)
            .expression_attribute_values(":received", string(LedgerState::Received.as_str()))
            .expression_attribute_values(":now", number(now.as_second()))
            .expression_attribute_values(":most", number(MAX_SEALS))
            .expression_attribute_values(":seal", string(seal.to_string()))
            .expression_attribute_values(":seals", strings([seal]))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(problem) = added else { return Ok(Added::Done(Sealing::Sealed)) };
        let Some(UpdateItemError::ConditionalCheckFailedException(known)) = problem.as_service_error() else {
            return Err(port_error(SERVICE, &problem));
        };
        let gone = || PortError::retryable(SERVICE, "the claim is gone");
        let item = known.item().filter(|item| !is_expired(item, now)).ok_or_else(gone)?;
        match state_of(item)? {
            LedgerState::Processed => Ok(Added::Done(Sealing::Processed)),
            LedgerState::Received => Ok(Added::Full(
                item.get(SEALS).and_then(|seals| seals.as_ss().ok()).cloned().unwrap_or_default(),
            )),
        }
    }

    /// Removes a seal of a claim that is full; no other claim is changed.
    async fn remove_seal(&self, key: &LedgerKey, seal: String) -> PortResult<()> {
        let removed = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, string(key.as_str()))
            .update_expression("DELETE seals :seals")
            .condition_expression("#state = :received AND size(seals) >= :most")
            .expression_attribute_names("#state", STATE)
            .expression_attribute_values(":received", string(LedgerState::Received.as_str()))
            .expression_attribute_values(":most", number(MAX_SEALS))
            .expression_attribute_values(":seals", AttributeValue::Ss(vec![seal]))
            .send()
            .await;
        match removed {
            Ok(_) => Ok(()),
            Err(problem) => match problem.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(port_error(SERVICE, &problem)),
            },
        }
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
                let item = known.item().ok_or_else(|| PortError::retryable(SERVICE, "entry not returned"))?;
                let known = known_of(item, now)?;
                // Our own put, which the SDK repeated because its first answer did not arrive.
                let seals = known.terms.as_ref().map(|terms| terms.seals.as_slice()).unwrap_or_default();
                let is_ours = text(item, WEBHOOK_ID) == Some(entry.webhook_id.as_str())
                    && entry.terms.seals.iter().all(|seal| seals.contains(seal));
                if is_ours && known.state == LedgerState::Received && known.fingerprint == entry.fingerprint {
                    return Ok(Claim::New);
                }
                Ok(Claim::Known(known))
            }
            _ => Err(port_error(SERVICE, &problem)),
        }
    }

    async fn seal(&self, key: &LedgerKey, seal: Seal, now: Timestamp) -> PortResult<Sealing> {
        for _ in 0..=ROUNDS {
            let seals = match self.add_seal(key, seal, now).await? {
                Added::Done(sealing) => return Ok(sealing),
                Added::Full(seals) => seals,
            };
            // Any of them: a set has no order of time.
            let Some(given_way) = seals.into_iter().min() else { break };
            self.remove_seal(key, given_way).await?;
        }
        Err(PortError::retryable(SERVICE, "others seal the claim at the same moment"))
    }

    async fn conflict(&self, key: &LedgerKey, webhook_id: &WebhookId, fingerprint: &str) -> PortResult<()> {
        self.client
            .put_item()
            .table_name(&self.table)
            .item(KEY, string(conflict_key(key, webhook_id)))
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

/// A key of nothing: no endpoint's name holds a colon.
const NO_KEY: &str = "health:";

impl Answers for DynamoLedger {
    /// An update whose condition cannot hold: it reads, with the rights and the key that a write takes, and writes nothing.
    async fn answers(&self) -> PortResult<()> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, string(NO_KEY))
            .update_expression("REMOVE seals")
            .condition_expression("attribute_exists(event_key)")
            .send()
            .await;
        let Err(problem) = update else { return Ok(()) };
        match problem.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
            _ => Err(port_error(SERVICE, &problem)),
        }
    }
}

/// The key of an allowance. No endpoint's name holds a colon, so it is no event's key. The operators' role may write keys
/// that begin so and no others (infra/policies/operators.json).
fn allowance_key(seal: Seal) -> String {
    format!("allowed:{seal}")
}

const ALLOWED: &str = "allowed";

impl Allowances for DynamoLedger {
    async fn allow(&self, allowance: &Allowance) -> PortResult<()> {
        self.client
            .put_item()
            .table_name(&self.table)
            .item(KEY, string(allowance_key(allowance.seal)))
            .item(STATE, string(ALLOWED))
            .item(WEBHOOK_ID, string(allowance.webhook_id.as_str()))
            .item("reason", string(allowance.reason.as_str()))
            .item("allowed_at", string(allowance.allowed_at.to_string()))
            .item(EXPIRES_AT, number(allowance.allowed_at.as_second() + LEDGER_RETENTION_SECONDS))
            .send()
            .await
            .map(|_| ())
            .map_err(|problem| port_error(SERVICE, &problem))
    }
}

impl Ledger for DynamoLedger {
    async fn allowed(&self, seals: &[Seal], now: Timestamp) -> Vec<PortResult<bool>> {
        let read = Read {
            client: &self.client,
            table: &self.table,
            key: KEY,
            projection: "event_key, #state, expires_at",
            names: &[("#state", STATE)],
        };
        let key = |seal: &Seal| HashMap::from([(KEY.to_owned(), string(allowance_key(*seal)))]);
        let wanted = PreparedItems::new(seals, false, key);
        let stands = |item: &Attributes| Ok(text(item, STATE) == Some(ALLOWED) && !is_expired(item, now));
        let sizes = vec![1; seals.len()];
        let allowed = batched(READ, &sizes, async |chunk| read.call(wanted.take(chunk), stands).await).await;
        allowed.into_iter().map(|allowed| allowed.map(|stands| stands.unwrap_or(false))).collect()
    }

    async fn known(&self, keys: &[LedgerKey], now: Timestamp) -> Vec<PortResult<Option<Known>>> {
        let read = Read {
            client: &self.client,
            table: &self.table,
            key: KEY,
            projection: "event_key, #state, webhook_id, received_at, expires_at, fingerprint, seals, occurred_at, \
                         authenticity, revision, aside",
            names: &[("#state", STATE)],
        };
        let key = |key: &LedgerKey| HashMap::from([(KEY.to_owned(), string(key.as_str()))]);
        let wanted = PreparedItems::new(keys, false, key);
        let sizes = vec![1; keys.len()];
        let known = batched(READ, &sizes, async |chunk| {
            // What has expired and is not removed yet counts as absent.
            let parse = |item: &Attributes| {
                if is_expired(item, now) { Ok(None) } else { known_of(item, now).map(Some) }
            };
            read.call(wanted.take(chunk), parse).await
        })
        .await;
        known.into_iter().map(|known| known.map(Option::flatten)).collect()
    }

    async fn put_aside(&self, keys: &[LedgerKey], now: Timestamp) -> Vec<PortResult<()>> {
        let statement = [r#"UPDATE ""#, &self.table, r#"" SET "aside" = ? WHERE event_key = ?"#].concat();
        let until = number(now.as_second() + ASIDE_SECONDS);
        let statements = Statements { client: &self.client, is_parallel: false };
        let noted = statements.execute(keys, |key: &LedgerKey| {
            let request = BatchStatementRequest::builder().statement(&statement).parameters(until.clone());
            request.parameters(string(key.as_str())).build()
        });
        // Refused where the claim is gone.
        noted.await.into_iter().map(|noted| noted.map(|_| ())).collect()
    }

    async fn mark(&self, marks: &[Mark]) -> Vec<PortResult<()>> {
        let statements = Statements { client: &self.client, is_parallel: self.is_parallel };
        let marked = statements.execute(marks, |mark| marking(&self.table, mark)).await;
        let one = |(mark, marked): (&Mark, PortResult<Verdict>)| {
            if marked? == Verdict::Refused {
                warn!(event_id = mark.key.event_id().as_str(), "the claim of a processed event is gone");
            }
            Ok(())
        };
        marks.iter().zip(marked).map(one).collect()
    }
}

/// What marks an event as processed, as BatchExecuteStatement takes it. An UPDATE, since the claim may be given further
/// seals at the same moment; one of an item that is not there is refused.
///
/// # Errors
///
/// The SDK's own, which it documents for absent texts.
pub fn marking(table: &str, mark: &Mark) -> Result<BatchStatementRequest, BuildError> {
    let statement =
        [r#"UPDATE ""#, table, r#"" SET "state" = 'processed' SET webhook_id = ? WHERE event_key = ?"#];
    BatchStatementRequest::builder()
        .statement(statement.concat())
        .parameters(string(mark.webhook_id.as_str()))
        .parameters(string(mark.key.as_str()))
        .build()
}

/// An entry as the table holds it.
pub fn item(entry: &LedgerEntry) -> Attributes {
    let mut item = HashMap::from([
        (KEY.to_owned(), string(entry.key.as_str())),
        (STATE.to_owned(), string(entry.state.as_str())),
        (WEBHOOK_ID.to_owned(), string(entry.webhook_id.as_str())),
        (FINGERPRINT.to_owned(), string(entry.fingerprint.as_str())),
        (RECEIVED_AT.to_owned(), string(entry.received_at.to_string())),
        (EXPIRES_AT.to_owned(), number(entry.expires_at())),
        (SEALS.to_owned(), strings(&entry.terms.seals)),
        (AUTHENTICITY.to_owned(), string(entry.terms.authenticity.as_str())),
        (REVISION.to_owned(), string(entry.terms.revision.to_string())),
    ]);
    let occurred_at = entry.terms.occurred_at.map(|at| (OCCURRED_AT.to_owned(), string(at.to_string())));
    item.extend(occurred_at);
    item
}

fn is_expired(item: &Attributes, now: Timestamp) -> bool {
    let expires_at = item.get(EXPIRES_AT).and_then(|value| value.as_n().ok());
    expires_at.and_then(|text| text.parse::<i64>().ok()).is_some_and(|at| at <= now.as_second())
}

fn known_of(item: &Attributes, now: Timestamp) -> PortResult<Known> {
    let unreadable = || PortError::permanent(SERVICE, "ledger entry cannot be read");
    let state = state_of(item)?;
    let received_at = text(item, RECEIVED_AT).and_then(|text| text.parse().ok()).ok_or_else(unreadable)?;
    let fingerprint = text(item, FINGERPRINT).ok_or_else(unreadable)?.to_owned();
    let terms = if item.contains_key(SEALS) { Some(terms_of(item).ok_or_else(unreadable)?) } else { None };
    let webhook_id = text(item, WEBHOOK_ID).and_then(WebhookId::parse);
    let aside = item.get(ASIDE).and_then(|value| value.as_n().ok()?.parse::<i64>().ok());
    let is_aside = aside.is_some_and(|until| until > now.as_second());
    Ok(Known { state, webhook_id, received_at, fingerprint, terms, is_aside })
}

fn terms_of(item: &Attributes) -> Option<Terms> {
    let seals = item.get(SEALS)?.as_ss().ok()?.iter().map(|text| Seal::parse(text));
    Some(Terms {
        seals: seals.collect::<Option<_>>()?,
        occurred_at: match item.get(OCCURRED_AT) {
            Some(_) => Some(text(item, OCCURRED_AT)?.parse().ok()?),
            None => None,
        },
        authenticity: Authenticity::parse(text(item, AUTHENTICITY)?)?,
        revision: Revision::parse(text(item, REVISION)?)?,
    })
}

fn state_of(item: &Attributes) -> PortResult<LedgerState> {
    match text(item, STATE) {
        Some("received") => Ok(LedgerState::Received),
        Some("processed") => Ok(LedgerState::Processed),
        _ => Err(PortError::permanent(SERVICE, "ledger entry without a state")),
    }
}
