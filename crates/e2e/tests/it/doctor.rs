//! `tollgate doctor` on the local platform: what is wrong is found, with its remedy, and what cannot be asked is not well.

use std::{
    io::Write,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::NamedTempFile;
use tollgate_core::{EndpointConfig, EndpointId};
use tollgate_e2e::Platform;

use crate::tool::tollgate;

fn doctor(arguments: &[&str]) -> Command {
    tollgate(&[&["doctor"], arguments].concat())
}

fn findings(output: &Output) -> Vec<Value> {
    let lines = String::from_utf8(output.stdout.clone()).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The findings of a check whose `of` has this in it.
fn of<'a>(findings: &'a [Value], check: &str, of: &str) -> Vec<&'a Value> {
    let is_it = |one: &&Value| one["check"] == check && one["of"].as_str().unwrap().contains(of);
    findings.iter().filter(is_it).collect()
}

#[tokio::test]
async fn what_is_wrong_is_found_with_its_remedy() {
    let platform = Platform::open().await;
    let like = platform.sender("stripe-eu").await.endpoint().config().clone();
    let put = async |name: &str, quiet_after_hours, secret: Option<String>| {
        let id = EndpointId::new(platform.unique(name)).unwrap();
        let secret = secret.unwrap_or_else(|| like.secret.clone());
        let config = EndpointConfig { id, quiet_after_hours, secret, ..like.clone() };
        platform.put_endpoint(&config).await;
        id.to_string()
    };
    let nowhere = format!("secretsmanager:tollgate/{}/{}", platform.suffix(), platform.unique("none"));
    let keyless = put("keyless", Some(0), Some(nowhere)).await;
    let silent = put("silent", Some(1), None).await;
    let foreign = put("foreign", Some(0), Some("secretsmanager:prod/database".to_owned())).await;
    let dead = platform.output("ArchiveDlqUrl");
    let sent =
        platform.sqs().send_message().queue_url(dead).message_body(platform.unique("dead")).send().await;
    let sent = sent.unwrap();
    let mut file = NamedTempFile::new().unwrap();
    let secret = "secretsmanager:tollgate/{suffix}/stripe-eu";
    writeln!(file, "[[endpoints]]\nid = \"stripe-eu\"\nscheme = \"stripe\"\nsecret = \"{secret}\"\ntolerance_seconds = 61")
        .unwrap();
    let output = doctor(&["--json", "--file", file.path().to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let found = findings(&output);
    for (check, name, verdict, words) in [
        ("keys", keyless.as_str(), "fail", "is not there"),
        ("heard", silent.as_str(), "fail", "silent for"),
        ("endpoints", foreign.as_str(), "fail", "not of this environment"),
        ("drift", "stripe-eu", "warn", "tolerance_seconds"),
        ("drift", keyless.as_str(), "warn", "the environment alone has it"),
        ("dead letters", "archive-queue-dlq", "warn", "wait for a decision"),
    ] {
        let [one] = of(&found, check, name)[..] else { panic!("{check} of {name}: {found:#?}") };
        assert_eq!(one["verdict"], verdict, "{one}");
        assert!(one["detail"].as_str().unwrap().contains(words), "{one}");
        assert!(one["remedy"].is_string(), "{one}");
    }
    // What is well, of each sort of thing that the platform has.
    for (check, name) in [
        ("queues", "webhook-intake-"),
        ("consumers", "webhook-intake-ordered-"),
        ("consumers", "archive-queue-"),
        ("functions", "webhook-processor-"),
        ("release", "all functions"),
        ("clock", "this machine"),
        ("concurrency", "the account"),
        ("alarms", "all"),
        ("tables", "webhook-events-"),
        ("buckets", "tollgate-endpoints-"),
        ("kms key", "alias/tollgate-"),
    ] {
        let all = of(&found, check, name);
        assert!(all.iter().any(|one| one["verdict"] == "ok"), "{check} of {name}: {all:?}");
        assert!(all.iter().all(|one| one["verdict"] != "unknown"), "{check} of {name}: {all:?}");
    }
    let shown = doctor(&[]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(&keyless) && shown.contains("docs/runbook.md#silence"), "{shown}");
    assert!(!shown.contains("this machine"), "what is well is left out: {shown}");

    // The other tests look at every endpoint and every dead letter.
    for id in [keyless, silent, foreign] {
        assert!(tollgate(&["endpoints", "remove", &id]).status().unwrap().success());
    }
    let id = sent.message_id().unwrap();
    platform
        .until("the dead letter is deleted", async || {
            let sqs = platform.sqs();
            let got = sqs.receive_message().queue_url(dead).max_number_of_messages(10).visibility_timeout(0);
            let got = got.send().await.unwrap().messages.unwrap_or_default();
            let mine = got.into_iter().find(|one| one.message_id() == Some(id))?;
            sqs.delete_message()
                .queue_url(dead)
                .receipt_handle(mine.receipt_handle().unwrap())
                .send()
                .await
                .unwrap();
            Some(())
        })
        .await;
}

/// Nobody knows whether a platform is well that cannot be asked.
#[tokio::test]
async fn what_cannot_be_asked_is_not_well() {
    let _platform = Platform::open().await;
    let mut command =
        doctor(&["--json", "--all", "--suffix", "nobody", "--endpoint-url", "http://127.0.0.1:9"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let found = findings(&output);
    assert!(found.len() >= 9, "{found:?}");
    assert!(
        found.iter().all(|one| one["verdict"] == "unknown" || one["verdict"] == "left_out"),
        "{found:#?}"
    );
    assert!(
        found.iter().any(|one| one["detail"].as_str().unwrap().starts_with("cannot be checked")),
        "{found:?}"
    );
}
