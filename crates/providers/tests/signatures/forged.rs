//! What must not be made of a signature that is good: what was signed and what is read are the same.

use tollgate_core::{EventType, Facts};
use tollgate_providers::{Endpoint, Headers, KeyRing, Received, Refusal, SignedWebhook, catalogue};

use crate::providers::{NOW, case, endpoint, now, received, ring, sign};

fn facts<'a>(
    endpoint: &Endpoint,
    keys: &'a KeyRing,
    signed: &'a SignedWebhook,
) -> Result<Facts<'a>, Refusal> {
    let verified = endpoint.verify(received(signed), keys, None, now())?;
    let mut facts = endpoint.normalise(verified.into()).map_err(|_| Refusal::Malformed("content"))?;
    assert_eq!(facts.len(), 1);
    Ok(facts.remove(0))
}

/// A body under the headers and query of a signed webhook.
fn with_body(signed: &SignedWebhook, body: impl AsRef<[u8]>) -> SignedWebhook {
    SignedWebhook { body: body.as_ref().to_vec(), ..signed.clone() }
}

#[test]
fn an_answered_challenge_is_no_notification() {
    let endpoint = endpoint("braintree");
    let keys = ring(&endpoint, &[("pub", "a private key of ours")]);
    let challenge = "00000000000000000000";
    let query = format!("bt_challenge={challenge}");
    let pair = endpoint.handshake("GET", &query, &keys).unwrap().unwrap().body;
    let xml = "<notification><kind>transaction_settled</kind><timestamp>2026-01-02T03:04:05Z</timestamp>\
               <subject><transaction><id>t</id><amount>9</amount></transaction></subject></notification>";
    let signed = SignedWebhook { headers: Headers::new(), query: String::new(), body: Vec::new() };
    for end in ["", "%0A", "\n"] {
        let forged = format!("{xml}<!--&bt_signature={pair}&bt_payload={challenge}{end}&x=-->");
        let verdict = facts(&endpoint, &keys, &with_body(&signed, forged)).map(|facts| facts.kind);
        assert!(verdict.is_err(), "{end:?}: {verdict:?}");
    }
}

#[test]
fn braintree_reads_the_payload_that_is_signed() {
    let endpoint = endpoint("braintree");
    let keys = ring(&endpoint, &[("pub", "a private key of ours")]);
    let genuine =
        b"<notification><kind>check</kind><timestamp>2026-01-02T03:04:05Z</timestamp></notification>";
    let signed = sign(&endpoint, &keys, genuine, NOW);
    let form = String::from_utf8(signed.body.clone()).unwrap();
    let paid = "<notification><kind>transaction_settled</kind><timestamp>2026-01-02T03:04:05Z</timestamp>\
                <subject><transaction><id>t</id><amount>9</amount></transaction></subject></notification>";
    let facts_of = |body: String| facts(&endpoint, &keys, &with_body(&signed, body)).map(|facts| facts.kind);
    assert_eq!(facts_of(form.clone()), Ok(EventType::PaymentUnrecognized));
    assert_eq!(facts_of(format!("{paid}<!--&{form}&-->")), Ok(EventType::PaymentUnrecognized));
    // A name may be written with escapes; it is one name for both readers.
    let escaped = form.replace("bt_payload=", "%62t_payload=");
    assert_eq!(facts_of(escaped.clone()), Ok(EventType::PaymentUnrecognized));
    assert!(facts_of(format!("{escaped}&bt_payload=PGE%2BPC9hPg%3D%3D")).is_err());
}

const NUVEI: &str = "totalAmount=100.00&currency=USD&responseTimeStamp=2025-10-09.08%3A53%3A20&PPP_TransactionID=7\
                     &Status=DECLINED&productId=&transactionType=Sale&TransactionID=8";

