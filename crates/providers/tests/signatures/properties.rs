//! Properties of every provider's check.

use std::{ops::Range, sync::LazyLock};

use proptest::prelude::*;
use tollgate_providers::{
    Endpoint, Headers, KeyMaterial, Received, Secret,
    catalogue::{Provider, providers},
};

use crate::providers::{Case, URL, case, endpoint, now, received, ring, signable};

/// One case of every provider, made once.
fn cases() -> &'static [(&'static str, Case)] {
    static CASES: LazyLock<Vec<(&'static str, Case)>> = LazyLock::new(|| {
        let signed = signable().map(|row| (row.name.as_str(), case(row)));
        signed.chain([("paypal", crate::paypal::case())]).collect()
    });
    &CASES
}

/// A part of a webhook that its signature covers, or the signature itself.
#[derive(Debug)]
enum Part {
    Header(String),
    Body(Range<usize>),
    Query(Range<usize>),
    Url,
}

/// Every signed part, from the words of the catalogue.
fn signed_parts(row: &Provider, case: &Case) -> Vec<Part> {
    let within = |text: &[u8], value: &str| {
        let at = text.windows(value.len()).position(|window| window == value.as_bytes());
        at.map(|at| at..at + value.len()).unwrap_or_else(|| panic!("{}: no {value:?}", row.name))
    };
    let in_body = |values: &[&str]| -> Vec<Part> {
        values.iter().map(|value| Part::Body(within(&case.signed.body, value))).collect()
    };
    let signature_in_body = |begin: &str, len: usize| {
        let at = within(&case.signed.body, begin).end;
        Part::Body(at..at + len)
    };
    let Some(scheme) = &row.scheme else {
        return match row.name.as_str() {
            "adyen" => {
                let mut parts = in_body(&[
                    "PSP1",
                    "PSP2",
                    "Shop",
                    r"a:b\\c/d",
                    "1099",
                    "EUR",
                    "JPY",
                    "AUTHORISATION",
                    "REFUND",
                    "true",
                    "false\"}",
                ]);
                parts.push(signature_in_body(r#""hmacSignature":""#, 44));
                parts
            }
            "braintree" => vec![Part::Body(0..case.signed.body.len())],
            "plaid" => {
                vec![Part::Header("Plaid-Verification".to_owned()), Part::Body(0..case.signed.body.len())]
            }
            // Its body is covered by no more than a CRC-32, which any one bit changes.
            "paypal" => ["ID", "TIME", "SIG"]
                .map(|name| Part::Header(format!("PAYPAL-TRANSMISSION-{name}")))
                .into_iter()
                .chain([Part::Body(0..case.signed.body.len())])
                .collect(),
            name => panic!("{name}: what does it sign?"),
        };
    };
    let family = scheme.families.first().map(String::as_str).unwrap_or_default();
    let header = |name: &str| Part::Header(name.replacen('*', family, 1));
    let timestamp = scheme.timestamp.as_ref().and_then(|timestamp| timestamp.header.as_deref());
    let mut parts: Vec<Part> =
        scheme.signature.header.as_deref().into_iter().chain(timestamp).map(header).collect();
    parts.extend(scheme.signature.form.as_ref().map(|name| signature_in_body(&format!("{name}="), 64)));
    parts
        .extend(scheme.signature.json.as_ref().map(|name| signature_in_body(&format!("\"{name}\":\""), 128)));
    for name in scheme.signed.split('{').filter_map(|rest| rest.split_once('}')).map(|(name, _)| name) {
        let value = |separator: &str, end: char| {
            let text = String::from_utf8(case.signed.body.clone()).unwrap();
            let (_, name) = name.split_once(':').unwrap();
            let begin = text.find(&format!("{name}{separator}")).unwrap() + name.len() + separator.len();
            let len = text[begin..].find(end).unwrap();
            Part::Body(begin..begin + len)
        };
        parts.extend(match name.split_once(':') {
            None if name == "body" => Some(Part::Body(0..case.signed.body.len())),
            None if name == "url" => Some(Part::Url),
            None => None,
            Some(("header", name)) => Some(header(name)),
            Some(("query" | "query_any_case", _)) => {
                Some(Part::Query(within(case.signed.query.as_bytes(), "ord01")))
            }
            Some(("form", _)) => Some(value("=", '&')),
            Some(("json", _)) => Some(value("\":\"", '"')),
            Some(_) => panic!("{}: {name}", row.name),
        });
    }
    parts
}

/// `text` with one bit of one byte changed, if it is text still.
fn with_changed_bit(text: &str, at: usize, bit: u32) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] ^= 1 << bit;
    String::from_utf8(bytes).ok()
}

