//! `tollgate reconcile`: a provider that knows more than the platform, or says something else.

use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Output, Stdio},
    sync::atomic::AtomicBool,
    time::Duration,
};

use serde_json::{Value, json};
use tollgate_core::{EndpointConfig, KeepRejected, LedgerKey, Timestamp};
use tollgate_e2e::Platform;
use tollgate_lambda::clock;
use tollgate_operate::{
    provider_api::{Client, Item, Timing},
    reconcile::{Asked, Finding, extra::Listing, ingestion::Ingestion},
};
use tollgate_pipeline::{
    ports::{Ledger, Secrets},
    retrieved::{self, Sealed},
};
use tollgate_providers::Headers;
use tollgate_testkit::{
    provider_api::{StandIn, State, Told},
    webhook::{KEY, Kind, OTHER_KEY, Payment, Sender, adyen_event_id, config},
};

use crate::{audit::aws, refusals::refused_and_kept, tool::tollgate};

pub(crate) const API_KEY: &str = "rk_test_reconcile";
/// Older than what may still be on its way.
const AGE: i64 = 1_200;
/// How long an event may take to the archive.
const ARCHIVED: Duration = Duration::from_secs(180);

/// The operator's tool, with a text on its standard input.
pub(crate) fn told(arguments: &[&str], text: &str) -> Output {
    let mut tool = tollgate(arguments);
    let tool = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = tool.spawn().unwrap();
    tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    tool.wait_with_output().unwrap()
}

/// An endpoint of this test's own, that serves.
pub(crate) async fn endpoint(platform: &Platform, scheme: &str) -> (EndpointConfig, Sender) {
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
pub(crate) fn payment(platform: &Platform, name: &str) -> Payment {
    let at = Timestamp::from_second(platform.now().as_second() - AGE).unwrap();
    Payment::new(platform.unique(&format!("evt-{name}")), platform.unique(&format!("pay-{name}")), at)
}

/// Sends payments by webhook, and waits until they took effect.
pub(crate) async fn deliver(
    platform: &Platform,
    config: &EndpointConfig,
    sender: &Sender,
    payments: &[&Payment],
) {
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

/// An endpoint with a key of Stripe's API, which lists two payments, of which one has never come.
pub(crate) struct Lost {
    pub(crate) config: EndpointConfig,
    pub(crate) sender: Sender,
    pub(crate) lost: Payment,
    pub(crate) events: Vec<Told>,
}

impl Lost {
    pub(crate) async fn one(platform: &Platform) -> Self {
        let (config, sender) = endpoint(platform, "stripe").await;
        let [known, lost] = ["known", "lost"].map(|name| payment(platform, name));
        deliver(platform, &config, &sender, &[&known]).await;
        let stored = told(&["endpoints", "api-key", config.id.as_str(), "--secret-file", "-"], API_KEY);
        assert!(stored.status.success(), "{stored:?}");
        let events = [&known, &lost].map(|one| Told::of("stripe", one)).into();
        Self { config, sender, lost, events }
    }
}

/// A call of the tool that changes something.
fn ingested(config: &EndpointConfig, url: &str) -> (Option<i32>, Value) {
    let (code, _, last) =
        reconciled(config, url, &["--ingest", "--yes", "--reason", "the gateway was down on Sunday"]);
    (code, last)
}

#[tokio::test]
async fn what_is_missing_is_taken_in_once() {
    let platform = Platform::open().await;
    let Lost { config, sender, lost, events } = Lost::one(&platform).await;
    let name = config.id.as_str();
    let stand_in = StandIn::start("stripe", API_KEY, State { events, ..State::default() });
    let url = stand_in.url();

    // Which types its webhook is sent is not known: nothing is taken in then.
    let unknown = tollgate(&[
        "reconcile",
        name,
        "--from",
        "1h",
        "--api-url",
        &url,
        "--ingest",
        "--yes",
        "--reason",
        "x",
    ]);
    assert_eq!({ unknown }.output().unwrap().status.code(), Some(2));
    let webhook = json!({ "url": format!("https://x/webhook/{name}"), "enabled_events": ["*"] });
    stand_in.with(|state| state.webhooks = vec![webhook]);
    // A dry run.
    let (code, events, last) = reconciled(&config, &url, &["--ingest"]);
    assert_eq!((code, &events[&lost.event_id]["verdict"]), (Some(1), &json!("missing")), "{last}");
    assert!(platform.recorded(name, &lost.transaction_id).await.is_empty());

    let (code, last) = ingested(&config, &url);
    assert_eq!((code, &last["ingested"]), (Some(0), &json!({ "taken_in": 1 })), "{last}");
    platform.until_processed(&[LedgerKey::new(&config.id, &lost.event_id)]).await;
    let (code, events, _) = reconciled(&config, &url, &[]);
    let verdicts: Vec<&Value> = events.values().map(|one| &one["verdict"]).collect();
    assert_eq!((code, verdicts), (Some(0), vec![&json!("present"); 2]));
    let recorded = platform.recorded(name, &lost.transaction_id).await;
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].authenticity.as_str(), "retrieved");
    let routed = platform.routed("PaymentsQueueUrl").await;
    assert!(routed.iter().any(|event| event.transaction_id == lost.transaction_id), "consumers have it");

    // Again, and by its webhook after all: nothing more happens.
    let (code, last) = ingested(&config, &url);
    assert_eq!((code, &last["ingested"]), (Some(0), &json!({})), "{last}");
    deliver(&platform, &config, &sender, &[&lost]).await;
    assert_eq!(platform.recorded(name, &lost.transaction_id).await.len(), 1);

    let audit = tollgate(&["audit", "--id", &lost.event_id, "--json"]).output().unwrap();
    let lines = String::from_utf8(audit.stdout).unwrap();
    let record: Value = serde_json::from_str(lines.lines().next().expect("a record")).unwrap();
    assert_eq!(
        (&record["action"], &record["reason"]),
        (&json!("reconcile ingest"), &json!("the gateway was down on Sunday"))
    );
}

