//! Endpoints: settings, keys, handshakes, the generic scheme, explanations.

use tollgate_core::OnDuplicate;
use tollgate_providers::{
    Endpoint, Headers, KeyMaterial, Material, MaterialRequest, Received, Refusal, Secret, catalogue,
};

use crate::providers::{Case, JSON, NOW, case, config, endpoint, jwk, now, received, ring, sign};

fn row_case(name: &str) -> Case {
    case(catalogue::find(name).unwrap())
}

#[test]
fn the_generic_endpoint_is_ours() {
    let generic = endpoint("generic");
    assert!(generic.is_generic());
    assert_eq!(generic.on_duplicate(), OnDuplicate::Conflict);
    assert!(!endpoint("stripe").is_generic());
    assert_eq!(endpoint("stripe").on_duplicate(), OnDuplicate::Acknowledge);
    let mut chosen = config("generic");
    chosen.on_duplicate = Some(OnDuplicate::Acknowledge);
    assert_eq!(Endpoint::new(chosen).unwrap().on_duplicate(), OnDuplicate::Acknowledge);
}

#[test]
fn the_generic_timestamp_may_be_absent_and_is_signed_when_there() {
    let generic = endpoint("generic");
    let keys = ring(&generic, &[("1", "a shared secret of ours")]);
    let body = br#"{"event_id":"e-1"}"#;
    // Both computed with Python's hmac.
    let plain = "sha256=2cd2d926e53798ed0e16c051d7f17849c39bc27ba46bb0dc7b00a110e9035e86";
    let timed = "sha256=f9fd81ad9bd59a09a78e017d7e9b064afb187ea183f3b1823b87bd96b6752e6b";
    let check = |fields: &[(&str, &str)]| {
        let headers: Headers = fields.iter().copied().collect();
        let received = Received { headers: &headers, query: "", body };
        generic.verify(received, &keys, None, now()).map(|verified| verified.signed_at())
    };
    let name = "X-Webhook-Signature";
    assert_eq!(check(&[(name, plain)]), Ok(None));
    assert_eq!(check(&[(name, timed), ("X-Webhook-Timestamp", "1760000000")]), Ok(Some(now())));
    assert_eq!(sign(&generic, &keys, body, NOW).headers.get("x-webhook-signature"), Some(timed));
    assert_eq!(check(&[(name, timed)]), Err(Refusal::Mismatch), "a timestamp cannot be dropped");
    assert_eq!(check(&[(name, timed), ("X-Webhook-Timestamp", "1760000001")]), Err(Refusal::Mismatch));
    assert_eq!(
        check(&[(name, timed), ("X-Webhook-Timestamp", "01760000000")]),
        Err(Refusal::Malformed("timestamp"))
    );
    // Nor can it be moved into the body.
    let moved = [b"1760000000.", &body[..]].concat();
    let headers: Headers = [(name, timed)].into_iter().collect();
    let received = Received { headers: &headers, query: "", body: &moved };
    assert!(matches!(generic.verify(received, &keys, None, now()), Err(Refusal::Malformed(_))));
    assert_eq!(check(&[]), Err(Refusal::HeaderMissing));
    assert_eq!(check(&[(name, "")]), Err(Refusal::HeaderMissing));
    assert_eq!(check(&[(name, &timed[7..])]), Err(Refusal::Malformed("signature")));
    assert_eq!(check(&[(name, &timed.to_uppercase())]), Err(Refusal::Malformed("signature")));
}

#[test]
fn settings_that_cannot_serve_are_refused() {
    let cases: [(&str, fn(&mut tollgate_core::EndpointConfig), &str); 10] = [
        ("square", |config| config.notification_url = None, "notification_url"),
        ("square", |config| config.notification_url = Some("https://a b".into()), "notification_url"),
        ("razorpay", |config| config.tolerance_seconds = Some(60), "tolerance_seconds"),
        ("stripe", |config| config.tolerance_seconds = Some(0), "tolerance_seconds"),
        ("paypal", |config| config.tolerance_seconds = Some(604_801), "tolerance_seconds"),
        ("stripe", |config| config.normaliser = Some("nobody".into()), "normaliser"),
        ("stripe", |config| drop(config.parameters.insert("x".into(), "y".into())), "parameters.x"),
        (
            "plaid",
            |config| drop(config.parameters.insert("environment".into(), "development".into())),
            "parameters.environment",
        ),
        (
            "paypal",
            |config| drop(config.parameters.insert("environment".into(), "live".into())),
            "parameters.environment",
        ),
        (
            "paypal",
            |config| drop(config.parameters.insert("trust_roots".into(), "y".into())),
            "parameters.trust_roots",
        ),
    ];
    for (scheme, change, field) in cases {
        let mut config = config(scheme);
        change(&mut config);
        assert_eq!(Endpoint::new(config).unwrap_err().field, field, "{scheme}");
    }
}

