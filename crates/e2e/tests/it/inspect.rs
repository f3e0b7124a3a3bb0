//! `tollgate inspect`: the way of real webhooks through the real functions, by each id that leads to it.

use std::process::Output;

use serde_json::{Value, json};
use tollgate_core::{Authenticity, EndpointId, LedgerKey, Timestamp};
use tollgate_e2e::Platform;
use tollgate_pipeline::ports::{Link, Transactions};
use tollgate_testkit::webhook::{Payment, Sender};

use crate::tool::tollgate;

const DAY: i64 = 24 * 60 * 60;
/// A test number of a card.
const CARD: &str = "4111111111111111";

fn tool(arguments: &[&str]) -> Output {
    tollgate(&["inspect"]).args(arguments).output().unwrap()
}

/// What is recorded of acts on a webhook.
fn records(webhook_id: &str) -> Vec<Value> {
    let listed = tollgate(&["audit", "--id", webhook_id, "--json"]).output().unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let lines = String::from_utf8(listed.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What it finds of an id.
fn inspect(id: &str) -> Value {
    let output = tool(&[id, "--json"]);
    assert!(output.status.success(), "{id}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A delivery of what was found.
fn delivery<'a>(way: &'a Value, webhook_id: &str) -> &'a Value {
    let webhooks = way["webhooks"].as_array().unwrap();
    let found = webhooks.iter().find(|webhook| webhook["webhook_id"] == webhook_id);
    found.unwrap_or_else(|| panic!("{webhook_id} is not among {webhooks:#?}"))
}

/// The steps of a part.
fn steps<'a>(webhook: &'a Value, part: &str) -> Vec<&'a Value> {
    webhook["steps"].as_array().unwrap().iter().filter(|step| step["part"] == part).collect()
}

/// The one step of a part.
fn step<'a>(webhook: &'a Value, part: &str) -> &'a Value {
    let [step] = steps(webhook, part)[..] else { panic!("{part} of {webhook:#}") };
    step
}

fn event(
    kind: &str,
    id: &str,
    transaction: &str,
    movement: Option<&str>,
    amount: &str,
    at: Timestamp,
) -> Value {
    let mut event = json!({
        "event_id": id, "transaction_type": kind, "transaction_id": transaction, "amount": amount,
        "currency": "USD", "timestamp": at.to_string(), "metadata": {"note": format!("card {CARD}")},
    });
    if let Some(movement) = movement {
        event["movement_id"] = movement.into();
    }
    event
}

