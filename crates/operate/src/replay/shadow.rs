//! Archived webhooks read by this version's normalisers, without any effect: how their events differ from those that were told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
};

use serde::Serialize;
use serde_json::{Map, Value};
use tollgate_archive::read::ArchivedRow;
use tollgate_core::{
    Authenticity, EndpointConfig, EndpointId, PaymentEvent, ProviderId, WebhookId, event::Arrival,
};
use tollgate_pipeline::replay::events_of;
use tollgate_providers::{Endpoint, Headers, Received};

use crate::{archived::Archive, aws::Aws, endpoints, search::Query, walk::Walk};

/// Examples that are kept of each difference.
const EXAMPLES: usize = 3;
/// Fields that no normaliser decides: they are of the delivery, of the environment's settings, or of what else is known of the
/// payment.
const OTHERS: [&str; 6] =
    ["authenticity", "received_at", "restates", "risk_tier", "superseded", "webhook_id"];
/// The names of a payment, which are compared together: which of them is the transaction depends on what else is known.
const NAMES: [&str; 2] = ["transaction_aliases", "transaction_id"];
/// What stands for an event as a whole: this version reads none, or one that was not told.
const EVENT: &str = "event";

/// What was compared, and what differs.
#[derive(Debug, Default, Serialize)]
pub struct Shadow {
    /// Webhooks whose events were compared.
    pub webhooks: u64,
    /// Their events, as the archive has them.
    pub events: u64,
    /// Rows without events: what they would tell was told by others, or has not been told.
    pub without_events: u64,
    /// Webhooks of endpoints that are not configured any more, or cannot serve: they were not compared.
    pub of_no_endpoint: BTreeMap<String, u64>,
    /// What differs, by endpoint and field.
    pub differences: Vec<Difference>,
    /// It was stopped before its end.
    pub stopped: bool,
}

/// A field that differs at an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Where the webhooks arrived.
    pub endpoint: String,
    /// The field, with a dot before an inner one; `event` where there is one on one side only.
    pub field: String,
    /// In how many events.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<Example>,
}

/// An event in which a field differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    /// Its webhook.
    pub webhook_id: String,
    /// Its provider's id.
    pub provider_event_id: String,
    /// What was told; null where nothing was.
    pub archived: Value,
    /// What this version reads; null where it reads nothing.
    pub read: Value,
}

/// Compares the events of a query's webhooks. `tell` is told after each object.
///
/// # Errors
///
/// When AWS does not answer, or an object cannot be read.
pub async fn shadow(
    aws: &Aws,
    query: &Query,
    stop: &AtomicBool,
    mut tell: impl FnMut(),
) -> anyhow::Result<Shadow> {
    let configured = endpoints::all(aws).await?;
    let usable = |config: EndpointConfig| Some((config.id.to_string(), Endpoint::new(config).ok()?));
    let endpoints: BTreeMap<String, Endpoint> = configured.into_iter().filter_map(usable).collect();
    let walk = Walk { archive: Archive::of(aws).await?, query };
    let mut comparing = Comparing { endpoints, shadow: Shadow::default(), differences: BTreeMap::new() };
    for day in walk.days() {
        for object in walk.objects(&day).await? {
            if stop.load(Ordering::Relaxed) {
                comparing.shadow.stopped = true;
                return Ok(comparing.end());
            }
            comparing.rows(&walk.rows(&[object]).await?);
            tell();
        }
    }
    Ok(comparing.end())
}

struct Comparing {
    endpoints: BTreeMap<String, Endpoint>,
    shadow: Shadow,
    differences: BTreeMap<(String, String), (u64, Vec<Example>)>,
}

