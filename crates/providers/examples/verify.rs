//! Verifies one Stripe webhook, without anything else of Tollgate:
//! `cargo run -p tollgate-providers --example verify --no-default-features`.

use tollgate_providers::{Endpoint, Headers, KeyMaterial, Received, Refusal, Secret, Timestamp};

const BODY: &[u8] = br#"{"id":"evt_1","type":"charge.succeeded"}"#;
const SIGNATURE: &str = "t=1760000000,v1=f223a1494aaa0d5358a661452281f00a973885a6e47dd9f1c505878935d9c1c5";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Once, at start-up. `secret` says where the key is, for Tollgate's functions; here we have it.
    let config = r#"{"id": "stripe-eu", "scheme": "stripe", "secret": "ssm:none"}"#;
    let endpoint = Endpoint::new(serde_json::from_str(config)?)?;
    let keys =
        endpoint.keys(vec![KeyMaterial::new("current", Secret::new("whsec_an_example_of_a_secret"))])?;

    // For each request: its headers, and its body's exact bytes.
    let headers: Headers = [("Stripe-Signature".to_owned(), SIGNATURE.to_owned())].into_iter().collect();
    let received = Received { headers: &headers, query: "", body: BODY };
    // The clock is handed in. This webhook was signed 12 seconds ago.
    let now = Timestamp::from_second(1_760_000_012)?;
    let verified = endpoint.verify(received, &keys, None, now)?;
    println!("key {:?} signed it at {:?}", verified.key_id(), verified.signed_at());

    // Another body under the same signature, and the same webhook an hour later.
    let altered = Received { body: br#"{"id":"evt_2","type":"charge.succeeded"}"#, ..received };
    assert_eq!(endpoint.verify(altered, &keys, None, now).err(), Some(Refusal::Mismatch));
    let later = Timestamp::from_second(1_760_003_600)?;
    let refusal = endpoint.verify(received, &keys, None, later).err();
    assert_eq!(refusal, Some(Refusal::TooOld { seconds: 3_600, window: 300 }));
    Ok(())
}
