//! Reads HTTP requests from Lambda events: REST API proxy events, HTTP API events (2.0) and function URL events.

use std::{borrow::Cow, fmt};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use tollgate_providers::Headers;

/// A request, in one form for all three events.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    pub(crate) method: Cow<'a, str>,
    pub(crate) route: Route,
    pub(crate) headers: Headers,
    /// Without the `?`. A REST event has it decoded only. It is encoded again here; schemes sign decoded values, so
    /// they read the same.
    pub(crate) query: Cow<'a, str>,
    pub(crate) body: Cow<'a, [u8]>,
    pub(crate) source_ip: Cow<'a, str>,
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/webhook`
    Generic,
    /// `/webhook/{endpoint}`
    Endpoint(String),
    /// `/health`
    Health,
    /// Any other path.
    Unknown,
}

/// Why an event is not a request.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum EventError {
    #[error("not an HTTP event")]
    NotHttp,
    #[error("the event marks the body as base64, but it is not")]
    NotBase64,
}

/// The fields of all three events. A field with one name has the same meaning in each.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    http_method: Option<Text<'a>>,
    #[serde(borrow)]
    path: Option<Text<'a>>,
    #[serde(borrow)]
    raw_path: Option<Text<'a>>,
    /// What a REST API matched: `/webhook/{endpoint}`.
    #[serde(borrow)]
    resource: Option<Text<'a>>,
    /// What an HTTP API matched: `POST /webhook/{endpoint}`. A function URL always says `$default`.
    #[serde(borrow)]
    route_key: Option<Text<'a>>,
    #[serde(borrow)]
    raw_query_string: Option<Text<'a>>,
    #[serde(borrow, default)]
    headers: Fields<'a>,
    #[serde(borrow, default)]
    multi_value_headers: Fields<'a>,
    #[serde(borrow, default)]
    query_string_parameters: Fields<'a>,
    #[serde(borrow, default)]
    multi_value_query_string_parameters: Fields<'a>,
    #[serde(borrow)]
    request_context: RequestContext<'a>,
    #[serde(borrow)]
    body: Option<Text<'a>>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
struct RequestContext<'a> {
    #[serde(borrow)]
    http: Option<Http<'a>>,
    #[serde(borrow)]
    identity: Option<Identity<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow)]
    source_ip: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    #[serde(borrow)]
    source_ip: Option<Text<'a>>,
}

/// A text, borrowed from the event if it has no escapes there.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Names, each with a value, a list of values or `null`, as pairs of a name and a value, in the order of the event.
#[derive(Default)]
struct Fields<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names and values")
            }

            fn visit_unit<E>(self) -> Result<Fields<'de>, E> {
                Ok(Fields::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                // A request has so many behind a content delivery network.
                let mut fields = Vec::with_capacity(24);
                while let Some(Text(name)) = map.next_key()? {
                    map.next_value_seed(Values { name, fields: &mut fields })?;
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_any(All)
    }
}

/// The values of one name.
struct Values<'f, 'de> {
    name: Cow<'de, str>,
    fields: &'f mut Vec<(Cow<'de, str>, Cow<'de, str>)>,
}

impl<'de> DeserializeSeed<'de> for Values<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list of texts or null")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<(), E> {
        self.fields.push((self.name, Cow::Borrowed(value)));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.fields.push((self.name, Cow::Owned(value.to_owned())));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(Text(value)) = list.next_element()? {
            self.fields.push((self.name.clone(), value));
        }
        Ok(())
    }
}

impl<'a> Request<'a> {
    /// Reads any of the three events.
    pub(crate) fn read(event: &'a str) -> Result<Self, EventError> {
        let event: Event<'a> = serde_json::from_str(event).map_err(|_| EventError::NotHttp)?;
        let matched = event.route_key.or(event.resource).map(|text| text.0);
        let (method, path, query, source_ip) = match (event.request_context.http, event.http_method) {
            (Some(http), _) => {
                let query = event.raw_query_string.map(|text| text.0).unwrap_or_default();
                (http.method, event.raw_path, query, http.source_ip)
            }
            (None, Some(method)) => {
                let query =
                    query(event.multi_value_query_string_parameters.or(event.query_string_parameters));
                (method, event.path, query.into(), event.request_context.identity.and_then(|id| id.source_ip))
            }
            (None, None) => return Err(EventError::NotHttp),
        };
        let body = event.body.map(|body| body.0).unwrap_or_default();
        let body = match (event.is_base64_encoded == Some(true), body) {
            (true, body) => {
                let bytes = base64_simd::STANDARD.decode_to_vec(body.as_bytes());
                Cow::Owned(bytes.map_err(|_| EventError::NotBase64)?)
            }
            (false, Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
            (false, Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
        };
        Ok(Self {
            method: method.0,
            route: Route::read(matched.as_deref(), &path.ok_or(EventError::NotHttp)?.0),
            headers: event.multi_value_headers.or(event.headers).0.into_iter().collect(),
            query,
            body,
            source_ip: source_ip.map_or(Cow::Borrowed("unknown"), |text| text.0),
        })
    }
}

impl Fields<'_> {
    /// These fields, which have every value of each name, or `single` if the event does not have them.
    fn or(self, single: Self) -> Self {
        if self.0.is_empty() { single } else { self }
    }
}

impl Route {
    /// Reads the path's last segments: the paths of an HTTP API begin with the stage, and those of a domain with its
    /// base path. So `/webhook/webhook` is either of two routes, which the gateway may ask for different things
    /// (`Auth`). Which one it matched decides; where none is told, it is the one on which less was asked.
    fn read(matched: Option<&str>, path: &str) -> Self {
        let is_generic = matched.and_then(|route| match route.rsplit(' ').next() {
            Some("/webhook") => Some(true),
            Some("/webhook/{endpoint}") => Some(false),
            _ => None,
        });
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = path.rsplit('/');
        match (segments.next(), segments.next(), is_generic) {
            (Some("health"), before, None) if before != Some("webhook") => Self::Health,
            (Some("webhook"), _, Some(true)) => Self::Generic,
            (Some("webhook"), before, None) if before != Some("webhook") => Self::Generic,
            (Some(endpoint), Some("webhook"), Some(false) | None) if !endpoint.is_empty() => {
                Self::Endpoint(endpoint.to_owned())
            }
            _ => Self::Unknown,
        }
    }
}

fn query(fields: Fields<'_>) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs = fields.0.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

// The fuzz targets include this file by its path.
#[cfg(any(test, fuzzing))]
#[path = "event/oracle.rs"]
pub(crate) mod oracle;

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
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
        let event = rest().to_string();
        let request = Request::read(&event).unwrap();
        assert_eq!(request.route, Route::Endpoint("stripe-eu".to_owned()));
        assert_eq!(*request.body, *br#"{"a":1}"#);
        assert_eq!(request.headers.all("x-twice").collect::<Vec<_>>(), ["first", "second"]);
        assert_eq!(request.query, "data%2Eid=1%202");
        assert_eq!(request.source_ip, "203.0.113.9");
    }

    #[test]
    fn an_http_api_event_reads() {
        let event = v2().to_string();
        let request = Request::read(&event).unwrap();
        assert_eq!((request.route, &*request.query), (Route::Generic, "a=%20b"));
        assert_eq!(request.headers.get("X-Provider-Id"), Some("acme"));
        assert_eq!((&*request.body, &*request.source_ip), (&br#"{"a":1}"#[..], "2001:db8::1"));
    }

    #[test]
    fn a_function_url_event_reads() {
        let mut event = v2();
        event["routeKey"] = json!("$default");
        event["rawPath"] = json!("/webhook/adyen/");
        event["body"] = Value::Null;
        event["isBase64Encoded"] = Value::Null;
        let event = event.to_string();
        let request = Request::read(&event).unwrap();
        assert_eq!(request.route, Route::Endpoint("adyen".to_owned()));
        assert!(request.body.is_empty());
    }

    #[test]
    fn headers_read_in_whatever_form_they_come() {
        let cases = [
            (r#"{"A":"x"}"#, r#"{}"#, Some(vec![("A", "x")])),
            (r#"{"A":"x"}"#, "null", Some(vec![("A", "x")])),
            // If both forms are there, every value of each name.
            (r#"{"A":"2"}"#, r#"{"A":["1","2"]}"#, Some(vec![("A", "1"), ("A", "2")])),
            (r#"{"A":null,"B":"x"}"#, "null", Some(vec![("B", "x")])),
            ("null", r#"{"A":null,"B":[]}"#, Some(vec![])),
            ("null", "null", Some(vec![])),
            (
                r#"{"Cf-Visitor":"{\"scheme\":\"https\"}"}"#,
                "null",
                Some(vec![("Cf-Visitor", r#"{"scheme":"https"}"#)]),
            ),
            (r#"{"\u0041":"\u00e9"}"#, "null", Some(vec![("A", "\u{e9}")])),
            ("null", r#"{"A":["\"1\"","2"]}"#, Some(vec![("A", "\"1\""), ("A", "2")])),
            (r#"{"A":1}"#, "null", None),
            (r#"{"A":true}"#, "null", None),
            ("null", r#"{"A":[null]}"#, None),
            (r#"["A"]"#, "null", None),
        ];
        for (single, multi, expected) in cases {
            let event = format!(
                r#"{{"httpMethod":"POST","path":"/webhook","requestContext":{{}},"headers":{single},"multiValueHeaders":{multi}}}"#
            );
            let headers = Request::read(&event).map(|request| request.headers);
            let read = headers.as_ref().ok().map(|headers| headers.iter().collect::<Vec<_>>());
            assert_eq!(read, expected, "{single} {multi}");
        }
    }

    #[test]
    fn a_body_is_canonical_base64_or_none() {
        let body = |base64: &str| {
            let mut event = rest();
            event["body"] = json!(base64);
            let event = event.to_string();
            Request::read(&event).map(|request| request.body.into_owned())
        };
        for (base64, bytes) in [("", &b""[..]), ("YQ==", b"a"), ("YWI=", b"ab"), ("+/8=", b"\xfb\xff")] {
            assert_eq!(body(base64).as_deref(), Ok(bytes), "{base64}");
        }
        for bad in ["YQ", "YQ=", "YR==", "YWI", "YWJ=", "YQ==YQ==", "YWFh\nYWFh", " YQ==", "-_8=", "===="] {
            assert_eq!(body(bad), Err(EventError::NotBase64), "{bad:?}");
        }
    }

    #[test]
    fn what_is_no_request_is_an_error() {
        assert_eq!(Request::read("{}"), Err(EventError::NotHttp));
        assert_eq!(Request::read(r#"{"Records":[]}"#), Err(EventError::NotHttp));
        let mut event = rest();
        event["body"] = json!("not base64!");
        assert_eq!(Request::read(&event.to_string()), Err(EventError::NotBase64));
        for (path, route) in
            [("/", Route::Unknown), ("/webhooks", Route::Unknown), ("/a/b/c", Route::Unknown)]
        {
            assert_eq!(Route::read(None, path), route, "{path}");
        }
    }

    #[test]
    fn the_route_is_the_one_that_the_gateway_matched() {
        let endpoint = |name: &str| Route::Endpoint(name.to_owned());
        let (generic, by_name) = (Some("/webhook"), Some("/webhook/{endpoint}"));
        let cases = [
            // What a REST API says, with and without a domain's base path.
            (generic, "/webhook", Route::Generic),
            (generic, "/webhook/webhook", Route::Generic),
            (by_name, "/webhook/acme", endpoint("acme")),
            (by_name, "/webhook/webhook", endpoint("webhook")),
            (by_name, "/pay/webhook/webhook/", endpoint("webhook")),
            (by_name, "/v1/webhook", Route::Unknown),
            (generic, "/webhook/acme", Route::Unknown),
            // What an HTTP API says, whose paths begin with the stage.
            (Some("POST /webhook"), "/webhook/webhook", Route::Generic),
            (Some("POST /webhook/{endpoint}"), "/v1/webhook/webhook", endpoint("webhook")),
            (Some("GET /webhook/{endpoint}"), "/v1/webhook/acme", endpoint("acme")),
            // What a function URL says, and a caller that says nothing.
            (Some("$default"), "/webhook", Route::Generic),
            (Some("$default"), "/webhook/webhook", endpoint("webhook")),
            (None, "/webhook/webhook", endpoint("webhook")),
            (None, "/v1/webhook/", Route::Generic),
            (None, "webhook", Route::Generic),
            (None, "/webhook//", Route::Unknown),
            (Some("/health"), "/health", Route::Health),
            (Some("GET /health"), "/v1/health", Route::Health),
            (Some("$default"), "/health", Route::Health),
            (by_name, "/v1/health", Route::Unknown),
            (by_name, "/v1/webhook/health", endpoint("health")),
            (None, "/webhook/health", endpoint("health")),
            (None, "/v1/health/more", Route::Unknown),
        ];
        for (matched, path, route) in cases {
            assert_eq!(Route::read(matched, path), route, "{matched:?} {path}");
        }
    }

    proptest! {
        #[test]
        fn the_body_is_kept_byte_for_byte(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut event = rest();
            event["body"] = json!(STANDARD.encode(&body));
            let event = event.to_string();
            prop_assert_eq!(&*Request::read(&event).unwrap().body, body);
        }
    }
}
