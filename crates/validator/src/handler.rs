//! One request in, one answer out.

use std::{convert::Infallible, sync::Arc};

use aws_lc_rs::rand;
use serde_json::{Value, json};
use tollgate_core::{OnDuplicate, WebhookId};
use tollgate_lambda::{
    clock::SystemClock,
    metrics::Unit,
    start::{Invocation, Payload},
};
use tollgate_pipeline::{
    ingest::{Incoming, Rejection, Taken},
    ports::Clock,
};
use tracing::{Instrument, info, info_span, warn};

use crate::{
    context::Context,
    event::{EventError, Request, Route},
};

/// What a sender is asked to wait when a dependency is down, in seconds: longer than our own retries take.
const RETRY_AFTER_SECONDS: &str = "5";

/// Answers a request. Every problem is an answer, so that no webhook is lost to an error of ours: the sender keeps
/// it and tries again.
pub(crate) async fn handle(
    context: Arc<Context>,
    invocation: Invocation,
    payload: Payload,
) -> Result<Value, Infallible> {
    let now = SystemClock.now();
    let webhook_id = WebhookId::new(now, random());
    let span = info_span!("webhook", %webhook_id, request_id = invocation.request_id, endpoint = tracing::field::Empty);
    let answer = async {
        match Request::read(payload.text()) {
            Ok(request) => respond(&context, &webhook_id, invocation.trace.as_deref(), request).await,
            Err(problem) => {
                warn!(error = %problem, "event refused");
                Answer::of_event_error(&problem)
            }
        }
    };
    let answer = answer.instrument(span).await;
    Ok(answer.into_response(&webhook_id))
}

async fn respond(context: &Context, webhook_id: &WebhookId, trace: Option<&str>, request: Request) -> Answer {
    let endpoint = match &request.route {
        Route::Generic => None,
        Route::Endpoint(name) => Some(name.as_str()),
        Route::Nowhere => return Answer::new(404, json!({"error": "not found"})),
    };
    if request.method != "POST" {
        return shake_hands(context, endpoint, &request).await;
    }
    let received_at = SystemClock.now();
    let incoming = Incoming {
        webhook_id,
        received_at,
        endpoint,
        headers: &request.headers,
        query: &request.query,
        body: &request.body,
        source_ip: &request.source_ip,
        trace: trace.filter(|trace| is_trace(trace)),
    };
    let span = tracing::Span::current();
    let taken = context.ingest.take(incoming).await;
    let answer = Answer::of(&taken);
    let name = endpoint.or_else(|| request.headers.get("X-Provider-ID")).unwrap_or_default();
    // A name that is nobody's must not become a metric of its own.
    let known = !matches!(&taken, Err(Rejection::UnknownEndpoint | Rejection::NoProvider));
    let endpoint = if known { name } else { "unknown" };
    span.record("endpoint", endpoint);
    log(&taken, &answer, request.body.len());
    let (outcome, reason) = match &taken {
        Ok(Taken { duplicate: true, .. }) => ("duplicate", "none"),
        Ok(_) => ("accepted", "none"),
        Err(rejection) => ("rejected", rejection.code()),
    };
    let spent = SystemClock.now().duration_since(received_at).as_millis();
    let signature_failed = matches!(&taken, Err(Rejection::Signature(_)));
    context.metrics.emit(
        received_at,
        &[
            (
                &[("endpoint", endpoint), ("outcome", outcome), ("reason", reason)],
                &[("webhooks", Unit::Count, 1)],
            ),
            (
                &[],
                &[
                    ("webhooks", Unit::Count, 1),
                    ("signature_failures", Unit::Count, u64::from(signature_failed)),
                    ("conflicts", Unit::Count, taken.as_ref().map_or(0, |taken| taken.conflicts as u64)),
                    ("body", Unit::Bytes, request.body.len() as u64),
                    ("duration", Unit::Milliseconds, u64::try_from(spent).unwrap_or(0)),
                ],
            ),
        ],
    );
    answer
}

/// Anything but a POST is a provider's check of the endpoint, or nothing.
async fn shake_hands(context: &Context, endpoint: Option<&str>, request: &Request) -> Answer {
    let reply = match endpoint {
        Some(endpoint) => context.ingest.handshake(endpoint, &request.method, &request.query).await,
        None => Ok(None),
    };
    match reply {
        Ok(Some(reply)) => {
            info!(status = reply.status, "handshake answered");
            Answer { status: reply.status, content: Content::Text(reply.content_type, reply.body) }
        }
        Ok(None) => Answer::new(405, json!({"error": "method not allowed"})),
        Err(rejection) => {
            warn!(reason = rejection.code(), error = %rejection, "handshake refused");
            Answer::of_rejection(&rejection)
        }
    }
}

/// SQS refuses a message whose trace header is not one ("Tracing header", AWS X-Ray developer guide).
fn is_trace(text: &str) -> bool {
    text.len() <= 256 && text.starts_with("Root=") && text.bytes().all(|b| b.is_ascii_graphic())
}

fn log(taken: &Result<Taken, Rejection>, answer: &Answer, bytes: usize) {
    match taken {
        Ok(taken) => info!(
            status = answer.status,
            bytes,
            event_id = taken.event_id,
            events = taken.events,
            duplicate = taken.duplicate,
            authenticity = taken.authenticity.as_str(),
            "taken"
        ),
        Err(rejection) => {
            warn!(status = answer.status, bytes, reason = rejection.code(), error = %rejection, "rejected");
        }
    }
}

