//! Who tells which effect: claims in the ledger's table, beside its events.
//!
//! A claim is an INSERT, which fails where the item is there. What was there is read afterwards: the item in a
//! statement's error is documented for failed conditions, and not for INSERT (BatchStatementError, API reference).

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    error::BuildError,
    types::{AttributeValue, BatchStatementRequest},
};
use tollgate_core::{EventId, Timestamp, WebhookId};
use tollgate_pipeline::ports::{EffectClaim, Effects, PortError, PortResult, Subject};

use crate::{
    batch::batched,
    dynamodb::{Attributes, READ, Read, SERVICE, number, string, text},
    prepared::PreparedItems,
    statements::{Statements, Verdict},
};

const KEY: &str = "event_key";
const EVENT_ID: &str = "event_id";
const WEBHOOK_ID: &str = "webhook_id";
const CLAIMED_AT: &str = "claimed_at";

/// The claims of effects in the table `webhook-events`.
#[derive(Debug, Clone)]
pub struct DynamoEffects {
    client: Client,
    table: String,
    is_parallel: bool,
}

impl DynamoEffects {
    /// The claims in `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into(), is_parallel: false }
    }

    /// Has statements made on all processors, where there is more than one.
    pub fn in_parallel(self, is_parallel: bool) -> Self {
        Self { is_parallel, ..self }
    }

    fn statements(&self) -> Statements<'_> {
        Statements { client: &self.client, is_parallel: self.is_parallel }
    }

    /// The claims of these subjects that are there, forgotten ones included, in the order asked. Each is asked for once.
    pub async fn claims_of(&self, subjects: &[Subject]) -> Vec<PortResult<Option<EffectClaim>>> {
        let read = Read {
            client: &self.client,
            table: &self.table,
            key: KEY,
            projection: "event_key, event_id, webhook_id, claimed_at",
            names: &[],
        };
        let key = |subject: &Subject| HashMap::from([(KEY.to_owned(), string(subject.to_string()))]);
        let wanted = PreparedItems::new(subjects, false, key);
        let found = batched(READ, &vec![1; subjects.len()], async |chunk| {
            read.call(wanted.take(chunk), holder).await
        })
        .await;
        let claim = |(&subject, found): (&Subject, PortResult<Option<Holder>>)| {
            let of = |Holder { event_id, webhook_id, claimed_at }| EffectClaim {
                subject,
                event_id,
                webhook_id,
                claimed_at,
            };
            Ok(found?.map(of))
        };
        subjects.iter().zip(found).map(claim).collect()
    }

    /// The claims that are there instead of these.
    async fn standing(&self, claims: &[EffectClaim]) -> Vec<PortResult<EffectClaim>> {
        let subjects: Vec<Subject> = claims.iter().map(|claim| claim.subject).collect();
        let gone = || PortError::retryable(SERVICE, "a claim that was there is gone");
        let found = self.claims_of(&subjects).await;
        found.into_iter().map(|found| found?.ok_or_else(gone)).collect()
    }
}

impl Effects for DynamoEffects {
    async fn claim(&self, claims: &[EffectClaim]) -> Vec<PortResult<EffectClaim>> {
        let inserted = self.statements().execute(claims, |claim| insertion(&self.table, claim)).await;
        let taken: Vec<EffectClaim> = claims
            .iter()
            .zip(&inserted)
            .filter(|(_, verdict)| **verdict == Ok(Verdict::Refused))
            .map(|(claim, _)| *claim)
            .collect();
        let standing = self.standing(&taken).await;
        let old = |(claim, standing): (&EffectClaim, &PortResult<EffectClaim>)| match standing {
            Ok(standing) if claim.replaces(standing) => Some((*claim, *standing)),
            _ => None,
        };
        let old: Vec<(EffectClaim, EffectClaim)> = taken.iter().zip(&standing).filter_map(old).collect();
        let replaced =
            self.statements().execute(&old, |(claim, old)| replacement(&self.table, claim, old)).await;
        // As many answers as there were questions, each in its order.
        let (mut standing, mut replaced) = (standing.into_iter(), replaced.into_iter());
        let unanswered = || PortError::retryable(SERVICE, "no answer for a claim");
        let mut one = |(claim, inserted): (&EffectClaim, PortResult<Verdict>)| {
            if inserted? == Verdict::Done {
                return Ok(*claim);
            }
            let standing = standing.next().unwrap_or_else(|| Err(unanswered()))?;
            if !claim.replaces(&standing) {
                return Ok(standing);
            }
            match replaced.next().unwrap_or_else(|| Err(unanswered()))? {
                Verdict::Done => Ok(*claim),
                Verdict::Refused => Err(PortError::retryable(SERVICE, "the claim changed hands")),
            }
        };
        claims.iter().zip(inserted).map(&mut one).collect()
    }

