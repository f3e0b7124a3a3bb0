//! What `aws_lambda_events` reads of an HTTP event, our reader reads the same.
//!
//! Ours is stricter on purpose: it refuses an event without a path or a method, and a body that is not base64 although
//! the event says so. It also reads more: of header fields whose names differ in letter case alone, the other reader
//! keeps the last one. Such names are not generated.
//!
//! The property tests here and the fuzz target `readers` have the same generators.

#![allow(clippy::unwrap_used, reason = "tests only")]

use std::collections::BTreeMap;

use aws_lambda_events::{
    apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest},
    http::HeaderMap,
    lambda_function_urls::LambdaFunctionUrlRequest,
    query_map::QueryMap,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use proptest::{collection, prelude::*, sample::select};
use serde_json::{Map, Value, json};

use super::*;

/// Each name with its values in order.
type Values = BTreeMap<String, Vec<String>>;

/// What the other reader says of an event. `None` where it read nothing.
struct Theirs {
    method: Option<String>,
    path: Option<String>,
    /// The route that the gateway matched.
    matched: Option<String>,
    headers: Values,
    query: Values,
    source_ip: Option<String>,
    body: Option<String>,
    is_base64_encoded: bool,
}

fn rest(event: &str) -> Theirs {
    let event: ApiGatewayProxyRequest = serde_json::from_str(event).unwrap();
    let either = |multi: Values, single: Values| if multi.is_empty() { single } else { multi };
    Theirs {
        method: Some(event.http_method.to_string()),
        path: event.path,
        matched: event.resource,
        headers: either(headers(&event.multi_value_headers), headers(&event.headers)),
        query: either(
            parameters(&event.multi_value_query_string_parameters),
            parameters(&event.query_string_parameters),
        ),
        source_ip: event.request_context.identity.source_ip,
        body: event.body,
        is_base64_encoded: event.is_base64_encoded,
    }
}

fn http_api(event: &str) -> Theirs {
    let event: ApiGatewayV2httpRequest = serde_json::from_str(event).unwrap();
    Theirs {
        method: Some(event.request_context.http.method.to_string()),
        path: event.raw_path,
        matched: event.route_key,
        headers: headers(&event.headers),
        query: pairs(&event.raw_query_string.unwrap_or_default()),
        source_ip: event.request_context.http.source_ip,
        body: event.body,
        is_base64_encoded: event.is_base64_encoded,
    }
}

fn function_url(event: &str) -> Theirs {
    let event: LambdaFunctionUrlRequest = serde_json::from_str(event).unwrap();
    Theirs {
        method: event.request_context.http.method,
        path: event.raw_path,
        // It is always `$default`, which that reader leaves out.
        matched: None,
        headers: headers(&event.headers),
        query: pairs(&event.raw_query_string.unwrap_or_default()),
        source_ip: event.request_context.http.source_ip,
        body: event.body,
        is_base64_encoded: event.is_base64_encoded,
    }
}

fn grouped(fields: impl IntoIterator<Item = (String, String)>) -> Values {
    let mut values = Values::new();
    for (name, value) in fields {
        values.entry(name).or_default().push(value);
    }
    values
}

fn headers(headers: &HeaderMap) -> Values {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    grouped(headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))))
}

fn parameters(query: &QueryMap) -> Values {
    grouped(query.iter().map(|(name, value)| (name.to_owned(), value.to_owned())))
}

/// The decoded pairs of a query string.
fn pairs(query: &str) -> Values {
    let decode = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    grouped(pairs.map(|(name, value)| (decode(name), decode(value))))
}

/// Which of the three events it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Rest,
    HttpApi,
    FunctionUrl,
}

/// An event as Lambda writes it, or with an escape for each character that is not ASCII.
pub(crate) fn any_event(door: Door) -> BoxedStrategy<String> {
    let event = match door {
        Door::Rest => rest_event().boxed(),
        Door::HttpApi => event_v2(false).boxed(),
        Door::FunctionUrl => event_v2(true).boxed(),
    };
    (event, any::<bool>()).prop_map(|(event, is_escaped)| text(&event, is_escaped)).boxed()
}

