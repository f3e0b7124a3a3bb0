//! The errors of AWS, as its own clients read them.

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::put_item::PutItemError,
    types::AttributeValue,
};
use aws_sdk_eventbridge::operation::put_events::PutEventsError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_sdk_sqs::operation::send_message::SendMessageError;
use aws_sdk_ssm::operation::get_parameter::GetParameterError;
use serde_json::json;
use tollgate_testkit::aws::Server;

use crate::support::{Faults, server};

/// The kinds, each with what is expected of it.
const KINDS: [&str; 3] = ["throttle", "internal", "unavailable"];

/// An error's status and its code.
fn told<E: ProvideErrorMetadata>(
    problem: &SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>,
) -> (u16, String) {
    let status = problem.raw_response().map_or(0, |raw| raw.status().as_u16());
    (status, problem.code().unwrap_or_default().to_owned())
}

/// A proxy before an AWS that nothing reaches.
fn faults(test: &str) -> Faults {
    let aws = Server::start(|operation, _| panic!("{operation} must not get here"));
    let url = aws.url();
    // It serves until the process ends.
    std::mem::forget(aws);
    Faults::before(test, &url, "http://127.0.0.1:1")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_dynamodb() {
    let faults = faults("errors-dynamodb");
    let client = aws_sdk_dynamodb::Client::new(&faults.config().await);
    let put = async || {
        let put = client.put_item().table_name("events").item("event_key", AttributeValue::S("a".into()));
        put.send().await.unwrap_err()
    };
    faults.rule("throttle", &json!({}));
    let mut codes = std::collections::BTreeSet::new();
    for _ in 0..30 {
        let problem = put().await;
        assert_eq!(told(&problem).0, 400);
        codes.insert(told(&problem).1);
        assert!(matches!(
            problem.as_service_error().unwrap(),
            PutItemError::ProvisionedThroughputExceededException(_)
                | PutItemError::RequestLimitExceeded(_)
                | PutItemError::ThrottlingException(_)
        ));
    }
    assert_eq!(
        codes.into_iter().collect::<Vec<_>>(),
        ["ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"]
    );
    faults.rule("internal", &json!({}));
    let problem = put().await;
    assert_eq!(told(&problem), (500, "InternalServerError".into()));
    assert!(matches!(problem.as_service_error().unwrap(), PutItemError::InternalServerError(_)));
    faults.rule("unavailable", &json!({}));
    assert_eq!(told(&put().await), (503, "ServiceUnavailable".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sqs() {
    let faults = faults("errors-sqs");
    let client = aws_sdk_sqs::Client::new(&faults.config().await);
    for (kind, status, code) in [
        ("throttle", 400, "RequestThrottled"),
        ("internal", 500, "InternalFailure"),
        ("unavailable", 503, "ServiceUnavailable"),
    ] {
        faults.rule(kind, &json!({"service": "sqs"}));
        let send = client.send_message().queue_url("http://127.0.0.1/0/q").message_body("x").send().await;
        let problem = send.unwrap_err();
        assert_eq!(told(&problem), (status, code.into()));
        let is_throttled =
            matches!(problem.as_service_error().unwrap(), SendMessageError::RequestThrottled(_));
        assert_eq!(is_throttled, kind == "throttle");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eventbridge_and_the_stores_of_keys() {
    let faults = faults("errors-json");
    let config = faults.config().await;
    let (events, manager, ssm) = (
        aws_sdk_eventbridge::Client::new(&config),
        aws_sdk_secretsmanager::Client::new(&config),
        aws_sdk_ssm::Client::new(&config),
    );
    for kind in KINDS {
        faults.rule(kind, &json!({}));
        let entry = aws_sdk_eventbridge::types::PutEventsRequestEntry::builder().build();
        let published = events.put_events().entries(entry).send().await.unwrap_err();
        let secret = manager.get_secret_value().secret_id("a").send().await.unwrap_err();
        let parameter = ssm.get_parameter().name("a").send().await.unwrap_err();
        let codes = [told(&published), told(&secret), told(&parameter)];
        let expected = match kind {
            "throttle" => [(400, "ThrottlingException"); 3],
            "internal" => {
                [(500, "InternalException"), (500, "InternalServiceError"), (500, "InternalServerError")]
            }
            _ => [(503, "ServiceUnavailable"); 3],
        };
        assert_eq!(codes, expected.map(|(status, code)| (status, code.to_owned())), "{kind}");
        if kind == "internal" {
            assert!(matches!(published.as_service_error().unwrap(), PutEventsError::InternalException(_)));
            assert!(matches!(
                secret.as_service_error().unwrap(),
                GetSecretValueError::InternalServiceError(_)
            ));
            assert!(matches!(
                parameter.as_service_error().unwrap(),
                GetParameterError::InternalServerError(_)
            ));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_s3() {
    let faults = faults("errors-s3");
    let client = s3(&faults).await;
    for (kind, status, code) in [
        ("throttle", 503, "SlowDown"),
        ("internal", 500, "InternalError"),
        ("unavailable", 503, "ServiceUnavailable"),
    ] {
        faults.rule(kind, &json!({"operation": "GetObject"}));
        let problem = client.get_object().bucket("b").key("k").send().await.unwrap_err();
        assert_eq!(told(&problem), (status, code.into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_the_effect_hides_that_it_was_done() {
    let (aws, seen) = server(|_| (200, Vec::new(), Vec::new()));
    let faults = Faults::before("errors-after", &aws, "http://127.0.0.1:1");
    faults.rule("internal_after", &json!({}));
    let put = s3(&faults).await.put_object().bucket("b").key("k").body(b"x".to_vec().into()).send().await;
    assert_eq!(told(&put.unwrap_err()), (500, "InternalError".into()));
    assert_eq!(seen.lock().unwrap().len(), 1);
}

async fn s3(faults: &Faults) -> aws_sdk_s3::Client {
    let config = faults.config().await;
    aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build())
}
