//! What is kept of a webhook's headers and query: what is signed and read, never the key.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::{prelude::*, sample::subsequence};
use serde_json::{Value, json};
use tollgate_providers::{Endpoint, Headers, SignedWebhook, ToSign};

use crate::providers::{Case, JSON, NOW, at, case, config, key_text, ring, signable};

/// Rows whose header is the key itself, or good for any webhook.
const TOKENS: [&str; 4] = ["chargebee", "flutterwave_v3", "phonepe", "xendit"];

const KEY: &str = "user:a static token of 32 letters";

/// What is kept of it, as a webhook.
fn kept(case: &Case) -> SignedWebhook {
    SignedWebhook {
        headers: case.endpoint.kept_headers(&case.signed.headers),
        query: case.endpoint.kept_query(&case.signed.query),
        body: case.signed.body.clone(),
    }
}

/// Everything that is kept besides the body, as one text.
fn text(kept: &SignedWebhook) -> String {
    let headers: Vec<String> = kept.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{}\n?{}", headers.join("\n"), kept.query)
}

#[test]
fn what_is_kept_verifies_again_and_holds_no_key() {
    let paypal = ("paypal", crate::paypal::case(), "1JE4291016473214C".to_owned());
    let signable = signable().map(|row| (row.name.as_str(), case(row), key_text(row, 1)));
    for (name, mut case, key) in signable.chain([paypal]) {
        let before = case.signed.headers.clone();
        for unread in ["Cookie", "X-Api-Key", "Content-Type", "X-Forwarded-For"] {
            case.signed.headers.push(unread, key.as_str());
        }
        case.signed.query = format!("token={key}&{}&sig={key}&data.idx={key}", case.signed.query);
        case.signed = kept(&case);
        let text = text(&case.signed);
        for secret in [key.clone(), STANDARD.encode(&key)] {
            assert!(!text.contains(&secret), "{name}: {text}");
        }
        if TOKENS.contains(&name) {
            let values: Vec<&str> =
                before.iter().map(|(_, value)| value).filter(|value| value.len() > 20).collect();
            assert!(!values.is_empty() && values.iter().all(|value| !text.contains(value)), "{name}: {text}");
        }
        assert_eq!(case.verify().is_err(), TOKENS.contains(&name), "{name}: {text}");
        let data_id = if name == "mercadopago" { "data.id=ord01" } else { "" };
        assert_eq!(case.signed.query, data_id, "{name}");
    }
}

#[test]
fn of_a_header_that_must_be_there_its_presence_is_kept() {
    let row = signable().find(|row| row.name == "shopify").unwrap();
    let kept = kept(&case(row));
    assert_eq!(kept.headers.get("X-Shopify-Webhook-Id"), Some("-"));
    let topic = kept.headers.get("X-Shopify-Topic");
    assert!(topic.is_some_and(|topic| topic != "-"), "the normaliser reads it");
}

#[test]
fn a_static_signature_in_a_body_that_is_archived_is_no_scheme() {
    for (signed, algorithm) in [("{secret}", "token"), ("{url}", "hmac-sha256"), ("{secret}", "sha256")] {
        for place in ["json", "form"] {
            let encoding = if algorithm == "token" { "text" } else { "hex" };
            let signature = json!({ place: "token" });
            let scheme = json!({ "signature": signature, "signed": signed, "algorithm": algorithm, "encoding": encoding });
            let error = Endpoint::new(config(scheme)).unwrap_err();
            assert!(error.field.starts_with("scheme"), "{error}");
        }
    }
}

const NAMES: [&str; 5] = ["X-Token", "Authorization", "X-Id", "Content-Type", "x-github-event"];

/// A custom scheme whose parts name the same few headers, in any role.
fn schemes() -> impl Strategy<Value = (Value, Option<&'static str>)> {
    let signed = [
        ("{secret}", "token", "text"),
        ("{secret}", "token", "base64"),
        ("{secret}", "sha256", "hex"),
        ("{url}", "hmac-sha256", "hex"),
        ("{secret}{url}", "sha512", "hex"),
        ("{url}|{query:id}", "hmac-sha256", "hex"),
        ("{body}", "hmac-sha256", "hex"),
        ("{header:X-Id}.{body}", "hmac-sha512", "base64"),
        ("[id:{query:id};]{body}", "hmac-sha256", "hex"),
        ("{query_any_case:id}|{url}", "hmac-sha256", "hex"),
    ];
    let of = (
        prop::sample::select(signed.to_vec()),
        prop::sample::select(NAMES.to_vec()),
        subsequence(NAMES.to_vec(), 0..NAMES.len()),
        prop::option::of(prop::sample::select(NAMES.to_vec())),
        prop::sample::select(vec!["{signature}", "v1={signature}", "Basic {signature}"]),
        prop::sample::select(vec![
            None,
            Some("github"),
            Some("square"),
            Some("mercadopago"),
            Some("shopify"),
        ]),
    );
    of.prop_map(|((signed, algorithm, encoding), header, require, key_id, entry, normaliser)| {
        let signature = json!({ "header": header, "key_id_header": key_id, "entry": entry });
        let scheme = json!({
            "signature": signature, "signed": signed, "algorithm": algorithm, "encoding": encoding, "require": require,
        });
        (scheme, normaliser)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_custom_scheme_keeps_its_key((scheme, normaliser) in schemes(), recase: bool) {
        let (signed, header) = (scheme["signed"].as_str().unwrap(), scheme["signature"]["header"].as_str().unwrap());
        let key_id = scheme["signature"]["key_id_header"].as_str();
        let is_read = |name: &str| {
            signed.contains(&format!(":{name}")) || key_id == Some(name) || header == name
                || normaliser == Some("github") && name == "x-github-event"
        };
        let mut config = config(scheme.clone());
        config.normaliser = normaliser.map(str::to_owned);
        // A scheme that is refused keeps nothing.
        let Ok(endpoint) = Endpoint::new(config) else { return Ok(()) };
        let keys = ring(&endpoint, &[("1", KEY)]);
        // The key again, wherever nothing is read.
        let unread = NAMES.iter().filter(|name| !is_read(name)).chain(&["Cookie"]);
        let headers: Headers = unread.map(|name| (*name, KEY)).collect();
        let query = format!("token={KEY}&id=7&%69d2={KEY}&key={KEY}");
        let to_sign = ToSign { headers: &headers, query: &query, body: JSON, url: None };
        let Ok(mut signed_webhook) = endpoint.sign(to_sign, &keys, at(NOW)) else { return Ok(()) };
        if recase {
            let recased = |(name, value): (&str, &str)| (name.to_ascii_uppercase(), value.to_owned());
            signed_webhook.headers = signed_webhook.headers.iter().map(recased).collect();
        }
        let mut case = Case { endpoint, keys, signed: signed_webhook };
        // One header in two roles that contradict each other: no webhook passes.
        if case.verify().is_err() {
            return Ok(());
        }
        let signature = case.signed.headers.get(header).unwrap().to_owned();
        case.signed = kept(&case);
        let text = text(&case.signed);
        prop_assert!(!text.contains(KEY) && !text.contains(&STANDARD.encode(KEY)), "{scheme}: {text}");
        let is_static = !["{body}", "{header:", "{query"].iter().any(|part| signed.contains(part));
        if is_static {
            prop_assert!(!text.contains(&signature), "{scheme}: {text}");
        }
        prop_assert_eq!(case.verify().is_err(), is_static, "{}: {}", scheme, text);
    }
}
