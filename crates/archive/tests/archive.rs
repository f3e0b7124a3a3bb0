//! What goes into the archive comes out of it, byte for byte, and what cannot go in is reported.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests only")]

use std::cell::Cell;

use arrow_array::{
    Array, BinaryArray, Decimal128Array, Int32Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, cast::AsArray,
};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use tollgate_archive::{Archived, Archiver, Entry, Message, encode, schema};
use tollgate_core::{
    Authenticity, Currency, EventType, Facts, Money, PaymentEvent, Receipt, RiskTier, Timestamp, WebhookId,
    event::Arrival, id::hex_sha256, money::MAX_MINOR_UNITS,
};
use tollgate_core::{EndpointId, ProviderId};
use tollgate_pipeline::{
    archive::{Line, Outcome, Packing, Row, UnreadMessage},
    intake::{self, ClaimCheck, Encoding, RequestParts},
    ports::{PortError, Stored},
};
use tollgate_testkit::memory::archive::{MemoryArchive, MemoryPayloads};

const NOON: &str = "2026-01-02T12:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn event(webhook_id: &WebhookId, amount: Option<Money>) -> PaymentEvent<'static> {
    let facts = Facts {
        transaction_id: Some("pi_1".into()),
        amount,
        occurred_at: Some(at("2026-01-02T11:59:58.123456Z")),
        metadata: vec![("order".into(), "7".into())],
        provider_risk_score: Some(12),
        ..Facts::new("evt_1", "payment_intent.succeeded", EventType::PaymentSucceeded)
    };
    let arrival = Arrival {
        webhook_id,
        endpoint: &EndpointId::new("stripe-eu").unwrap(),
        provider: &ProviderId::new("stripe").unwrap(),
        authenticity: Authenticity::Verified,
        received_at: at(NOON),
    };
    PaymentEvent::new(facts, arrival, RiskTier::Low)
}

fn row(number: u128, received_at: &str, body: &[u8]) -> Row<'static> {
    let received_at = at(received_at);
    let webhook_id = WebhookId::new(received_at, number);
    let (encoding, text) = intake::encode(body);
    let usd = Currency::new("USD").unwrap();
    Row {
        events: vec![event(&webhook_id, Some(Money::from_minor(1_099, usd).unwrap()))],
        webhook_id,
        received_at,
        source_ip: "192.0.2.1".to_owned(),
        request: RequestParts {
            headers: [("Stripe-Signature", "t=1,v1=aa"), ("X-Twice", "b"), ("x-twice", "a")]
                .into_iter()
                .collect(),
            query: "a=1&a=2".to_owned(),
        },
        encoding,
        body: text,
        receipt: Receipt {
            body_sha256: hex_sha256(body),
            endpoint: EndpointId::new("stripe-eu").unwrap(),
            provider: ProviderId::new("stripe").unwrap(),
            authenticity: Authenticity::Verified,
            key_id: "current".to_owned(),
            signed_at: None,
            verified_at: received_at,
            taken_in_at: number.is_multiple_of(2).then_some(received_at),
        },
        only_transaction: None,
        outcome: Outcome::Processed,
        reason: None,
        part: 0,
        replayed_by: None,
        object: None,
    }
}

fn claimed(number: u128, body: &[u8]) -> (Row<'static>, ClaimCheck) {
    let mut row = row(number, NOON, body);
    let claim = ClaimCheck::of(&row.webhook_id, row.received_at, body);
    row.encoding = Encoding::ClaimCheck;
    row.body = serde_json::to_string(&claim).unwrap();
    (row, claim)
}

