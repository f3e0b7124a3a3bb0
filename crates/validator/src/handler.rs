//! Handles one request.

use std::{borrow::Cow, convert::Infallible, sync::Arc, time::Duration};

use aws_lc_rs::rand;
use serde::Serialize;
use tollgate_core::{Authenticity, OnDuplicate, Timestamp, WebhookId};
use tollgate_lambda::{
    clock,
    metrics::{Record, Unit},
    start::{Invocation, Payload},
};
use tollgate_pipeline::{
    ingest::{Incoming, Rejection, Taken},
    rejected::{self, Task, Verdict},
    retrieved::Sealed,
};
use tollgate_providers::{Endpoint, Headers};
use tracing::{Instrument, Level, error_span, info, warn};

use crate::{
    context::Context,
    event::{EventError, Request, Route},
    replayed,
};

/// How long a sender is asked to wait when a dependency is down, in seconds: longer than our own retries take.
const RETRY_AFTER_SECONDS: &str = "5";

/// In the place of a sender's address.
const RETRIEVED_FROM: &str = "provider-api";

/// How long a health check waits: Route 53 wants an answer within two seconds of its connection ("How Amazon Route 53 determines
/// whether a health check is healthy", developer guide).
const HEALTH_TIMEOUT: Duration = Duration::from_millis(1_500);

/// How long whoever is refused waits for it to be kept. It is two calls at most.
const KEEP_TIMEOUT: Duration = Duration::from_secs(2);

/// What is said when a dependency is down. The failure may be that of an answer: the webhook may be in the queue all the
/// same, so that the sender must repeat it and not send another event in its place.
const UNAVAILABLE: &str =
    "temporarily unavailable; the event may have been accepted: repeat it with the same event id";

/// The endpoint in metrics and logs where none was found. Each value of a dimension is billed as a metric, and senders can
/// invent names: what they typed is in neither.
const NO_ENDPOINT: &str = "unknown";

/// What an invocation is answered.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Reply {
    Http(Response),
    Kept(Verdict),
    Replayed(tollgate_pipeline::replay::Answer),
}

/// Answers a request. A problem is an answer too and never an error of the function: after an answer that is not 2xx
/// the sender keeps the webhook and sends it again.
pub(crate) async fn handle(
    context: Arc<Context>,
    invocation: Invocation,
    payload: Payload,
) -> Result<Reply, Infallible> {
    let now = clock::now();
    if let Some(task) = Task::read(payload.bytes()) {
        return Ok(Reply::Kept(judge_kept(&context, &invocation, &task, now).await));
    }
    let webhook_id = WebhookId::new(now, random());
    // Of the highest level, so that at any `LOG_LEVEL` each log line has the webhook's id.
    let span = error_span!("webhook", %webhook_id, request_id = invocation.request_id);
    let answer = async {
        let answer = match Request::read(payload.text()) {
            Ok(request) => respond(&context, &webhook_id, &invocation, request).await,
            Err(problem) => {
                if problem == EventError::NotHttp
                    && let Some(sealed) = Sealed::read(payload.text())
                {
                    let answer = take_retrieved(&context, &webhook_id, &invocation, &sealed).await;
                    return Reply::Http(answer.into_response(&webhook_id));
                }
                let handed =
                    (problem == EventError::NotHttp).then(|| replayed::read(payload.text())).flatten();
                if let Some(handed) = handed {
                    return Reply::Replayed(replayed::handle(&context, handed).await);
                }
                warn!(error = %problem, "event refused");
                Answer::error(400, problem.to_string())
            }
        };
        Reply::Http(answer.into_response(&webhook_id))
    };
    Ok(answer.instrument(span).await)
}

/// Judges what was refused and kept, and takes it in where an operator says so.
async fn judge_kept(context: &Context, invocation: &Invocation, task: &Task, now: Timestamp) -> Verdict {
    let span = error_span!("kept", request_id = invocation.request_id);
    let verdict = rejected::judge(&context.ingest, &context.kept, task, now).instrument(span).await;
    let outcome = match &verdict {
        Verdict::Genuine { .. } => "genuine",
        Verdict::Taken { .. } => "taken",
        Verdict::Refused { .. } => "refused",
        Verdict::Unavailable { .. } => "unavailable",
        Verdict::Gone { .. } => "gone",
    };
    info!(request_id = invocation.request_id, takes_in = task.takes_in, outcome, "kept webhook judged");
    verdict
}

