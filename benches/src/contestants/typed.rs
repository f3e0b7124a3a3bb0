//! The best other Rust way: borrowed, typed reading of the outer event and of each body; borrowed, typed writing.
//!
//! One program, three parsers, each by its fastest safe interface: serde_json, sonic-rs, and simd-json with buffers
//! that are used again.

use std::{borrow::Cow, collections::HashMap, fmt};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_eventbridge::{primitives::DateTime, types::PutEventsRequestEntry};
use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::domain::{self, Kind};
use crate::{
    batch,
    outputs::{BUS, Item, Outputs},
};

/// serde_json.
pub fn serde_json(payload: &[u8]) -> Outputs {
    let event: SqsEvent<'_> = serde_json::from_slice(payload).unwrap();
    outputs(&event, event.records.iter().map(|record| serde_json::from_str(&record.body).ok()))
}

/// sonic-rs.
pub fn sonic(payload: &[u8]) -> Outputs {
    let event: SqsEvent<'_> = sonic_rs::from_slice(payload).unwrap();
    outputs(&event, event.records.iter().map(|record| sonic_rs::from_str(&record.body).ok()))
}

/// simd-json and its buffers.
#[derive(Default)]
pub struct Simd {
    buffers: simd_json::Buffers,
    bodies: Vec<u8>,
}

impl Simd {
    /// simd-json, which writes into what it reads.
    pub fn run(&mut self, payload: &mut [u8]) -> Outputs {
        let event: SqsEvent<'_> =
            simd_json::serde::from_slice_with_buffers(payload, &mut self.buffers).unwrap();
        self.bodies.clear();
        event.records.iter().for_each(|record| self.bodies.extend_from_slice(record.body.as_bytes()));
        let (mut rest, buffers) = (self.bodies.as_mut_slice(), &mut self.buffers);
        let bodies = event.records.iter().map(|record| {
            let (body, after) = std::mem::take(&mut rest).split_at_mut(record.body.len());
            rest = after;
            simd_json::serde::from_slice_with_buffers(body, buffers).ok()
        });
        outputs(&event, bodies)
    }
}

// What is read. (`Option<Cow>` never borrows, hence `Text`.)

#[derive(Deserialize)]
struct SqsEvent<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<Record<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    message_id: Cow<'a, str>,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(borrow)]
    message_attributes: Attributes<'a>,
}

#[derive(Deserialize)]
struct Attributes<'a> {
    #[serde(borrow)]
    webhook_id: Attribute<'a>,
    endpoint: Attribute<'a>,
    provider: Attribute<'a>,
    received_at: Attribute<'a>,
    source_ip: Attribute<'a>,
    key_id: Attribute<'a>,
    encoding: Attribute<'a>,
    receipt: Attribute<'a>,
    request: Attribute<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attribute<'a> {
    #[serde(borrow)]
    string_value: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Notes<'a> {
    #[serde(borrow)]
    authenticity: Cow<'a, str>,
    #[serde(borrow)]
    body_sha256: Cow<'a, str>,
    signed_at: Option<Text<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    created: i64,
    livemode: bool,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: Object<'a>,
    previous_attributes: Option<Previous>,
}

#[derive(Deserialize)]
struct Previous {
    amount_refunded: Option<i64>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    amount: i64,
    amount_refunded: Option<i64>,
    captured: Option<bool>,
    payment_intent: Option<Text<'a>>,
    charge: Option<Text<'a>>,
    customer: Option<Text<'a>>,
    status: Option<Text<'a>>,
    payment_method_details: Option<MethodDetails<'a>>,
    outcome: Option<Risk>,
    billing_details: Option<Billing<'a>>,
    #[serde(default)]
    metadata: Pairs<'a>,
}

#[derive(Deserialize)]
struct MethodDetails<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
    card: Option<Card<'a>>,
}

#[derive(Deserialize)]
struct Card<'a> {
    #[serde(borrow)]
    brand: Option<Text<'a>>,
    country: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Risk {
    risk_score: Option<u16>,
}

#[derive(Deserialize)]
struct Billing<'a> {
    #[serde(borrow)]
    address: Option<Address<'a>>,
}

#[derive(Deserialize)]
struct Address<'a> {
    #[serde(borrow)]
    country: Option<Text<'a>>,
}

#[derive(Default)]
struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    pairs.push((key.0, value.0));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

// What is written.

