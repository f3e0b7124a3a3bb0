//! Properties of every provider's check.

use proptest::{prelude::*, sample::Index};
use tollgate_core::Authenticity;
use tollgate_providers::{Headers, KeyMaterial, Received, Secret, catalogue::providers};

use crate::providers::{Case, case, endpoint, now, received, ring, signable};

/// One case of every provider, made once.
fn cases() -> &'static [(&'static str, Case)] {
    static CASES: std::sync::LazyLock<Vec<(&'static str, Case)>> =
        std::sync::LazyLock::new(|| signable().map(|row| (row.name.as_str(), case(row))).collect());
    &CASES
}

/// The header that carries each provider's signature, and what else of it is signed.
fn signed_headers(case: &Case) -> Vec<String> {
    let unsigned = ["content-type", "x-request-id", "x-shopify-"];
    let name_is = |name: &str, begin: &&str| name.to_ascii_lowercase().starts_with(begin);
    case.signed
        .headers
        .iter()
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.ends_with("Hmac-Sha256") || !unsigned.iter().any(|begin| name_is(name, begin)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_changed_bit_of_a_signed_body_is_refused(at: Index, bit in 0_u32..8) {
        for (name, case) in cases() {
            if case.endpoint.authenticity() != Authenticity::Verified {
                continue;
            }
            let mut signed = case.signed.clone();
            let index = at.index(signed.body.len());
            signed.body[index] ^= 1 << bit;
            let verdict = case.endpoint.verify(received(&signed), &case.keys, None, now());
            // Percent-encoding and field order of a form are not signed: the same values are the same notification.
            let same = *name == "braintree" && fields(&signed.body) == fields(&case.signed.body);
            prop_assert!(same || verdict.is_err(), "{name}: byte {index}, bit {bit}");
        }
    }

    #[test]
    fn one_changed_character_of_a_signature_is_refused(which: Index, at: Index, bit in 0_u32..7) {
        for (name, case) in cases() {
            let names = signed_headers(case);
            if names.is_empty() {
                continue;
            }
            let header = which.get(&names);
            let mut value = case.signed.headers.get(header).unwrap().as_bytes().to_vec();
            let index = at.index(value.len());
            value[index] ^= 1 << bit;
            let Ok(value) = String::from_utf8(value) else { continue };
            // Authorize.Net's hexadecimal is read in either case.
            let original = case.signed.headers.get(header).unwrap();
            if *name == "authorize_net" && value.eq_ignore_ascii_case(original) && value.starts_with("sha512=") {
                continue;
            }
            let mut signed = case.signed.clone();
            signed.headers.remove(header);
            signed.headers.push(header.as_str(), value.as_str());
            let verdict = case.endpoint.verify(received(&signed), &case.keys, None, now());
            prop_assert!(verdict.is_err(), "{name}: {header}: {value}");
        }
    }

    #[test]
    fn order_and_case_of_headers_do_not_matter(seed: u64, upper: bool) {
        for (name, case) in cases() {
            let mut fields: Vec<(String, String)> =
                case.signed.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            fields.push(("Accept".to_owned(), "*/*".to_owned()));
            let len = fields.len();
            fields.rotate_left(usize::try_from(seed % 7).unwrap() % len);
            if seed % 2 == 0 {
                fields.reverse();
            }
            let headers: Headers = fields
                .into_iter()
                .map(|(name, value)| (if upper { name.to_uppercase() } else { name.to_lowercase() }, value))
                .collect();
            let received = Received { headers: &headers, ..received(&case.signed) };
            prop_assert!(case.endpoint.verify(received, &case.keys, None, now()).is_ok(), "{name}");
        }
    }

    #[test]
    fn arbitrary_input_is_an_answer(body: Vec<u8>, value in ".*", query in ".*", now in 0_i64..4_000_000_000) {
        for row in providers() {
            let Some((_, case)) = cases().iter().find(|(name, _)| *name == row.name) else { continue };
            let mut headers: Headers =
                case.signed.headers.iter().map(|(name, _)| (name.to_owned(), value.clone())).collect();
            headers.push("x", "y");
            let received = Received { headers: &headers, query: &query, body: &body };
            let now = crate::providers::at(now);
            let verdict = case.endpoint.verify(received, &case.keys, None, now);
            prop_assert!(verdict.is_err(), "{}", row.name);
            let _ = case.endpoint.material(received);
            let told = case.endpoint.explain(received, &case.keys, None, now);
            prop_assert_eq!(told.code, verdict.err().map(|refusal| refusal.code()));
            let _ = case.endpoint.handshake("GET", &query, &case.keys);
        }
    }

    #[test]
    fn arbitrary_keys_are_an_answer(text in ".*") {
        for row in providers() {
            let material = KeyMaterial { id: "1".to_owned(), secret: Secret::new(text.clone()) };
            let _ = endpoint(&row.name).keys(vec![material]);
        }
    }

    #[test]
    fn arbitrary_signed_bodies_verify(body in prop::collection::vec(any::<u8>(), 1..2000)) {
        for (name, case) in cases() {
            let in_body = ["adyen", "nuvei", "midtrans"].contains(name);
            if in_body {
                continue;
            }
            let signed = crate::providers::sign(&case.endpoint, &case.keys, &body, crate::providers::NOW);
            prop_assert!(case.endpoint.verify(received(&signed), &case.keys, None, now()).is_ok(), "{name}");
        }
    }
}

fn fields(form: &[u8]) -> Vec<Vec<u8>> {
    let spaced: Vec<u8> = form.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    let mut fields: Vec<_> =
        spaced.split(|b| *b == b'&').map(|field| percent_encoding::percent_decode(field).collect()).collect();
    fields.sort();
    fields
}

#[test]
fn a_ring_of_many_keys_finds_the_right_one() {
    let stripe = endpoint("stripe");
    let texts: Vec<String> = (0..10).map(|i| format!("whsec_number_{i}")).collect();
    let names: Vec<String> = (0..10).map(|i| format!("k{i}")).collect();
    let keys: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
    let all = ring(&stripe, &keys);
    for key in &keys {
        let one = ring(&stripe, &[*key]);
        let signed = crate::providers::sign(&stripe, &one, b"{}", crate::providers::NOW);
        assert_eq!(stripe.verify(received(&signed), &all, None, now()).unwrap().key_id(), key.0);
    }
}