/// The verdict with one bit of `part` changed; `None` where that is no other webhook.
fn verdict_with_changed_bit(row: &Provider, case: &Case, part: &Part, at: usize, bit: u32) -> Option<bool> {
    let mut signed = case.signed.clone();
    match part {
        Part::Header(name) => {
            let original = case.signed.headers.get(name).unwrap();
            let value = with_changed_bit(original, at, bit)?;
            // Authorize.Net's hexadecimal is read in either case.
            if row.name == "authorize_net"
                && value.starts_with("sha512=")
                && value.eq_ignore_ascii_case(original)
            {
                return None;
            }
            // HTTP's authentication scheme, too.
            let credentials = |text: &str| text.strip_prefix("Basic ").map(str::to_owned);
            if let Some(kept) = credentials(original)
                && value.ends_with(&kept)
                && value.eq_ignore_ascii_case(original)
            {
                return None;
            }
            signed.headers.remove(name);
            signed.headers.push(name.as_str(), value);
        }
        Part::Body(range) => {
            signed.body[range.start + at] ^= 1 << bit;
            // Percent-encoding and field order of a form are not signed: the same values are the same notification.
            let is_form = ["braintree", "nuvei"].contains(&row.name.as_str());
            if is_form && fields(&signed.body) == fields(&case.signed.body) {
                return None;
            }
        }
        Part::Query(range) => {
            signed.query = with_changed_bit(&signed.query, range.start + at, bit)?;
            // Mercado Pago signs the id in lower case, whichever case it sends.
            if signed.query.eq_ignore_ascii_case(&case.signed.query) {
                return None;
            }
        }
        Part::Url => {
            let mut config = case.endpoint.config().clone();
            config.notification_url = Some(with_changed_bit(URL, at, bit)?);
            // A URL with white space in it is refused before.
            let endpoint = Endpoint::new(config).ok()?;
            return Some(endpoint.verify(received(&signed), &case.keys, None, now()).is_ok());
        }
    }
    Some(case.endpoint.verify(received(&signed), &case.keys, None, now()).is_ok())
}

#[test]
fn any_changed_bit_of_a_signed_part_is_refused() {
    for row in providers() {
        let (_, case) = cases().iter().find(|(name, _)| *name == row.name).unwrap();
        let parts = signed_parts(row, case);
        let mut changes = 0;
        for part in &parts {
            let len = match part {
                Part::Header(name) => case.signed.headers.get(name).unwrap().len(),
                Part::Body(range) | Part::Query(range) => range.len(),
                Part::Url => URL.len(),
            };
            for (at, bit) in (0..len).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let verdict = verdict_with_changed_bit(row, case, part, at, bit);
                assert_ne!(verdict, Some(true), "{}: {part:?}, byte {at}, bit {bit}", row.name);
                changes += usize::from(verdict.is_some());
            }
        }
        assert!(changes >= 100, "{}: {changes} changes of {parts:?}", row.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn order_and_case_of_headers_do_not_matter(order: [u32; 24], upper: [u64; 24]) {
        for (name, case) in cases() {
            let unread = [("Accept", "*/*"), ("X-Forwarded-For", "203.0.113.7")];
            let mut fields: Vec<(u32, String, &str)> = case
                .signed
                .headers
                .iter()
                .chain(unread)
                .enumerate()
                .map(|(index, (name, value))| (order[index], recased(name, upper[index]), value))
                .collect();
            fields.sort_by_key(|(place, ..)| *place);
            let headers: Headers = fields.into_iter().map(|(_, name, value)| (name, value)).collect();
            let received = Received { headers: &headers, ..received(&case.signed) };
            let verdict = case.endpoint.verify(received, &case.keys, None, now());
            prop_assert!(verdict.is_ok(), "{name}: {headers:?}");
        }
    }

    #[test]
    fn arbitrary_input_is_an_answer(body: Vec<u8>, value in ".*", query in ".*", now in 0_i64..4_000_000_000) {
        for (name, case) in cases() {
            let mut headers: Headers =
                case.signed.headers.iter().map(|(name, _)| (name.to_owned(), value.clone())).collect();
            headers.push("x", "y");
            let received = Received { headers: &headers, query: &query, body: &body };
            let now = crate::providers::at(now);
            let verdict = case.endpoint.verify(received, &case.keys, None, now);
            prop_assert!(verdict.is_err(), "{name}");
            let _ = case.endpoint.material_for(received, &case.keys, now);
            let told = case.endpoint.explain(received, &case.keys, None, now);
            prop_assert_eq!(told.code, verdict.err().map(|refusal| refusal.code()));
            let _ = case.endpoint.handshake("GET", &query, &case.keys);
        }
    }

    #[test]
    fn arbitrary_keys_are_an_answer(text in ".*") {
        for row in providers() {
            let material = KeyMaterial::new("1", Secret::new(text.clone()));
            let _ = endpoint(&row.name).keys(vec![material]);
        }
    }

    #[test]
    fn arbitrary_signed_bodies_verify(body in prop::collection::vec(any::<u8>(), 1..2000)) {
        for (name, case) in cases() {
            let of_a_form_of_its_own = ["adyen", "nuvei", "midtrans", "pagbank", "paypal"].contains(name);
            if of_a_form_of_its_own {
                continue;
            }
            let signed = crate::providers::sign(&case.endpoint, &case.keys, &body, crate::providers::NOW);
            prop_assert!(case.endpoint.verify(received(&signed), &case.keys, None, now()).is_ok(), "{name}");
        }
    }
}

/// `name` with the letters upper-case whose bit in `upper` is set, and the others lower-case.
fn recased(name: &str, upper: u64) -> String {
    let cased = |(index, c): (usize, char)| match upper >> (index % 64) & 1 {
        0 => c.to_ascii_lowercase(),
        _ => c.to_ascii_uppercase(),
    };
    name.chars().enumerate().map(cased).collect()
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
