//! What verified is what is told: neither another spelling nor another split of what is signed says something else.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tollgate_providers::{
    Headers, Received, SignedWebhook, Trusted, catalogue, catalogue::Provider, normalise::Normaliser,
};

use crate::{
    document::{Changed, Document, Syntax},
    unsigned::{Signer, Told, Webhook, told},
};

/// Rows of which only some places of the body are signed, and these places; of the others the whole body is signed, or
/// nothing of it.
fn signed_places(row: &Provider) -> Option<Vec<String>> {
    if row.name == "adyen" {
        let list = "notificationItems";
        let fields =
            ["pspReference", "originalReference", "merchantAccountCode", "merchantReference", "amount"];
        let more = ["amount.value", "amount.currency", "eventCode", "success"];
        let item = format!("{list}[].NotificationRequestItem");
        let fields = fields.iter().chain(&more).map(|name| format!("{item}.{name}"));
        let wholes = [list.to_owned(), format!("{list}[]"), item.clone()];
        return Some(wholes.into_iter().chain(fields).collect());
    }
    let signed = &row.scheme.as_ref()?.signed;
    let named = |kind: &str| {
        let begin = format!("{{{kind}:");
        let parts = signed.split(begin.as_str()).skip(1);
        parts.filter_map(|part| part.split_once('}')).map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    let places = [named("json"), named("form")].concat();
    (!places.is_empty()).then_some(places)
}

/// The events that say something, in their order.
fn recognized(told: &[Told]) -> Vec<&Told> {
    told.iter().filter(|told| told.kind != "payment.unrecognized").collect()
}

/// Whether `after` says nothing but what `before` says too.
fn says_no_more(before: &[Told], after: &[Told]) -> bool {
    recognized(after).iter().all(|told| before.contains(told))
}

#[test]
fn another_spelling_of_what_is_signed_tells_the_same() {
    let (mut passed, mut failures) = (BTreeMap::new(), Vec::new());
    for row in catalogue::providers().iter().filter(|row| row.name != "paypal") {
        let places = signed_places(row);
        let binds =
            places.is_some() || row.info().unwrap().signed.contains("body") || row.name == "braintree";
        if !binds {
            continue;
        }
        // Of a whole body every change is refused: one is enough.
        let cases = if places.is_some() || row.name == "braintree" { usize::MAX } else { 1 };
        for Webhook { case, endpoint, keys, signed, told: before, .. } in
            Signer::of(row).webhooks().into_iter().take(cases)
        {
            let (headers, query) = (signed.headers.clone(), signed.query.clone());
            let text = String::from_utf8(signed.body.clone()).unwrap();
            let Some(document) = Document::read(Changed { headers, query, text }) else { continue };
            for (index, value) in document.values.iter().enumerate() {
                if places.as_ref().is_some_and(|places| !places.contains(&value.path)) {
                    continue;
                }
                for (what, Changed { headers, query, text }) in document.respelled(index) {
                    let other = SignedWebhook { headers, query, body: text.into_bytes() };
                    let Some(after) = told(&endpoint, &keys, &other).filter(|_| other != signed) else {
                        continue;
                    };
                    *passed.entry(row.name.as_str()).or_insert(0) += 1;
                    if !says_no_more(&before, &after) {
                        failures.push(format!("{case}: {what}\n    {before:?}\n    {after:?}"));
                    }
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} spellings:\n{}",
        failures.len(),
        failures[..failures.len().min(5)].join("\n")
    );
    let names: Vec<&str> = passed.keys().copied().collect();
    assert_eq!(names, ["adyen", "braintree", "midtrans", "nuvei"], "{passed:?}");
}

/// A value that is signed, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Header(String),
    /// In an entry of the signature's header, with the text before it.
    Entry(String, String),
    Query(String),
    Json(String),
    Form(String),
    Body,
}

impl Place {
    fn get(&self, webhook: &SignedWebhook) -> Option<String> {
        let body = || String::from_utf8(webhook.body.clone()).ok();
        match self {
            Self::Header(name) => webhook.headers.get(name).map(str::to_owned),
            Self::Entry(header, head) => {
                let entries = webhook.headers.get(header)?.split([',', ';']);
                entries.filter_map(|entry| entry.strip_prefix(head.as_str())).next().map(str::to_owned)
            }
            Self::Query(name) => field(&webhook.query, name),
            Self::Form(name) => field(&body()?, name),
            Self::Json(name) => {
                let value = serde_json::from_slice::<serde_json::Value>(&webhook.body).ok()?;
                value.get(name)?.as_str().map(str::to_owned)
            }
            Self::Body => body(),
        }
    }

    fn set(&self, webhook: &mut SignedWebhook, text: &str) {
        let old = self.get(webhook).unwrap();
        match self {
            Self::Header(name) => {
                webhook.headers.remove(name);
                webhook.headers.push(name.as_str(), text);
            }
            Self::Entry(header, head) => {
                let list = webhook.headers.get(header).unwrap().to_owned();
                webhook.headers.remove(header);
                webhook.headers.push(
                    header.as_str(),
                    list.replacen(&format!("{head}{old}"), &format!("{head}{text}"), 1),
                );
            }
            Self::Query(name) => {
                let others = webhook.query.split('&').filter(|pair| pair.split('=').next() != Some(name));
                let set = format!("{name}={}", Syntax::Form.written(text));
                webhook.query = others.map(str::to_owned).chain([set]).collect::<Vec<_>>().join("&");
            }
            Self::Form(name) => {
                let body = String::from_utf8(webhook.body.clone()).unwrap();
                let others = body.split('&').filter(|pair| pair.split('=').next() != Some(name));
                let set = format!("{name}={}", Syntax::Form.written(text));
                webhook.body =
                    others.map(str::to_owned).chain([set]).collect::<Vec<_>>().join("&").into_bytes();
            }
            Self::Json(name) => {
                let body = String::from_utf8(webhook.body.clone()).unwrap();
                let at = body.find(&format!("\"{name}\"")).unwrap() + name.len() + 2;
                let (head, tail) = body.split_at(at);
                let text = tail.replacen(&Syntax::Json.written(&old), &Syntax::Json.written(text), 1);
                webhook.body = [head, &text].concat().into_bytes();
            }
            Self::Body => webhook.body = text.as_bytes().to_vec(),
        }
    }
}

fn field(form: &str, name: &str) -> Option<String> {
    let value = form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    let spaced = value.replace('+', " ");
    Some(percent_encoding::percent_decode_str(&spaced).decode_utf8().unwrap().into_owned())
}

/// The signed values of a row that stand beside each other, with the text between them.
fn neighbours(row: &Provider) -> Vec<(Place, String, Place)> {
    let Some(scheme) = &row.scheme else { return Vec::new() };
    let family = scheme.families.first().map(String::as_str).unwrap_or_default();
    let named = |name: &str| name.replacen('*', family, 1);
    let place = |part: &str| match part.split_once(':') {
        Some(("header", name)) => Some(Place::Header(named(name))),
        Some(("query" | "query_any_case", name)) => Some(Place::Query(name.to_owned())),
        Some(("json", name)) => Some(Place::Json(name.to_owned())),
        Some(("form", name)) => Some(Place::Form(name.to_owned())),
        None if part == "body" => Some(Place::Body),
        None if part == "timestamp" => {
            let timestamp = scheme.timestamp.as_ref()?;
            let signature = || named(scheme.signature.header.as_deref().unwrap_or_default());
            Some(match (&timestamp.header, &timestamp.entry) {
                (Some(name), _) => Place::Header(named(name)),
                (None, Some(entry)) => Place::Entry(signature(), entry.replace("{timestamp}", "")),
                (None, None) => Place::Entry(signature(), String::new()),
            })
        }
        _ => None,
    };
    let plain = scheme.signed.replace(['[', ']'], "");
    let parts: Vec<(&str, &str)> = plain.split('{').skip(1).filter_map(|part| part.split_once('}')).collect();
    let pairs = parts.windows(2).filter_map(|pair| match pair {
        [(one, between), (other, _)] => Some((place(one)?, (*between).to_owned(), place(other)?)),
        _ => None,
    });
    pairs.collect()
}

/// Every other place where the text of two neighbours could be parted.
fn other_splits<'t>(
    joined: &'t str,
    between: &'t str,
    at: usize,
) -> impl Iterator<Item = (&'t str, &'t str)> {
    let begins = joined.char_indices().map(|(begin, _)| begin).chain([joined.len()]);
    let near = begins.filter(move |begin| *begin != at && begin.abs_diff(at) <= 40);
    near.filter_map(move |begin| {
        let (one, rest) = joined.split_at(begin);
        Some((one, rest.strip_prefix(between)?))
    })
}

#[test]
fn another_split_of_what_is_signed_tells_nothing_else() {
    let (mut tried, mut passed, mut failures) = (BTreeMap::new(), 0, Vec::new());
    for row in catalogue::providers() {
        for (one, between, other) in neighbours(row) {
            // Without the cases that are such splits themselves.
            let is_split = |told: &Told| told.id.contains("could be split in another place");
            let webhooks = Signer::of(row).webhooks().into_iter();
            let webhooks = webhooks.filter(|webhook| !webhook.told.iter().any(is_split));
            for Webhook { case, endpoint, keys, signed, told: before, .. } in webhooks {
                let (Some(a), Some(b)) = (one.get(&signed), other.get(&signed)) else { continue };
                let joined = [a.as_str(), &between, &b].concat();
                for (a, b) in other_splits(&joined, &between, a.len()) {
                    let mut split = signed.clone();
                    one.set(&mut split, a);
                    other.set(&mut split, b);
                    *tried.entry(row.name.as_str()).or_insert(0) += 1;
                    let Some(after) = told(&endpoint, &keys, &split) else { continue };
                    passed += 1;
                    if !says_no_more(&before, &after) {
                        failures.push(format!(
                            "{case}: {one:?} {a:?}, {other:?} {b:?}\n    {before:?}\n    {after:?}"
                        ));
                    }
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} splits:\n{}",
        failures.len(),
        failures[..failures.len().min(5)].join("\n")
    );
    let without_text_between = ["dlocal", "airwallex", "nuvei", "cashfree", "midtrans"];
    assert!(
        without_text_between.iter().all(|name| tried[name] >= 10) && passed >= 100,
        "{tried:?}, {passed}"
    );
}

/// The parts of a Midtrans text, and every other way to part it in three.
fn three_ways(text: &str) -> impl Iterator<Item = [&str; 3]> {
    let begin_codes = 0..text.len().saturating_sub(2);
    begin_codes.map(|at| [&text[..at], &text[at..at + 3], &text[at + 3..]])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn of_the_ways_to_split_a_midtrans_text_one_at_most_is_a_payment(
        order in "[a-z0-9-]{0,4}[0-2]{0,12}", code in "20[012]|407", amount in "[0-9]{0,3}(20[0-2])?[0125]{1,6}\\.00"
    ) {
        let midtrans = Normaliser::named("midtrans").unwrap();
        let config = crate::cases::endpoint("midtrans");
        let text = [order, code, amount].concat();
        for status in ["settlement", "deny", "pending"] {
            let is_told = |[order, code, amount]: &[&str; 3]| {
                let body = format!(
                    r#"{{"order_id":"{order}","status_code":"{code}","gross_amount":"{amount}","transaction_status":"{status}"}}"#
                );
                let headers = Headers::new();
                let received = Received { headers: &headers, query: "", body: body.as_bytes() };
                let told = midtrans.normalise(Trusted::for_inspection(received), &config);
                told.iter().flatten().any(|facts| facts.unrecognized.is_none())
            };
            prop_assert!(three_ways(&text).filter(is_told).count() <= 1, "{text} {status}");
        }
    }
}