#[test]
fn weak_and_ill_formed_keys_are_refused_without_being_shown() {
    let hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeef";
    let cases = [
        ("stripe", "", "it is empty"),
        ("stripe", "  ", "it is empty"),
        ("stripe", "whsec_abcdefgh\n", "it has white space around it"),
        ("stripe", "tiny", "it is too short"),
        ("stripe", "aaaaaaaaaaaaaaaaaaaa", "it is one byte repeated"),
        ("generic", "fifteen letters", "it is too short"),
        ("standard_webhooks", "whsec_not*base64*at*all", "it is not base64"),
        ("standard_webhooks", "whsec_AAECAwQ=", "it is too short"),
        ("adyen", "zz112233", "it is not hexadecimal"),
        ("adyen", hex, "it is not hexadecimal"),
        ("adyen", "00112233", "it does not have the length that its provider gives"),
        ("chargebee", "no colon here", "it is not in the form that this scheme needs"),
        (
            "wise",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "it is not a key of this algorithm",
        ),
        ("wise", "whsec_text", "it is not a public key in PEM"),
        ("plaid", "{}", "it is not a JSON Web Key for ES256"),
        ("plaid", "one-text-alone", "it is neither client_id:secret nor a JSON Web Key"),
        ("plaid", "client:a\"b", "it is neither client_id:secret nor a JSON Web Key"),
        ("paypal", "not an id", "it is not the id of a PayPal webhook"),
    ];
    for (scheme, text, problem) in cases {
        let material = vec![KeyMaterial::new("current", Secret::new(text))];
        let error = endpoint(scheme).keys(material).unwrap_err();
        assert_eq!((error.id.as_str(), error.problem), ("current", problem), "{scheme}");
        assert!(text.len() < 3 || !error.to_string().contains(text));
    }
    assert!(endpoint("stripe").keys(Vec::new()).is_err());
    let twice = ["a", "a"].map(|id| KeyMaterial::new(id, Secret::new("whsec_abcdefgh")));
    assert!(endpoint("stripe").keys(twice.to_vec()).is_err());
}

/// Everything that can be wrong with a key, for each scheme that finds it.
fn unusable(row: &catalogue::Provider) -> Vec<KeyMaterial> {
    let mut unusable = vec![
        KeyMaterial::new("old", Secret::new("")),
        KeyMaterial::new("old", Secret::new(" x ")),
        KeyMaterial::new("old", Secret::new("\u{e9}\n")),
    ];
    if row.keys_have_ids {
        unusable.push(KeyMaterial::unnamed("old", Secret::new(crate::providers::key_text(row, 2))));
    }
    unusable
}

#[test]
fn an_unusable_previous_key_is_left_out_and_an_unusable_current_one_refused() {
    for row in crate::providers::signable() {
        let (endpoint, text) = (endpoint(&row.name), crate::providers::key_text(row, 1));
        let signed =
            sign(&endpoint, &ring(&endpoint, &[("1", &text)]), crate::providers::body(&row.name), NOW);
        let current = KeyMaterial::new("1", Secret::new(text));
        let mut refused = 0;
        for bad in unusable(row) {
            let Err(problem) = endpoint.keys(vec![bad.clone()]) else { continue };
            refused += 1;
            for keys in
                [vec![current.clone(), bad.clone().previous()], vec![bad.clone().previous(), current.clone()]]
            {
                let keys = endpoint.keys(keys).unwrap();
                assert_eq!(keys.ids().collect::<Vec<_>>(), ["1"], "{}", row.name);
                assert_eq!(keys.left_out(), std::slice::from_ref(&problem), "{}", row.name);
                assert!(endpoint.verify(received(&signed), &keys, None, now()).is_ok(), "{}", row.name);
            }
            // Beside a good previous one, and beside another current one, as in a list.
            for good in [current.clone().previous(), current.clone()] {
                assert_eq!(endpoint.keys(vec![bad.clone(), good]).unwrap_err(), problem, "{}", row.name);
            }
        }
        assert!(refused > 0, "{}", row.name);
        let alone = endpoint.keys(vec![current.clone().previous()]).unwrap_err();
        assert_eq!(alone.problem, "no current key", "{}", row.name);
        // A previous key takes no name from a current one, whichever comes first.
        let keys = endpoint.keys(vec![current.clone().previous(), current.clone()]).unwrap();
        assert_eq!((keys.ids().count(), keys.left_out().len()), (1, 1), "{}", row.name);
    }
}

