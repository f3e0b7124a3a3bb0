//! Schemes given in an endpoint's configuration.

use serde_json::{Value, json};
use tollgate_providers::{Endpoint, Refusal, catalogue};

use crate::providers::{Case, JSON, NOW, config, received, ring, sign};

fn scheme() -> Value {
    json!({
        "name": "acme",
        "signature": { "header": "X-Acme", "separator": ",", "entry": "{key_id}:{signature}" },
        "timestamp": { "entry": "at={timestamp}", "unit": "seconds", "window": 60 },
        "signed": "{timestamp}|{header:X-Acme-Id}|{body}",
        "algorithm": "hmac-sha512",
        "encoding": "base64",
        "key": { "form": "hex", "min_bytes": 16 },
    })
}

fn with(path: &[&str], value: Value) -> Value {
    let mut scheme = scheme();
    let mut at = &mut scheme;
    for step in path {
        at = &mut at[*step];
    }
    *at = value;
    scheme
}

/// Digits could pass from the timestamp to a body after it.
fn unbounded() -> Value {
    let mut scheme = with(&["timestamp", "window"], Value::Null);
    scheme["signed"] = json!("{timestamp}{body}");
    scheme
}

fn signed(template: &str) -> Value {
    with(&["signed"], json!(template))
}

fn timed_by(header: &str) -> Value {
    with(&["timestamp"], json!({ "header": header, "unit": "seconds", "window": 60 }))
}

/// A scheme without a timestamp.
fn plain(algorithm: &str, template: &str) -> Value {
    let mut scheme = with(&["timestamp"], Value::Null);
    scheme["algorithm"] = json!(algorithm);
    scheme["signed"] = json!(template);
    scheme
}

/// With a timestamp that may be absent.
fn untimed(timed: &str, untimed: &str) -> Value {
    let mut scheme = timed_by("X-Time");
    scheme["timestamp"]["optional"] = json!(true);
    scheme["signed"] = json!(timed);
    scheme["signed_without_timestamp"] = json!(untimed);
    scheme
}

#[test]
fn a_custom_schemes_parameters_are_those_that_are_read() {
    for (name, value, problem) in [
        ("default_currency", "euro", "is not an ISO 4217 currency"),
        ("amount_units", "minor", "this scheme has no such parameter"),
    ] {
        let mut config = config(scheme());
        config.parameters.insert(name.to_owned(), value.to_owned());
        let error = Endpoint::new(config).unwrap_err();
        assert_eq!((error.field, error.problem), (format!("parameters.{name}"), problem.to_owned()));
    }
}

#[test]
fn a_custom_scheme_verifies_and_signs() {
    let endpoint = Endpoint::new(config(scheme())).unwrap();
    assert_eq!(endpoint.provider().as_str(), "acme");
    let keys = ring(&endpoint, &[("7", "00112233445566778899aabbccddeeff")]);
    let signed = sign(&endpoint, &keys, JSON, NOW);
    assert!(signed.headers.get("x-acme").unwrap().starts_with("at=1760000000,7:"));
    let mut case = Case { endpoint, keys, signed };
    assert_eq!(case.verify(), Ok("7".to_owned()));
    assert_eq!(case.verify_at(NOW + 61), Err(Refusal::TooOld { seconds: 61, window: 60 }));
    // A signed value that holds the separator could be split in another place.
    case.signed.headers.remove("x-acme-id");
    case.signed.headers.push("X-Acme-Id", "a|b");
    assert!(matches!(case.verify(), Err(Refusal::Malformed(_))));
}

#[test]
fn at_most_sixteen_candidates() {
    let endpoint = Endpoint::new(config(scheme())).unwrap();
    let keys = ring(&endpoint, &[("7", "00112233445566778899aabbccddeeff")]);
    let signed = sign(&endpoint, &keys, JSON, NOW);
    let good = signed.headers.get("x-acme").unwrap().to_owned();
    for (others, expected) in [(15, true), (16, false)] {
        let mut signed = signed.clone();
        signed.headers.remove("x-acme");
        signed.headers.push("X-Acme", format!("{}{good}", "7:AAAA,".repeat(others)));
        let verdict = endpoint.verify(received(&signed), &keys, None, crate::providers::now());
        assert_eq!(verdict.is_ok(), expected, "{others}");
        if !expected {
            assert_eq!(verdict.unwrap_err(), Refusal::TooManyCandidates);
        }
    }
}

