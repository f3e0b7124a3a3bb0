//! The usual Rust way: `aws_lambda_events` for the batch, `serde_json::Value` for each body, `json!` for what goes out.

use std::collections::HashMap;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_eventbridge::{primitives::DateTime, types::PutEventsRequestEntry};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::domain::{self, Kind};
use crate::{
    batch,
    outputs::{BUS, Item, Outputs},
};

/// Batch bytes to outputs.
pub fn run(payload: &[u8]) -> Outputs {
    let event: SqsEvent = serde_json::from_slice(payload).unwrap();
    let mut outputs = Outputs::default();
    let mut works = Vec::new();
    let mut newest: HashMap<String, (Timestamp, u8)> = HashMap::new();
    for record in event.records {
        match work(&record) {
            Some(work) => {
                let at = (work.occurred_at, work.kind.rank);
                newest.entry(work.transaction_key.clone()).and_modify(|n| *n = at.max(*n)).or_insert(at);
                works.push(work);
            }
            None => outputs.failures.extend(record.message_id),
        }
    }
    let now = Timestamp::from_second(batch::NOW).unwrap();
    let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
    for Work { event, .. } in &works {
        let [effect, id, webhook] = ["effect_id", "id", "webhook_id"].map(|name| text(&event[name]));
        outputs.claims.push(domain::claim(&effect, &id, &webhook, now));
    }
    for mut work in works {
        let at = (work.occurred_at, work.kind.rank);
        work.event["superseded"] = (at < newest[&work.transaction_key]).into();
        write(work, &mut outputs);
    }
    outputs
}

/// A record's event, and what its outputs need besides.
struct Work {
    kind: Kind,
    event: Value,
    row: Value,
    transaction_key: String,
    occurred_at: Timestamp,
    received_at: Timestamp,
}

fn work(record: &SqsMessage) -> Option<Work> {
    let attribute = |name: &str| record.message_attributes.get(name)?.string_value.as_deref();
    if attribute("encoding")? != "text" {
        return None;
    }
    let body_text = record.body.as_deref()?;
    let body: Value = serde_json::from_str(body_text).ok()?;
    let notes: Value = serde_json::from_str(attribute("receipt")?).ok()?;
    let request: Value = serde_json::from_str(attribute("request")?).ok()?;
    let (endpoint, provider) = (attribute("endpoint")?, attribute("provider")?);
    let received_at: Timestamp = attribute("received_at")?.parse().ok()?;

    let object = &body["data"]["object"];
    let (event_id, event_type) = (body["id"].as_str()?, body["type"].as_str()?);
    let status = object["status"].as_str().unwrap_or_default();
    let kind = domain::kind(event_type, status, object["captured"].as_bool())?;
    let refunded = object["amount_refunded"].as_i64();
    let units = domain::amount(
        kind,
        object["amount"].as_i64()?,
        refunded,
        body["data"]["previous_attributes"]["amount_refunded"].as_i64(),
    )?;
    let currency = object["currency"].as_str()?.to_ascii_uppercase();
    let exponent = domain::exponent(&currency);
    let transaction_id =
        object["payment_intent"].as_str().or(object["charge"].as_str()).or(object["id"].as_str())?;
    let movement_id = kind.movement(transaction_id, object["id"].as_str()?, refunded);
    let occurred_at = Timestamp::from_second(body["created"].as_i64()?).ok()?;

    let mut customer = Map::new();
    let mut method = Map::new();
    let put = |to: &mut Map<String, Value>, name: &str, value: &Value| {
        if let Some(text) = value.as_str() {
            to.insert(name.to_owned(), text.into());
        }
    };
    put(&mut customer, "id", &object["customer"]);
    put(&mut customer, "country", &object["billing_details"]["address"]["country"]);
    let details = &object["payment_method_details"];
    put(&mut method, "type", &details["type"]);
    put(&mut method, "brand", &details["card"]["brand"]);
    put(&mut method, "country", &details["card"]["country"]);
    let mut event = json!({
        "schema": "tollgate.payment-event/1",
        "id": domain::event_id(&format!("{endpoint}#{event_id}")),
        "type": kind.name,
        "category": kind.category,
        "endpoint": endpoint,
        "provider": provider,
        "provider_event_id": event_id,
        "provider_event_type": event_type,
        "webhook_id": attribute("webhook_id")?,
        "authenticity": notes["authenticity"],
        "transaction_id": transaction_id,
        "movement_id": movement_id,
        "effect_id": kind.effect_id(endpoint, &movement_id, units),
        "restates": null,
        "amount": {
            "minor_units": units,
            "currency": currency,
            "exponent": exponent,
            "value": domain::decimal(units, exponent),
        },
        "occurred_at": occurred_at.to_string(),
        "received_at": attribute("received_at")?,
        "superseded": false,
        "risk_tier": domain::tier(units, &currency),
        "customer": customer,
        "method": method,
        "livemode": body["livemode"],
    });
    if let Some(score) = object["outcome"]["risk_score"].as_u64() {
        event["provider_risk_score"] = score.into();
    }
    if object["metadata"].as_object().is_some_and(|metadata| !metadata.is_empty()) {
        event["metadata"] = object["metadata"].clone();
    }
    let row = json!({
        "webhook_id": attribute("webhook_id")?,
        "received_at": attribute("received_at")?,
        "source_ip": attribute("source_ip")?,
        "request": request,
        "encoding": "text",
        "body": body_text,
        "receipt": {
            "body_sha256": notes["body_sha256"],
            "endpoint": endpoint,
            "provider": provider,
            "authenticity": notes["authenticity"],
            "key_id": attribute("key_id")?,
            "signed_at": notes["signed_at"],
            "verified_at": attribute("received_at")?,
        },
        "outcome": "processed",
    });
    Some(Work {
        transaction_key: format!("{endpoint}#{transaction_id}"),
        kind,
        event,
        row,
        occurred_at,
        received_at,
    })
}