fn message(rows: &[Row<'_>]) -> String {
    let mut packing = Packing::default();
    for row in rows {
        packing.add(|line| serde_json::to_string(row).map(|row| line.push_str(&row))).unwrap();
    }
    let [message] = <[String; 1]>::try_from(packing.into_messages()).unwrap();
    message
}

async fn archive(store: &MemoryArchive, payloads: &MemoryPayloads, messages: &[(&str, &str)]) -> Archived {
    let messages: Vec<Message<'_>> = messages.iter().map(|(id, body)| Message { id, body }).collect();
    Archiver::new(store, payloads).archive(&messages, || true).await.unwrap()
}

fn failures(archived: &Archived) -> Vec<&str> {
    archived.response.failures().collect()
}

fn read(object: &[u8]) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(object)).unwrap();
    assert_eq!(reader.metadata().num_row_groups(), 1);
    let batches: Vec<RecordBatch> =
        reader.with_batch_size(1_000_000).build().unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(batches.len(), 1);
    batches.into_iter().next().unwrap()
}

fn texts(array: &dyn Array) -> Vec<Option<&str>> {
    array.as_any().downcast_ref::<StringArray>().unwrap().iter().collect()
}

/// Compares every column of an object with the rows that went in, in the object's order.
fn check(object: &[u8], rows: &[(Row<'static>, Vec<u8>)]) {
    let batch = read(object);
    assert_eq!(batch.num_rows(), rows.len());
    let column = |name: &str| batch.column_by_name(name).unwrap().as_ref();
    let text = |name: &str, of: fn(&Row<'static>) -> Option<String>| {
        let expected: Vec<Option<String>> = rows.iter().map(|(row, _)| of(row)).collect();
        let found: Vec<Option<String>> =
            texts(column(name)).into_iter().map(|t| t.map(str::to_owned)).collect();
        assert_eq!(found, expected, "{name}");
    };
    text("webhook_id", |row| Some(row.webhook_id.to_string()));
    text("endpoint", |row| Some(row.receipt.endpoint.to_string()));
    text("provider", |row| Some(row.receipt.provider.to_string()));
    text("source_ip", |row| Some(row.source_ip.clone()));
    text("authenticity", |row| Some(row.receipt.authenticity.as_str().to_owned()));
    text("key_id", |row| Some(row.receipt.key_id.clone()));
    text("body_sha256", |row| Some(row.receipt.body_sha256.clone()));
    text("query", |row| Some(row.request.query.clone()));
    text("only_transaction", |row| row.only_transaction.clone());
    text("outcome", |row| Some(row.outcome.as_str().to_owned()));
    text("reason", |row| row.reason.clone());
    text("replayed_by", |row| row.replayed_by.clone());
    let part = column("part").as_any().downcast_ref::<Int32Array>().unwrap();
    let expected: Vec<i32> = rows.iter().map(|(row, _)| row.part.try_into().unwrap()).collect();
    assert_eq!(part.values().to_vec(), expected);
    let time = |name: &str, of: fn(&Row<'static>) -> Option<Timestamp>| {
        let array = column(name).as_any().downcast_ref::<TimestampMicrosecondArray>().unwrap();
        assert_eq!(array.timezone(), Some("UTC"));
        let expected: Vec<Option<i64>> =
            rows.iter().map(|(row, _)| of(row).map(|t| t.as_microsecond())).collect();
        assert_eq!(array.iter().collect::<Vec<_>>(), expected, "{name}");
    };
    time("received_at", |row| Some(row.received_at));
    time("signed_at", |row| row.receipt.signed_at);
    time("verified_at", |row| Some(row.receipt.verified_at));
    time("taken_in_at", |row| row.receipt.taken_in_at);

    let bodies = column("body").as_any().downcast_ref::<BinaryArray>().unwrap();
    let fetched = column("object").as_any().downcast_ref::<BinaryArray>().unwrap();
    let headers = column("headers").as_any().downcast_ref::<ListArray>().unwrap();
    let events = column("events").as_any().downcast_ref::<ListArray>().unwrap();
    for (at, (row, body)) in rows.iter().enumerate() {
        assert_eq!(bodies.value(at), body.as_slice());
        assert!(row.receipt.is_of(bodies.value(at)));
        let object = fetched.is_valid(at).then(|| fetched.value(at));
        assert_eq!(object.is_some(), row.object.is_some());
        assert!(row.object.iter().zip(object).all(|(claim, bytes)| claim.check(bytes).is_ok()));
        let fields = headers.value(at);
        let fields = fields.as_struct();
        let pairs = texts(fields.column(0)).into_iter().zip(texts(fields.column(1)));
        let pairs: Vec<(&str, &str)> = pairs.map(|(name, value)| (name.unwrap(), value.unwrap())).collect();
        assert_eq!(pairs, row.request.headers.iter().collect::<Vec<_>>());
        check_events(events.value(at).as_struct(), &row.events);
    }
}

fn check_events(found: &StructArray, events: &[PaymentEvent<'static>]) {
    assert_eq!(found.len(), events.len());
    let text = |name: &str| texts(found.column_by_name(name).unwrap().as_ref());
    let units = found.column_by_name("amount_minor_units").unwrap();
    let units = units.as_any().downcast_ref::<Decimal128Array>().unwrap();
    assert_eq!((units.precision(), units.scale()), (38, 0));
    let exponents = found.column_by_name("exponent").unwrap().as_any().downcast_ref::<Int32Array>().unwrap();
    for (at, event) in events.iter().enumerate() {
        let json: PaymentEvent<'static> = serde_json::from_str(text("json")[at].unwrap()).unwrap();
        assert_eq!(json, *event);
        assert_eq!(text("id")[at], Some(event.id.as_str()));
        assert_eq!(text("type")[at], Some(event.kind.as_str()));
        assert_eq!(text("transaction_id")[at], Some(event.transaction_id.as_ref()));
        assert_eq!(text("movement_id")[at], Some(event.movement_id.as_ref()));
        assert_eq!(text("effect_id")[at], Some(event.effect_id.as_str()));
        assert_eq!(text("restates")[at], event.restates.as_ref().map(|id| id.as_str()));
        assert_eq!(
            text("risk_tier")[at].map(str::to_owned),
            serde_json::to_value(event.risk_tier).unwrap().as_str().map(str::to_owned)
        );
        let amount = event.amount.as_ref();
        assert_eq!(units.is_valid(at).then(|| units.value(at)), amount.map(Money::minor_units));
        assert_eq!(
            exponents.is_valid(at).then(|| exponents.value(at)),
            amount.and_then(Money::exponent).map(i32::from)
        );
        assert_eq!(text("amount")[at].map(str::to_owned), amount.and_then(Money::to_decimal));
        assert_eq!(text("currency")[at].map(str::to_owned), amount.map(|m| m.currency().code().to_owned()));
    }
}

#[tokio::test]
async fn one_object_a_day_with_exactly_what_was_received() {
    let (store, mut payloads) = (MemoryArchive::default(), MemoryPayloads::default());
    let bodies: [&[u8]; 5] =
        [b"{\"a\":1}", b"", b"\xff\x00\xfe binary", "\u{1}tab\u{fffe}ä".as_bytes(), b"late"];
    let large = vec![b'x'; 2_000_000];
    let (claimed, claim) = claimed(6, &large);
    payloads.insert(claim.key, Ok(large.clone()));
    let times = [NOON, NOON, "2026-01-02T23:59:59.999999Z", NOON, "2026-01-03T00:00:00Z"];
    let rows: Vec<Row<'static>> =
        bodies.iter().zip(times).enumerate().map(|(n, (body, time))| row(n as u128, time, body)).collect();
    let (first, second) =
        (message(&rows[..3]), message(&[rows[3].clone(), rows[4].clone(), claimed.clone()]));
    let archived = archive(&store, &payloads, &[("m1", &first), ("m2", &second)]).await;

    assert_eq!((failures(&archived).len(), archived.summary.ok), (0, 2));
    let objects = store.objects();
    let keys: Vec<&str> = objects.keys().map(String::as_str).collect();
    assert_eq!(keys.len(), 2);
    assert!(keys[0].starts_with("webhooks/date=2026-01-02/120000-") && keys[0].ends_with(".parquet"));
    assert!(keys[1].starts_with("webhooks/date=2026-01-03/000000-"));
    assert_eq!(archived.objects.iter().map(|object| object.rows).collect::<Vec<_>>(), [5, 1]);
    let with_body = |row: &Row<'static>, body: &[u8]| (row.clone(), body.to_vec());
    let day_one = [
        with_body(&rows[0], bodies[0]),
        with_body(&rows[1], bodies[1]),
        with_body(&rows[3], bodies[3]),
        with_body(&claimed, &large),
        with_body(&rows[2], bodies[2]),
    ];
    check(&objects[keys[0]], &day_one);
    check(&objects[keys[1]], &[with_body(&rows[4], bodies[4])]);
    assert_eq!(read(&objects[keys[0]]).schema().fields(), schema().fields());
}

#[tokio::test]
async fn the_same_rows_again_are_found_in_the_archive() {
    let (store, payloads) = (MemoryArchive::default(), MemoryPayloads::default());
    let (one, two) = (message(&[row(1, NOON, b"1")]), message(&[row(2, NOON, b"2")]));
    let first = archive(&store, &payloads, &[("m1", &one), ("m2", &two)]).await;
    // Redelivered: another order, other receipts, once twice in one batch.
    let again = archive(&store, &payloads, &[("m2", &two), ("m1", &one), ("m1", &one), ("m3", &two)]).await;
    assert_eq!((first.objects[0].stored, first.objects[0].rows), (Stored::New, 2));
    assert_eq!((again.objects[0].stored, again.objects[0].rows), (Stored::Existed, 2));
    assert_eq!(again.objects[0].key, first.objects[0].key);
    assert_eq!(again.summary.ok, 4);
    assert!(failures(&again).is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_is_reported_and_the_rest_is_written() {
    let (store, payloads) = (MemoryArchive::default(), MemoryPayloads::default());
    let good = message(&[row(1, NOON, b"1")]);
    let mut altered = row(2, NOON, b"2");
    altered.body = "3".to_owned();
    let mut ill = row(3, NOON, b"\xff");
    ill.body = "!!".to_owned();
    let half = format!("{good}\n{{}}");
    let (altered, ill) = (message(&[altered]), message(&[row(4, NOON, b"4"), ill]));
    let batch = [
        ("m1", good.as_str()),
        ("m2", "nonsense"),
        ("m3", &altered),
        ("m4", &ill),
        ("m5", &half),
        ("m6", ""),
    ];
    let archived = archive(&store, &payloads, &batch).await;
    assert_eq!(failures(&archived), ["m2", "m3", "m4", "m5", "m6"]);
    let reasons: Vec<(&str, usize)> = archived.summary.reasons.into_iter().collect();
    assert_eq!(reasons, [("body_altered", 1), ("body_not_in_its_encoding", 1), ("not_rows", 3)]);
    // Also those beside a line that cannot be read: row 4, and row 1, which two messages have.
    assert_eq!(archived.objects.iter().map(|object| object.rows).collect::<Vec<_>>(), [2]);
}

/// What a later version writes, which this one does not know, comes back. What it knows is not held up by that.
#[tokio::test]
async fn a_line_of_a_later_version_costs_no_row_beside_it() {
    let (store, payloads) = (MemoryArchive::default(), MemoryPayloads::default());
    let later = |row: &Row<'_>, field: &str, value: &str| {
        let mut row = serde_json::to_value(row).unwrap();
        row[field] = value.into();
        row.to_string()
    };
    let rows = [row(1, NOON, b"1"), row(2, NOON, b"2"), row(3, NOON, b"3")];
    let body = [
        serde_json::to_string(&rows[0]).unwrap(),
        later(&rows[1], "outcome", "of_a_later_version"),
        later(&rows[2], "field_of_a_later_version", "x"),
    ];
    let archived = archive(&store, &payloads, &[("m1", &body.join("\n"))]).await;
    assert_eq!(failures(&archived), ["m1"]);
    let written = [&rows[0], &rows[2]].map(|row| (row.clone(), row.body.clone().into_bytes()));
    check(store.objects().values().next().unwrap(), &written);
}

#[tokio::test]
async fn a_body_that_cannot_be_fetched_fails_only_its_message() {
    let (store, mut payloads) = (MemoryArchive::default(), MemoryPayloads::default());
    let rows: Vec<(Row<'static>, ClaimCheck)> = (1..=4).map(|n| claimed(n, b"body")).collect();
    payloads.insert(rows[0].1.key.clone(), Ok(b"body".to_vec()));
    payloads.insert(rows[1].1.key.clone(), Err(PortError::retryable("s3", "SlowDown")));
    payloads.insert(rows[2].1.key.clone(), Ok(b"bodY".to_vec()));
    let messages: Vec<String> = rows.iter().map(|(row, _)| message(std::slice::from_ref(row))).collect();
    let batch =
        [("m1", messages[0].as_str()), ("m2", &messages[1]), ("m3", &messages[2]), ("m4", &messages[3])];
    let archived = archive(&store, &payloads, &batch).await;
    assert_eq!(failures(&archived), ["m2", "m3", "m4"]);
    assert_eq!((archived.summary.retries, archived.summary.poison), (1, 2));
    check(store.objects().values().next().unwrap(), &[(rows[0].0.clone(), b"body".to_vec())]);
}

#[tokio::test]
async fn what_was_fetched_is_archived_beside_its_body_or_its_message_comes_back() {
    let object = br#"{"id":"pi_1"}"#;
    let claim = |name: &str| ClaimCheck {
        key: format!("objects/stripe-eu/{name}"),
        sha256: hex_sha256(object),
        bytes: object.len(),
    };
    let (store, mut payloads) = (MemoryArchive::default(), MemoryPayloads::default());
    let enriched = |n, name: &str| Row { object: Some(claim(name)), ..row(n, NOON, b"thin") };
    // With its body in the row and in S3, altered, away, and without an object.
    let large = Row { object: Some(claim("a")), ..claimed(2, b"large").0 };
    let rows = [enriched(1, "a"), large, enriched(3, "b"), enriched(4, "c"), row(5, NOON, b"plain")];
    payloads.insert(claimed(2, b"large").1.key, Ok(b"large".to_vec()));
    payloads.insert(claim("a").key, Ok(object.to_vec()));
    payloads.insert(claim("b").key, Ok(br#"{"id":"pi_2"}"#.to_vec()));
    payloads.insert(claim("c").key, Err(PortError::retryable("s3", "SlowDown")));
    let messages: Vec<String> = rows.iter().map(|row| message(std::slice::from_ref(row))).collect();
    let names = ["m1", "m2", "m3", "m4", "m5"];
    let batch: Vec<(&str, &str)> = names.into_iter().zip(messages.iter().map(String::as_str)).collect();
    let archived = archive(&store, &payloads, &batch).await;
    assert_eq!(failures(&archived), ["m3", "m4"]);
    let [one, two, _, _, five] = rows;
    let written = [(one, b"thin".to_vec()), (two, b"large".to_vec()), (five, b"plain".to_vec())];
    check(store.objects().values().next().unwrap(), &written);
}

#[tokio::test]
async fn a_failed_write_reports_the_messages_of_that_object() {
    let (store, payloads) = (MemoryArchive::default(), MemoryPayloads::default());
    let early = message(&[row(1, "2026-01-01T00:00:00Z", b"1")]);
    let both = message(&[row(2, "2026-01-01T00:00:00Z", b"2"), row(3, NOON, b"3")]);
    let late = message(&[row(4, NOON, b"4")]);
    store.fail(PortError::retryable("s3", "SlowDown"));
    let batch = [("m1", early.as_str()), ("m2", &both), ("m3", &late)];
    let archived = archive(&store, &payloads, &batch).await;
    assert_eq!(failures(&archived), ["m1", "m2"]);
    assert_eq!(archived.objects.iter().map(|object| object.rows).collect::<Vec<_>>(), [1], "m3 alone");

    store.fail(PortError::permanent("s3", "ValidationException"));
    let archived = archive(&store, &payloads, &[("m3", &late)]).await;
    assert_eq!((failures(&archived), archived.summary.poison), (vec!["m3"], 1));
}

#[tokio::test]
async fn what_was_not_begun_in_time_is_reported() {
    let (store, payloads) = (MemoryArchive::default(), MemoryPayloads::default());
    let early = message(&[row(1, "2026-01-01T00:00:00Z", b"1")]);
    let both = message(&[row(2, "2026-01-01T00:00:00Z", b"2"), row(3, NOON, b"3")]);
    let asked = Cell::new(0);
    let has_time = || asked.replace(asked.get() + 1) == 0;
    let messages = [Message { id: "m1", body: &early }, Message { id: "m2", body: &both }];
    let archived = Archiver::new(&store, &payloads).archive(&messages, has_time).await.unwrap();
    assert_eq!((failures(&archived), archived.summary.unprocessed), (vec!["m2"], 1));
    assert_eq!(archived.objects.iter().map(|object| object.rows).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn many_large_bodies_make_several_objects() {
    let (store, mut payloads) = (MemoryArchive::default(), MemoryPayloads::default());
    let large = vec![b'x'; 7 * 1024 * 1024];
    let rows: Vec<Row<'static>> = (1..=5)
        .map(|n| {
            let (row, claim) = claimed(n, &large);
            payloads.insert(claim.key, Ok(large.clone()));
            row
        })
        .collect();
    let archived = archive(&store, &payloads, &[("m1", &message(&rows))]).await;
    assert_eq!(archived.objects.iter().map(|object| object.rows).collect::<Vec<_>>(), [4, 1]);
    assert_eq!(archived.summary.ok, 1);
}

#[tokio::test]
async fn an_empty_batch_is_no_object() {
    let (store, payloads) = (MemoryArchive::default(), MemoryPayloads::default());
    let archived = archive(&store, &payloads, &[]).await;
    assert!(archived.objects.is_empty() && failures(&archived).is_empty());
}

#[tokio::test]
async fn a_failed_message_without_an_id_fails_the_invocation() {
    let (store, payloads) = (MemoryArchive::default(), MemoryPayloads::default());
    let messages = [Message { id: "", body: "nonsense" }];
    assert!(Archiver::new(&store, &payloads).archive(&messages, || true).await.is_err());
}

fn any_money() -> impl Strategy<Value = Option<Money>> {
    let code = prop_oneof!["USD", "JPY", "KWD", "[A-Za-z0-9]{4,12}"];
    proptest::option::of((-MAX_MINOR_UNITS..=MAX_MINOR_UNITS, code)).prop_map(|money| {
        let (units, code) = money?;
        Some(Money::from_minor(units, Currency::new(&code).unwrap()).unwrap())
    })
}

fn any_row() -> impl Strategy<Value = (Row<'static>, Vec<u8>)> {
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    let headers = proptest::collection::vec((".{0,9}", ".{0,9}"), 0..4);
    let amounts = proptest::collection::vec(any_money(), 0..3);
    let day = 0..86_400_000_000_i64;
    (any::<u128>(), day.clone(), proptest::option::of(day), body, headers, amounts, ".{0,9}").prop_map(
        |(number, micros, signed, body, headers, amounts, query)| {
            let mut row = row(number, &Timestamp::from_microsecond(micros).unwrap().to_string(), &body);
            row.request = RequestParts { headers: headers.into_iter().collect(), query };
            row.receipt.signed_at = signed.map(|micros| Timestamp::from_microsecond(micros).unwrap());
            row.events = amounts.into_iter().map(|amount| event(&row.webhook_id, amount)).collect();
            row.only_transaction = row.events.first().map(|event| event.transaction_id.to_string());
            (row, body)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Through the queue's form and through Parquet, nothing changes and nothing is left out.
    #[test]
    fn any_rows_come_back_as_they_were(mut rows in proptest::collection::vec(any_row(), 1..12)) {
        let (store, payloads) = (MemoryArchive::default(), MemoryPayloads::default());
        let text = message(&rows.iter().map(|(row, _)| row.clone()).collect::<Vec<_>>());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let archived = runtime.block_on(archive(&store, &payloads, &[("m1", &text)]));
        prop_assert_eq!(archived.summary.ok, 1);
        rows.sort_by_key(|(row, _)| (row.received_at, row.webhook_id));
        check(store.objects().values().next().unwrap(), &rows);
    }
}

#[test]
fn amounts_of_28_digits_and_the_widest_are_exact() {
    let usd = Currency::new("USD").unwrap();
    let amounts = ["12345678901234567890123456.78", "-9999999999999999999999999999999999.99", "0.01"];
    let mut row = row(1, NOON, b"{}");
    row.events = amounts
        .iter()
        .map(|text| event(&row.webhook_id, Some(Money::from_decimal(text, usd).unwrap())))
        .collect();
    let entry = Entry { line: Line::Webhook(Box::new(row.clone())), body: b"{}".to_vec(), object: None };
    check(&encode(&[entry]).unwrap(), &[(row, b"{}".to_vec())]);
}

/// What was set aside is archived as it came, whatever it says of itself.
#[tokio::test]
async fn what_was_set_aside_is_archived_with_its_reason() {
    let mut webhook = row(1, NOON, b"{}");
    webhook.events = Vec::new();
    (webhook.outcome, webhook.reason) = (Outcome::SetAside, Some("conflicting_facts".to_owned()));
    let unread = |encoding, body: String| UnreadMessage {
        message_id: "059f36b4-87a3-44ab-83d2-661975830a7d".to_owned(),
        set_aside_at: at(NOON),
        attributes: vec![("receipt".to_owned(), "{}".to_owned())],
        encoding,
        body,
        reason: "not_an_intake_message".to_owned(),
    };
    let large = b"neither a webhook nor a row".to_vec();
    let claim = ClaimCheck::of(&webhook.webhook_id, at(NOON), &large);
    let mut payloads = MemoryPayloads::default();
    payloads.insert(claim.key.clone(), Ok(large.clone()));
    let claimed = unread(Encoding::ClaimCheck, serde_json::to_string(&claim).unwrap());
    let lines = [
        serde_json::to_string(&webhook).unwrap(),
        serde_json::to_string(&unread(Encoding::Text, "\u{fffd}?".to_owned())).unwrap(),
        serde_json::to_string(&claimed).unwrap(),
    ];
    let archive = MemoryArchive::default();
    let body = lines.join("\n");
    let messages = [Message { id: "m", body: &body }];
    let archived = Archiver::new(&archive, &payloads).archive(&messages, || true).await.unwrap();
    assert_eq!((archived.summary.ok, archived.objects.len()), (1, 1));
    let object = archive.objects().into_values().next().unwrap();
    let batch = read(&object);
    let texts = |name: &str| -> Vec<String> {
        let column = batch.column_by_name(name).unwrap().as_string::<i32>();
        column.iter().map(|text| text.unwrap_or("-").to_owned()).collect()
    };
    assert_eq!(texts("outcome"), ["set_aside"; 3]);
    let mut rows: Vec<(String, String, Vec<u8>)> = texts("endpoint")
        .into_iter()
        .zip(texts("reason"))
        .zip(batch.column_by_name("body").unwrap().as_binary::<i32>().iter())
        .map(|((endpoint, reason), body)| (endpoint, reason, body.unwrap().to_vec()))
        .collect();
    rows.sort();
    let expected = [
        (String::new(), "not_an_intake_message".to_owned(), large),
        (String::new(), "not_an_intake_message".to_owned(), "\u{fffd}?".as_bytes().to_vec()),
        (webhook.receipt.endpoint.to_string(), "conflicting_facts".to_owned(), b"{}".to_vec()),
    ];
    assert_eq!(rows, expected);
}
