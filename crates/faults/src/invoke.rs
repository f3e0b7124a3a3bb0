//! Invocations of functions.

use std::{sync::Arc, time::Duration};

use hyper::{Method, Request, StatusCode, body::Incoming, header::HeaderValue};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    call::Call,
    http::{self, Answer, Reset, Whole, body},
    log::More,
    proxy::Proxy,
    rule::{Fault, Kind},
};

/// About as long as the messages of the intake are invisible on this machine, 30 s (`IntakeVisibility` in
/// infra/params/local.json): between 29 and 31 s, so that the messages may be at work at two copies at the same time.
const LATE: Duration = Duration::from_secs(29);
const LATE_WITHIN_MS: u64 = 2_000;
/// About as long as an invocation of a few messages takes, in milliseconds.
const KILL_WITHIN_MS: u64 = 100;
/// Of the messages of a batch one in so many comes twice.
const REPEAT_ONE_IN: u64 = 4;

/// Passes on `/{function}/…` to the runner as `/…`.
pub async fn handle(proxy: Arc<Proxy>, request: Request<Incoming>) -> Result<Answer, Reset> {
    let request = match Whole::read(request).await {
        Ok(request) => request,
        Err(answer) => return Ok(answer),
    };
    let target = request.target().to_owned();
    let Some((function, path)) = target.trim_start_matches('/').split_once('/') else {
        return Ok(http::text(StatusCode::NOT_FOUND, "the path is /{function}/…"));
    };
    if !proxy.ports.aws.contains_key(function) {
        return Ok(http::text(StatusCode::NOT_FOUND, "no such function"));
    }
    let runner = proxy.upstream().ok_or(Reset)?.runner;
    let call = Call::invocation(function, &request);
    let to = To { proxy: Arc::clone(&proxy), runner, path: format!("/{path}") };
    match proxy.choose(&call) {
        // Where its caller leaves, the runner is left, too.
        None => to.pass(request).await,
        Some(fault) => tokio::spawn(fail(to, fault, call, request)).await.map_err(|_| Reset)?,
    }
}

/// The function of the runner.
#[derive(Clone)]
struct To {
    proxy: Arc<Proxy>,
    runner: String,
    path: String,
}

impl To {
    async fn pass(&self, request: Whole) -> Result<Answer, Reset> {
        self.proxy.onward.pass(&self.runner, &self.path, request).await
    }

    /// An invocation of its own with some of the records.
    async fn records(&self, of: &Whole, records: &[Value]) -> Result<Answer, Reset> {
        self.pass(with_records(of, records)).await
    }

    /// Kills a copy; says which process. `None` where none is alive.
    async fn kill(&self) -> Option<u32> {
        let path = format!("{}/kill", self.path.strip_suffix("/invocations")?);
        let request = Request::builder().method(Method::POST).uri("/").body(()).ok()?;
        let request = Whole { head: request.into_parts().0, body: Default::default() };
        let answer = self.proxy.onward.pass(&self.runner, &path, request).await.ok()?;
        let killed: Value = serde_json::from_slice(&body(answer).await.ok()?).ok()?;
        u32::try_from(killed.get("pid")?.as_u64()?).ok()
    }
}