/// Not even one who has the environment's key.
#[tokio::test]
async fn no_sender_can_say_that_an_event_was_retrieved() {
    let platform = Platform::open().await;
    let (config, sender) = endpoint(&platform, "stripe").await;
    let name = config.id.as_str();
    deliver(&platform, &config, &sender, &[&payment(&platform, "known")]).await;
    let stored = told(&["endpoints", "api-key", name, "--secret-file", "-"], API_KEY);
    assert!(stored.status.success(), "{stored:?}");
    let reference = format!("secretsmanager:{}", retrieved::key_name(platform.suffix()));
    let signer = retrieved::signer(&reference).unwrap();
    let keys = signer.keys(platform.secrets().keys(&reference).await.unwrap()).unwrap();
    let lost = payment(&platform, "lost");
    let body = lost.body("stripe").unwrap();
    let sealed =
        Sealed::new(&signer, &keys, config.id, &lost.event_id, body.as_bytes(), platform.now()).unwrap();
    let sealed = serde_json::to_value(&sealed).unwrap();
    for path in ["/webhook", &format!("/webhook/{name}"), "/"] {
        let address = format!("{}{path}", platform.setting("api_url"));
        let answer = platform.http("POST", &address, &Headers::new(), sealed.to_string().into_bytes()).await;
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
    }
    let key = LedgerKey::new(&config.id, &lost.event_id);
    let known = platform.ledger().known(std::slice::from_ref(&key), platform.now()).await;
    assert_eq!(known, [Ok(None)], "nobody claimed it");
    // It is good for what it is made for.
    let answer = platform.invoke("validator", &sealed).await;
    assert_eq!(answer["statusCode"], 200, "{answer}");
    platform.until_processed(&[key]).await;
}

