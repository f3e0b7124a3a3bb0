//! What the functions write about webhooks and what they never write.

use serde_json::json;
use tollgate_core::LedgerKey;
use tollgate_e2e::Platform;

/// A test number of a card.
const CARD: &str = "4111111111111111";

/// Webhooks that are accepted, refused and not understood, each with a name and a card in its body.
#[tokio::test]
async fn logs_name_webhooks_and_hold_nothing_of_their_bodies() {
    let platform = Platform::open().await;
    let sender = platform.sender("stripe-eu").await;
    let (id, name) = (platform.unique("logged"), platform.unique("Ada Lovelace"));
    let body = json!({
        "id": id, "object": "event", "created": platform.now().as_second(), "type": "payment_intent.succeeded",
        "data": {"object": {
            "id": id, "object": "payment_intent", "status": "succeeded", "amount": 1099, "currency": "usd",
            "billing_details": {"name": name}, "metadata": {"name": name, "card": CARD},
        }},
    });
    let body = body.to_string();
    let accepted = sender.sign("", body.as_bytes(), platform.now());
    let cut_off = sender.sign("", &body.as_bytes()[..body.len() - 1], platform.now());
    let mut altered = accepted.clone();
    altered.body.push(b' ');
    let mut logged = Vec::new();
    for (webhook, status) in [(&accepted, 200), (&cut_off, 200), (&altered, 401)] {
        let answer = platform.send(Some("stripe-eu"), webhook).await;
        assert_eq!(answer.status, status, "{answer:?}");
        logged.push(answer.body["webhook_id"].as_str().unwrap().to_owned());
    }
    platform.until_processed(&[LedgerKey::new(sender.endpoint().id(), &id)]).await;
    platform.archived(&logged[..2]).await;
    let logs = platform
        .until("each webhook is in the logs", async || {
            let logs = platform.logs();
            logged.iter().all(|id| logs.contains(id.as_str())).then_some(logs)
        })
        .await;
    let key = sender.endpoint().config().secret.strip_prefix("secretsmanager:").unwrap();
    let manager = aws_sdk_secretsmanager::Client::new(platform.config());
    let key = manager.get_secret_value().secret_id(key).send().await.unwrap();
    let key = key.secret_string().unwrap();
    assert!(key.starts_with("whsec_"), "one key as text");
    for secret in [name.as_str(), CARD, key] {
        let line = logs.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret:?} is in a log");
    }
}