impl Comparing {
    /// Compares the rows of an object. A large delivery's rows, each with a part of its events, are taken together.
    fn rows(&mut self, rows: &[ArchivedRow]) {
        let mut deliveries: BTreeMap<(&str, Option<&str>), Vec<&ArchivedRow>> = BTreeMap::new();
        for row in rows {
            if row.events.is_empty() {
                self.shadow.without_events += 1;
            } else {
                let delivery = (row.webhook_id.as_str(), row.only_transaction.as_deref());
                deliveries.entry(delivery).or_default().push(row);
            }
        }
        for of_delivery in deliveries.into_values() {
            let Some(first) = of_delivery.first() else { continue };
            let events = of_delivery.iter().flat_map(|row| &row.events);
            let events: BTreeMap<String, Map<String, Value>> = events
                .filter_map(|json| serde_json::from_str::<Map<String, Value>>(json).ok())
                .map(|event| (text(&event, "provider_event_id"), event))
                .collect();
            match self.endpoints.get(&first.endpoint).and_then(|endpoint| read(endpoint, first)) {
                Some(read) => self.delivery(first, &events, &read),
                None => *self.shadow.of_no_endpoint.entry(first.endpoint.clone()).or_default() += 1,
            }
        }
    }

    fn delivery(
        &mut self,
        row: &ArchivedRow,
        archived: &BTreeMap<String, Map<String, Value>>,
        read: &BTreeMap<String, Map<String, Value>>,
    ) {
        self.shadow.webhooks += 1;
        self.shadow.events += archived.len() as u64;
        for (id, before) in archived {
            match read.get(id) {
                Some(now) => {
                    for (field, before, now) in differing(before, now) {
                        self.add(row, id, field, before, now);
                    }
                }
                None => self.add(row, id, EVENT.to_owned(), kind(before), Value::Null),
            }
        }
        // Where one contradicted what it first said, the row leaves it out.
        let is_whole = row.outcome == "processed";
        for (id, now) in read.iter().filter(|(id, _)| is_whole && !archived.contains_key(*id)) {
            self.add(row, id, EVENT.to_owned(), Value::Null, kind(now));
        }
    }

    fn add(&mut self, row: &ArchivedRow, id: &str, field: String, archived: Value, read: Value) {
        let (count, examples) = self.differences.entry((row.endpoint.clone(), field)).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            let (webhook_id, provider_event_id) = (row.webhook_id.clone(), id.to_owned());
            examples.push(Example { webhook_id, provider_event_id, archived, read });
        }
    }

    fn end(mut self) -> Shadow {
        let differences = self.differences.into_iter();
        let one = |((endpoint, field), (count, examples))| Difference { endpoint, field, count, examples };
        self.shadow.differences = differences.map(one).collect();
        self.shadow
    }
}

/// The events that this version reads, by their provider's ids; `None` for a row that is no webhook.
fn read(endpoint: &Endpoint, row: &ArchivedRow) -> Option<BTreeMap<String, Map<String, Value>>> {
    let webhook_id = WebhookId::parse(&row.webhook_id)?;
    let id = EndpointId::new(&row.endpoint).ok()?;
    let provider = ProviderId::new(&row.provider).ok()?;
    let arrival = Arrival {
        webhook_id: &webhook_id,
        endpoint: &id,
        provider: &provider,
        authenticity: Authenticity::parse(&row.authenticity)?,
        received_at: row.received_at,
    };
    let headers: Headers = row.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let received = Received { headers: &headers, query: &row.query, body: &row.body };
    let events =
        events_of(endpoint, received, row.object.as_deref(), arrival, row.only_transaction.as_deref());
    let json = |event: &PaymentEvent<'_>| match serde_json::to_value(event).ok()? {
        Value::Object(event) => Some((text(&event, "provider_event_id"), event)),
        _ => None,
    };
    events.iter().map(json).collect()
}