#[test]
fn keys_are_never_printed() {
    let material = KeyMaterial::new("current", Secret::new("whsec_do_not_show"));
    assert!(!format!("{material:?}").contains("do_not_show"));
    let keys = endpoint("stripe").keys(vec![material]).unwrap();
    assert_eq!(format!("{keys:?}"), "[\"current\"]");
}

#[test]
fn shopify_has_two_families_of_headers() {
    let mut case = row_case("shopify");
    let events: Headers = case
        .signed
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase().replace("x-shopify-", "shopify-"), value.to_owned()))
        .collect();
    case.signed.headers = events;
    assert_eq!(case.verify(), Err(Refusal::Missing("shopify-Event-Id".to_owned())));
    case.signed.headers.push("shopify-event-id", "e-1");
    assert_eq!(case.verify(), Ok("1".to_owned()));
    case.signed.headers.remove("shopify-topic");
    assert_eq!(case.verify(), Err(Refusal::Missing("shopify-Topic".to_owned())));
}

#[test]
fn braintree_is_answered() {
    let Case { endpoint, .. } = row_case("braintree");
    let keys = ring(&endpoint, &[("integration_public_key", "integration_private_key")]);
    let answer = |method, query| endpoint.handshake(method, query, &keys);
    // Braintree's own test of its Python library.
    let reply = answer("GET", "bt_challenge=20f9f8ed05f77439fe955c977e4c8a53").unwrap().unwrap();
    assert_eq!(reply.body, "integration_public_key|d9b899556c966b3f06945ec21311865d35df3ce4");
    assert_eq!(answer("POST", "bt_challenge=20f9f8ed05f77439fe955c977e4c8a53"), Ok(None));
    assert_eq!(answer("GET", ""), Err(Refusal::Missing("bt_challenge".to_owned())));
    assert_eq!(answer("GET", "bt_challenge=goodbye"), Err(Refusal::Malformed("challenge")));
    assert_eq!(row_case("stripe").endpoint.handshake("GET", "bt_challenge=20", &keys), Ok(None));
}

