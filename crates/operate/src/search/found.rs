//! What is found, as the archive and the tables say it.

use std::cmp::{Ordering, Reverse};

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value};
use tollgate_core::{PaymentEvent, Timestamp};

use super::sql::Position;

/// An event of a webhook, or a webhook without one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "docs/archive.md describes each")]
pub struct Found {
    pub webhook_id: String,
    pub received_at: String,
    pub endpoint: String,
    pub provider: String,
    /// As in the archive; `received` of an event that the ledger knows and nobody has processed.
    pub outcome: String,
    pub reason: Option<String>,
    pub authenticity: String,
    /// Of which row of the webhook it is: the payment of an ordered delivery of several, and the part.
    #[serde(skip)]
    pub part: String,
    pub event_id: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub provider_event_id: Option<String>,
    pub provider_event_type: Option<String>,
    pub transaction_id: Option<String>,
    pub movement_id: Option<String>,
    pub amount: Option<String>,
    pub currency: Option<String>,
    pub occurred_at: Option<String>,
    pub customer_id: Option<String>,
    pub restates: Option<String>,
    /// Where it was found.
    pub source: Source,
    /// When it was received, as the engine wrote that: by this text pages follow each other.
    #[serde(skip)]
    pub written_at: String,
}

/// Where something was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// In the archive.
    #[default]
    Archive,
    /// In the history of its transaction; the archive has not got it yet, or the search left out its time.
    Transactions,
    /// In the ledger alone.
    Ledger,
}

impl Found {
    pub(super) fn of_row(row: &Map<String, Value>) -> anyhow::Result<Self> {
        let optional = |name: &str| match row.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            _ => None,
        };
        let written_at = text(row, "received_at")?;
        Ok(Self {
            webhook_id: text(row, "webhook_id")?,
            received_at: moment(&written_at),
            endpoint: text(row, "endpoint")?,
            provider: text(row, "provider")?,
            outcome: text(row, "outcome")?,
            reason: optional("reason"),
            authenticity: text(row, "authenticity")?,
            part: text(row, "part")?,
            event_id: optional("event_id"),
            kind: optional("type"),
            provider_event_id: optional("provider_event_id"),
            provider_event_type: optional("provider_event_type"),
            transaction_id: optional("transaction_id"),
            movement_id: optional("movement_id"),
            amount: optional("amount"),
            currency: optional("currency"),
            occurred_at: optional("occurred_at").map(|at| moment(&at)),
            customer_id: optional("customer_id"),
            restates: optional("restates"),
            source: Source::Archive,
            written_at,
        })
    }

    pub(super) fn of_event(event: &PaymentEvent<'_>) -> Self {
        let amount = event.amount.as_ref();
        Self {
            webhook_id: event.webhook_id.to_string(),
            received_at: event.received_at.to_string(),
            endpoint: event.endpoint.to_string(),
            provider: event.provider.to_string(),
            outcome: "processed".to_owned(),
            reason: None,
            authenticity: event.authenticity.as_str().to_owned(),
            part: String::new(),
            event_id: Some(event.id.to_string()),
            kind: Some(event.kind.as_str().to_owned()),
            provider_event_id: Some(event.provider_event_id.to_string()),
            provider_event_type: Some(event.provider_event_type.to_string()),
            transaction_id: Some(event.transaction_id.to_string()),
            movement_id: Some(event.movement_id.to_string()).filter(|id| !id.is_empty()),
            amount: amount.and_then(|amount| amount.to_decimal()),
            currency: amount.map(|amount| amount.currency().code().to_owned()),
            occurred_at: Some(event.occurred_at.to_string()),
            customer_id: event.customer.id.as_deref().map(str::to_owned),
            restates: event.restates.as_ref().map(ToString::to_string),
            source: Source::Transactions,
            written_at: String::new(),
        }
    }

    /// By what it is sorted among others: the newest first, as the statement sorts the archive's rows.
    pub(super) fn order(&self) -> (Reverse<Option<i64>>, Reverse<String>, String, Option<String>) {
        let at = instant(&self.received_at);
        (Reverse(at), Reverse(self.webhook_id.clone()), self.part.clone(), self.event_id.clone())
    }

    /// Where it stands. What the tables have says no part, and its time is written as an engine might: among what an engine wrote it
    /// stands where its time says, to the microsecond.
    pub(super) fn place(&self) -> Position {
        let received_at = match (self.written_at.as_str(), self.received_at.parse::<Timestamp>()) {
            ("", Ok(at)) => at.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string(),
            ("", Err(_)) => self.received_at.clone(),
            (as_it_was, _) => as_it_was.to_owned(),
        };
        Position {
            received_at,
            webhook_id: self.webhook_id.clone(),
            part: self.part.clone(),
            event_id: self.event_id.clone().unwrap_or_default(),
        }
    }

    /// Whether something of the tables stands behind a place. Of the webhook at the place the archive has whatever there is, where it is
    /// the archive's.
    pub(super) fn is_behind(&self, place: &Position) -> bool {
        let (own, its) = (instant(&self.received_at), instant(&moment(&place.received_at)));
        match own.cmp(&its).then_with(|| self.webhook_id.cmp(&place.webhook_id)) {
            Ordering::Less => true,
            Ordering::Equal => {
                place.part.is_empty() && self.event_id.as_deref() > Some(place.event_id.as_str())
            }
            Ordering::Greater => false,
        }
    }
}

/// To the microsecond, as the archive has it.
fn instant(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(|at| at.as_microsecond())
}

pub(super) fn text(row: &Map<String, Value>, name: &str) -> anyhow::Result<String> {
    let text = row.get(name).and_then(Value::as_str).map(str::to_owned);
    text.with_context(|| format!("the answer has no {name}"))
}

/// A time as the engines write it (`2026-01-31 12:00:00.5+00`, or without its zone, which is UTC), as RFC 3339 has it.
pub fn moment(text: &str) -> String {
    let time = text.strip_suffix("+00").or_else(|| text.strip_suffix(" UTC")).unwrap_or(text);
    let time = time.replacen(' ', "T", 1) + "Z";
    time.parse::<Timestamp>().map_or_else(|_| text.to_owned(), |at| at.to_string())
}