/// Both readers read the same of `event`.
pub(crate) fn check(door: Door, event: &str) -> Result<(), TestCaseError> {
    let read = match door {
        Door::Rest => rest,
        Door::HttpApi => http_api,
        Door::FunctionUrl => function_url,
    };
    let theirs = read(event);
    let ours = Request::read(event);
    let body = theirs.body.unwrap_or_default();
    let body = if theirs.is_base64_encoded { STANDARD.decode(body).ok() } else { Some(body.into_bytes()) };
    let (method, path, body) = match (theirs.method, theirs.path, body) {
        (Some(method), Some(path), Some(body)) => (method, path, body),
        (method, path, body) => {
            let expected =
                if method.is_some() && body.is_none() { EventError::NotBase64 } else { EventError::NotHttp };
            prop_assert_eq!(ours, Err(expected), "{:?}", path);
            return Ok(());
        }
    };
    let ours = ours.map_err(|problem| TestCaseError::fail(format!("{problem}: {event}")))?;
    prop_assert_eq!(&*ours.method, method);
    prop_assert_eq!(&ours.route, &Route::read(theirs.matched.as_deref(), &path));
    let headers = ours.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    prop_assert_eq!(grouped(headers), theirs.headers);
    prop_assert_eq!(pairs(&ours.query), theirs.query);
    prop_assert_eq!(&*ours.source_ip, theirs.source_ip.as_deref().unwrap_or("unknown"));
    prop_assert_eq!(&*ours.body, body);
    Ok(())
}

