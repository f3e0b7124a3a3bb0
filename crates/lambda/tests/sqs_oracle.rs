//! What `aws_lambda_events` reads of an SQS event, our reader reads the same.
//!
//! Ours is stricter in two cases, on purpose: a record without a body, and a record with more message attributes than
//! SQS takes. Names that occur twice in one JSON object are not generated: Lambda writes none, and RFC 8259 leaves their
//! meaning open.
//!
//! The property tests here and the fuzz target `readers` have the same generators.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::collections::HashMap;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use proptest::{collection, prelude::*};
use tollgate_lambda::sqs::{self, Buffer, SqsRecord};

/// Both readers read the same of `payload`; records compare by all that ours keeps.
pub fn check(payload: &[u8], is_parallel: bool) -> Result<usize, TestCaseError> {
    let theirs: SqsEvent =
        serde_json::from_slice(payload).map_err(|problem| TestCaseError::fail(problem.to_string()))?;
    let mut buffer = Buffer::default();
    let ours = sqs::read(payload, &mut buffer, is_parallel);
    if theirs.records.iter().any(|message| message.body.is_none()) {
        prop_assert!(ours.is_err(), "a record without a body");
        return Ok(0);
    }
    let ours = ours.map_err(|problem| TestCaseError::fail(problem.to_string()))?;
    prop_assert_eq!(ours.len(), theirs.records.len());
    for (ours, theirs) in ours.iter().zip(&theirs.records) {
        same(ours, theirs)?;
    }
    Ok(ours.len())
}

fn same(ours: &SqsRecord<'_>, theirs: &SqsMessage) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.message_id, theirs.message_id.as_deref().unwrap_or_default());
    prop_assert_eq!(Some(ours.body), theirs.body.as_deref());
    let escaped: String = serde_json::from_str(&format!("\"{}\"", ours.escaped_body)).unwrap();
    prop_assert_eq!(Some(escaped), theirs.body.clone());
    prop_assert_eq!(ours.group, theirs.attributes.get("MessageGroupId").map(String::as_str));
    let received: Option<u32> =
        theirs.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok());
    prop_assert_eq!(ours.receive_count, received.unwrap_or_default());
    prop_assert_eq!(ours.event_source_arn, theirs.event_source_arn.as_deref().unwrap_or_default());
    // Ours keeps the attributes that are texts, and numbers, which SQS hands on as texts.
    let texts = theirs.message_attributes.iter();
    let texts = texts.filter_map(|(name, value)| Some((name.as_str(), value.string_value.as_deref()?)));
    prop_assert_eq!(ours.attributes().iter().copied().collect::<HashMap<_, _>>(), texts.collect());
    Ok(())
}

/// A text as JSON, with the escapes it needs or with more of them.
fn json(text: &str, style: u8) -> String {
    let piece = |(position, c): (usize, char)| match (style, position % 3) {
        (2, 0) | (3, _) => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        (1, _) if c == '/' => "\\/".to_owned(),
        _ => {
            let quoted = serde_json::to_string(&c).unwrap();
            quoted[1..quoted.len() - 1].to_owned()
        }
    };
    format!("\"{}\"", text.chars().enumerate().map(piece).collect::<String>())
}

fn text() -> impl Strategy<Value = String> + Clone {
    let texts = prop_oneof![any::<String>(), "[ -~\"\\\\\n\u{e9}\u{1f600}]{0,300}", "[a-z0-9-]{1,40}"];
    (texts, 0..4_u8).prop_map(|(text, style)| json(&text, style))
}

fn base64() -> impl Strategy<Value = String> + Clone {
    prop::sample::select(vec![r#""""#, r#""AA==""#, r#""AQID""#, r#""+\/8=""#]).prop_map(str::to_owned)
}

/// What the reader does not know, with what it looks for inside.
fn unknown() -> impl Strategy<Value = String> + Clone {
    let values = vec![
        r#"[{"x":"}],{\"messageId\":"},1.5e3,null,[]]"#,
        r#"{"messageId":"inner","body":"inner","attributes":{"MessageGroupId":"inner"}}"#,
        "true",
        "-0.0",
        r#""\\\"""#,
    ];
    prop::sample::select(values).prop_map(str::to_owned)
}

/// A field that may be absent or `null`.
fn field<S: Strategy<Value = String> + Clone + 'static>(
    name: &'static str,
    value: S,
) -> BoxedStrategy<Option<(String, String)>> {
    let value = prop_oneof![8 => value.prop_map(Some), 1 => Just(Some("null".to_owned())), 1 => Just(None)];
    value.prop_map(move |value| Some((format!("\"{name}\""), value?))).boxed()
}

fn object(fields: impl IntoIterator<Item = (String, String)>) -> String {
    let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

/// An object of the fields in their order or in any other.
fn fields(fields: Vec<BoxedStrategy<Option<(String, String)>>>) -> impl Strategy<Value = String> + Clone {
    let fields = fields.prop_map(|fields| fields.into_iter().flatten().collect::<Vec<_>>());
    let shuffled = fields.clone().prop_flat_map(|fields| Just(fields).prop_shuffle());
    prop_oneof![fields, shuffled].prop_map(object).boxed()
}

/// Names that differ, each with a value.
fn map<S: Strategy<Value = String>>(value: S, at_most: usize) -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("MessageGroupId".to_owned()),
        Just("ApproximateReceiveCount".to_owned()),
        any::<String>(),
        "[a-z]{1,12}"
    ];
    collection::hash_map(name, (value, 0..4_u8), 0..=at_most)
        .prop_map(|map| object(map.into_iter().map(|(name, (value, style))| (json(&name, style), value))))
}

