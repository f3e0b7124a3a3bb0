//! The archive, read by DuckDB, holds what was sent.

use base64::{Engine, engine::general_purpose::STANDARD};
use tollgate_testkit::webhook::{Payment, adyen, adyen_event_id, razorpay_event_id};

use tollgate_e2e::Platform;

#[tokio::test]
async fn what_was_sent_is_read_back_byte_for_byte() {
    let platform = Platform::open().await;
    let mut sent = Vec::new();
    for endpoint in ["acme", "stripe-eu", "stripe-us", "square", "razorpay", "standard"] {
        let sender = platform.sender(endpoint).await;
        let id = platform.unique(endpoint);
        let payment = Payment::new(&id, &id, platform.now());
        let webhook = sender.payment(&payment, platform.now());
        let event_id = if endpoint == "razorpay" { razorpay_event_id(&payment) } else { id };
        sent.push((endpoint, webhook, vec![event_id]));
    }
    let adyen_sender = platform.sender("adyen").await;
    let payments =
        ["a1", "a2"].map(|name| Payment::new(platform.unique(name), platform.unique(name), platform.now()));
    let body = adyen(&[&payments[0], &payments[1]]);
    let webhook = adyen_sender.sign("", body.as_bytes(), platform.now());
    sent.push(("adyen", webhook, payments.iter().map(adyen_event_id).collect()));
    let stripe = platform.sender("stripe-eu").await;
    for odd in [&b""[..], b"\xff\x00\xfe", "\u{ffff}\u{1}\u{fffd} \u{1f4b6}".as_bytes()] {
        let mut body = odd.to_vec();
        if !body.is_empty() {
            body.extend(platform.unique("odd").into_bytes());
        }
        sent.push(("stripe-eu", stripe.sign_bytes(&body, platform.now()), Vec::new()));
    }
    let mut webhook_ids = Vec::new();
    let mut expected = Vec::new();
    for (endpoint, webhook, events) in sent {
        let answer = platform.send(Some(endpoint), &webhook).await;
        assert_eq!(answer.status, 200, "{endpoint}: {answer:?}");
        // An empty body is the same event in every test: it may have been archived before this test.
        if answer.body["message"] != "Duplicate event" {
            webhook_ids.push(answer.body["webhook_id"].as_str().unwrap().to_owned());
            expected.push((endpoint, webhook, events));
        }
    }
    let rows = platform.archived(&webhook_ids).await;
    for (webhook_id, (endpoint, webhook, events)) in webhook_ids.iter().zip(&expected) {
        let row = &rows[webhook_id];
        assert_eq!(row["body"], STANDARD.encode(&webhook.body), "{endpoint}");
        assert_eq!(row["sha256"], row["body_sha256"], "{endpoint}");
        assert_eq!((&row["endpoint"], &row["outcome"]), (&(*endpoint).into(), &"processed".into()));
        assert_eq!(row["key_id"], "current", "{endpoint}");
        let ids = row["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["provider_event_id"].as_str().unwrap());
        assert!(events.is_empty() || ids.eq(events.iter().map(String::as_str)), "{endpoint}: {row}");
        // With the kept headers, the signature can be verified again.
        let headers: tollgate_providers::Headers = row["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|header| (header[0].as_str().unwrap(), header[1].as_str().unwrap()))
            .collect();
        let sender = platform.sender(endpoint).await;
        let received = tollgate_providers::Received { headers: &headers, query: "", body: &webhook.body };
        let secrets = platform.secrets();
        let keys = tollgate_pipeline::ports::Secrets::keys(&secrets, &sender.endpoint().config().secret);
        let ring = sender.endpoint().keys(keys.await.unwrap()).unwrap();
        assert!(sender.endpoint().verify(received, &ring, None, platform.now()).is_ok(), "{endpoint}");
    }
}