fn text(event: &Value, is_escaped: bool) -> String {
    let event = event.to_string();
    if !is_escaped {
        return event;
    }
    let escape = |c: char| match c {
        c if c.is_ascii() => c.to_string(),
        c => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    event.chars().map(escape).collect()
}

/// A value that may be absent (`None`) or null.
fn nullable(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Option<Value>> {
    prop_oneof![8 => value.prop_map(Some), 1 => Just(Some(Value::Null)), 1 => Just(None)].boxed()
}

fn absent(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Option<Value>> {
    prop_oneof![8 => value.prop_map(Some), 1 => Just(None)].boxed()
}

fn always(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Option<Value>> {
    value.prop_map(Some).boxed()
}

fn object(fields: Vec<(&'static str, BoxedStrategy<Option<Value>>)>) -> BoxedStrategy<Value> {
    let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    let object = move |values: Vec<Option<Value>>| {
        let fields = names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Value::Object(fields.collect())
    };
    values.prop_map(object).boxed()
}

fn any_text() -> impl Strategy<Value = Value> {
    prop_oneof![any::<String>(), "[ -~\u{e9}\u{1f600}]{0,40}"].prop_map(Value::from)
}

fn any_map() -> impl Strategy<Value = Value> {
    collection::btree_map(any::<String>(), any::<String>(), 0..3).prop_map(|map| json!(map))
}

fn unknown() -> impl Strategy<Value = Value> {
    select(vec![json!([{"headers": {"a": "b"}}, 1.5, null]), json!({"body": "inner"}), json!(true)])
}

fn method() -> impl Strategy<Value = Value> {
    select(vec![json!("POST"), json!("GET"), json!("HEAD"), json!("PATCH"), json!("X-OTHER")])
}

fn path() -> impl Strategy<Value = Value> {
    prop_oneof!["(/v1)?/webhook(/[a-z-]{0,8})?/?", "(/[a-z\u{e9}]{0,8}){0,4}"].prop_map(Value::from)
}

/// Bytes in base64, a text, or what looks like base64 and need not be.
fn body() -> impl Strategy<Value = Value> {
    let bytes = collection::vec(any::<u8>(), 0..60).prop_map(|bytes| STANDARD.encode(bytes));
    prop_oneof![2 => bytes, 1 => any::<String>(), 1 => "[A-Za-z0-9+/=\n_-]{0,9}"].prop_map(Value::from)
}

/// Names that differ without regard to letter case, each with `values`.
fn header_fields<S: Strategy<Value = Value> + 'static>(values: S) -> impl Strategy<Value = Value> {
    collection::vec(("[A-Za-z][A-Za-z0-9-]{0,9}", values), 0..6).prop_map(|fields| {
        let mut all = Map::new();
        for (name, value) in fields {
            if !all.keys().any(|known| known.eq_ignore_ascii_case(&name)) {
                all.insert(name, value);
            }
        }
        Value::Object(all)
    })
}

fn header_value() -> impl Strategy<Value = Value> {
    "[ -~\t\u{e9}\u{4e2d}\u{1f600}]{0,30}".prop_map(Value::from)
}

fn list<S: Strategy<Value = Value>>(
    value: S,
    count: impl Into<collection::SizeRange>,
) -> impl Strategy<Value = Value> {
    collection::vec(value, count).prop_map(Value::from)
}

fn query_parameters<S: Strategy<Value = Value>>(values: S) -> impl Strategy<Value = Value> {
    collection::btree_map(any::<String>(), values, 0..4).prop_map(|map| json!(map))
}

fn rest_event() -> impl Strategy<Value = Value> {
    let identity = object(vec![
        ("sourceIp", nullable(any_text())),
        ("userAgent", nullable(any_text())),
        ("unknown", nullable(unknown())),
    ]);
    let context = object(vec![
        ("httpMethod", always(method())),
        ("stage", nullable(any_text())),
        ("requestTime", nullable(any_text())),
        ("requestTimeEpoch", absent(any::<i64>().prop_map(Value::from))),
        ("identity", absent(identity)),
        ("unknown", nullable(unknown())),
    ]);
    object(vec![
        ("resource", nullable(any_text())),
        ("path", nullable(path())),
        ("httpMethod", always(method())),
        ("headers", nullable(header_fields(header_value()))),
        ("multiValueHeaders", nullable(header_fields(list(header_value(), 0..4)))),
        ("queryStringParameters", nullable(query_parameters(any_text()))),
        ("multiValueQueryStringParameters", nullable(query_parameters(list(any_text(), 1..4)))),
        ("pathParameters", nullable(any_map())),
        ("stageVariables", nullable(any_map())),
        ("requestContext", always(context)),
        ("body", nullable(body())),
        ("isBase64Encoded", nullable(any::<bool>().prop_map(Value::from))),
        ("unknown", nullable(unknown())),
    ])
}

/// The payload format 2.0, of an HTTP API or of a function URL.
fn event_v2(is_function_url: bool) -> impl Strategy<Value = Value> {
    let http = object(vec![
        ("method", if is_function_url { absent(method()) } else { always(method()) }),
        ("path", nullable(path())),
        ("sourceIp", nullable(any_text())),
        ("userAgent", nullable(any_text())),
    ]);
    let context = object(vec![
        ("http", always(http)),
        ("stage", nullable(any_text())),
        ("time", nullable(any_text())),
        ("timeEpoch", always(any::<i64>().prop_map(Value::from))),
        ("unknown", nullable(unknown())),
    ]);
    let (headers, flag) = (header_fields(header_value()), any::<bool>().prop_map(Value::from));
    let query = "([a-zA-Z0-9.]{1,5}=([a-z]|%20|%C3%A9){0,5}(&[a-z]{1,5}=[0-9]{0,3}){0,3})?";
    object(vec![
        ("version", nullable(Just(json!("2.0")))),
        ("rawPath", nullable(path())),
        ("rawQueryString", nullable(query.prop_map(Value::from))),
        ("cookies", nullable(list(any_text(), 0..3))),
        ("headers", if is_function_url { absent(headers) } else { nullable(headers) }),
        ("queryStringParameters", nullable(any_map())),
        ("requestContext", always(context)),
        ("body", nullable(body())),
        ("isBase64Encoded", if is_function_url { always(flag) } else { absent(flag) }),
        ("unknown", nullable(unknown())),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_rest_event_reads_the_same(event in any_event(Door::Rest)) {
        check(Door::Rest, &event)?;
    }

    #[test]
    fn an_http_api_event_reads_the_same(event in any_event(Door::HttpApi)) {
        check(Door::HttpApi, &event)?;
    }

    #[test]
    fn a_function_url_event_reads_the_same(event in any_event(Door::FunctionUrl)) {
        check(Door::FunctionUrl, &event)?;
    }
}

/// The generators reach what the properties are about.
#[test]
fn generated_events_are_read_and_refused() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::<_, u32>::new();
    for _ in 0..500 {
        let event = rest_event().new_tree(&mut runner).unwrap().current().to_string();
        let name = match Request::read(&event) {
            Err(EventError::NotHttp) => "no path",
            Err(EventError::NotBase64) => "not base64",
            Ok(request) if request.headers.iter().count() > 3 => "many headers",
            Ok(request) if !request.query.is_empty() => "a query",
            Ok(_) => "others",
        };
        *seen.entry(name).or_default() += 1;
    }
    assert!(seen.len() == 5 && seen.values().all(|count| *count > 10), "{seen:?}");
}