#[test]
fn a_scheme_that_cannot_serve_says_what_and_where() {
    let cases: &[(Value, &str, &str)] = &[
        (json!(7), "scheme", "a provider's name or a table is wanted"),
        (json!("strype"), "scheme", "no provider is called \"strype\""),
        (with(&["name"], json!("stripe")), "scheme.name", "it is a provider's in the catalogue"),
        (with(&["name"], json!("Ac me")), "scheme.name", "a name is 1 to 64"),
        (with(&["signature", "entr"], json!("x")), "scheme.signature.entr", "unknown field `entr`"),
        (
            with(&["signature", "header"], Value::Null),
            "scheme.signature",
            "exactly one of header, form and json",
        ),
        (with(&["signature", "entry"], json!("v1=")), "scheme.signature.entry", "it must end in"),
        (with(&["signature", "separator"], json!("")), "scheme.signature.separator", "it is empty"),
        (
            with(&["signature", "separator"], Value::Null),
            "scheme.signature.separator",
            "a separator is wanted",
        ),
        (
            with(&["timestamp", "unit"], json!("minutes")),
            "scheme.timestamp.unit",
            "unknown variant `minutes`",
        ),
        (with(&["timestamp", "window"], json!(0)), "scheme.timestamp.window", "1 to 86,400"),
        (with(&["timestamp", "window"], json!("5")), "scheme.timestamp.window", "invalid type"),
        (
            with(&["timestamp", "header"], json!("x")),
            "scheme.timestamp",
            "exactly one of header, entry and first",
        ),
        (unbounded(), "scheme.timestamp", "so a window and one unit are wanted"),
        (with(&["timestamp", "optional"], json!(true)), "scheme.timestamp.optional", "header of its own"),
        (with(&["signed"], json!("{body}")), "scheme.signed", "{timestamp} belongs in it"),
        (with(&["signed"], json!("{timestamp}{boddy}")), "scheme.signed", "at byte 11: unknown name"),
        (with(&["signed"], json!("{timestamp}{body")), "scheme.signed", "at byte 11: '{' is not closed"),
        (with(&["signed"], json!("{timestamp}[{body}")), "scheme.signed", "'[' is not closed"),
        (with(&["signed"], json!("{timestamp}{secret}")), "scheme.signed", "{secret} belongs in it exactly"),
        (
            with(&["signed_without_timestamp"], json!("{body}")),
            "scheme.signed_without_timestamp",
            "exactly when",
        ),
        (with(&["algorithm"], json!("md5")), "scheme.algorithm", "unknown variant `md5`"),
        (with(&["encoding"], json!("text")), "scheme.encoding", "text is for tokens only"),
        (with(&["key", "form"], json!("rot13")), "scheme.key.form", "unknown variant `rot13`"),
        (with(&["require"], json!(["*Topic"])), "scheme.families", "at least one family"),
        (with(&["require"], json!(["a b"])), "scheme.require", "\"a b\" is not a header's name"),
        (with(&["signature", "header"], json!("X-Acme:")), "scheme.signature.header", "not a header's name"),
        (timed_by("X Time"), "scheme.timestamp.header", "not a header's name"),
        (timed_by("*Time"), "scheme.families", "at least one family"),
        (signed("{timestamp}|{header:X Id}|{body}"), "scheme.signed", "not a header's name"),
        // One value's end must not pass for another one's beginning.
        (signed("{timestamp}|{header:X-Acme-Id}{body}"), "scheme.signed", "one of the sender's values ends"),
        (
            signed("{timestamp}|{header:A}{query:b}|{body}"),
            "scheme.signed",
            "one of the sender's values ends",
        ),
        (signed("{timestamp}|{body}|{header:A}"), "scheme.signed", "{body} last"),
        (signed("{timestamp}|{body}|{body}"), "scheme.signed", "{body} comes twice"),
        (signed("{timestamp}|{header:A}[|{header:B}]|{body}"), "scheme.signed", "one of the sender's values"),
        (signed("{timestamp}[{header:A}|]{body}"), "scheme.signed", "must begin with a text of its own"),
        (signed("{timestamp}[a{header:A}|][a{header:B}|]{body}"), "scheme.signed", "a text of its own"),
        (untimed("a{timestamp}.{body}", "{body}"), "scheme.signed_without_timestamp", "could be one without"),
        (untimed("{timestamp}{body}", "{body}"), "scheme.signed_without_timestamp", "could be one without"),
        (untimed("{timestamp}.{body}", "1{body}"), "scheme.signed_without_timestamp", "could be one without"),
        (
            untimed("v1{timestamp}.{body}", "v{body}"),
            "scheme.signed_without_timestamp",
            "could be one without",
        ),
        // What whoever saw one webhook could sign as well.
        (plain("sha256", "{secret}{body}"), "scheme.signed", "use hmac-sha256"),
        (plain("sha512", "{secret}-{body}"), "scheme.signed", "use hmac-sha256"),
        (plain("sha256", "a{secret}.{header:A}.b"), "scheme.signed", "use hmac-sha256"),
        (plain("sha256", "{body}{secret}[|{query:a}]"), "scheme.signed", "use hmac-sha256"),
        (plain("hmac-sha256", "a text"), "scheme.signed", "nothing of the webhook"),
        (plain("hmac-sha256", "{url}"), "scheme.signed", "nothing of the webhook"),
        (plain("sha256", "{secret}"), "scheme.signed", "use the algorithm token"),
        (signed("{timestamp}"), "scheme.signed", "nothing of the webhook"),
        (untimed("t{timestamp}.{body}", "p"), "scheme.signed_without_timestamp", "nothing of the webhook"),
        // What was seen once could be sent again at any time.
        (with(&["timestamp", "window"], Value::Null), "scheme.timestamp.window", "a window in seconds"),
        // What can be guessed.
        (with(&["key", "min_bytes"], json!(0)), "scheme.key.min_bytes", "at least 8"),
        (with(&["key", "min_bytes"], json!(7)), "scheme.key.min_bytes", "at least 8"),
        (with(&["key"], json!({ "bytes": 4 })), "scheme.key.bytes", "at least 8"),
    ];
    for good in [
        plain("sha256", "{body}{secret}"),
        plain("sha512", "{secret}{body}{secret}"),
        plain("hmac-sha256", "{url}{body}"),
        plain("token", "{secret}"),
        untimed("{timestamp}.{body}", "{body}"),
        untimed("{timestamp}.{body}", "plain.{body}"),
        untimed("t{timestamp}.{body}", "p{body}"),
        signed("[id:{query:a};]{body}.{timestamp}"),
        signed("{header:A}{timestamp}{body}"),
    ] {
        Endpoint::new(config(good.clone())).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
    for (scheme, field, problem) in cases {
        let error = Endpoint::new(config(scheme.clone())).unwrap_err();
        assert_eq!((error.endpoint.as_str(), error.field.as_str()), ("test", *field), "{error}");
        assert!(error.problem.contains(problem), "{error}, wanted: {problem}");
    }
}

/// The places of all that is wrong, in the order in which it is told.
fn places(settings: Value) -> Vec<String> {
    let mistakes = Endpoint::read(settings).err().unwrap_or_default();
    mistakes.into_iter().map(|mistake| mistake.at).collect()
}

#[test]
fn every_mistake_of_an_endpoint_is_told() {
    let good = json!({ "id": "test", "scheme": scheme(), "secret": "ssm:x" });
    assert_eq!(places(good.clone()), [] as [&str; 0]);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut settings = good.clone();
        change(&mut settings);
        places(settings)
    };
    // What cannot be read, wherever it stands, and what is missing.
    assert_eq!(places(json!({})), ["id", "scheme", "secret"]);
    let unread = with(&|it| {
        it["id"] = json!("No Name");
        it["secrte"] = json!("x");
        it["delivery"] = json!("slow");
        it["metadata"] = json!(["cart", 5]);
        it["normaliser"] = json!("nobody");
        it["scheme"]["signature"]["entr"] = json!("x");
        it["scheme"]["algorithm"] = json!("md5");
        it["scheme"]["timestamp"]["unit"] = json!("minutes");
        it["scheme"].as_object_mut().unwrap().remove("encoding");
    });
    let mut sorted = unread.clone();
    sorted.sort();
    let wanted = [
        "delivery",
        "id",
        "metadata[1]",
        "normaliser",
        "scheme.algorithm",
        "scheme.encoding",
        "scheme.signature.entr",
        "scheme.timestamp.unit",
        "secrte",
    ];
    assert_eq!(sorted, wanted);
    // What can be read and contradicts itself.
    let contradictory = with(&|it| {
        it["tolerance_seconds"] = json!(0);
        it["quiet_after_hours"] = json!(9999);
        it["parameters"] = json!({ "default_currency": "euro", "webhook_id": "x" });
        it["scheme"]["name"] = json!("stripe");
        it["scheme"]["signature"]["separator"] = Value::Null;
        it["scheme"]["signed"] = json!("{body");
        it["scheme"]["key"] = json!({ "min_bytes": 1 });
    });
    assert_eq!(
        contradictory,
        [
            "scheme.name",
            "scheme.signature.separator",
            "scheme.signed",
            "scheme.key.min_bytes",
            "parameters.default_currency",
            "parameters.webhook_id",
            "tolerance_seconds",
            "quiet_after_hours",
        ]
    );
    // What rests on a mistake is not judged, and families make one mistake together.
    let unknown = json!({ "id": "test", "scheme": "nobody", "secret": "ssm:x", "require_signed_time": true });
    assert_eq!(places(unknown), ["scheme"]);
    let unread = json!({ "id": "test", "scheme": "square", "secret": "ssm:x", "notification_url": 5 });
    assert_eq!(places(unread), ["notification_url"]);
    let of_families = with(&|it| {
        it["scheme"]["families"] = json!(["a-", "b-"]);
        it["scheme"]["signed"] = json!("{body}");
    });
    assert_eq!(of_families, ["scheme.signed"]);
    // People paste keys.
    let pasted = json!({ "id": "test", "scheme": "stripe", "secret": ["whsec_c2VjcmV0"] });
    let told = format!("{:?}", Endpoint::read(pasted).unwrap_err());
    assert!(!told.contains("whsec_"), "{told}");
}