#[test]
fn nuvei_reads_the_status_that_is_signed() {
    let (endpoint, keys) = nuvei();
    let kind = |form: &str| {
        let signed = sign(&endpoint, &keys, form.as_bytes(), NOW);
        facts(&endpoint, &keys, &signed).map(|facts| facts.kind)
    };
    assert_eq!(kind(NUVEI), Ok(EventType::PaymentFailed));
    let escaped = NUVEI.replace("Status=", "%53tatus=");
    assert_eq!(kind(&format!("{escaped}&ppp_status=APPROVED")), Ok(EventType::PaymentFailed));
    let empty = NUVEI.replace("=DECLINED", "=");
    assert_eq!(kind(&format!("{empty}&ppp_status=APPROVED")), Ok(EventType::PaymentUnrecognized));
}

#[test]
fn nuveis_values_are_split_in_one_place() {
    let (endpoint, keys) = nuvei();
    let approved = NUVEI.replace("DECLINED", "APPROVED");
    let signed = sign(&endpoint, &keys, approved.as_bytes(), NOW);
    let form = String::from_utf8(signed.body.clone()).unwrap();
    let facts_of = |from: &str, to: &str| {
        let changed = with_body(&signed, form.replace(from, to));
        facts(&endpoint, &keys, &changed).map(|facts| (facts.kind, facts.amount.map(|it| it.to_string())))
    };
    assert_eq!(facts_of("x", "x"), Ok((EventType::PaymentSucceeded, Some("100.00 USD".to_owned()))));
    for (from, to) in [
        ("totalAmount=100.00&currency=USD", "totalAmount=10&currency=0.00USD"),
        ("totalAmount=100.00&currency=USD", "totalAmount=100.00U&currency=SD"),
        ("currency=USD&responseTimeStamp=2025", "currency=USD2&responseTimeStamp=025"),
        ("20&PPP_TransactionID=7", "207&PPP_TransactionID="),
        ("20&PPP_TransactionID=7", "2&PPP_TransactionID=07"),
        ("PPP_TransactionID=7&Status=APPROVED", "PPP_TransactionID=7APP&Status=ROVED"),
        (
            "responseTimeStamp=2025-10-09.08%3A53%3A20&PPP_TransactionID=",
            "responseTimeStamp=&PPP_TransactionID=2025-10-09.08%3A53%3A20",
        ),
    ] {
        assert!(form.contains(from), "{from}");
        let said = facts_of(from, to);
        // Without an id there is no event at all.
        let expected = match to.ends_with("PPP_TransactionID=") {
            true => Err(Refusal::Malformed("content")),
            false => Ok((EventType::PaymentUnrecognized, None)),
        };
        assert_eq!(said, expected, "{to}");
    }
}

fn nuvei() -> (Endpoint, KeyRing) {
    let endpoint = endpoint("nuvei");
    let keys = ring(&endpoint, &[("1", "a merchant secret key")]);
    (endpoint, keys)
}

