//! `tollgate search`: each filter finds what was sent, and nothing else.

use std::{collections::BTreeSet, process::Output};

use serde_json::{Value, json};
use tollgate_core::{EndpointId, LedgerKey};
use tollgate_e2e::Platform;

use crate::tool::tollgate;

/// What a shell, a reader of lines, SQL and a terminal would each take for something else.
const HOSTILE: &str =
    "'; DROP TABLE archive; --\n.shell touch /tmp/hostile\n\u{1b}[31m \"}],%_\\ ' OR '1'='1";

fn search(arguments: &[&str]) -> Output {
    let searches = std::env::temp_dir().join(format!("tollgate-searches-{}.toml", std::process::id()));
    tollgate(&["search"]).args(arguments).env("TOLLGATE_SEARCHES", searches).output().unwrap()
}

/// What was found, and what the last line says of the page. Nothing found is exit 1.
fn found(arguments: &[&str]) -> (Vec<Value>, Value) {
    let output = search(&[arguments, &["--json"]].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = lines.pop().unwrap_or_else(|| panic!("{arguments:?}: {errors}"));
    assert_eq!(output.status.code(), Some(i32::from(lines.is_empty())), "{arguments:?}: {errors}");
    (lines, last)
}

/// How many webhooks a replay would send, of the last hour where no time is said.
fn replayed(arguments: &[&str]) -> u64 {
    let mut command = tollgate(&["replay"]);
    command.args(arguments).args(["--json", "--rate", "1000"]);
    if !arguments.contains(&"--from") {
        command.args(["--from", "1h"]);
    }
    let output = command.output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)));
    let of_endpoints = told["counts"].as_object().unwrap().values();
    of_endpoints.flat_map(|of| of.as_object().unwrap().values()).filter_map(Value::as_u64).sum()
}

fn ids(lines: &[Value]) -> Vec<String> {
    lines.iter().map(|line| line["provider_event_id"].as_str().unwrap_or_default().to_owned()).collect()
}

struct Sent {
    event_id: String,
    webhook_id: String,
    body: Value,
}

async fn send(platform: &Platform, endpoint: &str, event_id: &str, body: Value) -> Sent {
    let sender = platform.sender(endpoint).await;
    let webhook = sender.sign(event_id, body.to_string().as_bytes(), platform.now());
    let answer = platform.send(Some(endpoint), &webhook).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let webhook_id = answer.body["webhook_id"].as_str().unwrap().to_owned();
    Sent { event_id: event_id.to_owned(), webhook_id, body }
}

