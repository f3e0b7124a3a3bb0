//! One invocation and its possible results.

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, header::HeaderValue};
use tokio::sync::oneshot;

use crate::{
    clock,
    http::{self, Answer},
};

/// An event that waits for a copy, and the caller that waits for its outcome.
#[derive(Debug)]
pub struct Invocation {
    /// `Lambda-Runtime-Aws-Request-Id`.
    pub request_id: String,
    /// The event, as it came.
    pub payload: Bytes,
    /// `Lambda-Runtime-Trace-Id`.
    pub trace_id: String,
    /// `Lambda-Runtime-Invoked-Function-Arn`.
    pub arn: String,
    /// `Lambda-Runtime-Client-Context`, as it came.
    pub client_context: Option<HeaderValue>,
    /// Closed when the caller has disconnected.
    pub reply: oneshot::Sender<Outcome>,
}

impl Invocation {
    /// From the caller's headers; missing values are generated as Lambda does.
    pub fn new(
        headers: &HeaderMap,
        payload: Bytes,
        default_arn: String,
    ) -> (Self, oneshot::Receiver<Outcome>) {
        let (reply, outcome) = oneshot::channel();
        let given = |name| http::header(headers, name).filter(|text| !text.is_empty()).map(str::to_owned);
        let invocation = Self {
            request_id: given("x-amzn-lambda-request-id").unwrap_or_else(request_id),
            payload,
            trace_id: given("x-amzn-trace-id").unwrap_or_else(trace_id),
            arn: given("x-amzn-lambda-function-arn").unwrap_or(default_arn),
            client_context: headers.get("x-amz-client-context").cloned(),
            reply,
        };
        (invocation, outcome)
    }
}

/// The result of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The function's response.
    Response(Bytes),
    /// The function's own error, as it reported it.
    Error(Bytes),
    /// The function could not answer.
    Fault(Fault),
}

impl Outcome {
    /// The answer to the caller. An error has no 2xx status, because the local peer recognises it by the status.
    pub fn answer(self) -> Answer {
        let mut answer = match self {
            Self::Response(body) => return http::raw_json(StatusCode::OK, body),
            Self::Error(body) => http::raw_json(StatusCode::INTERNAL_SERVER_ERROR, body),
            Self::Fault(fault) => http::error(StatusCode::INTERNAL_SERVER_ERROR, &fault.kind, &fault.message),
        };
        answer.headers_mut().insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
        answer
    }
}

/// Lambda's own words for a function that did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `errorType`.
    pub kind: String,
    /// `errorMessage`.
    pub message: String,
}

impl Fault {
    /// The copy was killed at its deadline, after `seconds`.
    pub fn timeout(request_id: &str, seconds: u32) -> Self {
        Self {
            kind: "Sandbox.Timedout".into(),
            message: format!("RequestId: {request_id} Error: Task timed out after {seconds}.00 seconds"),
        }
    }

    /// The copy's process exited during an invocation.
    pub fn exit(request_id: &str, how: &str) -> Self {
        Self { kind: "Runtime.ExitError".into(), message: format!("RequestId: {request_id} Error: {how}") }
    }

    /// The response is larger than an invocation may carry.
    pub fn response_too_large() -> Self {
        let limit = http::MAX_PAYLOAD;
        Self {
            kind: "Function.ResponseSizeTooLarge".into(),
            message: format!("Response payload size exceeded maximum allowed payload size ({limit} bytes)."),
        }
    }

    /// The runner stops.
    pub fn stopping() -> Self {
        Self { kind: "ServiceException".into(), message: "the local runner is stopping".into() }
    }
}

/// A UUID, version 4.
fn request_id() -> String {
    // RFC 9562, section 5.4: the version and variant bits.
    let id = random() & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let part = |shift: u32, digits: u32| (id >> shift) & ((1 << (digits * 4)) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 8),
        part(80, 4),
        part(64, 4),
        part(48, 4),
        part(0, 12)
    )
}

/// An unsampled X-Ray trace header.
fn trace_id() -> String {
    let (seconds, random) = (clock::since_epoch().as_secs(), random());
    let (root, parent) = (random >> 32, random & u128::from(u64::MAX));
    format!("Root=1-{seconds:08x}-{root:024x};Parent={parent:016x};Sampled=0")
}

/// 32 random hexadecimal digits, for the name of a log stream.
pub fn stream_id() -> String {
    format!("{:032x}", random())
}

fn random() -> u128 {
    use std::hash::{BuildHasher as _, RandomState};
    // Each RandomState has another seed, which comes from the system. That is random enough for ids.
    let half = || u128::from(RandomState::new().hash_one(clock::since_epoch()));
    half() << 64 | half()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_uuids() {
        let (a, b) = (request_id(), request_id());
        assert_ne!(a, b);
        let lengths: Vec<_> = a.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert!(a.split('-').nth(2).unwrap().starts_with('4'));
        assert!(a.split('-').nth(3).unwrap().starts_with(['8', '9', 'a', 'b']));
    }

    #[test]
    fn trace_ids_have_the_documented_form() {
        let lengths: Vec<_> = trace_id().split([';', '-', '=']).map(str::len).collect();
        assert_eq!(lengths, [4, 1, 8, 24, 6, 16, 7, 1]);
    }
}
