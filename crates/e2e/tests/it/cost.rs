//! `tollgate cost`: of the real functions' logs, by the dated price file.

use serde_json::Value;
use tollgate_core::LedgerKey;
use tollgate_e2e::Platform;
use tollgate_testkit::webhook::Payment;

use crate::tool::tollgate;

fn cost(arguments: &[&str]) -> Value {
    let output = tollgate(&[&["cost", "--json"], arguments].concat()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn units(cost: &Value, price: &str) -> Option<u64> {
    let lines = cost["lines"].as_array().unwrap();
    let line = lines.iter().find(|line| line["price"] == price).unwrap_or_else(|| panic!("{price}: {cost}"));
    line["milli_units"].as_u64()
}

#[tokio::test]
async fn what_came_is_priced_and_nothing_is_guessed() {
    let platform = Platform::open().await;
    let sender = platform.sender("stripe-eu").await;
    let before = cost(&["--last", "30m"]);
    let ids = ["one", "two", "three"].map(|name| platform.unique(name));
    for id in &ids {
        let webhook = sender.payment(&Payment::new(id, format!("pi_{id}"), platform.now()), platform.now());
        assert!(platform.send(Some("stripe-eu"), &webhook).await.is_success());
    }
    let keys: Vec<LedgerKey> = ids.iter().map(|id| LedgerKey::new(sender.endpoint().id(), id)).collect();
    platform.until_processed(&keys).await;
    // Other tests send as well.
    let after = platform
        .until("all of it is in the logs", async || {
            let after = cost(&["--last", "30m"]);
            let more = |price| units(&after, price) >= units(&before, price).map(|milli| milli + 3_000);
            (more("rest_request") && more("bus_event")).then_some(after)
        })
        .await;
    assert_eq!(after["source"], "logs");
    assert!(after["accepted"].as_u64().unwrap() >= before["accepted"].as_u64().unwrap() + 3);
    assert_eq!(units(&after, "lambda_request"), units(&after, "rest_request"));
    for price in ["dynamodb_write_unit", "sqs_fair_request", "kms_request", "log_gb"] {
        assert_eq!(units(&after, price), None, "nothing counts them here");
    }
    // A REST API's million requests cost 3.50 USD.
    let requests =
        after["lines"].as_array().unwrap().iter().find(|line| line["price"] == "rest_request").unwrap();
    assert_eq!(
        requests["micro_usd"].as_u64().unwrap(),
        requests["milli_units"].as_u64().unwrap() * 35 / 10_000
    );
    let sum =
        after["lines"].as_array().unwrap().iter().filter_map(|line| line["micro_usd"].as_u64()).sum::<u64>();
    assert!((sum..sum + 5).contains(&after["micro_usd"].as_u64().unwrap()), "{after}");

    let shown = tollgate(&["cost", "--last", "30m"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("sum of what is counted") && shown.contains("rest_request"), "{shown}");
    assert_eq!(tollgate(&["cost", "--from", "1h", "--to", "2h"]).output().unwrap().status.code(), Some(2));
}
