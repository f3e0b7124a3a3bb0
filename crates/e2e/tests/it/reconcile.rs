//! `tollgate reconcile`: a provider that knows more than the platform, or says something else.

use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tollgate_core::{EndpointConfig, LedgerKey, Timestamp};
use tollgate_e2e::Platform;
use tollgate_testkit::{
    provider_api::{StandIn, State, Told},
    webhook::{KEY, Payment, Sender, config},
};

use crate::tool::tollgate;

const API_KEY: &str = "rk_test_reconcile";
/// Older than what may still be on its way.
const AGE: i64 = 1_200;

/// The operator's tool, with a text on its standard input.
fn told(arguments: &[&str], text: &str) -> Output {
    let mut tool = tollgate(arguments);
    let tool = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = tool.spawn().unwrap();
    tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    tool.wait_with_output().unwrap()
}

/// An endpoint of this test's own, that serves.
async fn endpoint(platform: &Platform, scheme: &str) -> (EndpointConfig, Sender) {
    let name = platform.unique("told");
    let secret = format!("tollgate/{}/{name}", platform.suffix());
    let config = EndpointConfig { secret: format!("secretsmanager:{secret}"), ..config(&name, scheme) };
    let manager = aws_sdk_secretsmanager::Client::new(platform.config());
    manager.create_secret().name(&secret).secret_string(KEY).send().await.unwrap();
    platform.put_endpoint(&config).await;
    let sender = Sender::new(config.clone(), KEY);
    (config, sender)
}

/// A payment of some minutes ago.
fn payment(platform: &Platform, name: &str) -> Payment {
    let at = Timestamp::from_second(platform.now().as_second() - AGE).unwrap();
    Payment::new(platform.unique(&format!("evt-{name}")), platform.unique(&format!("pay-{name}")), at)
}

/// Sends payments by webhook, and waits until they took effect.
async fn deliver(platform: &Platform, config: &EndpointConfig, sender: &Sender, payments: &[&Payment]) {
    for payment in payments {
        let webhook = sender.payment(payment, platform.now());
        platform
            .until("the endpoint serves", async || {
                let answer = platform.send(Some(config.id.as_str()), &webhook).await;
                (answer.status == 200).then_some(())
            })
            .await;
    }
    let keys: Vec<LedgerKey> =
        payments.iter().map(|payment| LedgerKey::new(&config.id, &payment.event_id)).collect();
    platform.until_processed(&keys).await;
}

/// What `tollgate reconcile --json` says: the exit code, each event's verdict, and the counts.
fn reconciled(
    config: &EndpointConfig,
    url: &str,
    more: &[&str],
) -> (Option<i32>, BTreeMap<String, Value>, Value) {
    let first = ["reconcile", config.id.as_str(), "--from", "1h", "--all", "--json", "--api-url", url];
    let output = tollgate(&[&first, more].concat()).output().unwrap();
    let lines = String::from_utf8(output.stdout.clone()).unwrap();
    let mut lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.pop().unwrap_or_else(|| panic!("{output:?}"));
    let events =
        lines.into_iter().map(|one| (one["provider_event_id"].as_str().unwrap().to_owned(), one)).collect();
    (output.status.code(), events, last)
}

#[tokio::test]
async fn what_a_provider_sent_is_compared_with_what_took_effect() {
    let platform = Platform::open().await;
    let (config, sender) = endpoint(&platform, "stripe").await;
    let name = config.id.as_str();
    let [one, two, three, lost] = ["one", "two", "three", "lost"].map(|name| payment(&platform, name));
    let young = Payment { at: platform.now(), ..payment(&platform, "young") };
    deliver(&platform, &config, &sender, &[&one, &two, &three]).await;
    let other_amount = two.clone().of("1100", "USD");
    let other_payment = Payment { transaction_id: platform.unique("pay-other"), ..three.clone() };
    let events = [&one, &other_amount, &other_payment, &lost, &young].map(|one| Told::of("stripe", one));
    let stand_in =
        StandIn::start("stripe", API_KEY, State { events: events.into(), most: Some(2), ..State::default() });

    let without = tollgate(&["reconcile", name, "--api-url", &stand_in.url()]).output().unwrap();
    assert_eq!(without.status.code(), Some(2), "there is no key of the provider's API: {without:?}");
    let stored = told(&["endpoints", "api-key", name, "--secret-file", "-"], &format!("{API_KEY}\n"));
    assert!(stored.status.success(), "{stored:?}");
    assert!(!String::from_utf8_lossy(&stored.stdout).contains(API_KEY));

    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.parquet");
    let (code, events, last) = reconciled(&config, &stand_in.url(), &["--report", report.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{events:?}");
    let verdict = |payment: &Payment| events[&payment.event_id]["verdict"].clone();
    assert_eq!(
        [&one, &two, &three, &lost].map(verdict),
        ["present", "amount_differs", "conflicting", "missing"],
        "{events:#?}"
    );
    assert_eq!(events.len(), 4, "what is young may be on its way: {events:?}");
    let differs = &events[&two.event_id];
    assert_eq!((&differs["amount"], &differs["our_amount"]), (&json!("11.00"), &json!("10.99")));
    assert_eq!(events[&lost.event_id]["transaction_id"], lost.transaction_id);
    let counts = json!({ "present": 1, "missing": 1, "conflicting": 1, "amount_differs": 1 });
    assert_eq!(last["summary"]["counts"], counts);
    assert!(last["summary"]["notes"][0].as_str().unwrap().contains("every event counts"), "{last}");

    let query = format!(
        "SELECT provider_event_id, verdict FROM '{}' WHERE endpoint = '{name}' AND amount IS NOT NULL",
        report.display()
    );
    let rows = Command::new(platform.setting("duckdb")).args(["-json", "-c", &query]).output().unwrap();
    let rows: Value = serde_json::from_slice(&rows.stdout).unwrap_or_else(|_| panic!("{rows:?}"));
    assert_eq!(rows.as_array().unwrap().len(), 4, "{rows}");

    // What its webhook is not sent is not missing.
    let webhook =
        |types: &[&str]| json!({ "url": format!("https://x/webhook/{name}"), "enabled_events": types });
    stand_in.with(|state| state.webhooks = vec![webhook(&["customer.created"])]);
    let (code, events, last) = reconciled(&config, &stand_in.url(), &[]);
    assert_eq!((code, events.len(), &last["summary"]["not_subscribed"]), (Some(0), 0, &json!(4)), "{last}");
    // What comes late after all is present.
    stand_in.with(|state| {
        state.webhooks = vec![webhook(&["*"])];
        state.events = [&one, &lost].map(|one| Told::of("stripe", one)).into();
        state.failures = vec![(429, Some(("Retry-After", "1".to_owned())))];
    });
    deliver(&platform, &config, &sender, &[&lost]).await;
    let (code, events, last) = reconciled(&config, &stand_in.url(), &[]);
    assert_eq!((code, events.len()), (Some(0), 2), "{last}");

    stand_in.with(|state| state.failures = vec![(403, None); 4]);
    let refused = tollgate(&["reconcile", name, "--api-url", &stand_in.url()]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("refuses the key") && !text.contains(API_KEY), "{text}");
}