#[derive(Serialize)]
struct PaymentEvent<'a> {
    schema: &'static str,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    category: &'static str,
    endpoint: &'a str,
    provider: &'a str,
    provider_event_id: &'a str,
    provider_event_type: &'a str,
    webhook_id: &'a str,
    authenticity: &'a str,
    transaction_id: &'a str,
    movement_id: &'a str,
    effect_id: &'a str,
    restates: Option<&'a str>,
    amount: Amount,
    occurred_at: Timestamp,
    received_at: &'a str,
    superseded: bool,
    risk_tier: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_risk_score: Option<u16>,
    customer: Customer<'a>,
    method: Method<'a>,
    livemode: bool,
    #[serde(skip_serializing_if = "is_empty")]
    metadata: &'a Pairs<'a>,
}

fn is_empty(pairs: &Pairs<'_>) -> bool {
    pairs.0.is_empty()
}

#[derive(Serialize)]
struct Amount {
    minor_units: i64,
    currency: String,
    exponent: u32,
    value: String,
}

#[derive(Serialize)]
struct Customer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
}

#[derive(Serialize)]
struct Method<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    brand: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
}

#[derive(Serialize)]
struct Row<'a> {
    webhook_id: &'a str,
    received_at: &'a str,
    source_ip: &'a str,
    request: &'a RawValue,
    encoding: &'a str,
    body: &'a str,
    receipt: Receipt<'a>,
    events: [&'a RawValue; 1],
    outcome: &'static str,
}

#[derive(Serialize)]
struct Receipt<'a> {
    body_sha256: &'a str,
    endpoint: &'a str,
    provider: &'a str,
    authenticity: &'a str,
    key_id: &'a str,
    signed_at: Option<&'a Text<'a>>,
    verified_at: &'a str,
}

/// A record with everything that its outputs need.
struct Work<'a> {
    record: &'a Record<'a>,
    notes: Notes<'a>,
    request: &'a RawValue,
    received_at: Timestamp,
    event: Event<'a>,
    kind: Kind,
    key: String,
    id: String,
    units: i64,
    effect_id: String,
    transaction_key: String,
    occurred_at: Timestamp,
}

fn outputs<'a>(event: &'a SqsEvent<'a>, bodies: impl Iterator<Item = Option<Event<'a>>>) -> Outputs {
    let mut outputs = Outputs::default();
    let mut works = Vec::with_capacity(event.records.len());
    let mut newest: HashMap<String, (Timestamp, u8)> = HashMap::with_capacity(event.records.len());
    for (record, body) in event.records.iter().zip(bodies) {
        match body.and_then(|body| work(record, body)) {
            Some(work) => {
                let at = work.position();
                newest.entry(work.transaction_key.clone()).and_modify(|n| *n = at.max(*n)).or_insert(at);
                works.push(work);
            }
            None => outputs.failures.push(record.message_id.to_string()),
        }
    }
    let now = Timestamp::from_second(batch::NOW).unwrap();
    let claim = |work: &Work<'_>| {
        let webhook_id = &work.record.message_attributes.webhook_id.string_value;
        domain::claim(&work.effect_id, &work.id, webhook_id, now)
    };
    outputs.claims = works.iter().map(claim).collect();
    outputs.entries.reserve(works.len());
    outputs.transactions.reserve(2 * works.len());
    outputs.ledger.reserve(works.len());
    for mut work in works {
        let key = std::mem::take(&mut work.key);
        write(&work, key, newest[&work.transaction_key], &mut outputs);
    }
    outputs
}

impl Work<'_> {
    /// How far it says that its transaction is.
    fn position(&self) -> (Timestamp, u8) {
        (self.occurred_at, self.kind.rank)
    }
}

fn work<'a>(record: &'a Record<'a>, event: Event<'a>) -> Option<Work<'a>> {
    let attributes = &record.message_attributes;
    if attributes.encoding.string_value != "text" {
        return None;
    }
    let endpoint = attributes.endpoint.string_value.as_ref();
    let object = &event.data.object;
    let status = object.status.as_ref().map_or("", |status| &status.0);
    let kind = domain::kind(&event.kind, status, object.captured)?;
    let before = event.data.previous_attributes.as_ref().and_then(|previous| previous.amount_refunded);
    let units = domain::amount(kind, object.amount, object.amount_refunded, before)?;
    let transaction = transaction(object);
    let movement = kind.movement(transaction, &object.id, object.amount_refunded);
    let key = format!("{endpoint}#{}", event.id);
    Some(Work {
        record,
        notes: serde_json::from_str(&attributes.receipt.string_value).ok()?,
        request: serde_json::from_str(&attributes.request.string_value).ok()?,
        received_at: attributes.received_at.string_value.parse().ok()?,
        kind,
        id: domain::event_id(&key),
        key,
        units,
        effect_id: kind.effect_id(endpoint, &movement, units),
        transaction_key: format!("{endpoint}#{transaction}"),
        occurred_at: Timestamp::from_second(event.created).ok()?,
        event,
    })
}

