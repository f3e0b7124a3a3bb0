//! What every provider has in common, checked for every one.

use tollgate_core::Authenticity;
use tollgate_providers::{Headers, Refusal, catalogue::providers};

use crate::providers::{Case, NOW, body, case, endpoint, key_text, received, ring, sign, signable};

#[test]
fn what_we_sign_verifies() {
    for row in signable() {
        let case = case(row);
        assert_eq!(case.verify(), Ok("1".to_owned()), "{}: {:?}", row.name, case.signed);
    }
}

#[test]
fn every_provider_has_its_normaliser() {
    for row in providers() {
        let normaliser = tollgate_providers::normalise::Normaliser::named(row.normaliser());
        assert!(normaliser.is_some(), "{}: {}", row.name, row.normaliser());
    }
}

#[test]
fn another_key_does_not() {
    for row in signable().filter(|row| row.name != "wise") {
        let mut case = case(row);
        case.keys = ring(&case.endpoint, &[("1", &key_text(row, 2))]);
        let refusal = case.verify().unwrap_err();
        let expected = match refusal {
            Refusal::WrongToken => row.info().unwrap().algorithm == "token",
            Refusal::Item(0) => row.name == "adyen",
            refusal => refusal == Refusal::Mismatch,
        };
        assert!(expected, "{}", row.name);
    }
}

#[test]
fn any_active_key_verifies_and_is_named() {
    for row in signable().filter(|row| row.name != "wise") {
        let named = matches!(row.name.as_str(), "braintree" | "klarna" | "worldpay" | "plaid");
        let (old, new) = (key_text(row, 1), key_text(row, 2));
        let endpoint = endpoint(&row.name);
        let sender = ring(&endpoint, &[("old", &old)]);
        let keys = ring(&endpoint, &[("new", &new), ("old", &old)]);
        let signed = sign(&endpoint, &sender, body(&row.name), NOW);
        let case = Case { endpoint, keys, signed };
        if row.name == "plaid" {
            // Both keys have the provider's key id 1: the first is taken and does not match.
            assert_eq!(case.verify(), Err(Refusal::Mismatch));
            continue;
        }
        assert_eq!(case.verify(), Ok("old".to_owned()), "{}", row.name);
        if named {
            let keys = ring(&case.endpoint, &[("new", &old)]);
            let case = Case { keys, ..case };
            assert_eq!(case.verify(), Err(Refusal::UnknownKeyId), "{}", row.name);
        }
    }
}