#[test]
fn plaid_keys_can_be_fetched() {
    let Case { endpoint, signed, keys, .. } = row_case("plaid");
    let fetching = ring(&endpoint, &[("current", "a1client:b2secret")]);
    let asked = |keys, second| endpoint.material_for(received(&signed), keys, crate::providers::at(second));
    let Ok(Some(MaterialRequest::JsonWebKey(request))) = asked(&fetching, NOW) else {
        panic!("a key to fetch")
    };
    assert_eq!(request.url(), "https://production.plaid.com/webhook_verification_key/get");
    assert_eq!(*request.body(), r#"{"client_id":"a1client","secret":"b2secret","key_id":"1"}"#);
    assert!(!format!("{request:?}").contains("b2secret"));
    assert_eq!(asked(&keys, NOW), Ok(None), "the key is there already");
    let other_key = ring(&endpoint, &[("1", &jwk("2"))]);
    assert_eq!(asked(&other_key, NOW), Err(Refusal::UnknownKeyId), "no credentials to fetch it with");
    assert!(matches!(asked(&fetching, NOW + 301), Err(Refusal::TooOld { .. })), "no fetch for an old token");
    let check = |material: Option<&Material>| {
        endpoint
            .verify(received(&signed), &fetching, material, now())
            .map(|verified| verified.key_id().to_owned())
    };
    assert_eq!(check(None), Err(Refusal::MaterialMissing));
    let other = Material(jwk("2").into_bytes());
    assert_eq!(check(Some(&other)), Err(Refusal::MaterialUntrusted("it has another key id")));
    let same_id = Material(jwk("1").into_bytes());
    assert_eq!(check(Some(&same_id)), Err(Refusal::Mismatch));
    let sender = jwk("1");
    let keys_of_sender = ring(&endpoint, &[("1", &sender)]);
    let signed_by_sender = sign(&endpoint, &keys_of_sender, JSON, NOW);
    let material = Material(format!("{{\"key\":{sender},\"request_id\":\"r\"}}").into_bytes());
    let verdict = endpoint.verify(received(&signed_by_sender), &fetching, Some(&material), now());
    assert_eq!(verdict.unwrap().key_id(), "current");
    for at in ["1759999999", "1760000001", "\"2025-10-09T08:53:20Z\"", "{}"] {
        let retired = sender.replace("\"expired_at\":null", &format!("\"expired_at\":{at}"));
        let retired = Material(retired.into_bytes());
        let verdict = endpoint.verify(received(&signed_by_sender), &fetching, Some(&retired), now());
        assert_eq!(verdict.unwrap_err(), Refusal::MaterialUntrusted("it has expired"), "{at}");
    }
    let mut altered = signed.clone();
    altered.body.push(b' ');
    assert_eq!(endpoint.verify(received(&altered), &keys, None, now()).unwrap_err(), Refusal::BodyAltered);
}

#[test]
fn adyen_looks_at_every_item() {
    let mut case = row_case("adyen");
    let text = String::from_utf8(case.signed.body.clone()).unwrap();
    case.signed.body = text.replace("\"JPY\"", "\"EUR\"").into_bytes();
    assert_eq!(case.verify(), Err(Refusal::Item(1)));
    case.signed.body = text.replace("\"reason\":\"x\"", "\"reason\":\"y\"").into_bytes();
    assert!(case.verify().is_ok(), "the reason is not signed");
    // The same signed text, split in another place.
    case.signed.body = text.replace("\"Shop\"", "\"Shop:a\"").replace("\"a:b", "\"b").into_bytes();
    assert!(matches!(case.verify(), Err(Refusal::Malformed(_))));
    case.signed.body = br#"{"notificationItems":[]}"#.to_vec();
    assert!(matches!(case.verify(), Err(Refusal::Malformed(_))));
}

#[test]
fn coded_schemes_are_explained_check_by_check() {
    type Change = fn(&mut Case);
    let cases: [(&str, Change, &[bool], &str, &str); 7] = [
        ("braintree", |_| {}, &[true, true, true], "PG5v", ""),
        (
            "braintree",
            |case| case.keys = ring(&case.endpoint, &[("2", "private-key-1")]),
            &[true, false],
            "PG5v",
            "rolled at the provider",
        ),
        (
            "braintree",
            |case| case.keys = ring(&case.endpoint, &[("1", "private-key-2")]),
            &[true, true, false],
            "PG5v",
            "is not its own",
        ),
        ("plaid", |case| case.signed.body.push(b' '), &[true, false], "eyJ", "changed on the way"),
        (
            "plaid",
            |case| case.keys = ring(&case.endpoint, &[("1", &jwk("1"))]),
            &[true, true, false],
            "eyJ",
            "another key signed",
        ),
        ("paypal", |_| {}, &[true, true, true], "69cd13f0-", ""),
        (
            "paypal",
            |case| case.signed.body.push(b' '),
            &[true, true, false],
            "69cd13f0-",
            "another webhook's id",
        ),
    ];
    for (name, change, passed, content, cause) in cases {
        let mut case = if name == "paypal" { crate::paypal::case() } else { row_case(name) };
        change(&mut case);
        let told = case.endpoint.explain(received(&case.signed), &case.keys, None, now());
        let checks: Vec<bool> = told.checks.iter().filter_map(|check| check.passed).collect();
        assert_eq!(checks, passed, "{name}: {told:?}");
        assert!(told.signed_content.as_deref().unwrap_or_default().starts_with(content), "{name}: {told:?}");
        let likely = told.likely_cause.as_deref().unwrap_or_default();
        assert!(likely.contains(cause) && likely.is_empty() == cause.is_empty(), "{name}: {told:?}");
        assert_eq!(told.authenticity.is_some(), passed.iter().all(|it| *it), "{name}");
    }
}

#[test]
fn an_explanation_names_the_likely_cause() {
    let cases: [(&str, fn(&[u8]) -> Vec<u8>, &str); 4] = [
        ("stripe", |body| [body, b"\n"].concat(), "a newline was added"),
        ("razorpay", |body| body.strip_suffix(b"}").unwrap().to_vec(), "another key signed it"),
        (
            "razorpay",
            |body| String::from_utf8_lossy(body).replace("\",\"", "\", \"").into_bytes(),
            "written anew",
        ),
        ("square", |body| [b"\xef\xbb\xbf", body].concat(), "a byte order mark was added"),
    ];
    for (name, change, cause) in cases {
        let mut case = row_case(name);
        case.signed.body = change(&case.signed.body);
        let told = case.endpoint.explain(received(&case.signed), &case.keys, None, now());
        assert_eq!(told.code, Some("signature_mismatch"));
        assert!(told.likely_cause.as_deref().unwrap_or_default().contains(cause), "{name}: {told:?}");
        assert_eq!(told.checks.last().unwrap().passed, Some(false));
    }
    let case = row_case("stripe");
    let told =
        case.endpoint.explain(received(&case.signed), &case.keys, None, crate::providers::at(NOW + 400));
    assert_eq!(told.code, Some("too_old"));
    assert_eq!(
        told.checks.iter().map(|check| check.passed).collect::<Vec<_>>(),
        [Some(true), Some(false), Some(true)]
    );
    let case = row_case("pagbank");
    let told = case.endpoint.explain(received(&case.signed), &case.keys, None, now());
    assert!(told.signed_content.unwrap().starts_with("{secret}-{"));
    assert_eq!(told.key_id.as_deref(), Some("1"));
}

#[test]
fn a_signature_in_another_form_is_told_the_form_that_is_wanted() {
    let wanted = |name: &str, change: fn(&mut Case)| {
        let mut case = if name == "paypal" { crate::paypal::case() } else { row_case(name) };
        change(&mut case);
        case.endpoint.explain(received(&case.signed), &case.keys, None, now()).wanted
    };
    // A bare signature, as a new sender writes it.
    let bare = |case: &mut Case| {
        let value = case.signed.headers.get("X-Webhook-Signature").unwrap().to_owned();
        case.signed.headers.remove("X-Webhook-Signature");
        case.signed.headers.push("X-Webhook-Signature", value.strip_prefix("sha256=").unwrap());
    };
    assert_eq!(
        wanted("generic", bare).as_deref(),
        Some(
            "header X-Webhook-Signature: `sha256={signature}`, where {signature} is 64 hexadecimal digits in lower case; \
             header X-Webhook-Timestamp (it may be absent): unix seconds in digits"
        )
    );
    for (name, form) in [
        (
            "stripe",
            "header Stripe-Signature: one `t={timestamp}` and `v1={signature}`, with `,` between, where {timestamp} is unix \
             seconds in digits and {signature} is 64 hexadecimal digits in lower case",
        ),
        ("adyen", "hmacSignature of each item is 44 characters of base64 with padding"),
        ("braintree", "bt_signature: pairs joined by `&`"),
        (
            "paypal",
            "PAYPAL-TRANSMISSION-TIME (RFC 3339 as 2026-01-02T03:04:05Z), PAYPAL-AUTH-ALGO (SHA256withRSA)",
        ),
        ("plaid", "header Plaid-Verification: a JSON Web Token with alg ES256"),
        (
            "midtrans",
            "field signature_key of the JSON body: `{signature}`, where {signature} is 128 hexadecimal digits",
        ),
        ("standard_webhooks", "; header webhook-timestamp: unix seconds in digits; header webhook-id"),
        ("flutterwave_v3", "{signature} is the key itself"),
    ] {
        let told = wanted(name, |case| {
            case.signed.headers = Headers::new();
            case.signed.body = b"{}".to_vec();
        });
        assert!(told.as_deref().unwrap_or_default().contains(form), "{name}: {told:?}");
    }
    for row in catalogue::providers() {
        assert_eq!(wanted(&row.name, |_| ()), None, "{}: it is in its form", row.name);
        let told = wanted(&row.name, |case| {
            case.signed.headers = Headers::new();
            case.signed.query.clear();
            case.signed.body.clear();
        });
        let told = told.unwrap_or_else(|| panic!("{}: no form", row.name));
        let place = row.info().unwrap().location;
        assert!(
            place.split(", ").all(|place| told.contains(place.split(" of each").next().unwrap())),
            "{}: {told}",
            row.name
        );
    }
}
