//! The transaction history as the fraud check uses it: counts by customer, and decisions on events.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, ReturnValue},
};
use tollgate_core::{PaymentEvent, Timestamp};
use tollgate_pipeline::ports::{Decisions, History, PortError, PortResult, Recent};
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

impl Decisions for DynamoHistory {
    async fn record(
        &self,
        event: &PaymentEvent<'_>,
        decision: &Decision,
        at: Timestamp,
    ) -> PortResult<Option<Decision>> {
        let reasons = decision.reasons.iter().map(|reason| text(reason.code())).collect();
        let updated = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("transaction_id", text(event.transaction_key()))
            .key("sort_key", text(event.sort_key()))
            // The four attributes are always written together, so the first decision is kept as a whole.
            .update_expression(
                "SET fraud_score = if_not_exists(fraud_score, :score), \
                 fraud_decision = if_not_exists(fraud_decision, :decision), \
                 fraud_reasons = if_not_exists(fraud_reasons, :reasons), \
                 fraud_at = if_not_exists(fraud_at, :at)",
            )
            .condition_expression("attribute_exists(sort_key)")
            .expression_attribute_values(":score", AttributeValue::N(decision.score.to_string()))
            .expression_attribute_values(":decision", text(decision.verdict.as_str()))
            .expression_attribute_values(":reasons", AttributeValue::L(reasons))
            .expression_attribute_values(":at", text(moment(at)))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match updated {
            Ok(updated) => {
                let unreadable = || PortError::permanent(SERVICE, "recorded decision cannot be read");
                updated.attributes().and_then(read).map(Some).ok_or_else(unreadable)
            }
            Err(problem)
                if problem
                    .as_service_error()
                    .is_some_and(|problem| problem.is_conditional_check_failed_exception()) =>
            {
                Ok(None)
            }
            Err(problem) => Err(port_error(SERVICE, &problem)),
        }
    }
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
