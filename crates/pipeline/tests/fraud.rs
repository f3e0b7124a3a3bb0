//! The fraud check: same event, same decision; a flagged payment reaches the bus under one id.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests only")]

use tollgate_core::{
    Authenticity, Currency, Customer, EndpointId, EventType, Facts, Money, PaymentEvent, PaymentMethod,
    ProviderId, RiskTier, Timestamp, WebhookId, event::Arrival,
};
use tollgate_pipeline::{
    fraud::{Assessment, FraudCheck, FraudError, flagged, metadata, read_event},
    ports::{Document, PortError, Recorded, Transactions},
};
use tollgate_risk::{Levels, Reason, Rules, Verdict};
use tollgate_testkit::memory::{
    bus::{FixedClock, MemoryBus},
    transactions::MemoryTransactions,
};

const NOON: &str = "2026-01-02T12:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A payment of customer `cus_1` at `endpoint`.
fn payment(endpoint: &str, transaction: &str, occurred_at: &str, tier: RiskTier) -> PaymentEvent<'static> {
    let facts = Facts {
        transaction_id: Some(transaction.to_owned().into()),
        amount: Some(Money::from_minor(2_000_000, Currency::new("USD").unwrap()).unwrap()),
        occurred_at: Some(at(occurred_at)),
        customer: Customer { id: Some("cus_1".into()), country: Some("DE".into()) },
        method: PaymentMethod { country: Some("DE".into()), ..PaymentMethod::default() },
        metadata: vec![("order".into(), "7".into()), ("fraud_score".into(), "0".into())],
        ..Facts::new(format!("evt_{transaction}"), "charge.succeeded", EventType::PaymentSucceeded)
    };
    let arrival = Arrival {
        webhook_id: &WebhookId::new(at(NOON), 1),
        endpoint: &EndpointId::new(endpoint).unwrap(),
        provider: &ProviderId::new("stripe").unwrap(),
        authenticity: Authenticity::Verified,
        received_at: at(NOON),
    };
    PaymentEvent::new(facts, arrival, tier)
}

fn check<'a>(
    history: &'a MemoryTransactions,
    bus: &'a MemoryBus,
) -> FraudCheck<&'a MemoryTransactions, &'a MemoryTransactions, &'a MemoryBus, FixedClock> {
    let rules = Rules { velocity: Levels { elevated: 2, high: 3 }, ..Rules::default() };
    FraudCheck { history, decisions: history, bus, clock: FixedClock(at(NOON)), rules }
}

async fn assess(history: &MemoryTransactions, bus: &MemoryBus, event: &PaymentEvent<'_>) -> Assessment {
    check(history, bus).check(event).await.unwrap()
}

#[tokio::test]
async fn a_plain_payment_is_approved_recorded_and_not_published() {
    let (history, bus) = (MemoryTransactions::default(), MemoryBus::default());
    let event = payment("stripe", "pi_1", NOON, RiskTier::High);
    history.insert(&event).unwrap();
    let assessment = assess(&history, &bus, &event).await;
    let json = serde_json::to_value(&assessment).unwrap();
    let expected = serde_json::json!({
        "score": 40, "decision": "approve", "reasons": ["amount_high"],
        "event_id": event.id, "transaction_id": "pi_1", "flagged": false,
    });
    assert_eq!(json, expected);
    assert_eq!(history.decision(&event), Some((assessment.decision, at(NOON))));
    assert!(bus.published().is_empty());
}

#[tokio::test]
async fn velocity_counts_the_customers_other_payments_up_to_this_one() {
    let (history, bus) = (MemoryTransactions::default(), MemoryBus::default());
    let event = payment("stripe", "pi_1", NOON, RiskTier::Low);
    let mut earlier_state = payment("stripe", "pi_1", "2026-01-02T11:59:00Z", RiskTier::Low);
    earlier_state.kind = EventType::PaymentCreated;
    history.insert(&event).unwrap();
    history.insert(&earlier_state).unwrap();
    for other in [
        payment("stripe", "pi_2", "2026-01-02T11:00:00Z", RiskTier::Low),
        payment("stripe", "pi_2", "2026-01-02T11:00:01Z", RiskTier::Low),
        payment("stripe", "pi_old", "2026-01-02T10:59:59.999999999Z", RiskTier::Low),
        payment("stripe", "pi_later", "2026-01-02T12:00:00.000000001Z", RiskTier::Low),
        payment("stripe-us", "pi_3", "2026-01-02T11:30:00Z", RiskTier::Low),
    ] {
        history.insert(&other).unwrap();
    }
    assert_eq!(assess(&history, &bus, &event).await.decision.reasons, []);

    let second = payment("stripe", "pi_4", NOON, RiskTier::Low);
    history.insert(&second).unwrap();
    assert_eq!(assess(&history, &bus, &second).await.decision.reasons, [Reason::VelocityElevated]);
    // The first was decided before the second was known: what stands, stands.
    let again = assess(&history, &bus, &event).await;
    assert_eq!((again.decision.verdict, again.decision.reasons), (Verdict::Approve, vec![]));
}