async fn respond(
    context: &Context,
    webhook_id: &WebhookId,
    invocation: &Invocation,
    request: Request<'_>,
) -> Answer {
    let endpoint = match &request.route {
        Route::Generic => None,
        Route::Endpoint(name) => Some(name.as_str()),
        Route::Health => return health(context, &request.method).await,
        Route::Unknown => return Answer::error(404, "not found"),
    };
    if request.method != "POST" {
        return handle_challenge(context, endpoint, &request).await;
    }
    let incoming = Incoming {
        webhook_id,
        received_at: clock::now(),
        endpoint,
        headers: &request.headers,
        query: &request.query,
        body: &request.body,
        source_ip: &request.source_ip,
        trace: invocation.trace.as_deref().filter(|trace| is_trace(trace)),
    };
    let (endpoint, taken) = match context.ingest.endpoint(&incoming).await {
        Ok(endpoint) => {
            let taken = context.ingest.take(&endpoint, incoming).await;
            (Some(endpoint), taken)
        }
        Err(rejection) => (None, Err(rejection)),
    };
    let answer = Answer::from_result(&taken);
    let is_kept = match (&endpoint, &taken) {
        (Some(endpoint), Err(rejection)) => keep(context, endpoint, &incoming, rejection).await,
        _ => false,
    };
    let endpoint = endpoint.as_ref().map_or(NO_ENDPOINT, |endpoint| endpoint.id().as_str());
    log_and_count(context, &incoming, endpoint, &invocation.request_id, &taken, is_kept, answer.status);
    answer
}

/// Keeps what was refused, where its endpoint asks for it. Its answer is decided, and waits for it: what is not done by the
/// answer is done with the next invocation, or never.
async fn keep(
    context: &Context,
    endpoint: &Endpoint,
    incoming: &Incoming<'_>,
    rejection: &Rejection,
) -> bool {
    let kept = context.keeper.keep(endpoint, incoming, rejection);
    tokio::time::timeout(KEEP_TIMEOUT, kept).await.unwrap_or(false)
}

/// Takes in what an operator retrieved.
async fn take_retrieved(
    context: &Context,
    webhook_id: &WebhookId,
    invocation: &Invocation,
    sealed: &Sealed,
) -> Answer {
    let incoming = Incoming {
        webhook_id,
        received_at: clock::now(),
        endpoint: Some(sealed.endpoint().as_str()),
        headers: &Headers::new(),
        query: "",
        body: &[],
        source_ip: RETRIEVED_FROM,
        trace: None,
    };
    let taken = context.ingest.take_retrieved(incoming, sealed).await;
    let answer = Answer::from_result(&taken);
    // A name is one of ours once something was taken in under it.
    let endpoint = if taken.is_ok() { sealed.endpoint().as_str() } else { NO_ENDPOINT };
    log_and_count(context, &incoming, endpoint, &invocation.request_id, &taken, false, answer.status);
    answer
}

/// Writes the log line of a webhook, which has its metrics too. It is the only line, unless there is a warning.
fn log_and_count(
    context: &Context,
    incoming: &Incoming<'_>,
    endpoint: &str,
    request_id: &str,
    taken: &Result<Taken, Rejection>,
    is_kept: bool,
    status: u16,
) {
    let (outcome, reason) = match taken {
        // No provider was heard.
        Ok(Taken { authenticity: Authenticity::Retrieved, .. }) => ("retrieved", "none"),
        Ok(Taken { duplicate: true, .. }) => ("duplicate", "none"),
        Ok(_) => ("accepted", "none"),
        Err(rejection) => ("rejected", rejection.code()),
    };
    let error = taken.as_ref().err().map(ToString::to_string);
    let mut fields = vec![
        ("webhook_id", incoming.webhook_id.as_str().into()),
        ("request_id", request_id.into()),
        ("status", usize::from(status).into()),
    ];
    let record = match taken {
        Ok(taken) => {
            fields.extend([
                ("event_id", taken.event_id.as_str().into()),
                ("events", taken.events.into()),
                ("authenticity", taken.authenticity.as_str().into()),
            ]);
            Record { level: Level::INFO, message: "taken", fields: &fields }
        }
        Err(_) => {
            fields.extend(error.as_deref().map(|error| ("error", error.into())));
            fields.push(("kept", usize::from(is_kept).into()));
            Record { level: Level::WARN, message: "rejected", fields: &fields }
        }
    };
    let spent = clock::now().duration_since(incoming.received_at).as_millis();
    let signature_failed = matches!(taken, Err(Rejection::Signature(_)));
    context.metrics.emit(
        incoming.received_at,
        record,
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
                    ("body", Unit::Bytes, incoming.body.len() as u64),
                    ("duration", Unit::Milliseconds, u64::try_from(spent).unwrap_or(0)),
                ],
            ),
        ],
    );
}

/// Whether webhooks can be accepted now, for health checks. It tells nothing else: anybody may ask.
async fn health(context: &Context, method: &str) -> Answer {
    if method != "GET" {
        return Answer::error(405, "method not allowed");
    }
    let asked = tokio::time::timeout(HEALTH_TIMEOUT, context.ingest.can_accept(clock::now()));
    let (status, text) = match asked.await {
        Ok(true) => (200, "webhooks are accepted"),
        Ok(false) | Err(_) => (503, "webhooks cannot be accepted now"),
    };
    Answer { status, content: Content::Text("text/plain", text.to_owned()) }
}

