//! Connections that break off and answers that are late, as AWS's own clients see them.

use std::time::Duration;

use aws_config::{SdkConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{error::SdkError, operation::put_item::PutItemError, types::AttributeValue};
use serde_json::json;

use crate::support::{Faults, http, server, until};

type Put = Result<aws_sdk_dynamodb::operation::put_item::PutItemOutput, SdkError<PutItemError>>;

async fn put(faults: &Faults) -> Put {
    put_with(&faults.config().await).await
}

async fn put_with(config: &SdkConfig) -> Put {
    let client = aws_sdk_dynamodb::Client::new(config);
    client.put_item().table_name("events").item("event_key", AttributeValue::S("a".into())).send().await
}

fn is_reset(put: &Put) -> bool {
    matches!(put, Err(SdkError::DispatchFailure(problem)) if problem.is_io())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_connection_before_the_effect_and_after_it() {
    let (aws, seen) = server(|_| (200, Vec::new(), b"{}".to_vec()));
    let faults = Faults::before("reset", &aws, "http://127.0.0.1:1");
    for (kind, effects) in [("reset", 0), ("reset_after", 1)] {
        faults.rule(kind, &json!({"limit": 1}));
        let answer = put(&faults).await;
        assert!(is_reset(&answer), "{kind}: {answer:?}");
        assert_eq!(seen.lock().unwrap().len(), effects, "{kind}");
    }
    assert!(put(&faults).await.is_ok(), "the next connection is a good one");
    faults.rule("reset", &json!({}));
    let bare = http(&faults.aws(), "POST", "/", &[], b"{}").unwrap_err();
    assert_eq!(bare.kind(), std::io::ErrorKind::ConnectionReset);
}

/// The client waits for half a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_is_a_timeout_and_the_effect_is_there_all_the_same() {
    let (aws, seen) = server(|_| (200, Vec::new(), b"{}".to_vec()));
    let faults = Faults::before("slow", &aws, "http://127.0.0.1:1");
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(500)).build();
    let config = faults.config().await.into_builder().timeout_config(timeouts).build();
    for (kind, effects) in [("slow", 0), ("slow_after", 2)] {
        faults.rule(kind, &json!({"params": {"ms": 4_000}}));
        let answer = put_with(&config).await;
        assert!(matches!(answer, Err(SdkError::TimeoutError(_))), "{kind}: {answer:?}");
        assert_eq!(seen.lock().unwrap().len(), effects, "{kind}: when its caller gave up");
        until("the effect", || (!seen.lock().unwrap().is_empty()).then_some(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_away_answers_503_or_breaks_off() {
    let (aws, seen) = server(|_| (200, Vec::new(), b"{}".to_vec()));
    let faults = Faults::before("away", &aws, "http://127.0.0.1:1");
    faults.rule("away", &json!({"service": "dynamodb"}));
    let mut resets = 0;
    for _ in 0..20 {
        let answer = put(&faults).await;
        if is_reset(&answer) {
            resets += 1;
            continue;
        }
        let status = answer.unwrap_err().raw_response().unwrap().status().as_u16();
        assert_eq!(status, 503);
    }
    assert!((1..20).contains(&resets), "{resets}");
    assert!(seen.lock().unwrap().is_empty());
}
