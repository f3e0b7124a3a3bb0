//! Stand-ins for providers' APIs: each answers as its provider documents (the pages are in crates/provider-api/provider-apis.toml), and
//! refuses what the provider would refuse.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tollgate_core::Timestamp;
use tollgate_samples::Payment;

use crate::{
    loopback::{Request, Response, Server},
    provider_webhooks::{self as webhooks, Once},
};

/// An event that a stand-in knows, as its provider tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Its id.
    pub id: String,
    /// When it happened, in seconds since 1970.
    pub at: i64,
    /// Its whole JSON.
    pub json: Value,
}

impl Told {
    /// A success of a payment, as a provider tells it. `number` makes its ids.
    pub fn new(provider: &str, number: usize, at: i64) -> Self {
        let id = format!("evt_{number}");
        Self::of(provider, &Payment::new(id, format!("pi_{number}"), Timestamp::from_second(at).unwrap()))
    }

    /// The same of any payment.
    pub fn of(provider: &str, payment: &Payment) -> Self {
        let at = payment.at.as_second();
        let json = match payment.body(provider) {
            Some(body) => serde_json::from_str(&body).unwrap(),
            None => made_up(provider, payment),
        };
        Self { id: payment.event_id.clone(), at, json }
    }
}

/// What a stand-in knows and does.
#[derive(Debug, Default)]
pub struct State {
    /// What it knows, in any order.
    pub events: Vec<Told>,
    /// Its webhooks, with their keys: lists leave these out.
    pub webhooks: Vec<Value>,
    /// Requests that were made once.
    pub once: Once,
    /// Answers that are lost, but for those with tokens: what is asked is done, and 502 is answered.
    pub lost: usize,
    /// Answers before any other one: a status and a header.
    pub failures: Vec<(u16, Option<(&'static str, String)>)>,
    /// Events of a page at most, whatever is asked for.
    pub most: Option<usize>,
    /// What it was asked.
    pub requests: Vec<Request>,
    /// What it was asked to send again.
    pub resent: Vec<String>,
}

/// A provider's API.
#[derive(Debug)]
pub struct StandIn {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl StandIn {
    /// Of a provider of this catalogue name, which takes this key.
    pub fn start(provider: &'static str, key: &'static str, state: State) -> Self {
        let state = Arc::new(Mutex::new(state));
        let known = Arc::clone(&state);
        let server = Server::start(move |request| {
            let mut state = known.lock().unwrap_or_else(PoisonError::into_inner);
            state.requests.push(request.clone());
            if !state.failures.is_empty() {
                let (status, header) = state.failures.remove(0);
                let answer = Response::json(status, &json!({ "error": { "message": "as the test says" } }));
                return match header {
                    Some((name, value)) => answer.with(name, &value),
                    None => answer,
                };
            }
            let answer = match provider {
                "stripe" => stripe(request, key, &mut state),
                "paypal" => paypal(request, key, &mut state),
                "square" => square(request, key, &mut state),
                "gocardless" => gocardless(request, key, &state),
                "checkout_com" => checkout_com(request, key, &state),
                _ => panic!("no stand-in of {provider}"),
            };
            if request.method == "POST" && !request.path().ends_with("/token") && state.lost > 0 {
                state.lost -= 1;
                return Response { status: 502, headers: Vec::new(), body: Vec::new() };
            }
            answer
        });
        Self { server, state }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Looks at what it knows, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An event in the form of a provider's own example.
fn made_up(provider: &str, payment: &Payment) -> Value {
    let Payment { event_id, transaction_id, amount, currency, at, .. } = payment;
    match provider {
        // https://developer.paypal.com/api/rest/webhooks/event-names/
        "paypal" => json!({
            "id": event_id, "event_version": "1.0", "create_time": at.to_string(), "resource_type": "capture",
            "resource_version": "2.0", "event_type": "PAYMENT.CAPTURE.COMPLETED", "summary": "Payment completed",
            "resource": {
                "id": transaction_id, "status": "COMPLETED", "final_capture": true,
                "amount": { "currency_code": currency, "value": decimal(amount) },
            },
            "links": [{ "href": format!("https://api.paypal.com/v1/notifications/webhooks-events/{event_id}"), "rel": "self", "method": "GET" }],
        }),
        // https://developer.gocardless.com/api-reference/#core-endpoints-events
        "gocardless" => json!({
            "id": event_id, "created_at": at.to_string(), "resource_type": "payments", "action": "confirmed",
            "links": { "payment": transaction_id },
            "details": { "origin": "gocardless", "cause": "payment_confirmed", "description": "confirmed" },
            "metadata": {}, "resource_metadata": {},
        }),
        // https://www.checkout.com/docs/previous/reporting-and-insights/events-api
        "checkout_com" => json!({
            "id": event_id, "type": "payment_captured", "version": "2.0", "created_on": at.to_string(),
            "data": {
                "id": transaction_id, "action_id": format!("act_{event_id}"), "currency": currency,
                "amount": amount.parse::<i64>().unwrap(), "response_code": "10000", "processed_on": at.to_string(),
            },
        }),
        _ => panic!("no event of {provider} is made up here"),
    }
}

/// Minor units as a decimal of two digits.
fn decimal(minor_units: &str) -> String {
    let (whole, cents) = minor_units.split_at(minor_units.len() - 2);
    format!("{whole}.{cents}")
}

fn refused(status: u16, what: &str) -> Response {
    Response::json(status, &json!({ "error": { "message": what } }))
}

/// The events from one moment on and before another, the newest first.
fn newest_first(state: &State, from: i64, to: i64) -> Vec<&Told> {
    let mut events: Vec<&Told> = state.events.iter().filter(|one| (from..to).contains(&one.at)).collect();
    events.sort_by_key(|one| std::cmp::Reverse((one.at, one.id.clone())));
    events
}

fn stripe(request: &Request, key: &str, state: &mut State) -> Response {
    if request.header("authorization") != Some(&format!("Bearer {key}")) {
        return refused(401, "Invalid API Key provided");
    }
    if let Some(answer) = webhooks::stripe(request, &mut state.webhooks, &mut state.once) {
        return answer;
    }
    if let Some(id) = request.path().strip_prefix("/v1/events/") {
        return match state.events.iter().find(|one| one.id == id) {
            Some(one) => Response::json(200, &one.json),
            None => refused(404, "No such event"),
        };
    }
    if request.path() != "/v1/events" {
        return refused(404, "Unrecognized request URL");
    }
    let known = ["limit", "starting_after", "created[gte]", "created[lt]"];
    if request.query().iter().any(|(name, _)| !known.contains(&name.as_str())) {
        return refused(400, "Received unknown parameter");
    }
    let number = |name: &str| request.field(name).map(|text| text.parse::<i64>().expect("a number"));
    let limit = number("limit").unwrap_or(10);
    if !(1..=100).contains(&limit) {
        return refused(400, "This value must be between 1 and 100");
    }
    let from = number("created[gte]").unwrap_or(0);
    let to = number("created[lt]").unwrap_or(i64::MAX);
    let mut events = newest_first(state, from, to);
    if let Some(last) = request.field("starting_after") {
        let Some(at) = events.iter().position(|one| one.id == last) else {
            return refused(400, "No such event");
        };
        events.drain(..=at);
    }
    let page = usize::try_from(limit).unwrap().min(state.most.unwrap_or(usize::MAX));
    let has_more = events.len() > page;
    let data: Vec<&Value> = events.iter().take(page).map(|one| &one.json).collect();
    Response::json(200, &json!({ "object": "list", "url": "/v1/events", "has_more": has_more, "data": data }))
}

fn second(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("an RFC 3339 time").as_second()
}

fn paypal(request: &Request, key: &str, state: &mut State) -> Response {
    const TOKEN: &str = "A21AAfe-token";
    let problem = |status, name: &str| Response::json(status, &json!({ "name": name, "debug_id": "1" }));
    if request.path() == "/v1/oauth2/token" {
        let basic =
            format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key));
        return match (request.header("authorization"), request.body.as_slice()) {
            (Some(given), b"grant_type=client_credentials") if given == basic => Response::json(
                200,
                &json!({ "access_token": TOKEN, "token_type": "Bearer", "expires_in": 31668 }),
            ),
            _ => Response::json(401, &json!({ "error": "invalid_client" })),
        };
    }
    if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return problem(401, "AUTHENTICATION_FAILURE");
    }
    if let Some(answer) = webhooks::paypal(request, &mut state.webhooks) {
        return answer;
    }
    const EVENTS: &str = "/v1/notifications/webhooks-events";
    if let Some(id) = request.path().strip_prefix(&format!("{EVENTS}/")) {
        let (id, is_resend) = id.strip_suffix("/resend").map_or((id, false), |id| (id, true));
        let Some(one) = state.events.iter().find(|one| one.id == id) else {
            return problem(404, "INVALID_RESOURCE_ID");
        };
        if !is_resend {
            return Response::json(200, &one.json);
        }
        if request.method != "POST" || serde_json::from_slice::<Value>(&request.body).is_err() {
            return problem(400, "INVALID_REQUEST");
        }
        let event = one.json.clone();
        state.resent.push(id.to_owned());
        return Response::json(202, &event);
    }
    // Behind the first page a link of its own says where to go on.
    let (from, to, skip) = match request.path().strip_prefix(&format!("{EVENTS}-page/")) {
        Some(rest) => {
            let numbers: Vec<i64> = rest.split('-').map(|number| number.parse().unwrap()).collect();
            (numbers[0], numbers[1], usize::try_from(numbers[2]).unwrap())
        }
        None if request.path() == EVENTS => {
            let Some((from, to)) = request.field("start_time").zip(request.field("end_time")) else {
                return problem(400, "VALIDATION_ERROR");
            };
            // Both are included.
            (second(&from), second(&to) + 1, 0)
        }
        None => return problem(404, "RESOURCE_NOT_FOUND"),
    };
    let events = newest_first(state, from, to);
    let page = state.most.unwrap_or(10);
    let told: Vec<&Value> = events.iter().skip(skip).take(page).map(|one| &one.json).collect();
    let mut links = vec![json!({ "href": "https://api.paypal.com/v1/x", "rel": "self", "method": "GET" })];
    if skip + told.len() < events.len() {
        let next = format!("https://api.paypal.com{EVENTS}-page/{from}-{to}-{}", skip + told.len());
        links.push(json!({ "href": next, "rel": "next", "method": "GET" }));
    }
    Response::json(200, &json!({ "events": told, "count": told.len(), "links": links }))
}

fn square(request: &Request, key: &str, state: &mut State) -> Response {
    let problem = |status, code: &str| Response::json(status, &json!({ "errors": [{ "code": code }] }));
    if request.header("authorization") != Some(&format!("Bearer {key}")) {
        return problem(401, "UNAUTHORIZED");
    }
    if request.header("square-version").is_none() {
        return problem(400, "MISSING_VERSION");
    }
    if let Some(answer) = webhooks::square(request, &mut state.webhooks, &mut state.once) {
        return answer;
    }
    if (request.method.as_str(), request.path()) != ("POST", "/v2/events") {
        return problem(404, "NOT_FOUND");
    }
    let Ok(asked) = serde_json::from_slice::<Value>(&request.body) else {
        return problem(400, "BAD_REQUEST");
    };
    let time =
        |name: &str| asked.pointer(&format!("/query/filter/created_at/{name}")).and_then(Value::as_str);
    let limit = asked["limit"].as_u64().unwrap_or(100);
    let (Some(from), Some(to), 1..=100) = (time("start_at"), time("end_at"), limit) else {
        return problem(400, "VALUE_TOO_HIGH");
    };
    // Whether an end is included is not documented for each endpoint.
    let events = newest_first(state, second(from), second(to) + 1);
    let skip: usize =
        asked["cursor"].as_str().map_or(0, |cursor| cursor.strip_prefix("c=").unwrap().parse().unwrap());
    let page = usize::try_from(limit).unwrap().min(state.most.unwrap_or(usize::MAX));
    let told: Vec<&Value> = events.iter().skip(skip).take(page).map(|one| &one.json).collect();
    if told.is_empty() {
        return Response::json(200, &json!({}));
    }
    let mut answer = json!({ "events": told });
    if skip + told.len() < events.len() {
        answer["cursor"] = format!("c={}", skip + told.len()).into();
    }
    Response::json(200, &answer)
}

fn gocardless(request: &Request, key: &str, state: &State) -> Response {
    let problem =
        |status| Response::json(status, &json!({ "error": { "code": status, "type": "invalid_api_usage" } }));
    if request.header("authorization") != Some(&format!("Bearer {key}")) {
        return problem(401);
    }
    if request.header("gocardless-version") != Some("2015-07-06") {
        return problem(400);
    }
    if let Some(id) = request.path().strip_prefix("/events/") {
        return match state.events.iter().find(|one| one.id == id) {
            Some(one) => Response::json(200, &json!({ "events": one.json })),
            None => problem(404),
        };
    }
    if request.path() != "/events" {
        return problem(404);
    }
    let limit: usize = request.field("limit").map_or(50, |limit| limit.parse().unwrap());
    let bounds = request.field("created_at[gte]").zip(request.field("created_at[lt]"));
    let (Some((from, to)), 1..=500) = (bounds, limit) else { return problem(422) };
    let mut events = newest_first(state, second(&from), second(&to));
    if let Some(last) = request.field("after") {
        let Some(at) = events.iter().position(|one| one.id == last) else { return problem(400) };
        events.drain(..=at);
    }
    let page = limit.min(state.most.unwrap_or(usize::MAX));
    let told: Vec<&Told> = events.iter().take(page).copied().collect();
    let after = told.last().filter(|_| told.len() < events.len()).map(|one| one.id.clone());
    let told: Vec<&Value> = told.iter().map(|one| &one.json).collect();
    let meta = json!({ "cursors": { "before": null, "after": after }, "limit": limit });
    Response::json(200, &json!({ "events": told, "meta": meta }))
}

fn checkout_com(request: &Request, key: &str, state: &State) -> Response {
    let nothing = |status| Response { status, headers: Vec::new(), body: Vec::new() };
    if request.header("authorization") != Some(key) {
        return nothing(401);
    }
    if request.path() == "/webhooks" {
        return Response::json(200, &json!(state.webhooks));
    }
    if let Some(id) = request.path().strip_prefix("/events/") {
        return match state.events.iter().find(|one| one.id == id) {
            Some(one) => Response::json(200, &one.json),
            None => nothing(404),
        };
    }
    if request.path() != "/events" {
        return nothing(404);
    }
    let number = |name: &str, usual: usize| request.field(name).map_or(usual, |text| text.parse().unwrap());
    let Some((from, to)) = request.field("from").zip(request.field("to")) else { return nothing(422) };
    let events = newest_first(state, second(&from), second(&to));
    if events.is_empty() {
        return nothing(204);
    }
    let (limit, skip) = (number("limit", 10).min(state.most.unwrap_or(usize::MAX)), number("skip", 0));
    let summary = |one: &&Told| json!({ "id": one.id, "type": one.json["type"], "created_on": one.json["created_on"], "payment_id": one.json["data"]["id"] });
    let told: Vec<Value> = events.iter().skip(skip).take(limit).map(summary).collect();
    Response::json(200, &json!({ "total_count": events.len(), "limit": limit, "skip": skip, "data": told }))
}
