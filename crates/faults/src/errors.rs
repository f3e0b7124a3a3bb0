//! The errors of AWS, each as its service answers it.
//!
//! Sources: "Error handling with DynamoDB" (developer guide), "Common Errors" and the operations' pages (API references of
//! SQS, EventBridge, Secrets Manager and Systems Manager), "Error responses" (Amazon S3 API reference). How the
//! JSON protocols carry them: "AWS JSON 1.0 protocol" and "AWS Query compatible" (Smithy).

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::json;

use crate::{call::Call, dice::Dice, http::Answer};

/// What AWS cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// More is asked for than may be.
    Throttled,
    /// AWS does not know why.
    Internal,
    /// The service is away.
    Unavailable,
}

/// An error: its status, its code with the namespace that the service sends, and a text.
type Known = (u16, &'static str, &'static str);

const DYNAMODB_THROTTLED: [Known; 3] = [
    (
        400,
        "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "The level of configured provisioned throughput for the table was exceeded.",
    ),
    (
        400,
        "com.amazon.coral.availability#ThrottlingException",
        "Rate of requests exceeds the allowed throughput.",
    ),
    (
        400,
        "com.amazonaws.dynamodb.v20120810#RequestLimitExceeded",
        "Throughput exceeds the current throughput limit for your account.",
    ),
];

/// What the service of this call answers; one of several, where it has several.
pub fn answer(call: &Call, trouble: Trouble, dice: &mut Dice) -> Answer {
    let (status, code, message) = known(&call.service, trouble, dice);
    if call.service == "s3" {
        return s3(status, code, message);
    }
    let body = json!({"__type": code, "message": message}).to_string();
    let version = if matches!(call.service.as_str(), "dynamodb" | "sqs" | "states") { "1.0" } else { "1.1" };
    let mut answer = whole(status, body, &format!("application/x-amz-json-{version}"));
    if call.service == "sqs" {
        // SQS had a query protocol, and names its errors as it did there.
        let short = code.rsplit('#').next().unwrap_or(code);
        let fault = if status < 500 { "Sender" } else { "Receiver" };
        header(&mut answer, "x-amzn-query-error", &format!("{short};{fault}"));
    }
    answer
}

fn known(service: &str, trouble: Trouble, dice: &mut Dice) -> Known {
    match (trouble, service) {
        (Trouble::Throttled, "dynamodb") => {
            let [first, second, third] = DYNAMODB_THROTTLED;
            match dice.below(3) {
                0 => first,
                1 => second,
                _ => third,
            }
        }
        (Trouble::Throttled, "s3") => (503, "SlowDown", "Please reduce your request rate."),
        (Trouble::Throttled, "sqs") => {
            (400, "com.amazonaws.sqs#RequestThrottled", "The request was denied due to request throttling.")
        }
        (Trouble::Throttled, _) => (400, "ThrottlingException", "Rate exceeded"),
        (Trouble::Internal, "dynamodb") => {
            (500, "com.amazonaws.dynamodb.v20120810#InternalServerError", "Internal server error")
        }
        (Trouble::Internal, "s3") => {
            (500, "InternalError", "We encountered an internal error. Please try again.")
        }
        (Trouble::Internal, "events") => (500, "InternalException", "Internal error"),
        (Trouble::Internal, "secretsmanager") => {
            (500, "InternalServiceError", "An error occurred on the server side.")
        }
        (Trouble::Internal, "ssm") => (500, "InternalServerError", "Internal server error"),
        (Trouble::Internal, _) => (500, "com.amazon.coral.service#InternalFailure", "Internal failure"),
        (Trouble::Unavailable, "s3") => (503, "ServiceUnavailable", "Service is unable to handle request."),
        (Trouble::Unavailable, _) => {
            (503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server.")
        }
    }
}

fn s3(status: u16, code: &str, message: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>{REQUEST_ID}</RequestId><HostId>faults</HostId></Error>"
    );
    let mut answer = whole(status, body, "application/xml");
    header(&mut answer, "x-amz-request-id", REQUEST_ID);
    answer
}

const REQUEST_ID: &str = "FAULTS0000000000";

fn whole(status: u16, body: String, content_type: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = HeaderValue::from_str(content_type) {
        answer.headers_mut().insert(CONTENT_TYPE, value);
    }
    header(&mut answer, "x-amzn-requestid", REQUEST_ID);
    answer
}

fn header(answer: &mut Answer, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(HeaderName::from_static(name), value);
    }
}