/// Its record says so: the audit and the console show no part for the whole.
#[tokio::test]
async fn taking_in_that_is_stopped_is_recorded_as_stopped() {
    let platform = Platform::open().await;
    let aws = aws(&platform).await;
    let (config, _) = endpoint(&platform, "stripe").await;
    let name = config.id.as_str();
    let stored = told(&["endpoints", "api-key", name, "--secret-file", "-"], API_KEY);
    assert!(stored.status.success(), "{stored:?}");
    let events = ["stopped", "left"].map(|name| Told::of("stripe", &payment(&platform, name))).into();
    let webhook = json!({ "url": format!("https://x/webhook/{name}"), "enabled_events": ["*"] });
    let state = State { events, webhooks: vec![webhook], most: Some(1), ..State::default() };
    let stand_in = StandIn::start("stripe", API_KEY, state);
    let asked =
        platform.until("the endpoint is listed", async || Asked::of(&aws, &config.id).await.ok()).await;
    for is_stopped in [true, false] {
        let now = clock::now();
        let from = Timestamp::from_second(now.as_second() - 3_600).unwrap();
        let plan = asked.plan(from, now, Vec::new(), now).unwrap();
        let url = stand_in.url();
        let mut client =
            asked.client(&aws, Some(url.as_str()), false, Timing::new(clock::now)).await.unwrap();
        let types = asked.types(&mut client, &plan).await.unwrap();
        let reason = "their outage".parse().unwrap();
        let mut ingestion = Ingestion::begin(&aws, clock::now, &plan, &types, &url, reason).await.unwrap();
        let mut listing = Listing { types, listed: None };
        let stop = AtomicBool::new(is_stopped);
        let each = async |client: &mut Client, page: Vec<(Finding, Item)>| {
            ingestion.page(&asked, client, &page).await
        };
        let compared = asked.compare(&aws, &mut client, &plan, &mut listing, &stop, each).await;
        ingestion.end(compared.as_ref()).await.unwrap();
        let audit = tollgate(&["audit", "--id", ingestion.act(), "--json"]).output().unwrap();
        let lines = String::from_utf8(audit.stdout).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ended: Vec<Value> = lines.filter(|record| record["step"] == "ended").collect();
        let [ended] = ended.as_slice() else { panic!("{ended:?}") };
        let expected = json!({ "handed": { "taken_in": 1 }, "stopped": is_stopped, "error": null });
        assert_eq!(ended["details"], expected, "one of two, and then the other");
    }
}

#[tokio::test]
async fn what_was_refused_here_and_what_the_provider_does_not_know_are_told() {
    let platform = Platform::open().await;
    let (config, sender) = endpoint(&platform, "stripe").await;
    let name = config.id.as_str();
    let keep_rejected = Some(KeepRejected { count: 1_000, bytes: 10_000_000 });
    platform.put_endpoint(&EndpointConfig { keep_rejected, ..config.clone() }).await;
    let stored = told(&["endpoints", "api-key", name, "--secret-file", "-"], API_KEY);
    assert!(stored.status.success(), "{stored:?}");
    let [listed, elsewhere, made_up, refused] =
        ["listed", "elsewhere", "made-up", "refused"].map(|name| payment(&platform, name));
    deliver(&platform, &config, &sender, &[&listed, &elsewhere, &made_up]).await;
    let wrong_key = Sender::new(config.clone(), OTHER_KEY);
    let kept = refused_and_kept(&platform, name, &wrong_key.payment(&refused, platform.now())).await;
    let delivered = [&listed, &elsewhere, &made_up].map(|payment| payment.event_id.clone());
    platform.until_archived_events(ARCHIVED, &delivered).await;

    // The provider knows `elsewhere` by its id, and lists it at another time.
    let at_another_time = Told { at: platform.now().as_second() - 259_200, ..Told::of("stripe", &elsewhere) };
    let webhook = json!({ "url": format!("https://x/webhook/{name}"), "enabled_events": ["*"] });
    let events = vec![Told::of("stripe", &listed), Told::of("stripe", &refused), at_another_time];
    let state = State { events, webhooks: vec![webhook], ..State::default() };
    let stand_in = StandIn::start("stripe", API_KEY, state);
    let (code, events, last) = reconciled(&config, &stand_in.url(), &["--extra"]);
    let verdicts: BTreeMap<&str, &Value> =
        events.iter().map(|(id, one)| (id.as_str(), &one["verdict"])).collect();
    let expected = BTreeMap::from([
        (listed.event_id.as_str(), json!("present")),
        (refused.event_id.as_str(), json!("refused_by_us")),
        (made_up.event_id.as_str(), json!("extra")),
    ]);
    assert_eq!(verdicts, expected.iter().map(|(id, verdict)| (*id, verdict)).collect());
    assert_eq!(code, Some(1), "{last}");
    let told = &events[&refused.event_id];
    assert_eq!(told["webhook_id"], kept, "{told}");
    assert!(told["note"].as_str().unwrap().contains("signature_mismatch"), "{told}");
    let extra = &events[&made_up.event_id];
    assert_eq!((&extra["our_amount"], &extra["amount"]), (&json!("10.99"), &Value::Null));

    // Without a program that reads the archive what is extra is not known, and what was compared stands.
    let none = ["--extra", "--engine", "duckdb", "--duckdb", "/no/such/program"];
    let (code, events, last) = reconciled(&config, &stand_in.url(), &none);
    assert_eq!((code, &events[&refused.event_id]["verdict"]), (Some(2), &json!("refused_by_us")), "{last}");
    assert!(last["summary"]["notes"].to_string().contains("what is extra is not known"), "{last}");

    // Nobody looks for more than is asked; and what was refused is taken in like what never came.
    let (code, last) = ingested(&config, &stand_in.url());
    assert_eq!((code, &last["ingested"]), (Some(0), &json!({ "taken_in": 1 })), "{last}");
    platform.until_processed(&[LedgerKey::new(&config.id, &refused.event_id)]).await;
    let recorded = platform.recorded(name, &refused.transaction_id).await;
    assert_eq!(recorded[0].authenticity.as_str(), "retrieved");
    let people = tollgate(&["reconcile", name, "--from", "1h", "--extra", "--api-url", &stand_in.url()]);
    let people = { people }.output().unwrap();
    let text = String::from_utf8_lossy(&people.stdout);
    assert_eq!(people.status.code(), Some(1), "{people:?}");
    assert!(text.contains("2 present, 0 missing") && text.contains("1 extra"), "{text}");
}

