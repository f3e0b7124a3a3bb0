//! What reading endpoints costs, by Parameter Store's own page size.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests only"
)]

use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use serde_json::{Value, json};
use tollgate_aws::endpoints::SsmEndpoints;
use tollgate_core::EndpointId;
use tollgate_pipeline::ports::{EndpointLookup, EndpointSource};
use tollgate_testkit::aws::Server;

/// "MaxResults: valid range: minimum value of 1, maximum value of 10" (GetParametersByPath, Systems Manager API
/// reference).
const PAGE: usize = 10;
const ENDPOINTS: usize = 500;
const PATH: &str = "/tollgate/test/endpoints";

fn parameter(number: usize) -> Value {
    let id = format!("merchant-{number}");
    let value = json!({"id": id, "scheme": "stripe", "secret": format!("ssm:/tollgate/test/secrets/{id}")})
        .to_string();
    json!({"Name": format!("{PATH}/{id}"), "Type": "String", "Value": value, "Version": 1})
}

#[tokio::test]
async fn five_hundred_endpoints_are_fifty_calls_and_one_of_them_is_one() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let counted = Arc::clone(&calls);
    let server = Server::start(move |operation, request| {
        counted.lock().unwrap().push(operation.to_owned());
        match operation {
            "GetParametersByPath" => {
                assert_eq!(request["Path"], PATH);
                let begin: usize = request["NextToken"].as_str().map_or(0, |token| token.parse().unwrap());
                let page: Vec<Value> = (begin..ENDPOINTS).take(PAGE).map(parameter).collect();
                let next = begin + page.len();
                let next = (next < ENDPOINTS).then(|| next.to_string());
                json!({"Parameters": page, "NextToken": next})
            }
            "GetParameter" => {
                let name = request["Name"].as_str().unwrap();
                json!({"Parameter": (0..ENDPOINTS).map(parameter).find(|one| one["Name"] == name)})
            }
            other => panic!("{other}"),
        }
    });
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
        .region(Region::from_static("us-east-1"))
        .endpoint_url(server.url())
        .retry_config(RetryConfig::disabled())
        .load()
        .await;
    let endpoints = SsmEndpoints::new(aws_sdk_ssm::Client::new(&config), PATH);
    let last = EndpointId::new("merchant-499").unwrap();
    assert_eq!(endpoints.endpoint(&last).await.unwrap().unwrap().unwrap().id, last);
    assert_eq!(*calls.lock().unwrap(), ["GetParameter"]);
    calls.lock().unwrap().clear();
    assert_eq!(endpoints.endpoints().await.unwrap().len(), ENDPOINTS);
    assert_eq!(*calls.lock().unwrap(), vec!["GetParametersByPath"; ENDPOINTS / PAGE]);
}