/// Sends an event and says the webhook's id.
pub(crate) async fn send(platform: &Platform, sender: &Sender, event: &Value, status: u16) -> String {
    let webhook = sender.sign("", event.to_string().as_bytes(), platform.now());
    let answer = platform.send(None, &webhook).await;
    assert_eq!(answer.status, status, "{answer:?}");
    answer.body["webhook_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_payment_and_its_refund_are_shown_whole_by_each_of_their_ids() {
    let platform = Platform::alone().await;
    let sender = platform.sender("acme").await;
    let endpoint = *sender.endpoint().id();
    let id = |name: &str| platform.unique(name);
    let (payment, order) = (id("pay"), id("order"));
    let (paid, again, refund, refunded) = (id("paid"), id("again"), id("refund"), id("refunded"));
    let now = platform.now();
    // The refund arrives first.
    let earlier = Timestamp::from_second(now.as_second() - 60).unwrap();
    let refund_webhook =
        send(&platform, &sender, &event("refund", &refunded, &payment, Some(&refund), "5.00", now), 200)
            .await;
    platform.until_processed(&[LedgerKey::new(&endpoint, &refunded)]).await;
    let paid_webhook =
        send(&platform, &sender, &event("payment", &paid, &payment, None, "25000.00", earlier), 200).await;
    platform.until_processed(&[LedgerKey::new(&endpoint, &paid)]).await;
    // Another event of the same effect.
    let again_webhook =
        send(&platform, &sender, &event("payment", &again, &payment, None, "25000.00", earlier), 200).await;
    platform.until_processed(&[LedgerKey::new(&endpoint, &again)]).await;
    let webhooks = [refund_webhook.clone(), paid_webhook.clone(), again_webhook.clone()];
    platform.archived(&webhooks).await;
    platform
        .until("the fraud detector has decided", async || {
            let history = platform.history("acme", &payment).await;
            history.iter().any(|item| item.contains_key("fraud_decision")).then_some(())
        })
        .await;
    let link = Link {
        alias: format!("acme#{order}"),
        of: format!("acme#{payment}"),
        authenticity: Authenticity::Verified,
        is_known: false,
    };
    assert!(platform.transactions().link(&[link]).await.iter().all(Result::is_ok));

    let paid_id = LedgerKey::new(&endpoint, &paid).event_id();
    for (asked, kind) in [
        (paid_webhook.as_str(), "webhook"),
        (paid_id.as_str(), "event"),
        (&paid, "provider_event"),
        (&payment, "transaction"),
        (&order, "alias"),
        (&refund, "movement"),
    ] {
        let way = inspect(asked);
        assert!(way["names"].as_array().unwrap().iter().any(|name| name["kind"] == kind), "{asked}: {way:#}");
        let of_refund = kind == "movement";
        let webhook = delivery(&way, if of_refund { &refund_webhook } else { &paid_webhook });
        assert_eq!(webhook["endpoint"], "acme");
        assert_eq!(webhook["receipt"]["authenticity"], "verified");
        assert_eq!(webhook["receipt"]["is_of_archived_body"], true);
        for (part, progress) in [
            ("arrival", "done"),
            ("signature", "done"),
            ("claim", "done"),
            ("queue", "implied"),
            ("transaction", "done"),
            ("bus", "implied"),
            ("archive", "done"),
        ] {
            assert_eq!(step(webhook, part)["progress"], progress, "{part} of {asked}: {webhook:#}");
        }
        assert_eq!(
            webhook["steps"].as_array().unwrap().iter().filter(|step| step["cause"].is_string()).count(),
            0
        );
        let targets = steps(webhook, "target");
        let to = |queue: &str| targets.iter().any(|step| step["detail"].as_str().unwrap().contains(queue));
        assert_eq!((to("payments-queue"), to("refunds-queue")), (!of_refund, of_refund), "{targets:#?}");
        // In the order in which they happened, with the order of arrival beside it.
        let [shown] = &way["payments"].as_array().unwrap()[..] else { panic!("{way:#}") };
        let events = shown["events"].as_array().unwrap();
        let kinds: Vec<_> = events.iter().map(|one| one["event"]["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["payment.succeeded", "payment.succeeded", "refund.succeeded"], "{asked}");
        assert_eq!(events[2]["arrived_as"], 1);
        let of = |id: &str| events.iter().find(|one| one["event"]["provider_event_id"] == id).unwrap();
        assert_eq!((&of(&paid)["event"]["restates"], &of(&paid)["arrived_as"]), (&Value::Null, &json!(2)));
        assert_eq!(of(&again)["event"]["restates"], paid_id.as_str());
        assert_eq!(of(&again)["effect_told_by"], paid_id.as_str());
        assert_eq!(of(&paid)["claim"]["state"], "processed");
        assert_eq!(of(&paid)["decision"]["score"], 40, "{events:#?}");
    }
    // Of high value: the workflow ran. What restates it goes to nobody but the log.
    let way = inspect(&again_webhook);
    let left_out: Vec<_> = steps(delivery(&way, &again_webhook), "target")
        .into_iter()
        .map(|step| step["progress"].as_str().unwrap())
        .collect();
    assert_eq!(left_out, ["left_out", "left_out", "implied"]);
    let way = inspect(&paid_webhook);
    let workflow = steps(delivery(&way, &paid_webhook), "target");
    assert!(workflow.iter().any(|step| step["progress"] == "done"), "{workflow:#?}");

    // The body is shown where it is asked for, and masked.
    let way = inspect(&paid_webhook);
    assert!(delivery(&way, &paid_webhook)["body"].is_null() && !way.to_string().contains(CARD));
    let shown = tool(&[&paid_webhook, "--raw"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("411111******1111") && !shown.contains(CARD), "{shown}");
    // As it came it is shown for a reason alone, which is recorded before.
    for short in [
        &[&paid_webhook, "--reveal"][..],
        &[&paid_webhook, "--raw", "--reveal"],
        &[&paid_webhook, "--reason", "x"],
    ] {
        assert_eq!(tool(short).status.code(), Some(2), "{short:?}");
    }
    let reason = id("the cardholder disputes it");
    let shown = tool(&[&paid_webhook, "--raw", "--reveal", "--reason", &reason, "--json"]);
    let way: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let body: Value = serde_json::from_str(delivery(&way, &paid_webhook)["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["metadata"]["note"], format!("card {CARD}"));
    let records = records(&paid_webhook);
    let steps: Vec<&Value> = records.iter().map(|record| &record["step"]).collect();
    assert_eq!(steps, ["begun", "ended"], "{records:#?}");
    assert!(records.iter().all(|record| record["reason"] == reason && record["action"] == "inspect reveal"));
    // Where nothing is found the answer is no.
    assert_eq!(tool(&[&id("none")]).status.code(), Some(1));
}

/// What never went all the way says where it ended, and why.
#[tokio::test]
async fn what_stopped_says_where_and_why() {
    let platform = Platform::alone().await;
    // Too old: Razorpay signs no time.
    let sender = platform.sender("razorpay").await;
    let id = platform.unique("old");
    let at = Timestamp::from_second(platform.now().as_second() - 45 * DAY).unwrap();
    let webhook = sender.payment(&Payment::new(&id, &id, at), platform.now());
    let answer = platform.send(Some("razorpay"), &webhook).await;
    let too_old = answer.body["webhook_id"].as_str().unwrap().to_owned();
    platform.archived(std::slice::from_ref(&too_old)).await;
    let way = platform
        .until("it is among the dead letters", async || {
            let way = inspect(&too_old);
            let found =
                step(delivery(&way, &too_old), "queue")["detail"].as_str()?.contains("webhook-intake-dlq");
            found.then_some(way)
        })
        .await;
    let webhook = delivery(&way, &too_old);
    let queue = step(webhook, "queue");
    assert_eq!(queue["progress"], "stopped");
    assert!(queue["detail"].as_str().unwrap().starts_with("set aside as too_old_to_tell"), "{queue:#}");
    assert!(queue["cause"].as_str().unwrap().contains("tollgate allow"), "{queue:#}");
    assert!(step(webhook, "claim")["detail"].as_str().unwrap().contains("too old"), "{webhook:#}");
    let archive = step(webhook, "archive")["detail"].as_str().unwrap();
    assert!(archive.starts_with("set_aside (too_old_to_tell)"), "{archive}");
    // What it would have told is read of its body.
    assert_eq!(webhook["events"][0]["transaction_id"], id.as_str());

    // A conflict: the same event id with another amount.
    let sender = platform.sender("acme").await;
    let (payment, paid) = (platform.unique("pay"), platform.unique("paid"));
    let told = |amount| event("payment", &paid, &payment, None, amount, platform.now());
    let first = send(&platform, &sender, &told("1.00"), 200).await;
    let key = LedgerKey::new(&EndpointId::new("acme").unwrap(), &paid);
    platform.until_processed(&[key]).await;
    let second = send(&platform, &sender, &told("2.00"), 409).await;
    let way = platform
        .until("the conflict is set aside", async || {
            let way = inspect(&second);
            let is_there =
                steps(delivery(&way, &second), "queue").iter().any(|step| step["progress"] == "stopped");
            is_there.then_some(way)
        })
        .await;
    let webhook = delivery(&way, &second);
    let claim = step(webhook, "claim");
    assert!(claim["detail"].as_str().unwrap().contains("a conflict"), "{claim:#}");
    assert!(step(webhook, "queue")["detail"].as_str().unwrap().contains("conflicting_facts"), "{webhook:#}");
    platform.archived(std::slice::from_ref(&first)).await;
    let way = inspect(&paid);
    assert_eq!(way["payments"][0]["conflicts"][0]["webhook_id"], second.as_str(), "{way:#}");
    assert_eq!(step(delivery(&way, &first), "claim")["progress"], "done");

    // A forgery: nothing is kept of it but the validator's line.
    let mut forged = sender.sign("", told("1.00").to_string().as_bytes(), platform.now());
    forged.body.push(b' ');
    let answer = platform.send(None, &forged).await;
    assert_eq!(answer.status, 401);
    let refused = answer.body["webhook_id"].as_str().unwrap();
    let way = inspect(refused);
    let arrival = step(delivery(&way, refused), "arrival");
    assert_eq!(arrival["progress"], "stopped");
    assert!(arrival["detail"].as_str().unwrap().contains("401"), "{arrival:#}");
    let shown = String::from_utf8(tool(&[refused]).stdout).unwrap();
    assert!(shown.contains("gaps:") && shown.contains("likely: the key"), "{shown}");
}