#[test]
fn a_signed_midtrans_payment_is_no_payout() {
    let endpoint = endpoint("midtrans");
    let keys = ring(&endpoint, &[("1", "a server key of ours")]);
    let kind = |body: &str| {
        let signed = sign(&endpoint, &keys, body.as_bytes(), NOW);
        facts(&endpoint, &keys, &signed).map(|facts| (facts.kind, facts.event_id.into_owned()))
    };
    let payment = r#"{"order_id":"o-1","status_code":"200","gross_amount":"24145.00","currency":"IDR",
        "transaction_id":"t-1","transaction_status":"settlement"}"#;
    let event_id = "settlement:t-1::o-1:200::24145.00::2414500IDR";
    assert_eq!(kind(payment), Ok((EventType::PaymentSucceeded, event_id.to_owned())));
    let mixed = payment.replace('{', r#"{"reference_no":"r-1","status":"completed","amount":"9.00","#);
    assert_eq!(kind(&mixed), Ok((EventType::PaymentSucceeded, event_id.to_owned())));
    // The signed values are joined without separators, and the status beside them is not signed.
    // The signed values are joined without separators, and the status beside them is not signed.
    let genuine = r#""o-1","status_code":"200","gross_amount":"24145.00""#;
    assert!(payment.contains(genuine));
    for (order, code, amount) in [
        ("o-12", "002", "4145.00"),
        ("o-1200", "", "24145.00"),
        ("o-1", "2002", "4145.00"),
        ("o-1", "20", "024145.00"),
        ("o-", "120", "024145.00"),
        ("o-1", "200", "24145.0"),
        ("o-1", "200", "24145"),
        ("o-1", "201", "24145.00"),
    ] {
        let split = format!(r#""{order}","status_code":"{code}","gross_amount":"{amount}""#);
        let said = kind(&payment.replace(genuine, &split)).map(|(kind, _)| kind);
        assert_eq!(said, Ok(EventType::PaymentUnrecognized), "{split}");
    }
}

#[test]
fn the_event_id_is_the_one_that_is_signed() {
    let row = catalogue::find("svix").unwrap();
    let case = case(row);
    let genuine = |family: &str| -> Vec<(String, String)> {
        let prefix = "svix-";
        let of =
            |(name, value): (&str, &str)| Some((name.strip_prefix(prefix)?.to_owned(), value.to_owned()));
        let named = |(name, value)| (format!("{family}{name}"), value);
        case.signed.headers.iter().filter_map(of).map(named).collect()
    };
    let signed_id = case.signed.headers.get("svix-id").unwrap();
    for (family, other) in [("svix-", "webhook-"), ("webhook-", "svix-")] {
        for id in [Some(""), Some("another-id"), None] {
            for timestamp in [Some(""), Some("1760000000"), None] {
                for signature in [Some(""), Some("v1,AAAA"), None] {
                    let mut headers: Headers = genuine(family).into_iter().collect();
                    for (name, value) in [("id", id), ("timestamp", timestamp), ("signature", signature)] {
                        if let Some(value) = value {
                            headers.push(format!("{other}{name}"), value);
                        }
                    }
                    let received = Received { headers: &headers, query: "", body: &case.signed.body };
                    let verdict = case.endpoint.verify(received, &case.keys, None, now());
                    if let Ok(verified) = verdict {
                        let facts = case.endpoint.normalise(verified.into()).unwrap();
                        assert_eq!(facts[0].event_id, signed_id, "{headers:?}");
                    }
                    let whole =
                        [id, timestamp, signature].iter().all(|it| it.is_some_and(|it| !it.is_empty()));
                    assert_eq!(verdict.is_ok(), family == "svix-" || !whole, "{headers:?}");
                }
            }
        }
    }
    // A sender of the plain specification signs no other id.
    let case = crate::providers::case(catalogue::find("standard_webhooks").unwrap());
    let mut signed = case.signed.clone();
    signed.headers.push("svix-id", "another-id");
    let facts = facts(&case.endpoint, &case.keys, &signed).unwrap();
    assert_eq!(Some(&*facts.event_id), signed.headers.get("webhook-id"));
}

#[test]
fn mercado_pagos_subject_is_the_one_that_is_signed() {
    let case = case(catalogue::find("mercadopago").unwrap());
    let facts_of = |body: &str| {
        let signed = with_body(&case.signed, body);
        let facts = facts(&case.endpoint, &case.keys, &signed).unwrap();
        assert!(facts.is_unsigned);
        (facts.kind, facts.movement_id.unwrap().into_owned(), facts.transaction_id.map(|id| id.into_owned()))
    };
    let body = r#"{"id":"5","action":"order.processed","data":{"id":"ORD01"}}"#;
    let genuine = (EventType::PaymentSucceeded, "ORD01".to_owned(), Some("ORD01".to_owned()));
    assert_eq!(facts_of(body), genuine, "the query has it in lower case");
    let other = (EventType::PaymentUnrecognized, "ord01".to_owned(), Some("ord01".to_owned()));
    assert_eq!(facts_of(&body.replace("ORD01", "ORD02")), other);
    let absent = (EventType::PaymentSucceeded, "ord01".to_owned(), Some("ord01".to_owned()));
    assert_eq!(facts_of(r#"{"id":"5","action":"order.processed"}"#), absent);
}
