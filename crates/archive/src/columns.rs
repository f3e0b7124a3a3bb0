//! The archive's columns: one row for each webhook (for each payment of an ordered delivery of several), its headers and
//! events as lists of structs.
//!
//! `docs/archive.md` has the same table for readers, with the DDL for Athena. Plain types only: lists and structs
//! instead of maps (a header may come twice, which a map cannot hold), `decimal(38,0)` for minor units.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Int32Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use tollgate_core::{EffectId, EventId, Money, PaymentEvent, RiskTier, Timestamp};

use crate::entry::{Entry, dated};

/// The archive's schema, which every object's metadata holds. A column is only ever added under one version.
pub const SCHEMA: &str = "tollgate.archive/1";

/// Fields of an event that hold an id of it. An object has a Bloom filter of each ("Parquet Bloom Filter" of the format), by which a
/// reader leaves out objects that an id is not in.
pub const IDS: [&str; 5] = ["id", "provider_event_id", "transaction_id", "movement_id", "effect_id"];

/// The path of a field of `events` in the file's schema.
pub(crate) fn of_event(field: &str) -> String {
    format!("events.list.element.{field}")
}

/// Minor units: [`tollgate_core::money::MAX_MINOR_UNITS`] has 36 digits, and 38 is the widest that readers know.
const AMOUNT: DataType = DataType::Decimal128(38, 0);

/// The columns of every object, in their order.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        required("webhook_id", DataType::Utf8),
        required("received_at", moment()),
        required("endpoint", DataType::Utf8),
        required("provider", DataType::Utf8),
        required("source_ip", DataType::Utf8),
        required("authenticity", DataType::Utf8),
        required("key_id", DataType::Utf8),
        optional("signed_at", moment()),
        required("verified_at", moment()),
        required("body_sha256", DataType::Utf8),
        required("body", DataType::Binary),
        required("headers", list_of(header_fields())),
        required("query", DataType::Utf8),
        optional("only_transaction", DataType::Utf8),
        required("outcome", DataType::Utf8),
        required("events", list_of(event_fields())),
        optional("reason", DataType::Utf8),
        optional("part", DataType::Int32),
        optional("taken_in_at", moment()),
        optional("replayed_by", DataType::Utf8),
        optional("object", DataType::Binary),
    ]))
}

/// The columns of `entries`.
pub(super) fn record_batch(entries: &[Entry]) -> Result<RecordBatch, ArrowError> {
    let all = || entries.iter();
    let verified_at = |entry: &Entry| entry.row().map_or(dated(&entry.line), |row| row.receipt.verified_at);
    let part = |entry: &Entry| Some(entry.row().map_or(0, |row| i32::try_from(row.part).unwrap_or(i32::MAX)));
    let columns: Vec<ArrayRef> = vec![
        texts(all().map(Entry::id)),
        moments(all().map(|entry| dated(&entry.line))),
        texts(all().map(|entry| entry.text(|row| row.receipt.endpoint.as_str()))),
        texts(all().map(|entry| entry.text(|row| row.receipt.provider.as_str()))),
        texts(all().map(|entry| entry.text(|row| row.source_ip.as_str()))),
        texts(all().map(|entry| entry.text(|row| row.receipt.authenticity.as_str()))),
        texts(all().map(|entry| entry.text(|row| row.receipt.key_id.as_str()))),
        optional_moments(all().map(|entry| entry.row()?.receipt.signed_at)),
        moments(all().map(verified_at)),
        texts(all().map(|entry| entry.text(|row| row.receipt.body_sha256.as_str()))),
        Arc::new(BinaryArray::from_iter_values(all().map(|entry| &entry.body))),
        headers(entries)?,
        texts(all().map(|entry| entry.text(|row| row.request.query.as_str()))),
        optional_texts(all().map(|entry| entry.row()?.only_transaction.as_deref())),
        texts(all().map(|entry| entry.outcome().as_str())),
        events(entries)?,
        optional_texts(all().map(Entry::reason)),
        Arc::new(all().map(part).collect::<Int32Array>()),
        optional_moments(all().map(|entry| entry.row()?.receipt.taken_in_at)),
        optional_texts(all().map(|entry| entry.row()?.replayed_by.as_deref())),
        Arc::new(all().map(|entry| entry.object.as_deref()).collect::<BinaryArray>()),
    ];
    RecordBatch::try_new(schema(), columns)
}

