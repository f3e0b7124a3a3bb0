//! A secret that was wrongly set: webhooks are refused and kept, seen, explained, and taken in once, after the key was mended.

use std::{
    io::Write,
    process::{Output, Stdio},
};

use serde_json::{Value, json};
use tollgate_core::{EndpointConfig, KeepRejected, LedgerKey, Timestamp};
use tollgate_e2e::Platform;
use tollgate_pipeline::rejected::KEPT_SECONDS;
use tollgate_providers::SignedWebhook;
use tollgate_testkit::webhook::{KEY, OTHER_KEY, Payment, Sender, config};

use crate::tool;

const FORGERS_KEY: &str = "a key of which nobody here knows, and nobody shall";
const CARD: &str = "4242424242424242";

fn tollgate(arguments: &[&str], input: &str) -> Output {
    let mut tool = tool::tollgate(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    tool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    tool.wait_with_output().unwrap()
}

/// What it prints, where it ends so.
#[track_caller]
pub(crate) fn says(code: i32, arguments: &[&str], input: &str) -> String {
    let output = tollgate(arguments, input);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap() + &told
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// Delivers a webhook until one delivery of it is refused and kept, as its provider does; that delivery's id.
pub(crate) async fn refused_and_kept(platform: &Platform, endpoint: &str, webhook: &SignedWebhook) -> String {
    platform
        .until("a refused webhook is kept", async || {
            let answer = platform.send(Some(endpoint), webhook).await;
            // Validators learn of an endpoint when they next read the configuration.
            if answer.status != 401 {
                return None;
            }
            assert_eq!(answer.body["error"], "invalid signature", "nothing of it is told");
            let id = answer.body["webhook_id"].as_str().unwrap().to_owned();
            let list = ["rejected", "ingest", "--endpoint", endpoint, "--id", &id, "--json"];
            let listed = tollgate(&list, "");
            let text = String::from_utf8(listed.stdout).unwrap();
            let is_kept = lines(&text).iter().any(|line| line["webhook_id"] == *id);
            assert_eq!(listed.status.code(), Some(i32::from(!is_kept)), "one that is not kept is told");
            is_kept.then_some(id)
        })
        .await
}

#[tokio::test]
async fn what_was_refused_for_a_wrong_key_is_taken_in_once_it_is_mended() {
    let platform = Platform::open().await;
    let name = platform.unique("mended");
    let secret = format!("tollgate/{}/{name}", platform.suffix());
    let manager = aws_sdk_secretsmanager::Client::new(platform.config());
    // Somebody stored another endpoint's key.
    manager.create_secret().name(&secret).secret_string(KEY).send().await.unwrap();
    let endpoint = EndpointConfig {
        secret: format!("secretsmanager:{secret}"),
        keep_rejected: Some(KeepRejected { count: 1_000, bytes: 10_000_000 }),
        ..config(&name, "stripe")
    };
    platform.put_endpoint(&endpoint).await;

    let provider = Sender::new(endpoint.clone(), OTHER_KEY);
    let at = platform.now();
    let body = |payment: &Payment| {
        payment.body("stripe").unwrap().replacen('{', &format!("{{\"note\":\"{CARD}\","), 1)
    };
    let payments: Vec<Payment> = (0..3)
        .map(|number| Payment::new(format!("evt_{name}_{number}"), format!("pi_{name}_{number}"), at))
        .collect();
    let webhooks: Vec<SignedWebhook> = payments
        .iter()
        .map(|payment| provider.sign(&payment.event_id, body(payment).as_bytes(), at))
        .collect();
    let mut kept = Vec::new();
    for webhook in &webhooks {
        kept.push(refused_and_kept(&platform, &name, webhook).await);
    }
    // The provider tries one of them again, and somebody forges one.
    let again = refused_and_kept(&platform, &name, &webhooks[0]).await;
    let forger = Sender::new(endpoint.clone(), FORGERS_KEY);
    let forged = forger.payment(&Payment::new(format!("evt_{name}_f"), format!("pi_{name}_f"), at), at);
    let forged = refused_and_kept(&platform, &name, &forged).await;

    let groups = lines(&says(0, &["rejected", "list", "--endpoint", &name, "--json"], ""));
    assert!(groups.len() == 1 && groups[0]["reason"] == "signature_mismatch", "{groups:?}");
    assert!(groups[0]["count"].as_u64().unwrap() >= 5, "{groups:?}");
    assert!(says(0, &["rejected", "list", "--endpoint", &name], "").contains("signature_mismatch"));

    let shown = says(0, &["rejected", "show", &kept[0], "--json"], "");
    assert!(!shown.contains(CARD) && shown.contains("424242"), "masked: {shown}");
    let shown = &lines(&shown)[0];
    assert_eq!(
        (&shown["now"]["valid"], &shown["now"]["code"]),
        (&json!(false), &json!("signature_mismatch"))
    );
    assert!(shown["now"]["likely_cause"].is_string(), "{shown}");
    assert_eq!(shown["now"]["signed_content"], "[--reveal shows it]", "{shown}");
    let revealed = says(0, &["rejected", "show", &kept[0], "--reveal", "--reason", "a test", "--json"], "");
    assert!(revealed.contains(CARD));
    let audit = says(0, &["audit", "--action", "rejected show", "--id", &kept[0], "--json"], "");
    assert_eq!(lines(&audit).len(), 2, "{audit}");

    // With the provider's key all verify but the forged one, by the time of their arrival.
    let verify = ["rejected", "verify", "--endpoint", &name, "--secret-file", "-", "--json"];
    let verified = lines(&says(1, &verify, OTHER_KEY));
    let is_valid = |id: &str| verified.iter().any(|one| one["webhook_id"] == *id && one["valid"] == true);
    assert!(kept.iter().chain([&again]).all(|id| is_valid(id)), "{verified:?}");
    assert!(!is_valid(&forged), "{verified:?}");

    // As long as the key is wrong there is nothing to take in.
    let ingest = ["rejected", "ingest", "--endpoint", &name];
    let none = says(1, &[&ingest[..], &["--yes", "--reason", "too early"]].concat(), "");
    assert!(none.contains("nothing can be taken in"), "{none}");
    says(0, &["endpoints", "rotate", &name, "--secret-file", "-"], OTHER_KEY);
    let foreseen = lines(&says(0, &[&ingest[..], &["--json"]].concat(), ""));
    let outcome = |id: &str| foreseen.iter().find(|one| one["webhook_id"] == *id).unwrap()["outcome"].clone();
    assert!(kept.iter().all(|id| outcome(id) == "genuine"), "{foreseen:?}");
    assert_eq!(outcome(&forged), "refused");
    let keys: Vec<LedgerKey> =
        payments.iter().map(|payment| LedgerKey::new(&endpoint.id, &payment.event_id)).collect();
    let known = platform.ledger();
    let known = tollgate_pipeline::ports::Ledger::known(&known, &keys, platform.now()).await;
    assert!(known.iter().all(|known| matches!(known, Ok(None))), "a dry run claims nothing: {known:?}");

    let taken = says(0, &[&ingest[..], &["--yes", "--reason", "the key was mended", "--json"]].concat(), "");
    let taken = lines(&taken);
    let (ended, each) = taken.split_last().unwrap();
    assert!(each.iter().all(|one| one["outcome"] == "taken"), "{taken:?}");
    assert!(each.len() >= 4 && !each.iter().any(|one| one["webhook_id"] == *forged), "{taken:?}");
    let audit = says(
        0,
        &["audit", "--action", "rejected ingest", "--id", ended["act"].as_str().unwrap(), "--json"],
        "",
    );
    let audit = lines(&audit);
    assert_eq!(audit.len(), 3, "before, the part, after: {audit:?}");
    assert!(
        audit.iter().any(|record| record["ids"].as_array().unwrap().contains(&json!(kept[0]))),
        "{audit:?}"
    );

    // Once each, as if they had been accepted when they arrived, and marked.
    platform.until_processed(&keys).await;
    for payment in &payments {
        let recorded = platform.recorded(&name, &payment.transaction_id).await;
        assert_eq!(recorded.len(), 1, "{recorded:?}");
    }
    platform.archived(&kept).await;
    for id in &kept {
        let whole = says(0, &["inspect", id], "");
        assert!(whole.contains("refused when it arrived, and taken in at"), "{whole}");
    }
    assert_eq!(platform.recorded(&name, &format!("pi_{name}_f")).await.len(), 0, "what is forged stays out");

    // The provider tries again, and an operator does.
    assert_eq!(platform.send(Some(&name), &webhooks[0]).await.status, 200);
    says(1, &[&ingest[..], &["--yes", "--reason", "once more"]].concat(), "");
    assert_eq!(platform.recorded(&name, &payments[0].transaction_id).await.len(), 1);
}

#[tokio::test]
async fn what_is_not_kept_by_the_validator_is_not_taken_in() {
    let platform = Platform::open().await;
    let name = platform.unique("planted");
    let now = platform.now();
    let long_ago = Timestamp::from_second(now.as_second() - KEPT_SECONDS - 1).unwrap();
    let id = |at| tollgate_core::WebhookId::new(at, 7);
    let key = |at: Timestamp| format!("rejected/{name}/{}/{}.too_old", at.strftime("%Y-%m-%d"), id(at));
    for (key, error) in [
        (key(now), "it is not there"),
        (key(long_ago), "kept for more than seven days"),
        (format!("2026/01/02/{}", id(now)), "not the name"),
        (format!("materials/{name}.json"), "not the name"),
    ] {
        let task = json!({"task": "take-in-rejected", "key": key, "takes_in": true});
        let verdict = platform.invoke("validator", &task).await;
        assert_eq!(verdict["outcome"], "gone", "{verdict}");
        assert!(verdict["error"].as_str().unwrap().contains(error), "{verdict}");
    }
    // Another body under the name of one that was kept, and another time.
    let put = async |key: &str, object: Value| {
        let put = platform.s3().put_object().bucket(platform.output("PayloadBucket")).key(key);
        put.body(object.to_string().into_bytes().into()).send().await.unwrap();
    };
    let object = |received_at: Timestamp| {
        json!({
            "format": "tollgate.rejected/1", "webhook_id": id(now), "endpoint": name, "provider": "stripe",
            "received_at": received_at, "source_ip": "203.0.113.9", "reason": "too_old", "error": "",
            "request": {"headers": []}, "body_sha256": "00", "encoding": "text", "body": "{}",
        })
    };
    for (received_at, error) in
        [(long_ago, "not the one that its name says"), (now, "not the one that was kept")]
    {
        put(&key(now), object(received_at)).await;
        let task = json!({"task": "take-in-rejected", "key": key(now), "takes_in": true});
        let verdict = platform.invoke("validator", &task).await;
        assert!(verdict["error"].as_str().unwrap().contains(error), "{verdict}");
    }
    // No caller of a front door asks for it.
    let task = json!({"task": "take-in-rejected", "key": key(now), "takes_in": true, "version": "2.0"});
    assert_eq!(platform.invoke("validator", &task).await["statusCode"], 400);
}