fn write(work: Work, outputs: &mut Outputs) {
    let Work { kind, event, mut row, transaction_key, occurred_at, received_at } = work;
    let json = event.to_string();
    let id = event["id"].as_str().unwrap_or_default();
    let endpoint = event["endpoint"].as_str().unwrap_or_default();
    let key = format!("{endpoint}#{}", event["provider_event_id"].as_str().unwrap_or_default());
    outputs.ledger.push(domain::mark(key, event["webhook_id"].as_str().unwrap_or_default()));
    let mut item: Item = HashMap::from([
        ("transaction_id".to_owned(), string(transaction_key.as_str())),
        ("sort_key".to_owned(), string(kind.sort_key(occurred_at, id))),
        ("event".to_owned(), string(json.as_str())),
    ]);
    if let Some(customer) = event["customer"]["id"].as_str().filter(|_| kind.category == "payment") {
        item.insert("customer_key".to_owned(), string(format!("{endpoint}#{customer}")));
        item.insert("occurred_at".to_owned(), string(format!("{occurred_at:.9}")));
    }
    outputs.transactions.push(item);
    if event["superseded"] == false {
        outputs.transactions.push(HashMap::from([
            ("transaction_id".to_owned(), string(transaction_key)),
            ("sort_key".to_owned(), string("latest")),
            ("latest_at".to_owned(), string(occurred_at.to_string())),
            ("type".to_owned(), string(kind.name)),
            ("event_id".to_owned(), string(id)),
        ]));
    }
    outputs.entries.push(
        PutEventsRequestEntry::builder()
            .event_bus_name(BUS)
            .source("tollgate")
            .detail_type(kind.name)
            .detail(json)
            .time(DateTime::from_millis(received_at.as_millisecond()))
            .build(),
    );
    row["events"] = json!([event]);
    domain::pack(&mut outputs.archive, &domain::for_sqs(row.to_string()));
}

fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}