fn header_fields() -> Fields {
    Fields::from(vec![required("name", DataType::Utf8), required("value", DataType::Utf8)])
}

fn headers(entries: &[Entry]) -> Result<ArrayRef, ArrowError> {
    let headers: Vec<Vec<(&str, &str)>> = entries.iter().map(Entry::headers).collect();
    let all = || headers.iter().flatten();
    let columns = vec![texts(all().map(|(name, _)| *name)), texts(all().map(|(_, value)| *value))];
    list(header_fields(), columns, headers.iter().map(Vec::len))
}

fn event_fields() -> Fields {
    Fields::from(vec![
        required("id", DataType::Utf8),
        required("type", DataType::Utf8),
        required("category", DataType::Utf8),
        required("provider_event_id", DataType::Utf8),
        required("provider_event_type", DataType::Utf8),
        required("transaction_id", DataType::Utf8),
        optional("amount_minor_units", AMOUNT),
        optional("currency", DataType::Utf8),
        optional("exponent", DataType::Int32),
        optional("amount", DataType::Utf8),
        required("occurred_at", moment()),
        required("superseded", DataType::Boolean),
        required("risk_tier", DataType::Utf8),
        optional("provider_risk_score", DataType::Int32),
        optional("customer_id", DataType::Utf8),
        optional("customer_country", DataType::Utf8),
        optional("method_type", DataType::Utf8),
        optional("method_brand", DataType::Utf8),
        optional("method_country", DataType::Utf8),
        optional("livemode", DataType::Boolean),
        optional("unrecognized", DataType::Utf8),
        required("json", DataType::Utf8),
        optional("movement_id", DataType::Utf8),
        optional("effect_id", DataType::Utf8),
        optional("restates", DataType::Utf8),
    ])
}

fn events(entries: &[Entry]) -> Result<ArrayRef, ArrowError> {
    let all: Vec<&PaymentEvent<'_>> = entries.iter().flat_map(Entry::events).collect();
    let all = || all.iter().copied();
    let amounts = || all().map(|event| event.amount.as_ref());
    let decimals = amounts().map(|amount| amount.and_then(Money::to_decimal));
    let currencies = amounts().map(|amount| amount.map(Money::currency));
    let json = all().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
    let json = json.map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
    let columns: Vec<ArrayRef> = vec![
        texts(all().map(|event| event.id.as_str())),
        texts(all().map(|event| event.kind.as_str())),
        texts(all().map(|event| event.category.as_str())),
        texts(all().map(|event| event.provider_event_id.as_ref())),
        texts(all().map(|event| event.provider_event_type.as_ref())),
        texts(all().map(|event| event.transaction_id.as_ref())),
        Arc::new(
            amounts()
                .map(|amount| amount.map(Money::minor_units))
                .collect::<Decimal128Array>()
                .with_data_type(AMOUNT),
        ),
        Arc::new(
            currencies
                .map(|currency| currency.map(|currency| currency.code().to_owned()))
                .collect::<StringArray>(),
        ),
        Arc::new(
            amounts().map(|amount| amount.and_then(Money::exponent).map(i32::from)).collect::<Int32Array>(),
        ),
        Arc::new(decimals.collect::<StringArray>()),
        moments(all().map(|event| event.occurred_at)),
        Arc::new(all().map(|event| Some(event.superseded)).collect::<BooleanArray>()),
        texts(all().map(|event| tier(event.risk_tier))),
        Arc::new(all().map(|event| event.provider_risk_score.map(i32::from)).collect::<Int32Array>()),
        optional_texts(all().map(|event| event.customer.id.as_deref())),
        optional_texts(all().map(|event| event.customer.country.as_deref())),
        optional_texts(all().map(|event| event.method.kind.as_deref())),
        optional_texts(all().map(|event| event.method.brand.as_deref())),
        optional_texts(all().map(|event| event.method.country.as_deref())),
        Arc::new(all().map(|event| event.livemode).collect::<BooleanArray>()),
        optional_texts(all().map(|event| event.unrecognized.as_deref())),
        texts(json.iter().map(String::as_str)),
        // Null for events from before they had them.
        optional_texts(all().map(|event| Some(event.movement_id.as_ref()).filter(|id| !id.is_empty()))),
        optional_texts(
            all().map(|event| {
                Some(event.effect_id.as_str()).filter(|_| event.effect_id != EffectId::default())
            }),
        ),
        optional_texts(all().map(|event| event.restates.as_ref().map(EventId::as_str))),
    ];
    list(event_fields(), columns, entries.iter().map(|entry| entry.events().len()))
}

