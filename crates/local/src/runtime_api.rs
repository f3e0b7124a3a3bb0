//! The Runtime API, as one copy's process sees it.
//!
//! Source: AWS Lambda developer guide, "Using the Lambda runtime API for custom runtimes", version 2018-06-01.

use std::rc::Rc;

use bytes::Bytes;
use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{HeaderName, HeaderValue},
};
use serde_json::json;

use crate::{
    copy::{Copy, Work},
    http::{self, Answer, ReadError},
    invocation::{Fault, Outcome},
};

/// Answers one request of the process.
pub async fn handle(copy: Rc<Copy>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let Some(route) = path.strip_prefix("/2018-06-01/runtime/") else { return not_found() };
    let parts: Vec<_> = route.split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => event(copy.next().await),
        (&Method::POST, ["invocation", id, "response"]) => response(&copy, id, request).await,
        (&Method::POST, ["invocation", id, "error"]) => error(&copy, id, request).await,
        (&Method::POST, ["init", "error"]) => init_error(&copy, request).await,
        _ => not_found(),
    }
}

fn event(work: Work) -> Answer {
    let invocation = work.invocation;
    let mut answer = http::raw_json(StatusCode::OK, invocation.payload);
    let texts = [
        ("lambda-runtime-aws-request-id", invocation.request_id),
        ("lambda-runtime-deadline-ms", work.deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", invocation.arn),
        ("lambda-runtime-trace-id", invocation.trace_id),
    ];
    for (name, text) in texts {
        if let Ok(value) = HeaderValue::from_str(&text) {
            answer.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    if let Some(context) = invocation.client_context {
        answer.headers_mut().insert(HeaderName::from_static("lambda-runtime-client-context"), context);
    }
    answer
}

async fn response(copy: &Copy, id: &str, request: Request<Incoming>) -> Answer {
    match http::read(request.into_body()).await {
        Ok(body) => accepted(copy.complete(id, Outcome::Response(body))),
        Err(ReadError::TooLarge) => {
            let fault = Fault::response_too_large();
            let answer = http::error(StatusCode::PAYLOAD_TOO_LARGE, &fault.kind, &fault.message);
            if copy.complete(id, Outcome::Fault(fault)) { answer } else { unknown_id() }
        }
        // The process died while it wrote; its end answers the caller.
        Err(ReadError::BrokenOff) => http::error(StatusCode::BAD_REQUEST, "BadRequest", "incomplete body"),
    }
}

async fn error(copy: &Copy, id: &str, request: Request<Incoming>) -> Answer {
    let kind = http::header(request.headers(), ERROR_TYPE).unwrap_or(UNKNOWN_ERROR).to_owned();
    match http::read(request.into_body()).await {
        Ok(body) => accepted(copy.complete(id, Outcome::Error(diagnostic(body, &kind)))),
        Err(_) => http::error(StatusCode::BAD_REQUEST, "BadRequest", "incomplete body"),
    }
}

async fn init_error(copy: &Copy, request: Request<Incoming>) -> Answer {
    let kind = http::header(request.headers(), ERROR_TYPE).unwrap_or(UNKNOWN_ERROR).to_owned();
    let body = http::read(request.into_body()).await.unwrap_or_default();
    let text = |name: &str| {
        let value: serde_json::Value = serde_json::from_slice(&body).ok()?;
        value.get(name)?.as_str().map(str::to_owned)
    };
    let message = text("errorMessage").unwrap_or_else(|| "initialization failed".into());
    copy.fail_init(Fault { kind: text("errorType").unwrap_or(kind), message });
    http::json(StatusCode::ACCEPTED, &json!({"status": "OK"}))
}

const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const UNKNOWN_ERROR: &str = "Runtime.Unknown";

/// What the function says of its error, which is to be JSON; if it is not, its type alone is known.
fn diagnostic(body: Bytes, kind: &str) -> Bytes {
    if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok() {
        return body;
    }
    json!({"errorType": kind, "errorMessage": String::from_utf8_lossy(&body)}).to_string().into()
}

fn accepted(known: bool) -> Answer {
    if known { http::json(StatusCode::ACCEPTED, &json!({"status": "OK"})) } else { unknown_id() }
}

fn unknown_id() -> Answer {
    http::error(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

fn not_found() -> Answer {
    http::error(StatusCode::NOT_FOUND, "NotFound", "no such path in the Runtime API")
}