fn attribute() -> impl Strategy<Value = String> + Clone {
    let as_lambda_writes = text().prop_map(|text| {
        format!(r#"{{"stringValue":{text},"stringListValues":[],"binaryListValues":[],"dataType":"String"}}"#)
    });
    let list = |value: BoxedStrategy<String>| value.prop_map(|value| format!("[{value}]"));
    let empty = || Just("[]".to_owned());
    let absent = |name: &'static str, value: BoxedStrategy<String>| {
        proptest::option::of(value.prop_map(move |value| (format!("\"{name}\""), value))).boxed()
    };
    let any = fields(vec![
        field("stringValue", text()),
        field("binaryValue", base64()),
        absent("stringListValues", prop_oneof![empty(), list(text().boxed())].boxed()),
        absent("binaryListValues", prop_oneof![empty(), list(base64().boxed())].boxed()),
        field("dataType", text()),
        field("unknown", unknown()),
    ]);
    prop_oneof![as_lambda_writes, any].boxed()
}

/// Lambda writes numbers as texts.
fn system_attribute() -> impl Strategy<Value = String> {
    prop_oneof![3 => text().boxed(), 1 => any::<u64>().prop_map(|n| json(&n.to_string(), 0)).boxed(),
        1 => (0..9_u8).prop_map(|n| json(&n.to_string(), 0)).boxed()]
}

/// A record, its fields in Lambda's order or in any other.
fn record() -> impl Strategy<Value = String> {
    let body = text().prop_map(|body| Some((r#""body""#.to_owned(), body))).boxed();
    fields(vec![
        field("messageId", text()),
        field("receiptHandle", text()),
        body,
        field("attributes", map(system_attribute(), 6).boxed()),
        field("messageAttributes", map(attribute(), 10).boxed()),
        field("md5OfBody", text()),
        field("md5OfMessageAttributes", text()),
        field("eventSource", text()),
        field("eventSourceARN", text()),
        field("awsRegion", text()),
        field("unknown", unknown()),
    ])
}

/// An SQS event of so many records, as JSON.
pub fn event(records: impl Into<collection::SizeRange>) -> impl Strategy<Value = String> {
    let records = collection::vec(record(), records).prop_map(|records| format!("[{}]", records.join(",")));
    let records = records.prop_map(|records| Some((r#""Records""#.to_owned(), records))).boxed();
    let event = fields(vec![records, field("unknown", unknown())]);
    (event, any::<bool>()).prop_map(|(event, pretty)| match pretty {
        true => {
            serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(&event).unwrap()).unwrap()
        }
        false => event,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_event_reads_the_same(event in event(0..4)) {
        prop_assert!(serde_json::from_str::<SqsEvent>(&event).is_ok(), "{}", event);
        check(event.as_bytes(), false)?;
    }

    /// Where it still reads, as where a field has another name now.
    #[test]
    fn an_event_with_one_byte_changed_reads_the_same(event in event(1..3), at: prop::sample::Index, byte in "[ -~]") {
        let mut event = event.into_bytes();
        let at = at.index(event.len());
        event[at] = byte.as_bytes()[0];
        if serde_json::from_slice::<SqsEvent>(&event).is_ok() {
            check(&event, false)?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Long enough to be read by two threads.
    #[test]
    fn a_long_event_reads_the_same(records in collection::vec(record(), 8..16)) {
        let pad = format!("{{\"messageId\":\"pad\",\"body\":{}}}", json(&"\"x\"/".repeat(1_000), 1));
        let mut all = Vec::new();
        while all.iter().map(String::len).sum::<usize>() < 1_100_000 {
            all.extend(records.iter().cloned().chain([pad.clone()]));
        }
        let event = format!("{{\"Records\":[{}]}}", all.join(","));
        prop_assert_eq!(check(event.as_bytes(), true)?, all.len());
    }
}

#[test]
fn a_record_without_a_body_is_refused() {
    for event in [r#"{"Records":[{"messageId":"m"}]}"#, r#"{"Records":[{"messageId":"m","body":null}]}"#] {
        assert!(serde_json::from_str::<SqsEvent>(event).is_ok());
        assert!(sqs::read(event.as_bytes(), &mut Buffer::default(), false).is_err());
    }
}

#[test]
fn more_message_attributes_than_sqs_takes_are_refused() {
    for (count, is_read) in [(10, true), (11, false)] {
        let attributes = (0..count).map(|n| (format!("\"a{n}\""), r#"{"stringValue":"v"}"#.to_owned()));
        let event = format!(r#"{{"Records":[{{"body":"","messageAttributes":{}}}]}}"#, object(attributes));
        assert!(serde_json::from_str::<SqsEvent>(&event).is_ok());
        assert_eq!(sqs::read(event.as_bytes(), &mut Buffer::default(), false).is_ok(), is_read);
    }
}