/// The tier's JSON text.
fn tier(tier: RiskTier) -> &'static str {
    match tier {
        RiskTier::Unrated => "unrated",
        RiskTier::Low => "low",
        RiskTier::Medium => "medium",
        RiskTier::High => "high",
    }
}

/// A moment as readers know it: microseconds, UTC.
fn moment() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The Parquet specification's own name for a list's field; arrow's default, `item`, is not what Hive expects.
fn list_of(fields: Fields) -> DataType {
    DataType::List(Arc::new(required("element", DataType::Struct(fields))))
}

fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn optional_texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn moments(values: impl Iterator<Item = Timestamp>) -> ArrayRef {
    optional_moments(values.map(Some))
}

fn optional_moments(values: impl Iterator<Item = Option<Timestamp>>) -> ArrayRef {
    let micros = values.map(|value| value.map(|value| value.as_microsecond()));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn list(
    fields: Fields,
    columns: Vec<ArrayRef>,
    lengths: impl Iterator<Item = usize>,
) -> Result<ArrayRef, ArrowError> {
    let element = Arc::new(required("element", DataType::Struct(fields.clone())));
    let values = StructArray::try_new(fields, columns, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(element, offsets, Arc::new(values), None)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Athena writes the type.
    fn athena(kind: &DataType) -> String {
        match kind {
            DataType::Utf8 => "string".to_owned(),
            DataType::Binary => "binary".to_owned(),
            DataType::Int32 => "int".to_owned(),
            DataType::Boolean => "boolean".to_owned(),
            DataType::Timestamp(..) => "timestamp".to_owned(),
            DataType::Decimal128(digits, scale) => format!("decimal({digits},{scale})"),
            DataType::List(element) => format!("array<{}>", athena(element.data_type())),
            DataType::Struct(fields) => {
                let fields =
                    fields.iter().map(|field| format!("{}: {}", field.name(), athena(field.data_type())));
                format!("struct<{}>", fields.collect::<Vec<_>>().join(", "))
            }
            other => panic!("the page has no type for {other}"),
        }
    }

    /// As the template has them: in their order, one a line, the fields of events one a line, too.
    #[test]
    fn the_template_has_the_columns() {
        let template = include_str!("../../../infra/tollgate.yaml");
        let fields = |fields: &Fields| -> Vec<String> {
            fields
                .iter()
                .map(|field| {
                    format!(
                        "{}:{}",
                        field.name(),
                        athena(field.data_type()).replace(": ", ":").replace(", ", ",")
                    )
                })
                .collect()
        };
        let mut columns = String::from("Columns:\n");
        for (field, column) in schema().fields().iter().zip(fields(schema().fields())) {
            let (name, kind) = column.split_once(':').unwrap();
            columns += &match name {
                "events" => {
                    let fields: Vec<String> =
                        fields(&event_fields()).iter().map(|field| format!("- \"{field},\"\n")).collect();
                    let mut fields = fields.join("");
                    fields.truncate(fields.len() - 3);
                    format!("- Name: {name}\nType: !Join\n- \"\"\n- - array<struct<\n{fields}\"\n- \">>\"\n")
                }
                _ if matches!(field.data_type(), DataType::List(_)) => {
                    format!("- {{ Name: {name}, Type: \"{kind}\" }}\n")
                }
                _ => format!("- {{ Name: {name}, Type: {kind} }}\n"),
            };
        }
        let template: Vec<&str> = template.lines().map(str::trim_start).collect();
        assert!(template.join("\n").contains(&columns), "infra/tollgate.yaml lacks: {columns}");
    }

    #[test]
    fn the_page_has_the_columns() {
        let page = include_str!("../../../docs/archive.md")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .replace("struct< ", "struct<");
        let columns: Vec<_> = schema()
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), athena(field.data_type())))
            .collect();
        let ddl = format!("CREATE EXTERNAL TABLE archive ( {} ) PARTITIONED BY", columns.join(", "));
        assert!(page.contains(&ddl), "docs/archive.md lacks: {ddl}");
        for fields in [schema().fields(), &event_fields()] {
            for field in fields {
                assert!(
                    page.contains(&format!("`{}`", field.name())),
                    "docs/archive.md says nothing of {field}"
                );
            }
        }
    }
}
