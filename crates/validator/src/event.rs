//! HTTP as Lambda hands it over: API Gateway REST proxy events, HTTP API v2 and Function URL events, as one request.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tollgate_providers::Headers;

/// A request in one form, whichever front door it came through.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) route: Route,
    pub(crate) headers: Headers,
    /// Without the `?`. REST events carry it decoded only; it is encoded again, so that what a scheme signs of
    /// it, which is always a decoded value, reads the same.
    pub(crate) query: String,
    pub(crate) body: Vec<u8>,
    pub(crate) source_ip: String,
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/webhook`
    Generic,
    /// `/webhook/{endpoint}`
    Endpoint(String),
    /// Anywhere else.
    Nowhere,
}

/// Why an event is no request.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum EventError {
    #[error("not an HTTP event")]
    Shape,
    #[error("body is not base64 although the event says so")]
    Base64,
}

type Fields<T> = Option<BTreeMap<String, T>>;

/// The union of the three shapes; none of their fields mean different things under one name.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    http_method: Option<String>,
    path: Option<String>,
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    headers: Fields<Option<String>>,
    multi_value_headers: Fields<Option<Vec<String>>>,
    query_string_parameters: Fields<Option<String>>,
    multi_value_query_string_parameters: Fields<Option<Vec<String>>>,
    request_context: RequestContext,
    #[serde(borrow)]
    body: Option<Body<'a>>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Body<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct RequestContext {
    http: Option<Http>,
    identity: Option<Identity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    method: String,
    source_ip: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    source_ip: Option<String>,
}

impl Request {
    /// Reads any of the three events.
    pub(crate) fn read(event: &str) -> Result<Self, EventError> {
        let event: Event<'_> = serde_json::from_str(event).map_err(|_| EventError::Shape)?;
        let (method, path, query, source_ip) = match (event.request_context.http, event.http_method) {
            (Some(http), _) => {
                let path = event.raw_path.ok_or(EventError::Shape)?;
                (http.method, path, event.raw_query_string.unwrap_or_default(), http.source_ip)
            }
            (None, Some(method)) => {
                let path = event.path.ok_or(EventError::Shape)?;
                let query = query(event.multi_value_query_string_parameters, event.query_string_parameters);
                (method, path, query, event.request_context.identity.and_then(|id| id.source_ip))
            }
            (None, None) => return Err(EventError::Shape),
        };
        let body = event.body.map(|body| body.0).unwrap_or_default();
        let body = if event.is_base64_encoded {
            STANDARD.decode(body.as_bytes()).map_err(|_| EventError::Base64)?
        } else {
            body.into_owned().into_bytes()
        };
        Ok(Self {
            method,
            route: Route::of(&path),
            headers: many(event.multi_value_headers, event.headers).collect(),
            query,
            body,
            source_ip: source_ip.unwrap_or_else(|| "unknown".to_owned()),
        })
    }
}

impl Route {
    /// By the path's last segments: HTTP API paths begin with the stage.
    fn of(path: &str) -> Self {
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = path.rsplit('/');
        match (segments.next(), segments.next()) {
            (Some("webhook"), _) => Self::Generic,
            (Some(endpoint), Some("webhook")) if !endpoint.is_empty() => Self::Endpoint(endpoint.to_owned()),
            _ => Self::Nowhere,
        }
    }
}

/// Every value of every field: from the multi-value form where the event has it.
fn many(
    multi: Fields<Option<Vec<String>>>,
    single: Fields<Option<String>>,
) -> impl Iterator<Item = (String, String)> {
    let multi = multi.filter(|fields| !fields.is_empty());
    let single = if multi.is_some() { None } else { single };
    let multi = multi
        .into_iter()
        .flatten()
        .flat_map(|(name, values)| values.into_iter().flatten().map(move |value| (name.clone(), value)));
    let single = single.into_iter().flatten().filter_map(|(name, value)| Some((name, value?)));
    multi.chain(single)
}

fn query(multi: Fields<Option<Vec<String>>>, single: Fields<Option<String>>) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> =
        many(multi, single).map(|(name, value)| format!("{}={}", encode(&name), encode(&value))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn rest() -> Value {
        json!({
            "resource": "/webhook/{endpoint}", "path": "/webhook/stripe-eu", "httpMethod": "POST",
            "headers": {"Stripe-Signature": "t=1,v1=b", "X-Twice": "second"},
            "multiValueHeaders": {"Stripe-Signature": ["t=1,v1=b"], "X-Twice": ["first", "second"]},
            "queryStringParameters": {"data.id": "1 2"},
            "multiValueQueryStringParameters": {"data.id": ["1 2"]},
            "pathParameters": {"endpoint": "stripe-eu"}, "stageVariables": null,
            "requestContext": {"identity": {"sourceIp": "203.0.113.9"}, "stage": "v1"},
            "body": "eyJhIjoxfQ==", "isBase64Encoded": true,
        })
    }

    fn v2() -> Value {
        json!({
            "version": "2.0", "routeKey": "POST /webhook", "rawPath": "/v1/webhook", "rawQueryString": "a=%20b",
            "headers": {"x-provider-id": "acme"},
            "requestContext": {"http": {"method": "POST", "path": "/v1/webhook", "sourceIp": "2001:db8::1"}},
            "body": "{\"a\":1}", "isBase64Encoded": false,
        })
    }

    #[test]
    fn a_rest_event_reads() {
        let request = Request::read(&rest().to_string()).unwrap();
        assert_eq!(request.route, Route::Endpoint("stripe-eu".to_owned()));
        assert_eq!(request.body, br#"{"a":1}"#);
        assert_eq!(request.headers.all("x-twice").collect::<Vec<_>>(), ["first", "second"]);
        assert_eq!(request.query, "data%2Eid=1%202");
        assert_eq!(request.source_ip, "203.0.113.9");
    }

    #[test]
    fn an_http_api_event_reads() {
        let request = Request::read(&v2().to_string()).unwrap();
        assert_eq!((request.route, request.query.as_str()), (Route::Generic, "a=%20b"));
        assert_eq!(request.headers.get("X-Provider-Id"), Some("acme"));
        assert_eq!(
            (request.body.as_slice(), request.source_ip.as_str()),
            (&br#"{"a":1}"#[..], "2001:db8::1")
        );
    }

    #[test]
    fn a_function_url_event_reads() {
        let mut event = v2();
        event["rawPath"] = json!("/webhook/adyen/");
        event["body"] = Value::Null;
        let request = Request::read(&event.to_string()).unwrap();
        assert_eq!(request.route, Route::Endpoint("adyen".to_owned()));
        assert!(request.body.is_empty());
    }

    #[test]
    fn what_is_no_request_is_an_error() {
        assert_eq!(Request::read("{}"), Err(EventError::Shape));
        assert_eq!(Request::read(r#"{"Records":[]}"#), Err(EventError::Shape));
        let mut event = rest();
        event["body"] = json!("not base64!");
        assert_eq!(Request::read(&event.to_string()), Err(EventError::Base64));
        for (path, route) in
            [("/", Route::Nowhere), ("/webhooks", Route::Nowhere), ("/a/b/c", Route::Nowhere)]
        {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    proptest! {
        #[test]
        fn the_body_is_kept_byte_for_byte(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut event = rest();
            event["body"] = json!(STANDARD.encode(&body));
            prop_assert_eq!(Request::read(&event.to_string()).unwrap().body, body);
        }
    }
}
