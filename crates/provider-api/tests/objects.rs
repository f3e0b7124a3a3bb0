//! Asking providers for objects, by stand-ins that answer as each provider documents, and as none should.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests only"
)]

use std::time::Duration;

use serde_json::json;
use tollgate_core::ProviderId;
use tollgate_pipeline::ports::{ProviderObjects, Unfetched};
use tollgate_provider_api::{ApiKey, HttpsObjects, with_objects};
use tollgate_providers::NamedObject;
use tollgate_testkit::provider_objects::{Apis, Instead};

const KEY: &str = "rk_test_4eC39HqLyjWDarjtT1zdp7dc";

async fn fetch(
    apis: &Apis,
    provider: &str,
    key: &str,
    object: &NamedObject<'_>,
) -> Result<Vec<u8>, Unfetched> {
    let https = HttpsObjects::new(Some(apis.url()));
    https.fetch(&ProviderId::new(provider).unwrap(), &ApiKey::new(key).unwrap(), object).await
}

fn intent() -> NamedObject<'static> {
    NamedObject { kind: "payment_intent", id: "pi_1".into(), context: None }
}

#[tokio::test]
async fn every_kind_is_asked_for_as_it_is_documented() {
    let apis = Apis::start(KEY);
    for api in with_objects().unwrap() {
        for kind in &api.kinds {
            let path = format!("/{}{}", api.name, kind.path.replace("{id}", "id_1"));
            apis.set(&path, json!({ "id": "id_1", "kind": kind.name }));
            let object = NamedObject { kind: kind.name.as_str(), id: "id_1".into(), context: None };
            let found = fetch(&apis, &api.name, KEY, &object).await.unwrap();
            assert_eq!(found, apis.with(|state| state.objects[&path].to_string()).into_bytes());
        }
    }
    for request in apis.with(|state| state.requests.clone()) {
        assert_eq!((request.method.as_str(), request.header("stripe-context")), ("GET", None));
        assert!(request.header("user-agent").unwrap().starts_with("tollgate/"));
    }
    let object = NamedObject { context: Some("org_1/acct_1".into()), ..intent() };
    let _ = fetch(&apis, "stripe", KEY, &object).await;
    let last = apis.with(|state| state.requests.pop().unwrap());
    assert_eq!(last.header("stripe-context"), Some("org_1/acct_1"));
}

#[tokio::test]
async fn each_answer_of_a_provider_is_what_it_documents() {
    let apis = Apis::start(KEY);
    apis.set("/stripe/v1/payment_intents/pi_1", json!({ "id": "pi_1" }));
    let elsewhere = Apis::start(KEY);
    elsewhere.set("/stripe/v1/payment_intents/pi_1", json!({ "id": "pi_1" }));
    let after = |text: &str| Some(("Retry-After", text.to_owned()));
    let too_long = Unfetched::NotAsDocumented("it is too long");
    let odd = Unfetched::NotAsDocumented("its status is none that is documented");
    let redirect = format!("{}/stripe/v1/payment_intents/pi_1", elsewhere.url());
    for (instead, problem) in [
        (Instead::Status(401, None), Unfetched::Refused(401)),
        (Instead::Status(403, None), Unfetched::Refused(403)),
        (Instead::Status(404, None), Unfetched::NotFound),
        (Instead::Status(429, after("7")), Unfetched::Unavailable(Some(Duration::from_secs(7)))),
        (Instead::Status(429, None), Unfetched::Unavailable(None)),
        (Instead::Status(500, None), Unfetched::Unavailable(None)),
        (Instead::Status(503, after("soon")), Unfetched::Unavailable(None)),
        (Instead::Status(400, None), odd),
        (Instead::Status(204, None), odd),
        (Instead::Redirect(redirect), odd),
        (Instead::Bytes(256 * 1024 + 1), too_long),
        (Instead::Bytes(64 * 1024 * 1024), too_long),
    ] {
        apis.with(|state| state.instead = vec![instead.clone()]);
        assert_eq!(fetch(&apis, "stripe", KEY, &intent()).await, Err(problem), "{instead:?}");
    }
    assert!(elsewhere.with(|state| state.requests.is_empty()), "no redirect is followed");
    assert_eq!(fetch(&apis, "stripe", "rk_test_other", &intent()).await, Err(Unfetched::Refused(401)));
    apis.with(|state| state.instead = vec![Instead::Bytes(256 * 1024)]);
    assert_eq!(fetch(&apis, "stripe", KEY, &intent()).await.unwrap().len(), 256 * 1024);
    let unknown = NamedObject { kind: "balance", ..intent() };
    for (provider, object) in [("stripe", &unknown), ("adyen", &intent())] {
        let problem = fetch(&apis, provider, KEY, object).await;
        assert!(matches!(problem, Err(Unfetched::NotAsDocumented(_))), "{problem:?}");
    }
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_given_up() {
    let apis = Apis::start(KEY);
    apis.with(|state| state.instead = vec![Instead::Silence(Duration::from_secs(20))]);
    let intent = intent();
    let fetched = tokio::time::timeout(Duration::from_secs(10), fetch(&apis, "stripe", KEY, &intent));
    assert_eq!(fetched.await, Ok(Err(Unfetched::Unavailable(None))), "long before it would answer");
    let url = apis.url();
    drop(apis);
    // Nobody is there.
    let https = HttpsObjects::new(Some(format!("{}1", url.trim_end_matches(char::is_numeric))));
    let key = ApiKey::new(KEY).unwrap();
    let fetched = https.fetch(&ProviderId::new("stripe").unwrap(), &key, &intent).await;
    assert_eq!(fetched, Err(Unfetched::Unavailable(None)));
}
