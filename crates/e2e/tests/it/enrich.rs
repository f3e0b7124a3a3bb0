//! Webhooks that only name an object: it is fetched from the provider's API, and the event says what it is.

use serde_json::{Value, json};
use tollgate_core::{Authenticity, EndpointConfig, EventType, LedgerKey, PaymentEvent};
use tollgate_e2e::Platform;
use tollgate_providers::{Headers, SignedWebhook, ToSign};
use tollgate_testkit::{
    provider_objects::Instead,
    webhook::{KEY, Sender, config},
};

use crate::{
    reconcile::told,
    tool::{said, tollgate},
};

const READ_KEY: &str = "rk_test_enrich";

/// An endpoint of this test's own, whose objects are fetched, with a key of its provider's API.
async fn endpoint(platform: &Platform, scheme: &str, key: Option<&str>) -> (EndpointConfig, Sender) {
    let name =
        platform.unique(&format!("thin{}", key.map_or("keyless", |key| key.trim_start_matches("rk_test_"))));
    let secret = format!("tollgate/{}/{name}", platform.suffix());
    let secret = (format!("secretsmanager:{secret}"), secret);
    let config = EndpointConfig { secret: secret.0, enrich: true, ..config(&name, scheme) };
    let manager = aws_sdk_secretsmanager::Client::new(platform.config());
    manager.create_secret().name(&secret.1).secret_string(KEY).send().await.unwrap();
    platform.put_endpoint(&config).await;
    if let Some(key) = key {
        store_key(&config, key);
    }
    let sender = Sender::new(config.clone(), KEY);
    (config, sender)
}

fn store_key(config: &EndpointConfig, key: &str) {
    let stored =
        told(&["endpoints", "api-key", config.id.as_str(), "--secret-file", "-"], &format!("{key}\n"));
    assert!(stored.status.success(), "{stored:?}");
}

/// As Stripe's changelog of 2026-09-30 describes it.
fn thin(platform: &Platform, event_id: &str, intent: &str) -> Value {
    json!({ "id": event_id, "object": "v2.core.event", "type": "v1.payment_intent.succeeded", "livemode": true,
        "created": platform.now().to_string(), "context": null, "reason": null,
        "related_object": { "id": intent, "type": "payment_intent", "url": format!("/v1/payment_intents/{intent}") } })
}

fn intent(id: &str, amount: u32) -> Value {
    json!({ "id": id, "object": "payment_intent", "amount": amount, "amount_received": amount, "currency": "eur",
        "status": "succeeded", "description": "card 4242424242424242" })
}

fn mercado_pago(sender: &Sender, platform: &Platform, payment: &str) -> SignedWebhook {
    let body = json!({ "action": "payment.updated", "api_version": "v1", "type": "payment", "id": 1,
        "data": { "id": payment }, "date_created": platform.now().to_string(), "live_mode": true });
    let (body, query) = (body.to_string(), format!("data.id={payment}&type=payment"));
    let mut headers = Headers::new();
    headers.push("x-request-id", platform.unique("request"));
    sender.sign_with(
        ToSign { headers: &headers, query: &query, body: body.as_bytes(), url: None },
        platform.now(),
    )
}

/// Sends a webhook until its endpoint serves; its id.
async fn send(platform: &Platform, config: &EndpointConfig, webhook: &SignedWebhook) -> String {
    let sent = platform.until("the endpoint serves", async || {
        let answer = platform.send(Some(config.id.as_str()), webhook).await;
        (answer.status == 200).then(|| answer.body["webhook_id"].as_str().unwrap().to_owned())
    });
    sent.await
}

async fn recorded(platform: &Platform, config: &EndpointConfig, transaction: &str) -> PaymentEvent<'static> {
    let found = platform.until("the event is recorded", async || {
        platform.recorded(config.id.as_str(), transaction).await.into_iter().next()
    });
    found.await
}

fn said_of(event: &PaymentEvent<'_>) -> (EventType, String, Authenticity, bool) {
    let amount = event.amount.map(|amount| format!("{} {}", amount.minor_units(), amount.currency()));
    (event.kind, amount.unwrap_or_default(), event.authenticity, event.enriched)
}

