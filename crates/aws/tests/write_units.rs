//! What a webhook writes into DynamoDB, in write units: one for each begun kilobyte of an item ("Write capacity units",
//! DynamoDB developer guide; sizes by "DynamoDB item sizes and formats"). The local peer meters nothing.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests only")]

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use tollgate_aws::{effects, ledger, transactions};
use tollgate_core::{
    Authenticity, Currency, EndpointConfig, Money, PaymentEvent, RiskTier, Timestamp, WebhookId,
    event::Arrival,
};
use tollgate_pipeline::{
    intake::Seal,
    ports::{Document, EffectClaim, LedgerEntry, LedgerState, Recorded, Subject, Terms},
};
use tollgate_providers::{Endpoint, Received, Trusted};
use tollgate_samples::{BUILT_IN, Kind, Sample, id};

const UNIT: usize = 1_024;

fn size(item: &HashMap<String, AttributeValue>) -> usize {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len() / 2 + 1,
        AttributeValue::Bool(_) => 1,
        // Three bytes for the set, and one for each element.
        AttributeValue::Ss(texts) => 3 + texts.iter().map(|text| 1 + text.len()).sum::<usize>(),
        other => panic!("no item has {other:?}"),
    };
    item.iter().map(|(name, it)| name.len() + value(it)).sum()
}

fn units(size: usize) -> usize {
    size.div_ceil(UNIT)
}

fn now() -> Timestamp {
    "2026-01-02T03:04:05.123456Z".parse().unwrap()
}

/// The sizes of an event's items (history, latest state, ledger, claim of its effect), and whether it names a customer.
fn sizes(endpoint: &Endpoint, kind: Kind) -> ([usize; 4], bool) {
    let money = Money::from_minor(4_990, Currency::new("EUR").unwrap()).unwrap();
    let at = Timestamp::from_second(now().as_second()).unwrap();
    let sample = Sample { kind, money, id: id("sizes", 7), at, items: 1 };
    let draft = sample.draft(endpoint.provider().as_str()).unwrap();
    let received = Received { headers: &draft.headers, query: "", body: &draft.body };
    let facts = endpoint.normalise(Trusted::for_inspection(received)).unwrap().remove(0);
    let fingerprint = facts.fingerprint().to_string();
    let webhook_id = WebhookId::new(now(), u128::MAX);
    let arrival = Arrival {
        webhook_id: &webhook_id,
        endpoint: endpoint.id(),
        provider: endpoint.provider(),
        authenticity: Authenticity::Verified,
        received_at: now(),
    };
    let event = PaymentEvent::new(facts, arrival, RiskTier::Low);
    let json = serde_json::to_string(&event).unwrap();
    let document = Document { event: &event, json: &json };
    let recorded = Recorded { document, is_dated: true, ahead_of: None };
    let entry = LedgerEntry {
        key: event.ledger_key(),
        state: LedgerState::Processed,
        webhook_id,
        fingerprint,
        received_at: now(),
        terms: Terms {
            seals: vec![Seal::parse(&"7".repeat(32)).unwrap()],
            occurred_at: Some(now()),
            authenticity: event.authenticity,
            revision: endpoint.revision(),
        },
    };
    let claim = EffectClaim {
        subject: Subject::Effect(event.effect_id, event.authenticity),
        event_id: event.id,
        webhook_id,
        claimed_at: now(),
    };
    // The names of the claim's attributes are in its statement.
    let statement = effects::insertion("", &claim).unwrap();
    let values: HashMap<String, AttributeValue> =
        statement.parameters().iter().enumerate().map(|(n, value)| (n.to_string(), value.clone())).collect();
    let sizes = [
        size(&transactions::history_item(&document)),
        size(&transactions::latest_item(&recorded)),
        size(&ledger::item(&entry)),
        size(&values) + statement.statement().len(),
    ];
    (sizes, event.customer.id.is_some())
}

/// The demo's webhooks. Before effects were claimed, each wrote its claim, a history item of two units, the latest state,
/// its mark in the ledger, and where it names a customer a row of the index. Now the claim of its effect is one more, the
/// history's item one less but for the longest, and the index has payments alone.
#[test]
fn a_usual_webhook_writes_no_more_units_than_before_effects_were_claimed() {
    let (mut webhooks, mut before, mut now) = (0, 0, 0);
    for provider in BUILT_IN {
        let config: EndpointConfig = serde_json::from_value(json!({
            "id": "stripe-eu", "scheme": provider, "secret": "secretsmanager:x",
            "notification_url": (provider == "square").then_some("https://example.com/hook"),
        }))
        .unwrap();
        let endpoint = Endpoint::new(config).unwrap();
        for kind in Kind::ALL {
            let ([history, latest, ledger, effect], has_customer) = sizes(&endpoint, kind);
            println!(
                "{provider} {kind:?}: history {history}, latest {latest}, ledger {ledger}, effect {effect} bytes"
            );
            assert_eq!([latest, ledger, effect].map(units), [1; 3], "{provider} {kind:?}");
            let index = usize::from(has_customer && kind == Kind::Payment);
            webhooks += 1;
            before += 5 + usize::from(has_customer);
            now += 2 * units(ledger) + units(effect) + units(history) + units(latest) + index;
        }
    }
    println!("{webhooks} webhooks: {now} units, before {before}");
    assert!(now <= before, "{now} units, before {before}");
}
