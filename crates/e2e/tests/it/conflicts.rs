//! Which of two sets of facts is true: an operator decides it, and no decision has an effect of its own.

use std::process::Output;

use serde_json::{Value, json};
use tollgate_core::{EndpointId, EventId, LedgerKey, Timestamp};
use tollgate_e2e::Platform;

use crate::{
    inspect::send,
    tool::{said, tollgate},
};

fn conflicts(arguments: &[&str]) -> Output {
    tollgate(&["conflicts"]).args(arguments).output().unwrap()
}

/// What it prints where it ends so, line by line.
#[track_caller]
fn lines(code: i32, arguments: &[&str]) -> Vec<Value> {
    let output = conflicts(&[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A payment told by an event of this id.
pub(crate) fn paid(id: &str, payment: &str, amount: &str, at: Timestamp) -> Value {
    json!({
        "event_id": id, "transaction_type": "payment", "transaction_id": payment, "amount": amount, "currency": "USD",
        "timestamp": at.to_string(),
    })
}

/// Waits until the archive has what contradicts. No claim has its seal, so it is there as a message.
pub(crate) async fn can_be_decided(platform: &Platform, webhooks: &[&str]) {
    platform
        .until("the archive has them", async || {
            let foreseen = conflicts(&[&["keep", "--json"], webhooks].concat());
            let foreseen: Value = serde_json::from_slice(&foreseen.stdout).ok()?;
            (foreseen["decided"].as_array()?.len() == webhooks.len()).then_some(())
        })
        .await;
}

#[tokio::test]
async fn an_operator_says_which_facts_are_true_and_no_effect_is_doubled() {
    let platform = Platform::alone().await;
    platform.sqs().purge_queue().queue_url(platform.output("IntakeDlqUrl")).send().await.unwrap();
    let sender = platform.sender("acme").await;
    let endpoint = EndpointId::new("acme").unwrap();
    let (payment, first, corrected, other) = (
        platform.unique("contested"),
        platform.unique("first"),
        platform.unique("corrected"),
        platform.unique("other"),
    );
    let now = platform.now();
    send(&platform, &sender, &paid(&first, &payment, "49.90", now), 200).await;
    platform.until_processed(&[LedgerKey::new(&endpoint, &first)]).await;
    let wrong = send(&platform, &sender, &paid(&first, &payment, "2.00", now), 409).await;
    let right = send(&platform, &sender, &paid(&first, &payment, "1.00", now), 409).await;
    let listed = platform
        .until("both are set aside", async || {
            let listed = lines(0, &["list", "--endpoint", "acme"]);
            let is_there = |id: &String| listed.iter().any(|one| one["webhook_id"] == id.as_str());
            (is_there(&wrong) && is_there(&right)).then_some(listed)
        })
        .await;
    assert_eq!(listed.len(), 2, "{listed:#?}");

    let shown = &lines(0, &["show", &right])[0]["conflicts"][0];
    assert_eq!(shown["provider_event_id"], first.as_str());
    assert_eq!(shown["claim"]["state"], "processed");
    let value = |side: &str| shown[side]["amount"]["value"].clone();
    assert_eq!((value("stands"), value("told")), (json!("49.90"), json!("1.00")), "{shown:#}");
    let table = said(&conflicts(&["show", &right]));
    assert!(table.contains("49.90 USD") && table.contains("1.00 USD") && table.contains("yes"), "{table}");

    // A delivery is named by its own id alone: not by its message's, the reason, or the event's.
    let letters = tollgate(&["dlq", "show", &right, "--json"]).output().unwrap();
    let letter: Value = serde_json::from_slice(&letters.stdout).unwrap();
    let message = letter["message_id"].as_str().unwrap();
    for id in [message, "conflicting_facts", &first] {
        for command in [&["show", id][..], &["keep", id]] {
            let refused = conflicts(command);
            assert!(
                refused.status.code() == Some(2) && said(&refused).contains("a webhook's id"),
                "{id}: {refused:?}"
            );
        }
    }

    // What was not looked at is said, and is not taken for more than may be named.
    let cut = conflicts(&["list", "--most", "1"]);
    assert!(cut.status.success() && said(&cut).contains("has more: of its dead letters 1"), "{cut:?}");
    let none = said(&conflicts(&["list", "--endpoint", "none", "--most", "1"]));
    assert!(none.contains("of those that were looked at no delivery") && none.contains("has more"), "{none}");
    for id in [right.as_str(), "wh_01M8F76DPXW5E2EJGS5YY0C9DM"] {
        let shown = conflicts(&["show", id, "--most", "1"]);
        let is_seen = !shown.stdout.is_empty();
        assert_eq!(shown.status.code(), Some(if is_seen { 0 } else { 2 }), "{id}: {shown:?}");
        let said = said(&shown);
        assert!(said.contains("has more: of its dead letters 1") && !said.contains("name fewer"), "{said}");
        assert!(!is_seen || id == right, "{said}");
    }

    // Nothing is deleted that the archive lacks, nothing is done before it is said, and nothing is taken that no event of its
    // own has told.
    can_be_decided(&platform, &[&wrong, &right]).await;
    let yes = ["--yes", "--reason", "the provider says so"];
    for by in [first.as_str(), corrected.as_str()] {
        let refused = &lines(1, &[&["take", &right, "--by", by][..], &yes].concat())[0];
        assert_eq!(
            (&refused["decided"], &refused["refused"][0][0]),
            (&json!([]), &json!(right)),
            "{refused:#}"
        );
    }
    send(&platform, &sender, &paid(&other, &payment, "3.00", now), 200).await;
    send(&platform, &sender, &paid(&corrected, &payment, "1.00", now), 200).await;
    let told = [&other, &corrected].map(|id| LedgerKey::new(&endpoint, id));
    platform.until_processed(&told).await;
    lines(1, &[&["take", &right, "--by", &other][..], &yes].concat());
    lines(1, &[&["take", &wrong, "--by", &corrected][..], &yes].concat());
    assert_eq!(lines(0, &["list"]).len(), 2, "all of it is there");

    let taken = &lines(0, &[&["take", &right, "--by", &corrected][..], &yes].concat())[0];
    assert_eq!(taken["purged"]["count"], 1, "{taken:#}");
    let kept = &lines(0, &[&["keep", &wrong][..], &yes].concat())[0];
    assert_eq!(kept["purged"]["count"], 1, "{kept:#}");
    assert_eq!(lines(0, &["list"]), Vec::<Value>::new());
    lines(1, &["show", &wrong]);

    // Who decided it, with both sets of facts.
    let records = tollgate(&["audit", "--action", "conflicts", "--id", &right, "--json"]).output().unwrap();
    let records = String::from_utf8(records.stdout).unwrap();
    let begun: Value = serde_json::from_str(records.lines().next().unwrap()).unwrap();
    assert_eq!((&begun["action"], &begun["reason"]), (&json!("conflicts take"), &json!(yes[2])));
    assert_eq!(begun["details"]["conflicts"][0]["conflicts"][0]["stands"]["amount"]["value"], "49.90");

    // The history has what was told as events, and nothing of what was decided; consumers get one of them.
    let history = platform.history("acme", &payment).await;
    let events: Vec<Value> = history
        .iter()
        .filter_map(|item| serde_json::from_str(item.get("event")?.as_s().ok()?).ok())
        .collect();
    let event = |id: &str| {
        let id = EventId::new(&endpoint, id);
        events
            .iter()
            .find(|event| event["id"] == id.as_str())
            .unwrap_or_else(|| panic!("{id} of {events:#?}"))
    };
    assert_eq!(events.len(), 3);
    assert_eq!(event(&first)["amount"]["value"], "49.90");
    assert_eq!(event(&corrected)["restates"], EventId::new(&endpoint, &first).as_str());
}
