//! What the stand-ins for providers' APIs answer about webhooks: `None` where they are asked for something else.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tollgate_providers::normalise::EventTypes;

use crate::loopback::{Request, Response};

/// Requests that were made once, by the text of their own: their bodies and what was answered.
pub type Once = BTreeMap<String, (Vec<u8>, Response)>;

/// Webhooks of an account (https://docs.stripe.com/webhooks), of an app
/// (https://developer.paypal.com/api/webhooks/v1/errors/webhook_number_limit_exceeded), and a bound of ours for Square.
const STRIPE_MOST: usize = 16;
const PAYPAL_MOST: usize = 10;
const SQUARE_MOST: usize = 100;

/// The types that a provider knows.
fn types(provider: &str) -> Vec<&'static str> {
    let types = EventTypes::of(provider).unwrap();
    types.mapped.iter().chain(&types.ignored).copied().collect()
}

fn without_keys(webhooks: &[Value], key: &str) -> Vec<Value> {
    let mut all = webhooks.to_vec();
    for webhook in &mut all {
        webhook.as_object_mut().unwrap().remove(key);
    }
    all
}

fn is_https(url: Option<&str>) -> bool {
    url.is_some_and(|url| url.starts_with("https://"))
}

/// What is asked twice with one text of its own is answered as it was first; with another body it is refused.
fn once(request: &Request, text: &str, known: &Once) -> Option<Result<Response, ()>> {
    let (body, answer) = known.get(text)?;
    Some(if *body == request.body { Ok(answer.clone()) } else { Err(()) })
}

pub(crate) fn stripe(request: &Request, webhooks: &mut Vec<Value>, known: &mut Once) -> Option<Response> {
    const PATH: &str = "/v1/webhook_endpoints";
    let problem = |status, what: &str| {
        Response::json(status, &json!({ "error": { "type": "invalid_request_error", "message": what } }))
    };
    if let ("DELETE", Some(id)) = (request.method.as_str(), request.path().strip_prefix(&format!("{PATH}/")))
    {
        let number = webhooks.len();
        webhooks.retain(|webhook| webhook["id"] != id);
        return Some(match webhooks.len() {
            left if left == number => problem(404, "No such webhook endpoint"),
            _ => Response::json(200, &json!({ "id": id, "object": "webhook_endpoint", "deleted": true })),
        });
    }
    if request.path() != PATH {
        return None;
    }
    if request.method == "GET" {
        let data = without_keys(webhooks, "secret");
        return Some(Response::json(200, &json!({ "object": "list", "has_more": false, "data": data })));
    }
    if request.header("content-type") != Some("application/x-www-form-urlencoded") {
        return Some(problem(400, "Invalid request"));
    }
    let text = request.header("idempotency-key").expect("a text of its own").to_owned();
    match once(request, &text, known) {
        Some(Ok(answer)) => return Some(answer),
        Some(Err(())) => {
            return Some(problem(
                400,
                "Keys for idempotent requests can only be used with the same parameters",
            ));
        }
        None => {}
    }
    let (mut url, mut sent) = (None, Vec::new());
    for (name, value) in request.form() {
        match name.as_str() {
            "url" => url = Some(value),
            "enabled_events[]" if value == "*" || types("stripe").contains(&value.as_str()) => {
                sent.push(value)
            }
            "enabled_events[]" => return Some(problem(400, "Invalid enabled_events")),
            "description" => {}
            _ => return Some(problem(400, &format!("Received unknown parameter: {name}"))),
        }
    }
    if !is_https(url.as_deref()) || sent.is_empty() || webhooks.len() >= STRIPE_MOST {
        return Some(problem(400, "Invalid URL, no events, or too many webhook endpoints"));
    }
    let number = known.len() + 1;
    let webhook = json!({
        "id": format!("we_{number}"), "object": "webhook_endpoint", "status": "enabled", "url": url,
        "enabled_events": sent, "livemode": false, "secret": format!("whsec_of_we_{number}"),
    });
    let answer = Response::json(200, &webhook);
    webhooks.push(webhook);
    known.insert(text, (request.body.clone(), answer.clone()));
    Some(answer)
}