#[tokio::test]
async fn a_flagged_payment_is_published_under_one_id_however_often() {
    let (history, bus) = (MemoryTransactions::default(), MemoryBus::default());
    let mut event = payment("stripe", "pi_1", NOON, RiskTier::High);
    event.customer.country = Some("US".into());
    event.restates = Some(payment("stripe", "pi_2", NOON, RiskTier::High).id);
    history.insert(&event).unwrap();
    let first = assess(&history, &bus, &event).await;
    let second = assess(&history, &bus, &event).await;
    assert_eq!(first, second);
    assert!(first.flagged);
    let published = bus.published();
    assert_eq!((published.len(), &published[0]), (2, &published[1]));
    let out: PaymentEvent<'static> = serde_json::from_str(&published[0]).unwrap();
    assert_eq!(
        (out.kind, &out.transaction_id, out.amount),
        (EventType::PaymentFlagged, &event.transaction_id, event.amount)
    );
    assert_ne!(out.id, event.id);
    assert_eq!((&out.movement_id, out.restates), (&event.movement_id, None));
    assert_ne!(out.effect_id, event.effect_id, "a consumer that did the payment's effect would drop it");
    assert_ne!(out.id, out.ledger_key().event_id(), "no sender's event has it");
    let pairs: Vec<(&str, &str)> = out.metadata.iter().map(|(k, v)| (k.as_ref(), v.as_ref())).collect();
    let expected = [
        ("order", "7"),
        (metadata::EVENT_ID, event.id.as_str()),
        (metadata::SCORE, "65"),
        (metadata::DECISION, "review"),
        (metadata::REASONS, "amount_high,country_mismatch"),
    ];
    assert_eq!(pairs, expected);
}

/// A delivery that is processed again writes its record as a whole.
#[tokio::test]
async fn a_repeat_of_the_event_erases_no_decision() {
    let (history, bus) = (MemoryTransactions::default(), MemoryBus::default());
    let event = payment("stripe", "pi_1", NOON, RiskTier::High);
    history.insert(&event).unwrap();
    let first = assess(&history, &bus, &event).await;
    for other in ["pi_2", "pi_3", "pi_4"] {
        history.insert(&payment("stripe", other, NOON, RiskTier::Low)).unwrap();
    }
    let json = serde_json::to_string(&event).unwrap();
    let document = Document { event: &event, json: &json };
    let repeat = Recorded { document, is_dated: true, ahead_of: None };
    assert_eq!((&history).record(&[repeat]).await, [Ok(())]);
    assert_eq!(history.decision(&event), Some((first.decision.clone(), at(NOON))));
    // Assessed now for the first time, its customer's other payments would count.
    assert_eq!(assess(&history, &bus, &event).await, first);
    // The decision is no event: neither the history nor a count has it.
    assert_eq!(history.records().len(), 4);
}

#[tokio::test]
async fn a_failed_publication_is_an_error_and_the_repeat_publishes() {
    let (history, bus) = (MemoryTransactions::default(), MemoryBus::default());
    let mut event = payment("stripe", "pi_1", NOON, RiskTier::High);
    event.provider_risk_score = Some(99);
    history.insert(&event).unwrap();
    bus.fail(PortError::retryable("eventbridge", "ThrottlingException"));
    let problem = check(&history, &bus).check(&event).await.unwrap_err();
    assert_eq!(problem.name(), "DependencyUnavailable");
    assert!(assess(&history, &bus, &event).await.flagged);
    assert_eq!(bus.published().len(), 1);
}

#[tokio::test]
async fn an_event_that_is_not_in_the_history_is_tried_again() {
    let (history, bus) = (MemoryTransactions::default(), MemoryBus::default());
    let mut event = payment("stripe", "pi_1", NOON, RiskTier::High);
    event.provider_risk_score = Some(99);
    let problem = check(&history, &bus).check(&event).await.unwrap_err();
    assert_eq!((problem.name(), bus.published().len()), ("TransactionNotRecorded", 0));
}

#[tokio::test]
async fn what_it_published_itself_is_not_assessed() {
    let (history, bus) = (MemoryTransactions::default(), MemoryBus::default());
    let event = payment("stripe", "pi_1", NOON, RiskTier::High);
    history.insert(&event).unwrap();
    let decision = assess(&history, &bus, &event).await.decision;
    let problem = check(&history, &bus).check(&flagged(&event, &decision)).await.unwrap_err();
    assert_eq!(problem, FraudError::Flagged);
}

#[test]
fn input_is_an_event_or_an_envelope_and_nothing_else() {
    let event = payment("stripe", "pi_1", NOON, RiskTier::High);
    let bare = serde_json::to_string(&event).unwrap();
    let envelope = format!(r#"{{"version":"0","detail-type":"payment.succeeded","detail":{bare}}}"#);
    assert_eq!(read_event(&bare).as_ref(), Ok(&event));
    assert_eq!(read_event(&envelope).as_ref(), Ok(&event));
    let other_schema = bare.replace("payment-event/1", "payment-event/2");
    let no_amount = bare.replace(r#""minor_units":2000000"#, r#""minor_units":"x""#);
    for bad in ["", "null", "[]", "{}", r#"{"detail":{}}"#, r#"{"detail":null}"#, &other_schema, &no_amount] {
        let problem = read_event(bad).unwrap_err();
        assert_eq!(problem.name(), "MalformedEvent");
    }
}
