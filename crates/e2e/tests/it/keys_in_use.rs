//! `tollgate endpoints check`: which key verified the webhooks that the archive has, before, in and after a rotation.

use std::{
    io::Write,
    process::Output,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use serde_json::Value;
use tempfile::NamedTempFile;
use tollgate_e2e::Platform;
use tollgate_testkit::webhook::{Payment, Sender};

use crate::tool::tollgate;

/// The local platform's SecretTtlSeconds (infra/params/local.json).
const TTL: &str = "5";
/// Some times to live, and some windows of the archive.
const WITHIN: Duration = Duration::from_secs(180);

fn endpoints(arguments: &[&str]) -> Output {
    tollgate(&[&["endpoints"], arguments].concat()).output().unwrap()
}

/// What it says of the endpoint, and its exit code.
fn check(id: &str, more: &[&str]) -> (Value, Option<i32>) {
    let output = endpoints(&[&["check", id, "--json"], more].concat());
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let first = text.lines().next().unwrap_or_else(|| panic!("{output:?}"));
    (serde_json::from_str(first).unwrap(), output.status.code())
}

/// Sends a webhook that is accepted and archived.
async fn sent(platform: &Platform, id: &str, sender: &Sender, name: &str) {
    let event = platform.unique(name);
    let answer = platform
        .until("the webhook is accepted", async || {
            let webhook = sender.payment(&Payment::new(&event, &event, platform.now()), platform.now());
            let answer = platform.send(Some(id), &webhook).await;
            answer.is_success().then_some(answer)
        })
        .await;
    platform.archived(&[answer.body["webhook_id"].as_str().unwrap().to_owned()]).await;
}

#[tokio::test]
async fn a_rotation_is_safe_to_finish_once_the_old_key_is_quiet() {
    let platform = Platform::open().await;
    let id = platform.unique("rotated");
    let mut file = NamedTempFile::new().unwrap();
    let secret = format!("secretsmanager:tollgate/{{suffix}}/{id}");
    writeln!(file, "[[endpoints]]\nid = \"{id}\"\nscheme = \"stripe\"\nsecret = \"{secret}\"").unwrap();
    let file = file.path().to_str().unwrap();
    let applied = endpoints(&["apply", file, "--generate-secrets"]);
    assert!(applied.status.success(), "{applied:?}");
    let old = platform.sender(&id).await;
    sent(&platform, &id, &old, "one").await;
    let (found, code) = check(&id, &[]);
    assert_eq!((&found["rotation"], code), (&"none".into(), Some(0)), "{found}");
    assert_eq!((&found["uses"][0]["key_id"], &found["uses"][0]["webhooks"]), (&"current".into(), &1.into()));

    // Stripe issues the keys, so that none is made here.
    assert_eq!(endpoints(&["rotate", &id]).status.code(), Some(2));
    let mut key = NamedTempFile::new().unwrap();
    write!(key, "whsec_{id}_{id}").unwrap();
    let key = key.path().to_str().unwrap();
    assert!(endpoints(&["rotate", &id, "--secret-file", key]).status.success());
    // What was current before it proves nothing of the new key.
    let (found, code) = check(&id, &[]);
    assert_eq!((&found["rotation"], code), (&"unproven".into(), Some(0)), "{found}");
    let new = platform.sender(&id).await;
    // What came by the new key just now may have been verified by a validator that does not know of it.
    sent(&platform, &id, &new, "two").await;
    let (found, code) = check(&id, &["--quiet", "0"]);
    assert_eq!((&found["rotation"], code), (&"unproven".into(), Some(0)), "{found}");
    let number = AtomicU32::new(0);
    let name = || format!("more-{}", number.fetch_add(1, SeqCst));
    let found = platform
        .until_within(WITHIN, "the old key is known to be old", async || {
            sent(&platform, &id, &old, &name()).await;
            let (found, code) = check(&id, &[]);
            (found["rotation"] == "in_use").then(|| assert_eq!(code, Some(1))).map(|()| found)
        })
        .await;
    assert!(found["uses"].as_array().unwrap().iter().any(|one| one["key_id"] == "previous"), "{found}");
    let found = platform
        .until_within(WITHIN, "the new key verifies, and not the old one", async || {
            sent(&platform, &id, &new, &name()).await;
            let (found, code) = check(&id, &["--quiet", "0", "--ttl", TTL]);
            (found["rotation"] == "safe").then(|| assert_eq!(code, Some(0))).map(|()| found)
        })
        .await;
    assert!(found["previous_last"].is_string(), "{found}");
    assert_eq!(check(&id, &[]).1, Some(1), "a day is not over");

    // Of the file everything else is drift, and of the endpoint alone nothing.
    let output = endpoints(&["check", &id, "--quiet", "0", "--ttl", TTL, "--file", file]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success() && text.contains("as the file says"), "{output:?}");
    assert_eq!(endpoints(&["check", "nobody"]).status.code(), Some(2));
    assert!(endpoints(&["remove", &id]).status.success());
}

#[tokio::test]
async fn what_an_endpoint_fetches_by_is_missed_until_it_is_stored() {
    let platform = Platform::open().await;
    let id = platform.unique("fetches");
    let secret = format!("secretsmanager:tollgate/{{suffix}}/{id}");
    let mut file = NamedTempFile::new().unwrap();
    write!(file, "[[endpoints]]\nid = \"{id}\"\nscheme = \"stripe\"\nsecret = \"{secret}\"\nenrich = true\n")
        .unwrap();
    let apply = ["apply", file.path().to_str().unwrap(), "--generate-secrets"];
    let warns = |output: &Output| String::from_utf8_lossy(&output.stderr).contains("endpoints api-key");
    let doctor = || {
        let output = tollgate(&["doctor", "--json"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut findings = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let is_it =
            |one: &Value| one["detail"].as_str().is_some_and(|detail| detail.contains("tollgate-api/"));
        findings.find(|one| is_it(one) && one["of"] == id.as_str()).unwrap()["verdict"].clone()
    };

    let applied = endpoints(&apply);
    assert!(applied.status.success() && warns(&applied), "{applied:?}");
    let (found, code) = check(&id, &[]);
    assert_eq!((&found["secret"], &found["api_key"], code), (&"there".into(), &"missing".into(), Some(1)));
    assert_eq!(doctor(), "fail");

    let mut key = NamedTempFile::new().unwrap();
    writeln!(key, "rk_test_stored").unwrap();
    let stored = endpoints(&["api-key", &id, "--secret-file", key.path().to_str().unwrap()]);
    assert!(stored.status.success(), "{stored:?}");
    let applied = endpoints(&apply);
    assert!(applied.status.success() && !warns(&applied), "{applied:?}");
    let (found, code) = check(&id, &[]);
    assert_eq!((&found["api_key"], code), (&"there".into(), Some(0)), "{found}");
    assert_eq!(doctor(), "ok");
    assert!(endpoints(&["remove", &id]).status.success());
}