#[tokio::test]
async fn a_thin_event_is_told_with_what_its_provider_says() {
    let platform = Platform::open().await;
    let apis = platform.provider_apis(READ_KEY);
    let (config, sender) = endpoint(&platform, "stripe", Some(READ_KEY)).await;
    let (event_id, id) = (platform.unique("evt"), format!("pi_{}", platform.unique("x")));
    let path = format!("/stripe/v1/payment_intents/{id}");
    apis.set(&path, intent(&id, 4_990));
    // Asked too often at first.
    apis.with(|state| state.instead = vec![Instead::Status(429, Some(("Retry-After", "1".to_owned())))]);
    let webhook = sender.sign("", thin(&platform, &event_id, &id).to_string().as_bytes(), platform.now());
    let webhook_id = send(&platform, &config, &webhook).await;
    platform.until_processed(&[LedgerKey::new(&config.id, &event_id)]).await;
    let event = recorded(&platform, &config, &id).await;
    let expected = (EventType::PaymentSucceeded, "4990 EUR".to_owned(), Authenticity::Retrieved, true);
    assert_eq!(said_of(&event), expected);
    assert_eq!(
        (&*event.provider_event_id, event.webhook_id.to_string()),
        (event_id.as_str(), webhook_id.clone())
    );
    let routed = platform.until("it is routed", async || {
        platform.routed("PaymentsQueueUrl").await.into_iter().find(|one| one.provider_event_id == event_id)
    });
    assert_eq!(routed.await, event);
    let asked = apis.with(|state| state.requests.clone());
    assert_eq!(asked.iter().filter(|request| request.path() == path).count(), 2, "{asked:?}");

    let row = platform.archived(std::slice::from_ref(&webhook_id)).await.remove(&webhook_id).unwrap();
    let inspected = said(&tollgate(&["inspect", &webhook_id, "--raw"]).output().unwrap());
    assert!(
        inspected.contains("object, as its provider told it") && inspected.contains("4990"),
        "{inspected}"
    );
    assert!(!inspected.contains("4242424242424242") && inspected.contains("424242******4242"), "{inspected}");
    assert!(!row["object"].is_null(), "{row}");

    // A redelivery is a duplicate, whatever the object has become.
    apis.set(&path, intent(&id, 1));
    assert_eq!(send(&platform, &config, &webhook).await.len(), webhook_id.len());
    let kept = platform.recorded(config.id.as_str(), &id).await;
    assert_eq!(kept, [event]);
    assert!(!platform.logs().contains(READ_KEY));
}

#[tokio::test]
async fn a_payment_of_mercado_pago_is_told_with_its_state() {
    let platform = Platform::open().await;
    let apis = platform.provider_apis(READ_KEY);
    let (config, sender) = endpoint(&platform, "mercadopago", Some(READ_KEY)).await;
    let id = platform.now().as_microsecond().to_string();
    let payment = json!({ "id": id.parse::<u64>().unwrap(), "status": "approved", "status_detail": "accredited",
        "transaction_amount": 58.8, "currency_id": "BRL", "metadata": { "test": platform.unique("") } });
    apis.set(&format!("/mercadopago/v1/payments/{id}"), payment);
    send(&platform, &config, &mercado_pago(&sender, &platform, &id)).await;
    let event = recorded(&platform, &config, &id).await;
    let expected = (EventType::PaymentSucceeded, "5880 BRL".to_owned(), Authenticity::Authenticated, true);
    assert_eq!(said_of(&event), expected);
}

#[tokio::test]
async fn without_a_key_nothing_is_asked_and_a_wrong_one_loses_nothing() {
    let platform = Platform::open().await;
    let apis = platform.provider_apis(READ_KEY);
    let (keyless, sender) = endpoint(&platform, "stripe", None).await;
    let (event_id, id) = (platform.unique("evt"), format!("pi_{}", platform.unique("x")));
    apis.set(&format!("/stripe/v1/payment_intents/{id}"), intent(&id, 4_990));
    let body = thin(&platform, &event_id, &id).to_string();
    send(&platform, &keyless, &sender.sign("", body.as_bytes(), platform.now())).await;
    let key = LedgerKey::new(&keyless.id, &event_id);
    platform.until_processed(std::slice::from_ref(&key)).await;
    assert!(apis.with(|state| state.requests.is_empty()));
    assert!(platform.recorded(keyless.id.as_str(), &id).await.is_empty(), "it names no payment");

    // With a key that its provider does not take.
    let (refusing, sender) = endpoint(&platform, "stripe", Some("rk_test_wrong")).await;
    let refused = platform.unique("refused");
    let body = thin(&platform, &refused, &id).to_string();
    let webhook_id = send(&platform, &refusing, &sender.sign("", body.as_bytes(), platform.now())).await;
    let aside = platform
        .until_within(std::time::Duration::from_secs(240), "it is set aside", async || {
            let letters = platform.peek("IntakeDlqUrl").await;
            letters.into_iter().find(|letter| letter.attributes.to_string().contains(&webhook_id))
        })
        .await;
    assert!(aside.attributes.to_string().contains("provider_refuses_key"), "{}", aside.attributes);
    assert!(platform.recorded(refusing.id.as_str(), &id).await.is_empty());

    store_key(&refusing, READ_KEY);
    let queue = ["dlq", "redrive", "--queue", "webhook-intake-dlq", "--endpoint", refusing.id.as_str()];
    let how = ["--all", "--yes", "--reason", "the key is mended", "--watch", "0"];
    let mended = tollgate(&[&queue[..], &how].concat()).output().unwrap();
    assert!(mended.status.success(), "{}", said(&mended));
    platform.until_processed(&[LedgerKey::new(&refusing.id, &refused)]).await;
    let events = platform.recorded(refusing.id.as_str(), &id).await;
    assert!(events.iter().any(|event| event.provider_event_id == refused && event.enriched), "{events:?}");
    let logs = platform.logs();
    assert!(!logs.contains(READ_KEY) && !logs.contains("rk_test_wrong"));
}
