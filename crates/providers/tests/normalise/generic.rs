//! Our own schema: what its senders are told.

use tollgate_core::EventType;
use tollgate_providers::{Headers, Received, Trusted, normalise::Normaliser};

use super::cases::endpoint;

fn check(body: &str, expected: &str) {
    let headers = Headers::new();
    let received = Received { headers: &headers, query: "", body: body.as_bytes() };
    let config = endpoint("generic");
    let said =
        match Normaliser::named("generic").unwrap().normalise(Trusted::for_inspection(received), &config) {
            Ok(events) => events.iter().map(|facts| facts.kind.as_str().to_owned()).collect(),
            Err(error) => error.to_string(),
        };
    assert_eq!(said, expected, "{body}");
}

fn body(changes: &[(&str, Option<&str>)]) -> String {
    let mut fields = vec![
        ("event_id", r#""e1""#),
        ("transaction_type", r#""payment""#),
        ("amount", "10.99"),
        ("timestamp", r#""2026-01-02T03:04:05Z""#),
        ("currency", r#""EUR""#),
    ];
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        fields.extend(value.map(|value| (*name, value)));
    }
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

#[test]
fn a_sender_is_told_the_field_that_is_missing_or_wrong() {
    check(&body(&[]), "payment.succeeded");
    for name in ["event_id", "transaction_type", "amount", "timestamp"] {
        check(&body(&[(name, None)]), &format!("Missing required field: {name}"));
        check(&body(&[(name, Some("null"))]), &format!("Missing required field: {name}"));
    }
    let wrong = [
        ("event_id", "7"),
        ("event_id", r#""""#),
        ("transaction_type", r#""gift""#),
        ("transaction_type", "[]"),
        ("amount", r#""ten""#),
        ("amount", r#""""#),
        ("amount", r#"" 1""#),
        ("amount", "10.999"),
        ("amount", "true"),
        ("amount", r#"{"value":1}"#),
        ("amount", "1e300"),
        ("timestamp", "1767322800"),
        ("timestamp", r#""yesterday""#),
        ("timestamp", r#""2026-01-02""#),
        ("currency", r#""U$D""#),
        ("currency", "5"),
        ("status", r#""odd""#),
        ("movement_id", "5"),
        ("movement_id", r#""""#),
        ("risk_score", "-1"),
        ("risk_score", r#""7""#),
        ("livemode", r#""perhaps""#),
    ];
    for (name, value) in wrong {
        check(&body(&[(name, Some(value))]), &format!("Invalid field: {name}"));
    }
    for not_json in
        ["", "{", "event_id=e1", "[]", r#"{"event_id":"e1","event_id":"e2"}"#, "{\"event_id\":\"\u{1}\"}"]
    {
        check(not_json, "body is not valid JSON");
    }
}

#[test]
fn status_decides_among_the_types() {
    let cases = [
        ("payment", "pending", EventType::PaymentPending),
        ("payment", "authorized", EventType::PaymentAuthorized),
        ("payment", "succeeded", EventType::PaymentSucceeded),
        ("payment", "failed", EventType::PaymentFailed),
        ("payment", "canceled", EventType::PaymentCanceled),
        ("payment", "expired", EventType::PaymentExpired),
        ("refund", "pending", EventType::RefundPending),
        ("refund", "succeeded", EventType::RefundSucceeded),
        ("refund", "failed", EventType::RefundFailed),
        ("dispute", "opened", EventType::DisputeOpened),
        ("dispute", "won", EventType::DisputeWon),
        ("dispute", "lost", EventType::DisputeLost),
    ];
    for (transaction_type, status, kind) in cases {
        let (transaction_type, status) = (format!("{transaction_type:?}"), format!("{status:?}"));
        let changes = [("transaction_type", Some(&*transaction_type)), ("status", Some(&*status))];
        check(&body(&changes), kind.as_str());
    }
    check(&body(&[("transaction_type", Some(r#""dispute""#))]), "dispute.opened");
}

/// The texts in backquotes of each cell of each row of the page's tables.
fn rows(page: &str) -> Vec<Vec<Vec<&str>>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").map(|cell| cell.split('`').skip(1).step_by(2).collect()).collect())
        .collect()
}

#[test]
fn the_page_for_senders_has_every_field_and_status() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let page = std::fs::read_to_string(format!("{root}/docs/senders.md")).unwrap();
    let source = include_str!("../../src/normalise/generic.rs");
    let rows = rows(&page);
    let within = |from: &str, to: &str| source.split(from).nth(1).unwrap().split(to).next().unwrap();
    let fields = within("struct Body<'a> {", "\n}").lines().filter_map(|line| line.trim().split_once(": "));
    for (field, _) in fields {
        assert!(rows.iter().any(|row| row[0].contains(&field)), "{field} is not on the page");
    }
    let mut told = 0;
    for row in rows
        .iter()
        .filter(|row| row.len() == 3 && !row[1].is_empty() && row[2].iter().any(|it| it.contains('.')))
    {
        let (kind, statuses, event_type) = (row[0][0], &row[1], row[2][0]);
        for status in statuses {
            let (kind, status) = (format!("{kind:?}"), format!("{status:?}"));
            check(&body(&[("transaction_type", Some(&kind)), ("status", Some(&status))]), event_type);
            told += 1;
        }
        if statuses.contains(&"succeeded") {
            check(&body(&[("transaction_type", Some(&format!("{kind:?}")))]), event_type);
        }
    }
    let statuses = within("status.unwrap_or(", "_) => return Err").lines();
    let statuses =
        statuses.filter(|line| line.contains("=>")).flat_map(|line| line.split('"').skip(3).step_by(2));
    let known = statuses.count();
    assert_eq!(told, known, "a status is not on the page");
}