#[tokio::test]
async fn each_filter_finds_what_was_sent_and_nothing_else() {
    let platform = Platform::open().await;
    let mark = platform.unique("mark");
    let generic = |name: &str, kind: &str, amount: &str, currency: &str, note: &str| {
        json!({
            "event_id": platform.unique(name), "transaction_type": kind, "status": "succeeded",
            "transaction_id": platform.unique(&format!("tx{name}")), "amount": amount, "currency": currency,
            "timestamp": platform.now().to_string(), "customer_id": platform.unique(&format!("customer{name}")),
            "metadata": { "note": note, "test": mark },
        })
    };
    let of_acme = [
        generic("a", "payment", "49.90", "EUR", "plain"),
        generic("b", "refund", "120.00", "USD", HOSTILE),
        generic("c", "payment", "5000", "JPY", "Zo\u{eb} \u{1f600} 100%"),
    ];
    let mut sent = Vec::new();
    for body in of_acme {
        let event_id = body["event_id"].as_str().unwrap().to_owned();
        sent.push(send(&platform, "acme", &event_id, body).await);
    }
    let body = json!({
        "type": "payment.succeeded", "timestamp": platform.now().to_string(),
        "data": { "id": platform.unique("txd"), "amount": "10.00", "currency": "EUR", "metadata": { "test": mark } },
    });
    sent.push(send(&platform, "standard", &platform.unique("d"), body).await);

    let of_mark = format!("test={mark}");
    let of_test = |more: &[&str]| found(&[&["--metadata", of_mark.as_str()], more].concat()).0;
    platform
        .until("the archive has them", async || {
            let lines = of_test(&[]);
            let of_archive = lines.iter().filter(|line| line["source"] == "archive").count();
            (of_archive == sent.len()).then_some(())
        })
        .await;

    let expect = |arguments: &[&str], wanted: &[usize]| {
        let ids: BTreeSet<String> = ids(&of_test(arguments)).into_iter().collect();
        let wanted: BTreeSet<String> = wanted.iter().map(|&at| sent[at].event_id.clone()).collect();
        assert_eq!(ids, wanted, "{arguments:?}");
    };
    let customer = sent[0].body["customer_id"].as_str().unwrap().to_owned();
    let hostile = format!("note={HOSTILE}");
    // As it is in the body: JSON has escaped it.
    let in_body = json!(HOSTILE).to_string();
    let later = "2099-01-01";
    let cases: Vec<(Vec<&str>, Vec<usize>)> = vec![
        (vec![], vec![0, 1, 2, 3]),
        (vec!["--endpoint", "acme"], vec![0, 1, 2]),
        (vec!["--endpoint", "acme", "--endpoint", "standard"], vec![0, 1, 2, 3]),
        (vec!["--endpoint", HOSTILE], vec![]),
        (vec!["--provider", "generic"], vec![0, 1, 2]),
        (vec!["--provider", HOSTILE], vec![]),
        (vec!["--type", "refund.succeeded"], vec![1]),
        (vec!["--type", HOSTILE], vec![]),
        (vec!["--amount", "49.9"], vec![0]),
        (vec!["--amount", "49.91..120"], vec![1]),
        (vec!["--amount", "..49.90"], vec![0, 3]),
        (vec!["--amount", "121.."], vec![2]),
        (vec!["--currency", "eur", "--endpoint", "acme"], vec![0]),
        (vec!["--currency", HOSTILE], vec![]),
        (vec!["--customer", &customer], vec![0]),
        (vec!["--customer", HOSTILE], vec![]),
        (vec!["--metadata", "note=plain"], vec![0]),
        (vec!["--metadata", "note=plai"], vec![]),
        (vec!["--metadata", "ote=plain"], vec![]),
        (vec!["--metadata", "note=Zo\u{eb} \u{1f600} 100%"], vec![2]),
        (vec!["--metadata", &hostile], vec![1]),
        (vec!["--text", &in_body], vec![1]),
        (vec!["--text", HOSTILE], vec![]),
        (vec!["--text", "refund", "--text", "120.00"], vec![1]),
        (vec!["--text", "refund", "--text", "49.90"], vec![]),
        (vec!["--outcome", "processed"], vec![0, 1, 2, 3]),
        (vec!["--outcome", "set_aside", "--outcome", "conflict"], vec![]),
        (vec!["--from", "1h", "--to", later], vec![0, 1, 2, 3]),
        (vec!["--from", "2026-01-01", "--to", "2026-01-02"], vec![]),
    ];
    for (arguments, wanted) in &cases {
        expect(arguments, wanted);
    }
    // It reads the whole day for each: some of them, of every sort. The filters of rows have tests of their own (`rows.rs`).
    for (arguments, wanted) in cases.iter().step_by(4) {
        let replayed = replayed(&[&["--metadata", of_mark.as_str()], arguments.as_slice()].concat());
        assert_eq!(replayed, wanted.len() as u64, "a replay finds the same: {arguments:?}");
    }

    // Each id leads to it, without any other filter.
    let one = &sent[1];
    let all = of_test(&[]);
    let event = all.iter().find(|line| line["provider_event_id"] == one.event_id.as_str()).unwrap();
    for id in [
        one.webhook_id.as_str(),
        one.event_id.as_str(),
        event["event_id"].as_str().unwrap(),
        one.body["transaction_id"].as_str().unwrap(),
    ] {
        let (lines, last) = found(&[id]);
        assert_eq!(ids(&lines), [one.event_id.as_str()], "{id}");
        assert_eq!((&lines[0]["source"], &last["next"]), (&json!("archive"), &Value::Null), "{id}");
        assert_eq!(lines[0]["amount"], "120.00");
    }
    assert!(found(&[HOSTILE]).0.is_empty());
    assert!(!std::path::Path::new("/tmp/hostile").exists(), "a filter was a command");

    // What is shown is text, and the next page begins behind the last.
    let (mut pages, mut after) = (Vec::new(), None::<String>);
    loop {
        let cursor = after.iter().flat_map(|cursor| ["--after", cursor.as_str()]);
        let arguments: Vec<&str> =
            ["--metadata", &of_mark, "--limit", "1"].into_iter().chain(cursor).collect();
        let (lines, last) = found(&arguments);
        assert_eq!(lines.len(), 1);
        pages.extend(lines);
        match last["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(ids(&pages), ids(&all), "in pages as at once, the newest first");
    let table = search(&["--metadata", &of_mark]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("4 found") && !table.contains('\u{1b}'), "{table}");

    // A search is kept as it was typed, and what is given beside it counts before.
    let saved = search(&["--metadata", &of_mark, "--type", "refund.succeeded", "--save", "refunds"]);
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    assert_eq!(ids(&found(&["--saved", "refunds"]).0), [one.event_id.as_str()]);
    assert_eq!(found(&["--saved", "refunds", "--type", "payment.succeeded"]).0.len(), 3);
    assert_eq!(search(&["--saved", "other"]).status.code(), Some(2));
}

#[tokio::test]
async fn an_id_is_found_in_the_tables_where_the_archive_is_not_asked() {
    let platform = Platform::open().await;
    let (event_id, transaction) = (platform.unique("early"), platform.unique("txearly"));
    let body = json!({
        "event_id": event_id, "transaction_type": "payment", "status": "succeeded", "transaction_id": transaction,
        "amount": "1.00", "currency": "EUR", "timestamp": platform.now().to_string(),
    });
    send(&platform, "acme", &event_id, body).await;
    let endpoint = EndpointId::new("acme").unwrap();
    platform.until_processed(&[LedgerKey::new(&endpoint, &event_id)]).await;
    for (id, source) in [(&transaction, "transactions"), (&event_id, "ledger")] {
        let (lines, _) = found(&[id, "--from", "2026-01-01", "--to", "2026-01-02"]);
        let told: Vec<&Value> = lines.iter().map(|line| &line["source"]).collect();
        assert_eq!((ids(&lines), told), (vec![event_id.clone()], vec![&json!(source)]), "{id}");
        assert!(found(&[id, "--endpoint", "standard"]).0.is_empty(), "{id}");
    }
    // And once alone, wherever it is by now.
    assert_eq!(ids(&found(&[&transaction]).0), [event_id]);
}