fn transaction<'a>(object: &'a Object<'a>) -> &'a str {
    object.payment_intent.as_ref().or(object.charge.as_ref()).map_or(&object.id, |text| &text.0)
}

fn write(work: &Work<'_>, key: String, newest: (Timestamp, u8), outputs: &mut Outputs) {
    let (attributes, event, object) = (&work.record.message_attributes, &work.event, &work.event.data.object);
    let endpoint = attributes.endpoint.string_value.as_ref();
    let provider = attributes.provider.string_value.as_ref();
    let webhook_id = attributes.webhook_id.string_value.as_ref();
    let received_at = attributes.received_at.string_value.as_ref();
    let (kind, units) = (work.kind, work.units);
    let currency = object.currency.to_ascii_uppercase();
    let exponent = domain::exponent(&currency);
    let transaction_id = transaction(object);
    let movement_id = kind.movement(transaction_id, &object.id, object.amount_refunded);
    let details = object.payment_method_details.as_ref();
    let card = details.and_then(|details| details.card.as_ref());
    let address = object.billing_details.as_ref().and_then(|billing| billing.address.as_ref());
    let canonical = PaymentEvent {
        schema: "tollgate.payment-event/1",
        id: &work.id,
        kind: kind.name,
        category: kind.category,
        endpoint,
        provider,
        provider_event_id: &event.id,
        provider_event_type: &event.kind,
        webhook_id,
        authenticity: &work.notes.authenticity,
        transaction_id,
        movement_id: &movement_id,
        effect_id: &work.effect_id,
        restates: None,
        risk_tier: domain::tier(units, &currency),
        amount: Amount { minor_units: units, value: domain::decimal(units, exponent), currency, exponent },
        occurred_at: work.occurred_at,
        received_at,
        superseded: work.position() < newest,
        provider_risk_score: object.outcome.as_ref().and_then(|outcome| outcome.risk_score),
        customer: Customer {
            id: str_of(object.customer.as_ref()),
            country: str_of(address.and_then(|address| address.country.as_ref())),
        },
        method: Method {
            kind: str_of(details.and_then(|details| details.kind.as_ref())),
            brand: str_of(card.and_then(|card| card.brand.as_ref())),
            country: str_of(card.and_then(|card| card.country.as_ref())),
        },
        livemode: event.livemode,
        metadata: &object.metadata,
    };
    let json = serde_json::to_string(&canonical).unwrap();
    outputs.ledger.push(domain::mark(key, webhook_id));
    let mut item: Item = HashMap::with_capacity(5);
    item.extend([
        ("transaction_id".to_owned(), string(work.transaction_key.as_str())),
        ("sort_key".to_owned(), string(kind.sort_key(work.occurred_at, canonical.id))),
        ("event".to_owned(), string(json.as_str())),
    ]);
    if let Some(customer) = canonical.customer.id.filter(|_| kind.category == "payment") {
        item.insert("customer_key".to_owned(), string(format!("{endpoint}#{customer}")));
        item.insert("occurred_at".to_owned(), string(format!("{:.9}", work.occurred_at)));
    }
    outputs.transactions.push(item);
    if !canonical.superseded {
        outputs.transactions.push(HashMap::from([
            ("transaction_id".to_owned(), string(work.transaction_key.as_str())),
            ("sort_key".to_owned(), string("latest")),
            ("latest_at".to_owned(), string(work.occurred_at.to_string())),
            ("type".to_owned(), string(canonical.kind)),
            ("event_id".to_owned(), string(canonical.id)),
        ]));
    }
    let written: &RawValue = serde_json::from_str(&json).unwrap();
    let row = Row {
        webhook_id,
        received_at,
        source_ip: &attributes.source_ip.string_value,
        request: work.request,
        encoding: &attributes.encoding.string_value,
        body: &work.record.body,
        receipt: Receipt {
            body_sha256: &work.notes.body_sha256,
            endpoint,
            provider,
            authenticity: &work.notes.authenticity,
            key_id: &attributes.key_id.string_value,
            signed_at: work.notes.signed_at.as_ref(),
            verified_at: received_at,
        },
        events: [written],
        outcome: "processed",
    };
    domain::pack(&mut outputs.archive, &domain::for_sqs(serde_json::to_string(&row).unwrap()));
    outputs.entries.push(
        PutEventsRequestEntry::builder()
            .event_bus_name(BUS)
            .source("tollgate")
            .detail_type(canonical.kind)
            .detail(json)
            .time(DateTime::from_millis(work.received_at.as_millisecond()))
            .build(),
    );
}

fn str_of<'a>(text: Option<&'a Text<'a>>) -> Option<&'a str> {
    text.map(|text| text.0.as_ref())
}

fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}
