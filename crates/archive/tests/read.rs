//! Rows are found, and of what is not looked for little is read.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests only")]

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use tollgate_archive::{
    Entry, IDS, encode,
    read::{ArchivedRow, Finder, Next, Wanted},
};
use tollgate_core::{
    Authenticity, EndpointId, EventType, Facts, PaymentEvent, ProviderId, Receipt, RiskTier, Timestamp,
    WebhookId, event::Arrival, id::hex_sha256,
};
use tollgate_pipeline::{
    archive::{Line, Outcome, Row, UnreadMessage},
    intake::{Encoding, RequestParts},
};

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::from_fn(|| Some(next())).flatten().take(length).collect()
}

fn webhook_id(second: i64) -> WebhookId {
    WebhookId::new(Timestamp::from_second(1_767_000_000 + second).unwrap(), 7)
}

fn webhook(second: i64, body: Vec<u8>) -> Entry {
    let id = webhook_id(second);
    let (endpoint, provider) = (EndpointId::new("acme").unwrap(), ProviderId::new("generic").unwrap());
    let facts = Facts {
        transaction_id: Some(format!("order-{second}").into()),
        movement_id: Some(format!("refund-{second}").into()),
        ..Facts::new(format!("event-{second}"), "refunded", EventType::RefundSucceeded)
    };
    let arrival = Arrival {
        webhook_id: &id,
        endpoint: &endpoint,
        provider: &provider,
        authenticity: Authenticity::Verified,
        received_at: id.arrived_at(),
    };
    let event = PaymentEvent::new(facts, arrival, RiskTier::Low);
    let row = Row {
        webhook_id: id,
        received_at: id.arrived_at(),
        source_ip: "192.0.2.1".to_owned(),
        request: RequestParts { headers: [("X-A", "b")].into_iter().collect(), query: "q=1".to_owned() },
        encoding: Encoding::Text,
        body: String::new(),
        receipt: Receipt {
            body_sha256: hex_sha256(&body),
            endpoint,
            provider,
            authenticity: Authenticity::Verified,
            key_id: "current".to_owned(),
            signed_at: Some(id.arrived_at()),
            verified_at: id.arrived_at(),
            taken_in_at: None,
        },
        only_transaction: None,
        events: vec![event],
        outcome: Outcome::Processed,
        reason: None,
        part: 0,
        replayed_by: None,
        object: None,
    };
    Entry { line: Line::Webhook(Box::new(row)), body, object: None }
}

fn unread(of: &str) -> Entry {
    let message = UnreadMessage {
        message_id: "0f3a2b1c-0000-4000-8000-000000000000".to_owned(),
        set_aside_at: Timestamp::from_second(1_767_000_003).unwrap(),
        attributes: vec![
            ("endpoint".to_owned(), "acme".to_owned()),
            ("webhook_id".to_owned(), of.to_owned()),
        ],
        encoding: Encoding::Text,
        body: String::new(),
        reason: "conflicting_facts".to_owned(),
    };
    Entry { line: Line::Unread(message), body: b"{}".to_vec(), object: None }
}

/// As objects were before their ids had filters.
fn without_filters(object: &[u8]) -> Vec<u8> {
    let rows = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(object)).unwrap();
    let schema = rows.schema().clone();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    rows.build().unwrap().for_each(|rows| writer.write(&rows.unwrap()).unwrap());
    writer.into_inner().unwrap()
}

/// The rows, and how many bytes were read.
fn find(object: &[u8], wanted: Wanted) -> (Vec<ArchivedRow>, usize) {
    let (length, bytes) = (object.len() as u64, Bytes::copy_from_slice(object));
    let get = |range: &Range<u64>| bytes.slice(range.start as usize..range.end as usize);
    let mut finder = Finder::new(length, Arc::new(wanted)).unwrap();
    let tail = Finder::tail(length);
    let (mut rows, mut read) = (Vec::new(), 0);
    let mut give = |finder: &mut Finder, range: Range<u64>| {
        read += (range.end - range.start) as usize;
        finder.give(range.clone(), get(&range)).unwrap();
    };
    give(&mut finder, tail);
    loop {
        match finder.advance().unwrap() {
            Next::Needs(ranges) => ranges.into_iter().for_each(|range| give(&mut finder, range)),
            Next::Rows(more) => rows.extend(more),
            Next::Nothing => return (rows, read),
        }
    }
}