#[tokio::test]
async fn paypal_is_asked_to_send_what_is_missing_again() {
    let platform = Platform::open().await;
    let (config, _) = endpoint(&platform, "paypal").await;
    let name = config.id.as_str();
    let key = "AeA1QIZXiflr1:EC7-secret";
    let stored = told(&["endpoints", "api-key", name, "--secret-file", "-"], key);
    assert!(stored.status.success(), "{stored:?}");
    let lost = payment(&platform, "lost");
    let webhook = json!({
        "id": "1JE4291016473214C", "url": format!("https://x/webhook/{name}"), "event_types": [{ "name": "PAYMENT.CAPTURE.COMPLETED" }],
    });
    let state =
        State { events: vec![Told::of("paypal", &lost)], webhooks: vec![webhook], ..State::default() };
    let stand_in = StandIn::start("paypal", "AeA1QIZXiflr1:EC7-secret", state);
    let (code, last) = ingested(&config, &stand_in.url());
    assert_eq!((code, &last["ingested"]), (Some(1), &json!({ "resent": 1 })), "it is not here yet: {last}");
    assert_eq!(stand_in.with(|state| state.resent.clone()), [lost.event_id]);
}

#[tokio::test]
async fn adyens_report_is_compared_with_what_took_effect() {
    let platform = Platform::open().await;
    let sender = platform.sender("adyen").await;
    let config = sender.endpoint().config().clone();
    let captured = payment(&platform, "captured");
    let refunded = Payment { kind: Kind::Refund, event_id: platform.unique("refund"), ..captured.clone() };
    let webhooks = [&captured, &refunded].map(|one| sender.payment(one, platform.now()));
    for webhook in &webhooks {
        assert_eq!(platform.send(Some("adyen"), webhook).await.status, 200);
    }
    let keys = [&captured, &refunded].map(|one| LedgerKey::new(&config.id, &adyen_event_id(one)));
    platform.until_processed(&keys).await;
    let header = "Company Account,Merchant Account,Psp Reference,Merchant Reference,Payment Method,Booking Date,TimeZone,\
                  Main Currency,Main Amount,Record Type,Modification Psp Reference";
    let line = |record: &str, amount: &str, own: &str| {
        format!(
            "C,M,{},\"o, 1\",visa,2026-01-31 12:00:00,CET,USD,{amount},{record},{own}",
            captured.transaction_id
        )
    };
    let compared = |lines: &[String]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{header}\n{}\n", lines.join("\n"))).unwrap();
        let path = file.path().to_str().unwrap();
        let output = tollgate(&["reconcile", "adyen", "--json", "--all", "--file", path]).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["verdict"].clone());
        let verdicts: Vec<Value> = lines.filter(|verdict| !verdict.is_null()).collect();
        (output.status.code(), verdicts)
    };
    let good = [
        line("Received", "10.99", ""),
        line("SentForSettle", "10.99", &captured.event_id),
        line("SentForRefund", "-10.99", &refunded.event_id),
    ];
    assert_eq!(compared(&good), (Some(0), vec![json!("present"); 2]));
    let wrong = [
        line("Authorised", "10.99", ""),
        line("SentForRefund", "-10.00", &refunded.event_id),
        line("Chargeback", "-10.99", &platform.unique("chargeback")),
    ];
    assert_eq!(
        compared(&wrong),
        (Some(1), vec![json!("missing"), json!("amount_differs"), json!("missing")])
    );
    assert_eq!(compared(&[line("Authorised", "1", "").replace("CET", "XYZ")]).0, Some(2));
}