    async fn release(&self, claims: &[EffectClaim]) -> Vec<PortResult<()>> {
        let released = self.statements().execute(claims, |claim| release(&self.table, claim)).await;
        released.into_iter().map(|verdict| verdict.map(|_| ())).collect()
    }
}

/// A claim of a subject that is not claimed yet, as BatchExecuteStatement takes it.
///
/// # Errors
///
/// The SDK's own, which it documents for absent texts.
pub fn insertion(table: &str, claim: &EffectClaim) -> Result<BatchStatementRequest, BuildError> {
    let statement = [
        r#"INSERT INTO ""#,
        table,
        r#"" VALUE {'event_key': ?, 'event_id': ?, 'webhook_id': ?, 'claimed_at': ?, 'expires_at': ?}"#,
    ];
    let [event_id, webhook_id, claimed_at, expires_at] = values(claim);
    BatchStatementRequest::builder()
        .statement(statement.concat())
        .set_parameters(Some(vec![subject(claim), event_id, webhook_id, claimed_at, expires_at]))
        .build()
}

/// A claim in the place of `old`, which must still be there.
fn replacement(
    table: &str,
    claim: &EffectClaim,
    old: &EffectClaim,
) -> Result<BatchStatementRequest, BuildError> {
    let statement = [
        r#"UPDATE ""#,
        table,
        r#"" SET event_id = ? SET webhook_id = ? SET claimed_at = ? SET expires_at = ? "#,
        "WHERE event_key = ? AND event_id = ? AND webhook_id = ? AND claimed_at = ?",
    ];
    let [old_event_id, old_webhook_id, old_claimed_at, _] = values(old);
    let parameters =
        values(claim).into_iter().chain([subject(claim), old_event_id, old_webhook_id, old_claimed_at]);
    BatchStatementRequest::builder()
        .statement(statement.concat())
        .set_parameters(Some(parameters.collect()))
        .build()
}

fn release(table: &str, claim: &EffectClaim) -> Result<BatchStatementRequest, BuildError> {
    let statement = [
        r#"UPDATE ""#,
        table,
        r#"" SET claimed_at = ? WHERE event_key = ? AND event_id = ? AND webhook_id = ?"#,
    ];
    let [event_id, webhook_id, claimed_at, _] = values(&claim.released());
    BatchStatementRequest::builder()
        .statement(statement.concat())
        .set_parameters(Some(vec![claimed_at, subject(claim), event_id, webhook_id]))
        .build()
}

fn subject(claim: &EffectClaim) -> AttributeValue {
    string(claim.subject.to_string())
}

/// The attributes beside the key, in the order of [`insertion`].
fn values(claim: &EffectClaim) -> [AttributeValue; 4] {
    [
        string(claim.event_id.as_str()),
        string(claim.webhook_id.as_str()),
        string(claim.claimed_at.to_string()),
        number(claim.expires_at()),
    ]
}

/// What an item says of its subject's claim.
#[derive(Debug, Clone, Copy)]
struct Holder {
    event_id: EventId,
    webhook_id: WebhookId,
    claimed_at: Timestamp,
}

fn holder(item: &Attributes) -> PortResult<Holder> {
    let holder = || {
        Some(Holder {
            event_id: EventId::parse(text(item, EVENT_ID)?)?,
            webhook_id: WebhookId::parse(text(item, WEBHOOK_ID)?)?,
            claimed_at: text(item, CLAIMED_AT)?.parse().ok()?,
        })
    };
    holder().ok_or_else(|| PortError::permanent(SERVICE, "claim of an effect cannot be read"))
}