pub(crate) fn paypal(request: &Request, webhooks: &mut Vec<Value>) -> Option<Response> {
    const PATH: &str = "/v1/notifications/webhooks";
    let problem = |status, name: &str, message: &str| {
        Response::json(status, &json!({ "name": name, "message": message, "debug_id": "1" }))
    };
    if request.path() == "/v1/notifications/webhooks-event-types" {
        let types: Vec<Value> =
            types("paypal").iter().map(|name| json!({ "name": name, "description": "-" })).collect();
        return Some(Response::json(200, &json!({ "event_types": types })));
    }
    if let Some(id) = request.path().strip_prefix(&format!("{PATH}/")) {
        return Some(match webhooks.iter().find(|webhook| webhook["id"] == id) {
            Some(webhook) => Response::json(200, webhook),
            None => problem(404, "INVALID_RESOURCE_ID", "Requested resource ID was not found."),
        });
    }
    if request.path() != PATH {
        return None;
    }
    if request.method == "GET" {
        return Some(Response::json(200, &json!({ "webhooks": webhooks })));
    }
    let asked: Value = serde_json::from_slice(&request.body).unwrap();
    let sent = asked["event_types"].as_array().cloned().unwrap_or_default();
    let is_known =
        |one: &Value| one["name"].as_str().is_some_and(|name| name == "*" || types("paypal").contains(&name));
    if !is_https(asked["url"].as_str()) || !(1..=500).contains(&sent.len()) || !sent.iter().all(is_known) {
        return Some(problem(400, "VALIDATION_ERROR", "Invalid data provided"));
    }
    if webhooks.iter().any(|webhook| webhook["url"] == asked["url"]) {
        return Some(problem(400, "WEBHOOK_URL_ALREADY_EXISTS", "Webhook URL already exists."));
    }
    if webhooks.len() >= PAYPAL_MOST {
        return Some(problem(
            400,
            "WEBHOOK_NUMBER_LIMIT_EXCEEDED",
            "The webhook's number limit has exceeded.",
        ));
    }
    let id = format!("{}WH", 10 + webhooks.len());
    let webhook = json!({ "id": id, "url": asked["url"], "event_types": sent, "links": [] });
    webhooks.push(webhook.clone());
    Some(Response::json(201, &webhook))
}

pub(crate) fn square(request: &Request, webhooks: &mut Vec<Value>, known: &mut Once) -> Option<Response> {
    const PATH: &str = "/v2/webhooks/subscriptions";
    let problem = |status, code: &str, detail: &str| {
        Response::json(
            status,
            &json!({ "errors": [{ "category": "INVALID_REQUEST_ERROR", "code": code, "detail": detail }] }),
        )
    };
    if request.path() == "/v2/webhooks/event-types" {
        return Some(Response::json(200, &json!({ "event_types": types("square"), "metadata": [] })));
    }
    if let Some(id) = request.path().strip_prefix(&format!("{PATH}/")) {
        return Some(match webhooks.iter().find(|webhook| webhook["id"] == id) {
            Some(webhook) => Response::json(200, &json!({ "subscription": webhook })),
            None => problem(404, "NOT_FOUND", "Resource not found."),
        });
    }
    if request.path() != PATH {
        return None;
    }
    if request.method == "GET" {
        // An empty list is left out.
        let all = without_keys(webhooks, "signature_key");
        return Some(Response::json(
            200,
            &if all.is_empty() { json!({}) } else { json!({ "subscriptions": all }) },
        ));
    }
    let asked: Value = serde_json::from_slice(&request.body).unwrap();
    let text = asked["idempotency_key"].as_str().expect("a text of its own").to_owned();
    match once(request, &text, known) {
        Some(Ok(answer)) => return Some(answer),
        Some(Err(())) => return Some(problem(400, "IDEMPOTENCY_KEY_REUSED", "Different request parameters")),
        None => {}
    }
    let wanted = &asked["subscription"];
    let sent = wanted["event_types"].as_array().cloned().unwrap_or_default();
    let is_known = |one: &Value| one.as_str().is_some_and(|name| types("square").contains(&name));
    let is_named = wanted["name"].as_str().is_some_and(|name| (1..=64).contains(&name.chars().count()));
    let is_good = is_named && text.len() <= 45 && is_https(wanted["notification_url"].as_str());
    if !is_good || sent.is_empty() || !sent.iter().all(is_known) || webhooks.len() >= SQUARE_MOST {
        return Some(problem(400, "INVALID_VALUE", "Invalid subscription"));
    }
    let number = webhooks.len() + 1;
    let webhook = json!({
        "id": format!("wbhk_{number}"), "name": wanted["name"], "enabled": true, "event_types": sent,
        "notification_url": wanted["notification_url"], "signature_key": format!("signature-key-of-{number}"),
    });
    let answer = Response::json(200, &json!({ "subscription": webhook }));
    webhooks.push(webhook);
    known.insert(text, (request.body.clone(), answer.clone()));
    Some(answer)
}