/// The fields of two events that differ, each with what it was and what it is.
fn differing(before: &Map<String, Value>, now: &Map<String, Value>) -> Vec<(String, Value, Value)> {
    let mut found = Vec::new();
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let is_asked = |name: &&String| !OTHERS.contains(&name.as_str()) && !NAMES.contains(&name.as_str());
    for name in names.into_iter().filter(is_asked) {
        let (before, now) = (before.get(name), now.get(name));
        match (before, now) {
            (Some(Value::Object(before)), Some(Value::Object(now))) if name != "metadata" => {
                let inner: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
                found.extend(inner.into_iter().filter_map(|field| {
                    let (before, now) = (before.get(field), now.get(field));
                    (!is_same(before, now)).then(|| (format!("{name}.{field}"), owned(before), owned(now)))
                }));
            }
            _ if is_same(before, now) => {}
            _ => found.push((name.clone(), owned(before), owned(now))),
        }
    }
    if !have_same_names(before, now) {
        let names = |event: &Map<String, Value>| names_of(event).into_iter().collect::<Vec<_>>().into();
        found.push(("transaction_id".to_owned(), names(before), names(now)));
    }
    found
}

/// A field that is not there is null.
fn is_same(before: Option<&Value>, now: Option<&Value>) -> bool {
    before.unwrap_or(&Value::Null) == now.unwrap_or(&Value::Null)
}

fn owned(value: Option<&Value>) -> Value {
    value.cloned().unwrap_or_default()
}

/// Whether they name one payment. The archived event has the transaction's id that was known by then, which another event may
/// have told, and its own among the aliases.
fn have_same_names(before: &Map<String, Value>, now: &Map<String, Value>) -> bool {
    let (of_before, of_now) = (names_of(before), names_of(now));
    let known = text(before, "transaction_id");
    of_now.is_subset(&of_before) && of_before.iter().all(|name| of_now.contains(name) || *name == known)
}

fn names_of(event: &Map<String, Value>) -> BTreeSet<String> {
    let aliases = event.get("transaction_aliases").and_then(Value::as_array).into_iter().flatten();
    let aliases = aliases.filter_map(Value::as_str).map(str::to_owned);
    aliases.chain([text(event, "transaction_id")]).collect()
}

fn text(event: &Map<String, Value>, name: &str) -> String {
    event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What an event is, in short.
fn kind(event: &Map<String, Value>) -> Value {
    event.get("type").cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn differences(before: Value, now: Value) -> Vec<String> {
        let object = |value: Value| value.as_object().unwrap().clone();
        differing(&object(before), &object(now)).into_iter().map(|(field, ..)| field).collect()
    }

    #[test]
    fn fields_are_compared_and_what_no_normaliser_decides_is_not() {
        let event = json!({
            "type": "payment.succeeded", "transaction_id": "pi_1", "amount": {"value": "1.00", "currency": "EUR"},
            "metadata": {"a": "b"}, "superseded": false, "risk_tier": "low", "restates": null,
        });
        let with = |name: &str, value: Value| {
            let mut event = event.clone();
            event[name] = value;
            event
        };
        let cases = [
            (event.clone(), vec![]),
            (with("type", json!("payment.failed")), vec!["type"]),
            (with("amount", json!({"value": "1.01", "currency": "EUR"})), vec!["amount.value"]),
            (with("amount", json!(null)), vec!["amount"]),
            (with("metadata", json!({"a": "c"})), vec!["metadata"]),
            (with("customer", json!({"id": "cus_1"})), vec!["customer"]),
            (with("unrecognized", json!(null)), vec![]),
            (with("superseded", json!(true)), vec![]),
            (with("risk_tier", json!("high")), vec![]),
            (with("transaction_id", json!("pi_2")), vec!["transaction_id"]),
            (with("transaction_aliases", json!(["ch_1"])), vec!["transaction_id"]),
        ];
        for (now, expected) in cases {
            assert_eq!(differences(event.clone(), now.clone()), expected, "{now}");
        }
    }

    #[test]
    fn a_payment_that_has_got_another_id_since_is_the_same_one() {
        let archived = json!({"transaction_id": "pi_1", "transaction_aliases": ["ch_1"]});
        for (read, is_same) in [
            (json!({"transaction_id": "ch_1"}), true),
            (json!({"transaction_id": "ch_1", "transaction_aliases": ["pi_1"]}), true),
            (json!({"transaction_id": "ch_2"}), false),
            (json!({"transaction_id": "pi_1"}), false),
        ] {
            assert_eq!(differences(archived.clone(), read.clone()).is_empty(), is_same, "{read}");
        }
    }
}