/// The HTTP answer, before it is dressed for Lambda.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    content: Content,
}

#[derive(Debug, PartialEq)]
enum Content {
    /// Ours; the webhook's id is added.
    Json(Value),
    /// The words of a handshake, with their type.
    Text(&'static str, String),
}

impl Answer {
    fn new(status: u16, body: Value) -> Self {
        Self { status, content: Content::Json(body) }
    }

    fn of(taken: &Result<Taken, Rejection>) -> Self {
        match taken {
            Ok(Taken { duplicate: false, event_id, events, .. }) => Self::new(
                200,
                json!({
                    "message": "Event validated and queued for processing",
                    "event_id": event_id,
                    "events": events,
                }),
            ),
            Ok(Taken { on_duplicate: OnDuplicate::Conflict, event_id, .. }) => {
                Self::new(409, json!({"error": "Duplicate event", "event_id": event_id}))
            }
            Ok(Taken { event_id, .. }) => {
                Self::new(200, json!({"message": "Duplicate event", "event_id": event_id}))
            }
            Err(rejection) => Self::of_rejection(rejection),
        }
    }

    fn of_rejection(rejection: &Rejection) -> Self {
        let (status, error) = match rejection {
            Rejection::UnknownEndpoint => (404, "unknown endpoint".to_owned()),
            Rejection::NoProvider | Rejection::Content(_) => (400, rejection.to_string()),
            Rejection::TooLarge { .. } => (413, rejection.to_string()),
            // Whoever forges a signature learns nothing about why it failed.
            Rejection::Signature(_) => (401, "invalid signature".to_owned()),
            Rejection::Unavailable(_) => (503, "temporarily unavailable, try again".to_owned()),
        };
        Self::new(status, json!({"error": error}))
    }

    fn of_event_error(problem: &EventError) -> Self {
        Self::new(400, json!({"error": problem.to_string()}))
    }

    fn into_response(self, webhook_id: &WebhookId) -> Value {
        let (content_type, body) = match self.content {
            Content::Json(mut body) => {
                if let Some(body) = body.as_object_mut() {
                    body.insert("webhook_id".to_owned(), webhook_id.as_str().into());
                }
                ("application/json", body.to_string())
            }
            Content::Text(content_type, body) => (content_type, body),
        };
        let mut headers = json!({"Content-Type": content_type});
        if let (503, Some(headers)) = (self.status, headers.as_object_mut()) {
            headers.insert("Retry-After".to_owned(), RETRY_AFTER_SECONDS.into());
        }
        json!({"statusCode": self.status, "headers": headers, "body": body, "isBase64Encoded": false})
    }
}

/// 128 random bits; should the system have none to give, zeros: an id only has to differ, and the millisecond
/// and the request id tell deliveries apart still.
fn random() -> u128 {
    let mut bytes = [0; 16];
    match rand::fill(&mut bytes) {
        Ok(()) => u128::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::Authenticity;
    use tollgate_pipeline::ports::PortError;
    use tollgate_providers::ContentError;

    use super::*;

    fn taken(duplicate: bool, on_duplicate: OnDuplicate) -> Result<Taken, Rejection> {
        Ok(Taken {
            event_id: "evt_1".to_owned(),
            events: 1,
            duplicate,
            on_duplicate,
            authenticity: Authenticity::Verified,
            conflicts: 0,
        })
    }

    #[test]
    fn every_outcome_has_its_answer() {
        let message = "Event validated and queued for processing";
        let unavailable = Rejection::Unavailable(PortError::retryable("sqs", "ThrottlingException"));
        let cases = [
            (
                taken(false, OnDuplicate::Conflict),
                200,
                json!({"message": message, "event_id": "evt_1", "events": 1}),
            ),
            (
                taken(true, OnDuplicate::Conflict),
                409,
                json!({"error": "Duplicate event", "event_id": "evt_1"}),
            ),
            (
                taken(true, OnDuplicate::Acknowledge),
                200,
                json!({"message": "Duplicate event", "event_id": "evt_1"}),
            ),
            (Err(Rejection::UnknownEndpoint), 404, json!({"error": "unknown endpoint"})),
            (
                Err(Rejection::Content(ContentError::MissingField("event_id"))),
                400,
                json!({"error": "Missing required field: event_id"}),
            ),
            (
                Err(Rejection::TooLarge { limit: 5 }),
                413,
                json!({"error": "body is over the limit of 5 bytes"}),
            ),
            (Err(unavailable), 503, json!({"error": "temporarily unavailable, try again"})),
        ];
        for (taken, status, body) in cases {
            assert_eq!(Answer::of(&taken), Answer::new(status, body));
        }
    }

    #[test]
    fn every_response_names_its_webhook_and_a_503_says_when_to_come_back() {
        let id = WebhookId::new(tollgate_core::Timestamp::UNIX_EPOCH, 7);
        let response = Answer::new(503, json!({"error": "x"})).into_response(&id);
        assert_eq!(response["headers"]["Retry-After"], "5");
        let body: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
        assert_eq!(body, json!({"error": "x", "webhook_id": id.as_str()}));
    }

    #[test]
    fn only_a_trace_header_is_passed_on() {
        assert!(is_trace("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"));
        for odd in ["", "Root=1 2", "Self=1", &format!("Root={}", "x".repeat(300))] {
            assert!(!is_trace(odd), "{odd}");
        }
    }

    #[test]
    fn ids_differ() {
        assert_ne!(random(), random());
    }
}
