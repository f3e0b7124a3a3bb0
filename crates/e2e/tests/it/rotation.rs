//! A signing key is changed while webhooks arrive.

use std::{
    io::Write,
    process::{Output, Stdio},
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};

use tollgate_pipeline::ports::Secrets;
use tollgate_providers::Secret;
use tollgate_testkit::webhook::{KEY, OTHER_KEY, Payment, Sender, config};

use tollgate_e2e::Platform;

use crate::tool::tollgate;

const THIRD_KEY: &str = "a third key, of which nobody knew";
/// Every copy of the validator has its own reading: so many answers in a row are taken for all of them.
const IN_A_ROW: usize = 12;

#[tokio::test]
async fn a_rotation_is_followed_without_a_refusal_in_between() {
    let platform = Platform::open().await;
    let name = platform.unique("rotated");
    let secret = format!("tollgate/{}/{name}", platform.suffix());
    let endpoint = tollgate_core::EndpointConfig {
        secret: format!("secretsmanager:{secret}"),
        ..config(&name, "stripe")
    };
    let manager = aws_sdk_secretsmanager::Client::new(platform.config());
    manager.create_secret().name(&secret).secret_string(KEY).send().await.unwrap();
    platform.put_endpoint(&endpoint).await;
    let serial = AtomicU32::new(0);
    let status = async |key: &str| {
        let id = format!("{name}-{}", serial.fetch_add(1, SeqCst));
        let webhook = Sender::new(endpoint.clone(), key)
            .payment(&Payment::new(&id, &id, platform.now()), platform.now());
        platform.send(Some(&name), &webhook).await.status
    };
    let all = async |key: &str, wanted: u16| {
        let statuses = futures_util::future::join_all((0..IN_A_ROW).map(|_| status(key))).await;
        statuses.iter().all(|status| *status == wanted).then_some(())
    };
    platform.until("the endpoint serves", async || all(KEY, 200).await).await;
    assert_eq!(status(OTHER_KEY).await, 401, "not a key of it yet");

    manager.put_secret_value().secret_id(&secret).secret_string(OTHER_KEY).send().await.unwrap();
    platform
        .until("the new key is good", async || {
            assert_eq!(status(KEY).await, 200, "the key before it is good all the time");
            all(OTHER_KEY, 200).await
        })
        .await;
    assert_eq!(status(KEY).await, 200);

    manager.put_secret_value().secret_id(&secret).secret_string(THIRD_KEY).send().await.unwrap();
    platform
        .until("the oldest key is refused", async || {
            assert_eq!(status(OTHER_KEY).await, 200, "the key before the current one is good all the time");
            all(KEY, 401).await
        })
        .await;
    platform.until("the newest key is good", async || all(THIRD_KEY, 200).await).await;
}

/// As after an environment was destroyed and deployed again: its secrets wait for their deletion, and their names are taken.
#[tokio::test]
async fn a_secret_that_waits_for_its_deletion_is_restored() {
    let platform = Platform::open().await;
    let name = platform.unique("restored");
    let secret = format!("tollgate/{}/{name}", platform.suffix());
    let manager = aws_sdk_secretsmanager::Client::new(platform.config());
    manager.create_secret().name(&secret).secret_string(KEY).send().await.unwrap();
    manager.delete_secret().secret_id(&secret).recovery_window_in_days(30).send().await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "[[endpoints]]\nid = \"{name}\"\nscheme = \"stripe\"\nsecret = \"secretsmanager:{secret}\"\n"
    );
    std::fs::write(file.path(), text).unwrap();
    let apply = || {
        let done = tollgate(&["endpoints", "apply", file.path().to_str().unwrap(), "--generate-secrets"])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };

    assert!(apply().contains("restored"));
    assert!(apply().contains("kept"));
    let value = manager.get_secret_value().secret_id(&secret).send().await.unwrap();
    assert_eq!(value.secret_string(), Some(KEY), "the key that the provider knows, and no generated one");

    // Whoever restored it did not come so far as to encrypt it anew.
    let before = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555";
    manager.update_secret().secret_id(&secret).kms_key_id(before).send().await.unwrap();
    assert!(apply().contains("kept"));
    let described = manager.describe_secret().secret_id(&secret).send().await.unwrap();
    assert_eq!(
        described.kms_key_id(),
        Some("alias/aws/secretsmanager"),
        "of this deployment, which has none of its own"
    );
}

/// The operator's tool, with a key on its standard input.
fn rotate(name: &str, key: &str, more: &[&str]) -> Output {
    let mut tool = tollgate(&["endpoints", "rotate", name, "--secret-file", "-"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`make test` builds the tool");
    tool.stdin.take().unwrap().write_all(key.as_bytes()).unwrap();
    tool.wait_with_output().unwrap()
}

/// After a rotation the key before it stays good. After it is revoked, no key of before is, in Secrets Manager and in
/// Parameter Store.
#[tokio::test]
async fn a_revoked_key_is_good_no_more() {
    let platform = Platform::open().await;
    let suffix = platform.suffix().to_owned();
    for (kind, place) in [("manager", "secretsmanager:tollgate/{}/"), ("ssm", "ssm:/tollgate/{}/secrets/")] {
        let name = platform.unique(&format!("revoked-{kind}"));
        let secret = format!("{}{name}", place.replace("{}", &suffix));
        let endpoint = tollgate_core::EndpointConfig { secret, ..config(&name, "stripe") };
        platform.put_endpoint(&endpoint).await;
        let good = async || {
            let keys = platform.secrets().keys(&endpoint.secret).await.unwrap();
            [KEY, OTHER_KEY, THIRD_KEY]
                .map(|key| keys.iter().any(|one| one.secret.is_same(&Secret::new(key))))
        };
        for (key, more, wanted) in [
            (KEY, &[][..], [true, false, false]),
            (OTHER_KEY, &[], [true, true, false]),
            (THIRD_KEY, &["--revoke"], [false, false, true]),
        ] {
            let output = rotate(&name, key, more);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{kind} {more:?}: {said}");
            assert_eq!(good().await, wanted, "{kind} {more:?}");
        }
        let again = rotate(&name, THIRD_KEY, &["--revoke"]);
        assert_eq!(again.status.code(), Some(2), "a key does not take the place of itself");
        assert_eq!(good().await, [false, false, true], "{kind}");
    }
}