#[test]
fn a_row_is_found_by_each_of_its_ids() {
    let big = noise(300_000);
    let other = webhook_id(9).to_string();
    let fetched = Some(b"{\"id\":\"pi_2\"}".to_vec());
    let second = Entry { object: fetched.clone(), ..webhook(2, big.clone()) };
    let entries = [webhook(1, b"{\"a\":1}".to_vec()), second, unread(&other)];
    let object = encode(&entries).unwrap();
    let ids = &["provider_event_id", "transaction_id", "movement_id"];
    let event = |text: &str| Wanted::Event { fields: ids, text: text.to_owned() };
    for wanted in
        [Wanted::Webhook(webhook_id(2).to_string()), event("event-2"), event("order-2"), event("refund-2")]
    {
        let (rows, _) = find(&object, wanted.clone());
        let [row] = <[ArchivedRow; 1]>::try_from(rows).unwrap();
        assert_eq!(row.webhook_id, webhook_id(2).to_string(), "{wanted:?}");
        assert_eq!(
            (row.received_at, row.signed_at),
            (webhook_id(2).arrived_at(), Some(webhook_id(2).arrived_at()))
        );
        assert_eq!((row.endpoint.as_str(), row.outcome.as_str(), row.part), ("acme", "processed", 0));
        assert_eq!(row.headers, [("X-A".to_owned(), "b".to_owned())]);
        assert_eq!((&row.body, &row.object), (&big, &fetched));
        let event: PaymentEvent<'_> = serde_json::from_str(&row.events[0]).unwrap();
        assert_eq!(event.movement_id, "refund-2");
    }
    let (rows, _) = find(&object, Wanted::Webhook(other));
    assert_eq!(rows.len(), 1, "a message that could not be read says whose it is");
    assert_eq!((rows[0].reason.as_deref(), rows[0].events.len()), (Some("conflicting_facts"), 0));
}

#[test]
fn of_an_object_that_has_no_such_row_the_bodies_are_not_read() {
    let object = encode(&[webhook(1, noise(300_000)), webhook(2, noise(300_000))]).unwrap();
    assert!(object.len() > 300_000);
    let event = Wanted::Event { fields: &["id"], text: "evt_none".to_owned() };
    // Between the two by its id, past both, and by an event.
    for wanted in
        [Wanted::Webhook(format!("{}0", webhook_id(1))), Wanted::Webhook(webhook_id(3).to_string()), event]
    {
        let (rows, read) = find(&object, wanted.clone());
        assert_eq!(rows, [], "{wanted:?}");
        assert!(read < 100_000, "{read} bytes for {wanted:?}");
    }
}

#[test]
fn an_object_without_an_id_is_told_by_its_end() {
    let many: Vec<Entry> = (0..2_000).map(|second| webhook(second, b"{}".to_vec())).collect();
    let object = encode(&many).unwrap();
    let tail = object.len() - Finder::tail(object.len() as u64).start as usize;
    let wanted = |text: &str| Wanted::Event { fields: &IDS, text: text.to_owned() };
    let told: usize = (0..200)
        .map(|number| {
            let (rows, read) = find(&object, wanted(&format!("order-x{number}")));
            assert_eq!(rows, []);
            usize::from(read == tail)
        })
        .sum();
    // Each of five filters is wrong of one in a hundred.
    assert!(told > 170, "{told} of 200");
    assert_eq!(find(&object, wanted("order-1234")).0.len(), 1);
    let old = without_filters(&object);
    assert_eq!(find(&old, wanted("order-1234")).0.len(), 1, "what has no filter is looked through");
    assert_eq!(find(&old, wanted("order-x1")).0, []);
}

#[test]
fn rows_of_a_time_are_read_and_of_another_time_nothing() {
    let entries = [webhook(1, b"{}".to_vec()), webhook(2, noise(300_000)), webhook(3, noise(300_000))];
    let object = encode(&entries).unwrap();
    let at = |second| webhook_id(second).arrived_at();
    for (from, to, expected) in [(1, 4, 3), (1, 3, 2), (2, 3, 1), (0, 1, 0), (4, 9, 0)] {
        let (rows, read) = find(&object, Wanted::Received { from: at(from), to: at(to) });
        assert_eq!(rows.len(), expected, "{from} {to}");
        assert!(expected > 0 || read < 100_000, "{read} bytes of another time");
    }
}

#[test]
fn what_is_no_object_is_said_to_be_none() {
    let length = 100;
    let mut finder = Finder::new(length, Arc::new(Wanted::Webhook("wh_".to_owned()))).unwrap();
    finder.give(0..length, Bytes::from(vec![7; 100])).unwrap();
    assert!(finder.advance().is_err());
}