/// A request other than POST is a provider's check of the endpoint, or is refused.
async fn handle_challenge(context: &Context, endpoint: Option<&str>, request: &Request<'_>) -> Answer {
    let reply = match endpoint {
        Some(endpoint) => context.ingest.handshake(endpoint, &request.method, &request.query).await,
        None => Ok(None),
    };
    match reply {
        Ok(Some(reply)) => {
            info!(status = reply.status, "handshake answered");
            Answer { status: reply.status, content: Content::Text(reply.content_type, reply.body) }
        }
        Ok(None) => Answer::error(405, "method not allowed"),
        Err(rejection) => {
            warn!(reason = rejection.code(), error = %rejection, "handshake refused");
            Answer::from_rejection(&rejection)
        }
    }
}

/// SQS refuses a message whose trace header is malformed ("Tracing header", AWS X-Ray developer guide).
fn is_trace(text: &str) -> bool {
    text.len() <= 256 && text.starts_with("Root=") && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The HTTP answer, before it is put into Lambda's form.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    content: Content,
}

#[derive(Debug, PartialEq)]
enum Content {
    /// Our JSON body. The webhook's id is added to it.
    Json(JsonBody),
    /// The reply to a handshake: content type and body.
    Text(&'static str, String),
}

/// Our JSON body.
#[derive(Debug, Default, PartialEq, Serialize)]
struct JsonBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<usize>,
    /// Every answer that is sent has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_id: Option<WebhookId>,
}

/// From this API Gateway and function URLs make the HTTP response ("Lambda proxy integrations", API Gateway developer
/// guide).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response {
    status_code: u16,
    headers: ResponseHeaders,
    body: String,
    is_base64_encoded: bool,
}

#[derive(Debug, Serialize)]
struct ResponseHeaders {
    #[serde(rename = "Content-Type")]
    content_type: &'static str,
    #[serde(rename = "Retry-After", skip_serializing_if = "Option::is_none")]
    retry_after: Option<&'static str>,
}

impl Answer {
    fn error(status: u16, error: impl Into<Cow<'static, str>>) -> Self {
        Self { status, content: Content::Json(JsonBody { error: Some(error.into()), ..JsonBody::default() }) }
    }

    fn from_result(taken: &Result<Taken, Rejection>) -> Self {
        let taken = match taken {
            Ok(taken) => taken,
            Err(rejection) => return Self::from_rejection(rejection),
        };
        let event_id = Some(taken.event_id.clone());
        let (status, body) = match (taken.duplicate, taken.on_duplicate) {
            (false, _) => {
                let message = Some("Event validated and queued for processing");
                (200, JsonBody { message, event_id, events: Some(taken.events), ..JsonBody::default() })
            }
            (true, OnDuplicate::Conflict) => {
                (409, JsonBody { error: Some("Duplicate event".into()), event_id, ..JsonBody::default() })
            }
            (true, _) => {
                (200, JsonBody { message: Some("Duplicate event"), event_id, ..JsonBody::default() })
            }
        };
        Self { status, content: Content::Json(body) }
    }

    fn from_rejection(rejection: &Rejection) -> Self {
        match rejection {
            Rejection::UnknownEndpoint => Self::error(404, "unknown endpoint"),
            Rejection::NoProvider
            | Rejection::Content(_)
            | Rejection::Archived(_)
            | Rejection::NotRetrievable
            | Rejection::OtherEvent => Self::error(400, rejection.to_string()),
            Rejection::TooLarge { .. } => Self::error(413, rejection.to_string()),
            // A forger must not learn why the signature failed.
            Rejection::Signature(_) => Self::error(401, "invalid signature"),
            Rejection::Unavailable(_) => Self::error(503, UNAVAILABLE),
        }
    }

    fn into_response(self, webhook_id: &WebhookId) -> Response {
        let (content_type, body) = match self.content {
            Content::Json(body) => {
                let body = JsonBody { webhook_id: Some(*webhook_id), ..body };
                // Texts and numbers always have JSON. Without a body the status would still be right.
                ("application/json", serde_json::to_string(&body).unwrap_or_default())
            }
            Content::Text(content_type, body) => (content_type, body),
        };
        let retry_after = (self.status == 503).then_some(RETRY_AFTER_SECONDS);
        let headers = ResponseHeaders { content_type, retry_after };
        Response { status_code: self.status, headers, body, is_base64_encoded: false }
    }
}

/// 128 random bits. If the system has none, zeros: the millisecond in the id and the request id in the log still tell
/// deliveries apart.
fn random() -> u128 {
    let mut bytes = [0; 16];
    match rand::fill(&mut bytes) {
        Ok(()) => u128::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
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
            (Err(unavailable), 503, json!({"error": UNAVAILABLE})),
        ];
        let id = WebhookId::new(Timestamp::UNIX_EPOCH, 7);
        for (taken, status, mut body) in cases {
            let response = serde_json::to_value(Answer::from_result(&taken).into_response(&id)).unwrap();
            body["webhook_id"] = json!(id.as_str());
            let sent: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
            assert_eq!((&response["statusCode"], sent), (&json!(status), body));
            assert_eq!(response["headers"]["Content-Type"], "application/json");
            let retry_after = (status == 503).then_some("5");
            assert_eq!(response["headers"]["Retry-After"].as_str(), retry_after);
            assert_eq!(response["isBase64Encoded"], json!(false));
        }
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
