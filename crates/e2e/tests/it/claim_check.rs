//! Bodies at the limits of a queue message.

use base64::{Engine, engine::general_purpose::STANDARD};
use tollgate_core::LedgerKey;
use tollgate_testkit::webhook::Payment;

use tollgate_e2e::Platform;

const MIB: usize = 1_048_576;

#[tokio::test]
async fn bodies_at_every_boundary_arrive_byte_for_byte() {
    let platform = Platform::open().await;
    let sender = platform.sender("stripe-eu").await;
    let (mut sent, mut keys) = (Vec::new(), Vec::new());
    // Around a message's limit with its attributes, and that of an archive message with its event.
    for (index, size) in
        [MIB - 8_000, MIB - 3_000, MIB - 1_500, MIB - 500, MIB - 1, MIB].into_iter().enumerate()
    {
        let id = platform.unique(&format!("c{index}"));
        let mut body = Payment::new(&id, &id, platform.now()).body("stripe").unwrap().into_bytes();
        // Line breaks are doubled by JSON: the archive's message is larger than the intake's.
        let filler = if index % 2 == 0 { b' ' } else { b'\n' };
        body.resize(size, filler);
        let answer = platform.send(Some("stripe-eu"), &sender.sign("", &body, platform.now())).await;
        assert_eq!(answer.status, 200, "{size}: {answer:?}");
        sent.push((answer.body["webhook_id"].as_str().unwrap().to_owned(), body));
        keys.push(LedgerKey::new(sender.endpoint().id(), &id));
    }
    // What SQS cannot carry as text grows by a third.
    let mut binary = vec![0xff; 800_000];
    binary.extend(platform.unique("binary").into_bytes());
    let answer = platform.send(Some("stripe-eu"), &sender.sign_bytes(&binary, platform.now())).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    sent.push((answer.body["webhook_id"].as_str().unwrap().to_owned(), binary));
    platform.until_processed(&keys).await;
    let rows = platform.archived(&sent.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>()).await;
    for (webhook_id, body) in &sent {
        let row = &rows[webhook_id];
        assert!(row["body"] == STANDARD.encode(body), "{webhook_id}: {} bytes", body.len());
        assert_eq!(row["sha256"], row["body_sha256"]);
    }
    // The largest went by way of the payload bucket.
    let (largest, _) = &sent[5];
    let objects =
        platform.s3().list_objects_v2().bucket(platform.output("PayloadBucket")).send().await.unwrap();
    assert!(objects.contents().iter().any(|object| object.key().is_some_and(|key| key.ends_with(largest))));
}
