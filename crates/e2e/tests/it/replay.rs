//! `tollgate replay`: the archive of one platform, sent again: to another one, to a file, to an address, and to itself.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tollgate_core::{EndpointId, LedgerKey, PaymentEvent};
use tollgate_e2e::Platform;
use tollgate_testkit::webhook::Payment;

use crate::tool::{self, said};

/// Why it is done, as the records have it.
const WHY: &str = "the second stack takes over";

fn tollgate(arguments: &[&str]) -> Command {
    let mut command = tool::tollgate(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The one object that a run says.
fn told(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

/// How many ended so, at all endpoints.
fn count(told: &Value, outcome: &str) -> u64 {
    let of = told["counts"].as_object().unwrap().values();
    of.filter_map(|of| of[outcome].as_u64()).sum()
}

struct Sent {
    endpoint: &'static str,
    key: LedgerKey,
    payment: String,
    webhook_id: String,
    body: Vec<u8>,
}

async fn send(platform: &Platform, endpoint: &'static str, name: &str, payment: &str) -> Sent {
    let (id, payment) = (platform.unique(name), platform.unique(payment));
    let webhook = platform.sender(endpoint).await;
    let webhook = webhook.payment(&Payment::new(&id, &payment, platform.now()), platform.now());
    let path = (endpoint != "acme").then_some(endpoint);
    let answer = platform.send(path, &webhook).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    Sent {
        endpoint,
        key: LedgerKey::new(&EndpointId::new(endpoint).unwrap(), &id),
        payment,
        webhook_id: answer.body["webhook_id"].as_str().unwrap().to_owned(),
        body: webhook.body,
    }
}

/// Those of one payment at an ordered endpoint among them, in three objects of the archive at least.
async fn archived(platform: &Platform) -> Vec<Sent> {
    let mut all = Vec::new();
    for part in ["1", "2", "3"] {
        for (endpoint, payment) in [("stripe-eu", "eu"), ("stripe-us", "us"), ("acme", "own")] {
            let payment = format!("{payment}{}", if endpoint == "stripe-us" { "" } else { part });
            all.push(send(platform, endpoint, &format!("replay{endpoint}{part}"), &payment).await);
        }
        let ids: Vec<String> = all.iter().map(|one| one.webhook_id.clone()).collect();
        platform.archived(&ids).await;
        // Objects that begin in one second are read as one.
        let second = platform.now().as_second();
        platform.until("the next second", async || (platform.now().as_second() > second).then_some(())).await;
    }
    all
}

/// What does not depend on which of a payment's events is told first: objects of the archive overlap.
fn facts(events: Vec<PaymentEvent<'static>>) -> Vec<PaymentEvent<'static>> {
    let tellers = events.iter().filter(|event| event.restates.is_none()).count();
    assert!(events.is_empty() || tellers == 1, "one tells the effect: {events:?}");
    events.into_iter().map(|event| PaymentEvent { restates: None, superseded: false, ..event }).collect()
}

#[tokio::test]
async fn a_day_of_one_platform_is_told_once_by_another_however_often_it_is_replayed() {
    let blue = Platform::open().await;
    let from = blue.now().to_string();
    let sent = archived(&blue).await;
    let green = blue.second().await;
    let mark = blue.unique("");
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let state = state.to_str().unwrap();
    // What other tests send meanwhile has other keys here.
    let which = ["replay", "--from", &from, "--text", &mark, "--into-platform", green.path(), "--json"];
    let all = sent.len() as u64;

    let output = tollgate(&which).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(count(&told(&output), "genuine"), all, "{}", said(&output));
    let keys: Vec<LedgerKey> = sent.iter().map(|one| one.key.clone()).collect();
    for known in tollgate_pipeline::ports::Ledger::known(&green.ledger(), &keys, green.now()).await {
        assert_eq!(known, Ok(None), "nothing is done without --yes");
    }
    assert_eq!(
        tollgate(&[&which[..], &["--yes"]].concat()).output().unwrap().status.code(),
        Some(2),
        "no reason"
    );

    // Ctrl-C in the middle, and on.
    let yes = ["--yes", "--reason", WHY];
    let slowly = tollgate(&[&which[..], &yes, &["--rate", "1", "--state", state]].concat()).spawn().unwrap();
    blue.until("a part is done", async || {
        let known: Value = serde_json::from_slice(&std::fs::read(state).ok()?).ok()?;
        // Objects of other tests are passed over.
        (count(&known["progress"], "accepted") > 0).then_some(())
    })
    .await;
    let pid = slowly.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = slowly.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let first = count(&told(&output), "accepted");
    assert!(0 < first && first < all, "it was stopped too late: {}", said(&output));
    let output = tollgate(&[&["replay", "--resume", state, "--json"][..], &yes].concat()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let resumed = told(&output);
    assert_eq!(count(&resumed, "accepted"), all, "those before are counted: {resumed}");
    assert!(!std::path::Path::new(state).exists(), "nothing is left to go on with");
    green.until_processed(&keys).await;

    for run in 0..2 {
        for one in &sent {
            let before = facts(blue.recorded(one.endpoint, &one.payment).await);
            let now = facts(green.recorded(one.endpoint, &one.payment).await);
            assert!(!before.is_empty());
            assert_eq!(before, now, "run {run}, {}", one.payment);
        }
        // Of three events that tell one payment, one alone.
        let consumed = [&blue, &*green].map(async |platform| {
            let events = platform.routed("PaymentsQueueUrl").await;
            let mut effects: Vec<String> = events.iter().map(|event| event.effect_id.to_string()).collect();
            effects.sort_unstable();
            effects
        });
        let [before, now] = consumed;
        let (before, now) = (before.await, now.await);
        assert_eq!((before.len(), &before), (7, &now), "a consumer gets each once, run {run}");
        if run == 0 {
            let output = tollgate(&[&which[..], &yes].concat()).output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
            assert_eq!(count(&told(&output), "known before"), all, "{}", said(&output));
        }
    }

    // Both have it on record, and the rows say by which act.
    let act = resumed["act"].as_str().unwrap();
    let records =
        tollgate(&["audit", "--action", "replay", "--platform", green.path(), "--json"]).output().unwrap();
    assert!(said(&records).contains(act) && said(&records).contains(WHY), "{}", said(&records));
    let records = tollgate(&["audit", "--id", &sent[0].webhook_id, "--json"]).output().unwrap();
    assert!(said(&records).contains(WHY), "{}", said(&records));
    let ids: Vec<String> = sent.iter().map(|one| one.webhook_id.clone()).collect();
    let rows = green.archived(&ids).await;
    let marked = rows.values().filter(|row| row["replayed_by"].as_str() == Some(act)).count();
    assert!(0 < marked && marked < sent.len(), "the second act sent the rest: {rows:?}");
    for one in &sent {
        let row = &rows[&one.webhook_id];
        assert_eq!(STANDARD.decode(row["body"].as_str().unwrap()).unwrap(), one.body);
    }
}

#[tokio::test]
async fn to_a_file_and_an_address_go_those_that_are_genuine_and_to_itself_nothing_new() {
    let platform = Platform::open().await;
    let from = platform.now().to_string();
    let sent = send(&platform, "stripe-eu", "replayfile", "file").await;
    platform.archived(std::slice::from_ref(&sent.webhook_id)).await;
    let mark = platform.unique("replayfile");
    let which = ["replay", "--from", &from, "--text", &mark, "--json", "--yes", "--reason", WHY];
    let folder = tempfile::tempdir().unwrap();
    let (state, file) = (folder.path().join("state.json"), folder.path().join("webhooks.jsonl"));
    let (state, file) = (state.to_str().unwrap(), file.to_str().unwrap());

    let output = tollgate(&[&which[..], &["--into-file", file, "--state", state]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let lines = std::fs::read_to_string(file).unwrap();
    let line: Value = serde_json::from_str(lines.trim()).unwrap();
    assert_eq!(STANDARD.decode(line["body_base64"].as_str().unwrap()).unwrap(), sent.body);
    assert_eq!(line["webhook_id"], sent.webhook_id.as_str());
    let output = tollgate(&[&which[..], &["--into-file", file, "--state", state]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "no file is written over: {}", said(&output));
    assert!(!std::path::Path::new(state).exists(), "nor can it be gone on with");
    let output = tollgate(&[&which[..], &["--state", file]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "nor by the state: {}", said(&output));
    assert_eq!(std::fs::read_to_string(file).unwrap(), lines);

    // Nobody listens at first: it can be gone on with.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/hook");
    let output = tollgate(&[&which[..], &["--into-url", &url, "--state", state]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let listener = TcpListener::bind(address).unwrap();
    let taken = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4_096];
        while !request.ends_with(b"}") {
            let read = connection.read(&mut buffer).unwrap();
            assert!(read > 0);
            request.extend_from_slice(&buffer[..read]);
        }
        connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        request
    });
    let resume = ["replay", "--resume", state, "--json", "--yes", "--reason", WHY];
    let output = tollgate(&resume).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let request = taken.join().unwrap();
    assert!(request.ends_with(&sent.body));
    let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let mark_of_act = format!("tollgate-replay: {} ", told(&output)["act"].as_str().unwrap());
    assert!(head.contains(&mark_of_act) && head.contains("stripe-signature: "), "{head}");
    let elsewhere = ["--into-url", "https://example.com/hook"];
    assert_eq!(tollgate(&[&which[..], &elsewhere].concat()).output().unwrap().status.code(), Some(2));

    let output = tollgate(&[&which[..], &["--state", state]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(told(&output)["counts"], json!({"stripe-eu": {"known before": 1}}));
    let history = platform.recorded("stripe-eu", &sent.payment).await;
    assert_eq!(history.len(), 1);
    let output = tollgate(&["replay", "--from", &from, "--text", &mark, "--id", "other"]).output().unwrap();
    assert!(output.status.success() && said(&output).contains("no webhook"), "{}", said(&output));
}

#[tokio::test]
async fn a_shadow_tells_which_events_would_be_told_otherwise_and_does_nothing() {
    let platform = Platform::open().await;
    let from = platform.now().to_string();
    let name = platform.unique("shadow");
    let config = |metadata: Value| {
        let secret = format!("secretsmanager:tollgate/{}/acme", platform.suffix());
        let config = json!({ "id": name, "scheme": "generic", "secret": secret, "metadata": metadata });
        serde_json::from_value(config).unwrap()
    };
    platform.put_endpoint(&config(json!(["note", "order"]))).await;
    let (event_id, payment) = (platform.unique("shadowed"), platform.unique("shadowedtx"));
    let body = json!({
        "event_id": event_id, "transaction_type": "payment", "status": "succeeded", "transaction_id": payment,
        "amount": "1.00", "currency": "EUR", "timestamp": platform.now().to_string(), "metadata": { "note": "kept" },
    });
    let sender = platform.sender(&name).await;
    let webhook_id = platform
        .until("the endpoint is known", async || {
            let webhook = sender.sign(&event_id, body.to_string().as_bytes(), platform.now());
            let answer = platform.send(Some(&name), &webhook).await;
            answer.is_success().then(|| answer.body["webhook_id"].as_str().unwrap().to_owned())
        })
        .await;
    platform.archived(std::slice::from_ref(&webhook_id)).await;
    let shadow = || {
        tollgate(&["replay", "--from", &from, "--endpoint", &name, "--shadow", "--json"]).output().unwrap()
    };

    let output = shadow();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!((&told(&output)["events"], &told(&output)["differences"]), (&json!(1), &json!([])));

    // As a normaliser that leaves it out.
    platform.put_endpoint(&config(json!(["order"]))).await;
    let output = shadow();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let example = json!({
        "webhook_id": webhook_id, "provider_event_id": event_id, "archived": { "note": "kept" }, "read": null,
    });
    let difference = json!({ "endpoint": name, "field": "metadata", "count": 1, "examples": [example] });
    assert_eq!(told(&output)["differences"], json!([difference]));
    assert_eq!(platform.recorded(&name, &payment).await.len(), 1);
}