async fn fail(to: To, fault: Fault, call: Call, request: Whole) -> Result<Answer, Reset> {
    let mut dice = fault.dice.clone();
    let happens = |more: More| to.proxy.note(&fault, &call, more);
    let entries = |count: usize| More { entries: Some(count), ..More::default() };
    let whole = entries(call.records);
    match fault.kind {
        Kind::Twice => {
            happens(whole);
            let (other, copy) = (to.clone(), another(&request));
            tokio::spawn(async move { other.pass(copy).await });
            to.pass(request).await
        }
        Kind::Repeat => {
            let mut records = records(&call);
            let twice: Vec<Value> = records
                .iter()
                .filter(|_| dice.below(fault.params.one_in.unwrap_or(REPEAT_ONE_IN)) == 0)
                .cloned()
                .collect();
            let twice = if twice.is_empty() { records.first().cloned().into_iter().collect() } else { twice };
            happens(entries(twice.len()));
            records.extend(twice);
            to.records(&request, &records).await
        }
        Kind::Shuffle => {
            happens(whole);
            let mut records = records(&call);
            dice.shuffle(&mut records);
            to.records(&request, &records).await
        }
        Kind::Split => {
            happens(whole);
            split(&to, &request, records(&call)).await
        }
        Kind::Again => {
            happens(whole);
            to.pass(request).await.map(|_| lost())
        }
        Kind::Late => {
            happens(whole);
            let otherwise = LATE + Duration::from_millis(dice.below(LATE_WITHIN_MS));
            sleep(fault.delay(otherwise)).await;
            to.pass(request).await
        }
        Kind::GatewayTimeout => {
            happens(More::default());
            to.pass(request).await.map(|_| gateway_timeout())
        }
        Kind::Kill => {
            let after = dice.below(fault.params.ms.unwrap_or(KILL_WITHIN_MS).saturating_add(1));
            let killer = to.clone();
            let kill = async {
                sleep(Duration::from_millis(after)).await;
                match killer.kill().await {
                    Some(pid) => happens(More { pid: Some(pid), ..More::default() }),
                    None => killer.proxy.take_back(&fault),
                }
            };
            let (answer, ()) = tokio::join!(to.pass(request), kill);
            answer
        }
        // Of the other side.
        _ => to.pass(request).await,
    }
}

/// Two invocations at once with every second record each, and what the function says of all: what arrived one after the other
/// is at work at the same moment.
async fn split(to: &To, request: &Whole, records: Vec<Value>) -> Result<Answer, Reset> {
    let turn = |of: usize| -> Vec<Value> { records.iter().skip(of).step_by(2).cloned().collect() };
    let (first, second) = (turn(0), turn(1));
    let other = another(request);
    let (one, two) = tokio::join!(to.records(request, &first), to.records(&other, &second));
    let failures = [failures(one?, &first).await, failures(two?, &second).await].concat();
    Ok(http::json(StatusCode::OK, &json!({ "batchItemFailures": failures })))
}

/// What the function says of its part; all of it where it failed.
async fn failures(answer: Answer, records: &[Value]) -> Vec<Value> {
    let is_success = answer.status() == StatusCode::OK;
    let said = body(answer).await.ok().and_then(|body| serde_json::from_slice::<Value>(&body).ok());
    let listed = said.and_then(|mut said| match said.get_mut("batchItemFailures").map(Value::take) {
        Some(Value::Array(listed)) => Some(listed),
        _ => None,
    });
    match listed {
        Some(listed) if is_success => listed,
        // A function that says nothing has done all.
        None if is_success => Vec::new(),
        _ => records.iter().map(|record| json!({"itemIdentifier": record.get("messageId")})).collect(),
    }
}

fn records(call: &Call) -> Vec<Value> {
    match call.json().get_mut("Records").map(Value::take) {
        Some(Value::Array(records)) => records,
        _ => Vec::new(),
    }
}

fn with_records(request: &Whole, records: &[Value]) -> Whole {
    Whole { head: request.head.clone(), body: json!({ "Records": records }).to_string().into() }
}

/// The same as another invocation: the runner gives it an id of its own.
fn another(request: &Whole) -> Whole {
    let mut copy = request.clone();
    copy.head.headers.remove("x-amzn-lambda-request-id");
    copy
}

/// As the runner says that a function has failed.
fn lost() -> Answer {
    let error = json!({"errorType": "ServiceException", "errorMessage": "the answer is lost"});
    let mut answer = http::json(StatusCode::INTERNAL_SERVER_ERROR, &error);
    answer.headers_mut().insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
    answer
}

/// As API Gateway says it ("Gateway response types", `INTEGRATION_TIMEOUT`, API Gateway developer guide), in the form of a
/// function's answer.
fn gateway_timeout() -> Answer {
    let answer = json!({
        "statusCode": 504, "headers": {"Content-Type": "application/json"},
        "body": r#"{"message": "Endpoint request timed out"}"#,
    });
    http::json(StatusCode::OK, &answer)
}