#[test]
fn what_serves_and_is_hardly_meant_so_is_warned_of() {
    let warned = |settings: &str| -> Vec<String> {
        let mut row = json!({ "id": "test", "secret": "ssm:x", "scheme": scheme() });
        let more: Value = serde_json::from_str(settings).unwrap();
        row.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        let endpoint = Endpoint::read(row).unwrap_or_else(|mistakes| panic!("{settings}: {mistakes:?}"));
        endpoint.warnings().into_iter().map(|warning| warning.at).collect()
    };
    for (settings, wanted) in [
        ("{}", vec!["normaliser"]),
        (r#"{"normaliser":"generic"}"#, vec![]),
        (r#"{"normaliser":"generic","parameters":{"default_currency":"EUR"}}"#, vec![]),
        (
            r#"{"normaliser":"stripe","parameters":{"default_currency":"EUR"}}"#,
            vec!["parameters.default_currency"],
        ),
        // It reads a header that the scheme does not sign.
        (r#"{"normaliser":"standard_webhooks"}"#, vec!["normaliser"]),
        (r#"{"normaliser":"stripe","notification_url":"https://h/"}"#, vec!["notification_url"]),
        (r#"{"scheme":"square","notification_url":"https://h/"}"#, vec![]),
        (r#"{"scheme":"stripe","on_duplicate":"conflict"}"#, vec!["on_duplicate"]),
        (r#"{"scheme":"generic","on_duplicate":"conflict"}"#, vec![]),
        (r#"{"scheme":"plaid","parameters":{"environment":"sandbox"}}"#, vec![]),
    ] {
        assert_eq!(warned(settings), wanted, "{settings}");
    }
    for row in catalogue::providers() {
        let mut config = config(row.name.as_str());
        if !row.info().unwrap().signs_url {
            config.notification_url = None;
        }
        let warnings = Endpoint::new(config).unwrap().warnings();
        assert!(warnings.is_empty(), "{}: {warnings:?}", row.name);
    }
}
