//! The transaction history as the fraud check uses it: counts by customer, and decisions on events. A decision
//! is an item of its own, which no repeat of its event writes.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::{
    Client,
    operation::put_item::PutItemError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};
use tollgate_core::{EventId, PaymentEvent, Timestamp};
use tollgate_pipeline::ports::{Decisions, History, PortError, PortResult, Recent, decision_sort_key};
use tollgate_risk::Decision;

use crate::error::port_error;

const SERVICE: &str = "dynamodb";
/// The index of the table by customer and time. It is read eventually consistent, as every global index: a payment
/// of the last moments may not count yet.
const BY_CUSTOMER: &str = "by-customer";
/// Items read at a time. A customer's payments within an hour are few; a shop's single guest account has many,
/// and counting them may stop early.
const PAGE: i32 = 200;

/// The table `transactions`.
#[derive(Debug, Clone)]
pub struct DynamoHistory {
    client: Client,
    table: String,
}

impl DynamoHistory {
    /// The history in `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }
}

impl History for DynamoHistory {
    async fn recent(&self, recent: &Recent<'_>) -> PortResult<u32> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_CUSTOMER)
            .key_condition_expression("customer_key = :customer AND occurred_at BETWEEN :since AND :until")
            .expression_attribute_values(":customer", text(recent.customer_key))
            .expression_attribute_values(":since", text(moment(recent.since)))
            .expression_attribute_values(":until", text(moment(recent.until)))
            .projection_expression("transaction_id")
            .scan_index_forward(false)
            .limit(PAGE);
        let mut pages = query.into_paginator().send();
        let mut payments = HashSet::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|problem| port_error(SERVICE, &problem))?;
            for mut item in page.items.unwrap_or_default() {
                if let Some(AttributeValue::S(transaction)) = item.remove("transaction_id")
                    && transaction != recent.except
                {
                    payments.insert(transaction);
                }
            }
            if count(&payments) >= recent.at_most {
                break;
            }
        }
        Ok(count(&payments).min(recent.at_most))
    }
}

/// What the table has of a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// Each event's JSON, in the order of events.
    pub events: Vec<String>,
    /// The decisions on them.
    pub decisions: Vec<Decided>,
    /// There is more than was asked for.
    pub is_cut: bool,
}

/// A fraud decision that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The event that was assessed.
    pub event_id: EventId,
    /// The decision.
    pub decision: Decision,
    /// When.
    pub at: Timestamp,
}

impl DynamoHistory {
    /// What the table has of a transaction, `most` items at most.
    ///
    /// # Errors
    ///
    /// [`PortError`]; permanent where a decision cannot be read.
    pub async fn past(&self, transaction_key: &str, most: usize) -> PortResult<Past> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("transaction_id = :transaction")
            .expression_attribute_values(":transaction", text(transaction_key))
            .consistent_read(true)
            .limit(PAGE);
        let mut pages = query.into_paginator().send();
        let (mut past, mut read_items) = (Past::default(), 0);
        while let Some(page) = pages.next().await {
            let page = page.map_err(|problem| port_error(SERVICE, &problem))?;
            for item in page.items.unwrap_or_default() {
                if read_items == most {
                    past.is_cut = true;
                    return Ok(past);
                }
                read_items += 1;
                if let Some(event) = item.get("event").and_then(|event| event.as_s().ok()) {
                    past.events.push(event.clone());
                } else if item.contains_key("fraud_decision") {
                    let unreadable = || PortError::permanent(SERVICE, "recorded decision cannot be read");
                    past.decisions.push(decided(&item).ok_or_else(unreadable)?);
                }
            }
        }
        Ok(past)
    }

    fn key(event: &PaymentEvent<'_>, sort_key: String) -> HashMap<String, AttributeValue> {
        HashMap::from([
            ("transaction_id".to_owned(), text(event.transaction_key())),
            ("sort_key".to_owned(), text(sort_key)),
        ])
    }

    /// Whether the event is in the history. What is there is never removed.
    async fn is_recorded(&self, event: &PaymentEvent<'_>) -> PortResult<bool> {
        let read = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(Self::key(event, event.sort_key())))
            .projection_expression("sort_key")
            .consistent_read(true);
        let read = read.send().await.map_err(|problem| port_error(SERVICE, &problem))?;
        Ok(read.item.is_some())
    }
}

