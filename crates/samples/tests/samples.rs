//! Each built-in body, read as its provider's endpoint reads it.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use tollgate_core::{Currency, EndpointConfig, Money, Timestamp};
use tollgate_providers::{Endpoint, Received, Trusted};
use tollgate_samples::{BUILT_IN, Kind, Payment, Sample, adyen_event_id, headers, id, razorpay_event_id};

fn endpoint(provider: &str) -> Endpoint {
    let config = json!({
        "id": "demo", "scheme": provider, "secret": "secretsmanager:x",
        "notification_url": (provider == "square").then_some("https://example.com/hook"),
    });
    let config: EndpointConfig = serde_json::from_value(config).unwrap();
    Endpoint::new(config).unwrap()
}

fn sample(kind: Kind, amount: &str, currency: &str, serial: u64) -> Sample {
    let money = Money::from_decimal(amount, Currency::new(currency).unwrap()).unwrap();
    Sample { kind, money, id: id("test", serial), at: noon(), items: 1 }
}

fn noon() -> Timestamp {
    "2026-01-02T12:00:00Z".parse().unwrap()
}

#[test]
fn every_body_says_what_it_is_to_say() {
    for provider in BUILT_IN {
        let endpoint = endpoint(provider);
        for kind in Kind::ALL {
            for (amount, currency) in [("10.99", "USD"), ("1200", "JPY"), ("1.234", "KWD"), ("0.05", "EUR")] {
                let sample = sample(kind, amount, currency, 7);
                let draft = sample.draft(provider).unwrap();
                let received = Received { headers: &draft.headers, query: "", body: &draft.body };
                let facts = endpoint.normalise(Trusted::for_inspection(received)).unwrap();
                let what = format!("{provider} {kind:?} {amount} {currency}");
                assert_eq!(facts.len(), 1, "{what}");
                assert_eq!(facts[0].kind.category(), kind.category(), "{what}");
                assert_eq!(facts[0].amount, Some(sample.money), "{what}");
                assert_eq!(facts[0].event_id, draft.event_ids[0], "{what}");
                assert_eq!(facts[0].occurred_at, Some(sample.at), "{what}");
                assert!(facts[0].transaction_id.is_some(), "{what}");
            }
        }
    }
}

#[test]
fn a_delivery_may_hold_several_events() {
    let sample = Sample { items: 3, ..sample(Kind::Payment, "5.00", "EUR", 1) };
    let draft = sample.draft("adyen").unwrap();
    let received = Received { headers: &draft.headers, query: "", body: &draft.body };
    let ids: Vec<String> = endpoint("adyen")
        .normalise(Trusted::for_inspection(received))
        .unwrap()
        .into_iter()
        .map(|facts| facts.event_id.into_owned())
        .collect();
    assert_eq!(ids, draft.event_ids);
    assert_eq!(ids.len(), 3);
}

#[test]
fn one_seed_gives_one_webhook_and_another_serial_another() {
    for provider in BUILT_IN {
        let of = |serial| sample(Kind::Refund, "3.00", "EUR", serial).draft(provider).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1).event_ids, of(2).event_ids);
    }
    assert!(sample(Kind::Payment, "1.00", "EUR", 1).draft("unheard-of").is_none());
}

#[test]
fn padding_is_exact_and_keeps_the_body_readable() {
    let mut draft = sample(Kind::Payment, "1.00", "EUR", 1).draft("stripe").unwrap();
    draft.pad_to(100_000);
    assert_eq!(draft.body.len(), 100_000);
    assert!(serde_json::from_slice::<Value>(&draft.body).is_ok());
    draft.break_off();
    assert!(serde_json::from_slice::<Value>(&draft.body).is_err());
}

#[test]
fn amounts_of_any_length_stay_exact() {
    let digits = "123456789012345678901234567890";
    for provider in BUILT_IN {
        let sample = sample(Kind::Payment, &format!("{}.{}", &digits[..26], &digits[26..28]), "USD", 1);
        let draft = sample.draft(provider).unwrap();
        let received = Received { headers: &draft.headers, query: "", body: &draft.body };
        let facts = endpoint(provider).normalise(Trusted::for_inspection(received)).unwrap();
        assert_eq!(facts[0].amount, Some(sample.money), "{provider}");
    }
}

/// A payment's ids, amount and customer are used as they are given.
#[test]
fn a_payment_is_written_as_it_is_given() {
    for provider in BUILT_IN {
        for customer in [None, Some("cus_1".to_owned())] {
            let payment = Payment { customer: customer.clone(), ..Payment::new("e1", "t1", noon()) };
            let headers = headers(provider, Some("e1"));
            let body = payment.body(provider).unwrap();
            let received = Received { headers: &headers, query: "", body: body.as_bytes() };
            let facts = endpoint(provider).normalise(Trusted::for_inspection(received)).unwrap();
            let event_id = match provider {
                "adyen" => adyen_event_id(&payment),
                "razorpay" => razorpay_event_id(&payment),
                _ => "e1".to_owned(),
            };
            assert_eq!(facts[0].event_id, event_id, "{provider}");
            assert_eq!(facts[0].transaction_id.as_deref(), Some("t1"), "{provider}");
            assert_eq!(facts[0].customer.id.as_deref(), customer.as_deref(), "{provider}");
        }
    }
    assert_eq!(Payment::new("e1", "t1", noon()).body("unheard-of"), None);
}
