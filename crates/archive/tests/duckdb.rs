//! DuckDB, which knows nothing of our writer, reads an object and finds the bytes that went in.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests only")]

use std::{collections::BTreeMap, path::Path, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tollgate_archive::{Entry, encode};
use tollgate_core::{
    Authenticity, Currency, EndpointId, EventType, Facts, Money, PaymentEvent, ProviderId, Receipt, RiskTier,
    Timestamp, WebhookId, event::Arrival, id::hex_sha256,
};
use tollgate_pipeline::{
    archive::{Line as Written, Outcome, Row},
    intake::{Encoding, RequestParts},
};

fn entry(number: u128, body: &[u8], amount: &str, currency: &str) -> Entry {
    let received_at: Timestamp = "2026-01-02T23:59:59.123456Z".parse().unwrap();
    let webhook_id = WebhookId::new(received_at, number);
    let (endpoint, provider) = (EndpointId::new("stripe").unwrap(), ProviderId::new("stripe").unwrap());
    let facts = Facts {
        amount: Some(Money::from_decimal(amount, Currency::new(currency).unwrap()).unwrap()),
        ..Facts::new(format!("evt_{number}"), "charge.succeeded", EventType::PaymentSucceeded)
    };
    let arrival = Arrival {
        webhook_id: &webhook_id,
        endpoint: &endpoint,
        provider: &provider,
        authenticity: Authenticity::Verified,
        received_at,
    };
    let event = PaymentEvent::new(facts, arrival, RiskTier::Low);
    let receipt = Receipt {
        body_sha256: hex_sha256(body),
        endpoint,
        provider,
        authenticity: Authenticity::Verified,
        key_id: "current".to_owned(),
        signed_at: None,
        verified_at: received_at,
        taken_in_at: None,
    };
    let row = Row {
        webhook_id,
        received_at,
        source_ip: "192.0.2.1".to_owned(),
        request: RequestParts {
            headers: [("X-Twice", "b"), ("x-twice", "ä")].into_iter().collect(),
            query: String::new(),
        },
        encoding: Encoding::Text,
        body: String::new(),
        receipt,
        only_transaction: None,
        events: vec![event],
        outcome: Outcome::Processed,
        reason: None,
        part: 0,
        replayed_by: None,
        object: None,
    };
    Entry { line: Written::Webhook(Box::new(row)), body: body.to_vec(), object: None }
}

/// One line of the script's output.
#[derive(Debug, Deserialize)]
struct Line {
    webhook_id: WebhookId,
    received_at: String,
    body_sha256: String,
    sha256: String,
    bytes: usize,
    body: String,
    headers: Vec<(String, String)>,
    events: Vec<PaymentEvent<'static>>,
}

fn archive_read<T: DeserializeOwned>(arguments: &[&str]) -> Vec<T> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/operate/read-archive");
    let output = Command::new(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn duckdb_reads_what_was_written() {
    let all_bytes: Vec<u8> = (0..=255).collect();
    let entries = [
        entry(1, b"{\"a\": 1}", "12345678901234567890123456.78", "USD"),
        entry(2, b"", "1200", "JPY"),
        entry(3, &all_bytes, "-1.234", "KWD"),
    ];
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("duckdb");
    let day = folder.join("webhooks/date=2026-01-02");
    std::fs::create_dir_all(&day).unwrap();
    std::fs::write(day.join("235959-test.parquet"), encode(&entries).unwrap()).unwrap();
    let folder = folder.to_str().unwrap();

    let lines: Vec<Line> = archive_read(&[folder]);
    assert_eq!(lines.len(), entries.len());
    for (line, entry) in lines.iter().zip(&entries) {
        let row = entry.line.clone().into_row().unwrap();
        assert_eq!(line.webhook_id, row.webhook_id);
        assert_eq!(line.received_at, "2026-01-02T23:59:59.123456+00:00");
        assert_eq!(
            (STANDARD.decode(&line.body).unwrap(), line.bytes),
            (entry.body.clone(), entry.body.len())
        );
        assert_eq!(line.sha256, hex_sha256(&entry.body));
        assert_eq!(line.sha256, line.body_sha256);
        let headers: Vec<(&str, &str)> = line.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(headers, row.request.headers.iter().collect::<Vec<_>>());
        assert_eq!(line.events, row.events);
    }

    let query = "SELECT date::VARCHAR || ' ' || e.currency || ' ' || sum(e.amount_minor_units) AS text \
                 FROM archive, unnest(events) AS t(e) GROUP BY date, e.currency ORDER BY e.currency";
    let sums: Vec<BTreeMap<String, String>> = archive_read(&["--query", query, folder]);
    let sums: Vec<&str> = sums.iter().map(|row| row["text"].as_str()).collect();
    let expected =
        ["2026-01-02 JPY 1200", "2026-01-02 KWD -1234", "2026-01-02 USD 1234567890123456789012345678"];
    assert_eq!(sums, expected);
}

/// A row also has the events that another webhook told before, without their `restates`.
#[test]
fn the_pages_sum_counts_an_effect_once() {
    let (mut restating, mut both) = (entry(1, b"{}", "5", "EUR"), entry(2, b"{}", "7", "EUR"));
    let (Written::Webhook(first), Written::Webhook(second)) = (&mut restating.line, &mut both.line) else {
        panic!("they are webhooks")
    };
    second.events.push(first.events[0].clone());
    first.events[0].restates = Some(second.events[0].id);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("duckdb-sum");
    let day = folder.join("webhooks/date=2026-01-02");
    std::fs::create_dir_all(&day).unwrap();
    std::fs::write(day.join("235959-test.parquet"), encode(&[restating, both]).unwrap()).unwrap();
    let folder = folder.to_str().unwrap();

    let page = include_str!("../../../docs/archive.md");
    let sql =
        page.split("## DuckDB").nth(1).unwrap().split("```sql\n").nth(1).unwrap().split(';').next().unwrap();
    let sql = sql.replace("'webhooks/", &format!("'{folder}/webhooks/"));
    let sums: Vec<Value> = archive_read(&["--query", &sql, folder]);
    // It may be longer than a number of JSON.
    let [sum] = sums.as_slice() else { panic!("{sums:?}") };
    assert_eq!(
        (&sum["currency"], &sum["events"], &sum["minor_units"]),
        (&"EUR".into(), &1.into(), &"700".into())
    );
}