#[test]
fn a_key_that_webhooks_name_has_its_providers_id() {
    use tollgate_providers::{KeyMaterial, Secret};
    for row in signable().filter(|row| row.keys_have_ids) {
        let (old, new) = (Secret::new(key_text(row, 1)), Secret::new(key_text(row, 2)));
        let endpoint = endpoint(&row.name);
        let bare = endpoint.keys(vec![KeyMaterial::unnamed("current", old.clone())]).unwrap_err();
        assert!(bare.to_string().contains(r#"{"keys":[{"id":"#), "{}: {bare}", row.name);
        // A secret's two versions may hold two keys under one id.
        let mut previous = KeyMaterial::new("b", old);
        let signed = sign(&endpoint, &endpoint.keys(vec![previous.clone()]).unwrap(), body(&row.name), NOW);
        previous.id = "b (previous)".to_owned();
        let keys = endpoint.keys(vec![KeyMaterial::new("b", new), previous]).unwrap();
        assert_eq!(Case { endpoint, keys, signed }.verify(), Ok("b (previous)".to_owned()), "{}", row.name);
    }
    let ids: Vec<_> =
        providers().iter().filter(|row| row.keys_have_ids).map(|row| row.name.as_str()).collect();
    assert_eq!(ids, ["braintree", "klarna", "worldpay"]);
}

#[test]
fn without_its_signature_a_webhook_is_refused() {
    for row in signable() {
        let mut case = case(row);
        case.signed.headers = Headers::new();
        let in_body = matches!(row.name.as_str(), "adyen" | "braintree" | "nuvei" | "midtrans");
        if in_body {
            case.signed.body = body(&row.name).to_vec();
        }
        assert!(case.verify().is_err(), "{}", row.name);
    }
}

#[test]
fn a_header_that_comes_twice_is_refused() {
    for row in signable() {
        let case = case(row);
        let read: Vec<(String, String)> = case
            .signed
            .headers
            .iter()
            .filter(|(name, _)| {
                !["content-type", "x-request-id"].contains(&name.to_ascii_lowercase().as_str())
            })
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for (name, value) in read {
            let mut signed = case.signed.clone();
            signed.headers.push(name.to_ascii_uppercase(), value);
            let verdict = case.endpoint.verify(received(&signed), &case.keys, None, crate::providers::now());
            assert!(verdict.is_err(), "{}: {name} twice", row.name);
        }
    }
}

#[test]
fn the_window_has_two_sides() {
    for row in signable() {
        let Some(window) = row.info().unwrap().window.map(i64::from) else { continue };
        let case = case(row);
        assert!(case.verify_at(NOW + window).is_ok(), "{}", row.name);
        assert!(case.verify_at(NOW - window).is_ok(), "{}", row.name);
        let seconds = u64::try_from(window + 1).unwrap();
        let window = u32::try_from(window).unwrap();
        assert_eq!(
            case.verify_at(NOW + i64::from(window) + 1),
            Err(Refusal::TooOld { seconds, window }),
            "{}",
            row.name
        );
        assert_eq!(
            case.verify_at(NOW - i64::from(window) - 1),
            Err(Refusal::TooNew { seconds, window }),
            "{}",
            row.name
        );
    }
}

#[test]
fn a_verified_body_is_what_was_signed() {
    for row in signable() {
        let mut case = case(row);
        let verified =
            case.endpoint.verify(received(&case.signed), &case.keys, None, crate::providers::now());
        let authenticity = verified.unwrap().authenticity();
        assert_eq!(authenticity, row.info().unwrap().authenticity, "{}", row.name);
        case.signed.body.push(b'\n');
        // A form has no end of its own: what is added belongs to its last field.
        let bound = authenticity == Authenticity::Verified
            || row.shared_key.is_some()
            || ["nuvei", "pagbank"].contains(&row.name.as_str());
        assert_eq!(case.verify().is_err(), bound, "{}", row.name);
    }
}

#[test]
fn authenticated_only_are_those_that_do_not_bind_the_body_to_the_account_for_certain() {
    let names: Vec<_> = providers()
        .iter()
        .filter(|row| row.info().unwrap().authenticity == Authenticity::Authenticated)
        .map(|row| row.name.as_str())
        .collect();
    let expected = [
        "adyen",
        "paypal",
        "plaid",
        "wise",
        "flutterwave_v3",
        "mercadopago",
        "xendit",
        "pagbank",
        "chargebee",
        "nuvei",
        "phonepe",
        "midtrans",
    ];
    assert_eq!(names, expected);
    let shared: Vec<_> = providers().iter().filter(|row| row.shared_key.is_some()).collect();
    assert_eq!(shared.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["plaid", "wise"]);
}

#[test]
fn an_empty_body_is_a_body_unless_the_sdk_refuses_it() {
    for row in signable()
        .filter(|row| row.scheme.is_some() && row.info().unwrap().authenticity == Authenticity::Verified)
    {
        let endpoint = endpoint(&row.name);
        let keys = ring(&endpoint, &[("1", &key_text(row, 1))]);
        let signed = sign(&endpoint, &keys, b"", NOW);
        let refused = ["square", "shopify", "github"].contains(&row.name.as_str());
        assert_eq!(Case { endpoint, keys, signed }.verify().is_err(), refused, "{}", row.name);
    }
}
