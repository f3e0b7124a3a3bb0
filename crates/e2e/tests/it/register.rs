//! `tollgate endpoints register`: a webhook that is made at a provider, and what it sends then.

use std::{
    io::Write,
    process::{Output, Stdio},
};

use serde_json::{Value, json};
use tollgate_e2e::Platform;
use tollgate_testkit::{
    provider_api::{StandIn, State},
    webhook::{KEY, Payment, Sender, config},
};

use crate::tool::{said, tollgate};

const API_KEY: &str = "rk_test_that_may_write";
const REASON: &str = "the shop opens";

/// `endpoints register`, with a key of the provider's API on its standard input.
fn register(arguments: &[&str], key: &str) -> Output {
    let mut tool = tollgate(&[&["endpoints", "register", "--api-key-file", "-"], arguments].concat());
    let mut tool = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Who is refused for its arguments does not read it.
    let _ = tool.stdin.take().unwrap().write_all(key.as_bytes());
    tool.wait_with_output().unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

async fn secret(platform: &Platform, name: &str) -> Option<String> {
    let manager = aws_sdk_secretsmanager::Client::new(platform.config());
    manager.get_secret_value().secret_id(name).send().await.ok()?.secret_string
}

#[tokio::test]
async fn a_webhook_is_made_and_what_it_signs_is_taken() {
    let platform = Platform::open().await;
    let id = platform.unique("made");
    let name = format!("tollgate/{}/{id}", platform.suffix());
    let config =
        tollgate_core::EndpointConfig { secret: format!("secretsmanager:{name}"), ..config(&id, "stripe") };
    platform.put_endpoint(&config).await;
    let stand_in = StandIn::start("stripe", API_KEY, State::default());
    let webhooks = || stand_in.with(|state| state.webhooks.clone());
    let (url, api) = (format!("https://api.example.com/webhook/{id}"), stand_in.url());
    let of = [id.as_str(), "--url", &url, "--api-url", &api];
    let done = ["--yes", "--reason", REASON];

    let dry = register(&of, API_KEY);
    assert!(dry.status.success() && said(&dry).contains("nothing was done"), "{dry:?}");
    assert_eq!((webhooks().len(), secret(&platform, &name).await), (0, None));
    assert_eq!(register(&[&of[..], &["--yes"]].concat(), API_KEY).status.code(), Some(2), "without a reason");
    assert_eq!(register(&[&of[..], &done[..]].concat(), "rk_of_another").status.code(), Some(2));
    assert_eq!(webhooks().len(), 0);

    let made = register(&[&of[..], &done[..], &["--json"]].concat(), API_KEY);
    assert!(made.status.success(), "{made:?}");
    let told = json_of(&made);
    let key = webhooks()[0]["secret"].as_str().unwrap().to_owned();
    assert_eq!(told["done"]["stored"], webhooks()[0]["id"]);
    assert_eq!(secret(&platform, &name).await.as_deref(), Some(key.as_str()));
    assert!(!said(&made).contains(&key) && !said(&made).contains(API_KEY));
    // Who did it, and to which; the key is in no record.
    let audit = tollgate(&["audit", "--id", &id, "--json"]).output().unwrap();
    let records = said(&audit);
    assert!(records.contains("endpoints register") && records.contains(REASON), "{records}");
    assert!(
        records.lines().count() == 2 && records.contains("\"we_1\"") && !records.contains(&key),
        "{records}"
    );

    let sender = Sender::new(config, &key);
    let event = platform.unique("sent");
    let webhook = sender.payment(&Payment::new(&event, &event, platform.now()), platform.now());
    platform
        .until("the endpoint serves", async || {
            (platform.send(Some(&id), &webhook).await.status == 200).then_some(())
        })
        .await;

    let again = register(&[&of[..], &done[..]].concat(), API_KEY);
    assert!(again.status.success() && said(&again).contains("its key is stored"), "{again:?}");
    assert_eq!(webhooks().len(), 1);
    stand_in.with(|state| state.webhooks[0]["status"] = json!("disabled"));
    let off = register(&of, API_KEY);
    assert_eq!(off.status.code(), Some(1), "{off:?}");
    assert!(said(&off).contains("switched off"), "{off:?}");
    stand_in.with(|state| state.webhooks[0]["status"] = json!("enabled"));
    // Events that nobody is told are missed.
    stand_in.with(|state| state.webhooks[0]["enabled_events"] = json!(["charge.captured", "made.up"]));
    let few = register(&of, API_KEY);
    let text = said(&few);
    assert_eq!(few.status.code(), Some(1), "{text}");
    assert!(
        text.contains("MISSED") && text.contains("1 not known here") && text.contains("made.up"),
        "{text}"
    );
}

#[tokio::test]
async fn a_key_that_was_lost_is_replaced() {
    let platform = Platform::open().await;
    let id = platform.unique("lost");
    let name = format!("tollgate/{}/{id}", platform.suffix());
    let config =
        tollgate_core::EndpointConfig { secret: format!("secretsmanager:{name}"), ..config(&id, "stripe") };
    platform.put_endpoint(&config).await;
    // The key of tests, as `apply --generate-secrets` makes it.
    let manager = aws_sdk_secretsmanager::Client::new(platform.config());
    manager.create_secret().name(&name).secret_string(KEY).send().await.unwrap();
    let url = format!("https://api.example.com/webhook/{id}");
    // Made by somebody who died before storing its key.
    let lost = json!({ "id": "we_lost", "url": url, "enabled_events": ["*"], "status": "enabled", "secret": "whsec_lost" });
    let stand_in = StandIn::start("stripe", API_KEY, State { webhooks: vec![lost], ..State::default() });
    let api = stand_in.url();
    let of = [id.as_str(), "--url", &url, "--api-url", &api];
    let done = ["--yes", "--reason", REASON];

    let told = register(&[&of[..], &done[..]].concat(), API_KEY);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    assert!(said(&told).contains("nobody knows here"), "{told:?}");
    assert_eq!(secret(&platform, &name).await.as_deref(), Some(KEY), "and nothing is done");
    let replaced = register(&[&of[..], &["--replace"], &done[..]].concat(), API_KEY);
    assert!(replaced.status.success() && said(&replaced).contains("removed: we_lost"), "{replaced:?}");
    let webhooks = stand_in.with(|state| state.webhooks.clone());
    assert_eq!(webhooks.len(), 1);
    assert_eq!(secret(&platform, &name).await.as_deref(), webhooks[0]["secret"].as_str());

    // Where no API makes webhooks, it is said how it is done.
    let by_hand = register(&["adyen", "--url", "https://api.example.com/webhook/adyen"], API_KEY);
    assert_eq!(by_hand.status.code(), Some(2), "{by_hand:?}");
    assert!(said(&by_hand).contains("nobody knows here how to make a webhook"), "{by_hand:?}");
}
