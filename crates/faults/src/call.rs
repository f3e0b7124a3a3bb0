//! What a request asks for, and of whom.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_testkit::aws::entry_count;

use crate::http::Whole;

/// On which side of the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Calls of functions to AWS.
    Aws,
    /// Invocations of functions.
    Invoke,
}

/// A call of a function to AWS, or an invocation of a function.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which of the two.
    pub side: Side,
    /// The function that calls or is invoked.
    pub function: String,
    /// Of an invocation: `sqs`, `http` for a front door's, `other`. To AWS: the service as its requests are signed (`dynamodb`, `sqs`, `s3`, `events`, `secretsmanager`, `ssm`, …).
    pub service: String,
    /// Of an invocation by SQS: the queue's name; of another: `invoke`. To AWS: the operation's name (`PutEvents`; S3's are `GetObject`, `PutObject`, …).
    pub operation: String,
    /// The messages of an invocation by SQS.
    pub records: usize,
    /// Whether they are of a FIFO queue.
    pub is_ordered: bool,
    /// Whether an older answer to it is known.
    pub has_older: bool,
    target: String,
    body: bytes::Bytes,
    entries: OnceLock<usize>,
}

impl Call {
    fn new(side: Side, function: &str, service: &str, operation: &str, request: &Whole) -> Self {
        Self {
            side,
            function: function.to_owned(),
            service: service.to_owned(),
            operation: operation.to_owned(),
            records: 0,
            is_ordered: false,
            has_older: false,
            target: request.target().to_owned(),
            body: request.body.clone(),
            entries: OnceLock::new(),
        }
    }

    /// What a function asks AWS for.
    pub fn to_aws(function: &str, request: &Whole) -> Self {
        let target = request.header("x-amz-target");
        let operation = target.and_then(|target| target.rsplit('.').next());
        let service = signed_service(request).unwrap_or("unknown");
        Self::new(Side::Aws, function, service, operation.unwrap_or_else(|| s3_operation(request)), request)
    }

    /// What a function is invoked with.
    pub fn invocation(function: &str, request: &Whole) -> Self {
        let mut call = Self::new(Side::Invoke, function, "other", "invoke", request);
        let event = call.json();
        let records = event.get("Records").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let text = |name: &str| records.first()?.get(name)?.as_str();
        if text("eventSource") == Some("aws:sqs") {
            let queue = text("eventSourceARN").and_then(|arn| arn.rsplit(':').next()).unwrap_or_default();
            call.is_ordered = queue.ends_with(".fifo");
            queue.clone_into(&mut call.operation);
            "sqs".clone_into(&mut call.service);
            call.records = records.len();
        } else if event.get("requestContext").is_some() {
            "http".clone_into(&mut call.service);
        }
        call
    }

    /// Its body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The entries of a batch call to AWS that can be answered in part; none of another call.
    pub fn entries(&self) -> usize {
        *self.entries.get_or_init(|| match self.operation.as_str() {
            "BatchExecuteStatement"
            | "BatchGetItem"
            | "BatchWriteItem"
            | "PutEvents"
            | "SendMessageBatch" => entry_count(&self.operation, &self.json()),
            _ => 0,
        })
    }

    /// The same for each call that asks for the same.
    pub fn key(&self) -> Vec<u8> {
        [self.operation.as_bytes(), b" ", self.target.as_bytes(), b" ", &self.body].concat()
    }

    /// Whether its path or its body has this text.
    pub fn contains(&self, text: &str) -> bool {
        let is_in = |all: &[u8]| memchr::memmem::find(all, text.as_bytes()).is_some();
        !text.is_empty() && (is_in(self.target.as_bytes()) || is_in(&self.body))
    }
}

/// The service in the credential's scope ("Elements of an AWS API request signature", IAM user guide).
fn signed_service(request: &Whole) -> Option<&str> {
    let (_, credential) = request.header("authorization")?.split_once("Credential=")?;
    credential.split(',').next()?.split('/').nth(3)
}

/// By the method, and by whether the path names an object ("Actions", Amazon S3 API reference). Addresses are path-style.
fn s3_operation(request: &Whole) -> &'static str {
    let path = request.head.uri.path().trim_start_matches('/');
    let is_object = path.split_once('/').is_some_and(|(_, key)| !key.is_empty());
    match (request.head.method.as_str(), is_object) {
        ("GET", true) => "GetObject",
        ("GET", false) => "ListObjectsV2",
        ("HEAD", true) => "HeadObject",
        ("HEAD", false) => "HeadBucket",
        ("PUT", true) => "PutObject",
        ("DELETE", true) => "DeleteObject",
        ("POST", false) => "DeleteObjects",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn call(method: &str, uri: &str, headers: &[(&str, &str)], body: &'static str) -> Call {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, body) = request.body(body).unwrap().into_parts();
        Call::to_aws("validator", &Whole { head, body: body.into() })
    }

    #[test]
    fn the_service_and_the_operation() {
        let signed = |service: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
            )
        };
        for (method, uri, service, target, operation) in [
            ("POST", "/", "dynamodb", Some("DynamoDB_20120810.BatchGetItem"), "BatchGetItem"),
            ("POST", "/", "sqs", Some("AmazonSQS.SendMessage"), "SendMessage"),
            ("GET", "/bucket/a/b?x-id=GetObject", "s3", None, "GetObject"),
            ("GET", "/bucket/?list-type=2", "s3", None, "ListObjectsV2"),
            ("PUT", "/bucket/a", "s3", None, "PutObject"),
        ] {
            let mut headers = vec![("authorization", signed(service))];
            headers.extend(target.map(|target| ("x-amz-target", target.to_owned())));
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let call = call(method, uri, &headers, "");
            assert_eq!((call.service.as_str(), call.operation.as_str()), (service, operation));
        }
        assert_eq!(call("POST", "/", &[], "").service, "unknown");
    }

    #[test]
    fn a_text_of_the_path_or_the_body() {
        let call = call("POST", "/bucket/key", &[], r#"{"TableName":"events"}"#);
        for (text, is_in) in [("bucket", true), ("\"events\"", true), ("other", false), ("", false)] {
            assert_eq!(call.contains(text), is_in, "{text}");
        }
    }
}