impl Decisions for DynamoHistory {
    async fn record(
        &self,
        event: &PaymentEvent<'_>,
        decision: &Decision,
        at: Timestamp,
    ) -> PortResult<Option<Decision>> {
        if !self.is_recorded(event).await? {
            return Ok(None);
        }
        let reasons = decision.reasons.iter().map(|reason| text(reason.code())).collect();
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(Self::key(event, decision_sort_key(event))))
            .item("event_id", text(event.id.as_str()))
            .item("fraud_score", AttributeValue::N(decision.score.to_string()))
            .item("fraud_decision", text(decision.verdict.as_str()))
            .item("fraud_reasons", AttributeValue::L(reasons))
            .item("fraud_at", text(moment(at)))
            .condition_expression("attribute_not_exists(sort_key)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(problem) = put else { return Ok(Some(decision.clone())) };
        match problem.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(standing)) => {
                let standing =
                    standing.item().ok_or_else(|| PortError::retryable(SERVICE, "decision not returned"))?;
                let unreadable = || PortError::permanent(SERVICE, "recorded decision cannot be read");
                read(standing).map(Some).ok_or_else(unreadable)
            }
            _ => Err(port_error(SERVICE, &problem)),
        }
    }
}

fn decided(item: &HashMap<String, AttributeValue>) -> Option<Decided> {
    let text = |name: &str| item.get(name)?.as_s().ok();
    Some(Decided {
        event_id: EventId::parse(text("event_id")?)?,
        decision: read(item)?,
        at: text("fraud_at")?.parse().ok()?,
    })
}

fn read(item: &HashMap<String, AttributeValue>) -> Option<Decision> {
    let score: u8 = item.get("fraud_score")?.as_n().ok()?.parse().ok()?;
    let decision = item.get("fraud_decision")?.as_s().ok()?;
    let reasons: Vec<&String> = item
        .get("fraud_reasons")?
        .as_l()
        .ok()?
        .iter()
        .map(|reason| reason.as_s().ok())
        .collect::<Option<_>>()?;
    let decision = serde_json::json!({"score": score, "decision": decision, "reasons": reasons});
    serde_json::from_value(decision).ok()
}

fn count(payments: &HashSet<String>) -> u32 {
    u32::try_from(payments.len()).unwrap_or(u32::MAX)
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// With nine decimals, as the table holds times, so that text order is time order.
fn moment(at: Timestamp) -> String {
    format!("{at:.9}")
}

#[cfg(test)]
mod tests {
    use tollgate_risk::{Reason, Verdict};

    use super::*;

    #[test]
    fn a_recorded_decision_reads_back_and_anything_else_does_not() {
        let item = HashMap::from([
            ("fraud_score".to_owned(), AttributeValue::N("65".to_owned())),
            ("fraud_decision".to_owned(), text("review")),
            (
                "fraud_reasons".to_owned(),
                AttributeValue::L(vec![text("amount_high"), text("country_mismatch")]),
            ),
        ]);
        let decision = Decision {
            score: 65,
            verdict: Verdict::Review,
            reasons: vec![Reason::AmountHigh, Reason::CountryMismatch],
        };
        assert_eq!(read(&item), Some(decision));
        for (name, value) in [("fraud_score", text("65")), ("fraud_decision", text("maybe"))] {
            let mut item = item.clone();
            item.insert(name.to_owned(), value);
            assert_eq!(read(&item), None, "{name}");
        }
    }
}
