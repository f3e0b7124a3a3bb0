//! Events for those who consume them: `consumers/events.jsonl`, and the worked example of `docs/events.md`.

use tollgate_core::{
    Authenticity, Currency, Customer, EndpointId, EventId, EventType, Facts, Money, PaymentEvent,
    PaymentMethod, ProviderId, RiskTier, Timestamp, WebhookId, event::Arrival, money::MAX_MINOR_UNITS,
};

/// One of every type, amounts at every bound, every optional field, and the [`story`]: an event a line.
pub fn lines() -> String {
    let mut events = vec![example_event()];
    for (number, kind) in (0..).zip(EventType::ALL) {
        let facts = Facts::new(format!("type-{number}"), kind.as_str(), *kind);
        events.push(event(facts, number));
    }
    let amounts = ["USD", "JPY", "KWD", "CLF", "DOGECOIN-1.2"]
        .into_iter()
        .flat_map(|code| [0, 1, -1, MAX_MINOR_UNITS, -MAX_MINOR_UNITS].map(|units| (code, units)));
    for (number, (code, units)) in (100..).zip(amounts) {
        let facts =
            Facts::new(format!("amount-{number}"), "payment_intent.succeeded", EventType::PaymentSucceeded);
        events.push(event(Facts { amount: Some(money(code, units)), ..facts }, number));
    }
    let facts = Facts::new("enriched-1", "v1.payment_intent.succeeded", EventType::PaymentSucceeded);
    events.push(PaymentEvent {
        authenticity: Authenticity::Retrieved,
        enriched: true,
        ..event(Facts { amount: Some(money("EUR", 4990)), ..facts }, 150)
    });
    events.extend(story());
    let line = |event| serde_json::to_string(event).expect("an event is JSON") + "\n";
    events.iter().map(line).collect()
}

/// An event with every field that a payment can have.
pub fn example_event() -> PaymentEvent<'static> {
    let some = |text: &'static str| Some(text.into());
    let facts = Facts {
        transaction_id: some("pi_3Nxyz"),
        aliases: vec!["in_1Nxyz".into()],
        movement_id: some("pi_3Nxyz"),
        amount: Some(Money::from_minor(1099, Currency::new("EUR").expect("a code")).expect("in range")),
        occurred_at: Some("2026-01-02T03:04:05Z".parse().expect("a time")),
        customer: Customer { id: some("cus_9s6XKzkNRiz8i3"), country: some("DE") },
        method: PaymentMethod { kind: some("card"), brand: some("visa"), country: some("FR") },
        provider_risk_score: Some(12),
        livemode: Some(true),
        metadata: vec![("order".into(), "1234".into())],
        ..Facts::new("evt_1Nxyz", "payment_intent.succeeded", EventType::PaymentSucceeded)
    };
    let received_at = "2026-01-02T03:04:06.789Z".parse().expect("a time");
    let arrival = Arrival {
        webhook_id: &WebhookId::new(received_at, 7),
        endpoint: &EndpointId::new("stripe-eu").expect("an id"),
        provider: &ProviderId::new("stripe").expect("an id"),
        authenticity: Authenticity::Verified,
        received_at,
    };
    PaymentEvent::new(facts, arrival, RiskTier::Low)
}

/// A payment that its provider tells by three events, and three refunds of the same amount, one of them told twice.
pub fn story() -> Vec<PaymentEvent<'static>> {
    let payment = ("pi_7", EventType::PaymentSucceeded, 4990);
    let refund = |id| (id, EventType::RefundSucceeded, 500);
    let mut events: Vec<PaymentEvent<'static>> = Vec::new();
    for (number, (name, (movement, kind, units))) in (200..).zip([
        ("charge.succeeded", payment),
        ("payment_intent.succeeded", payment),
        ("checkout.session.completed", payment),
        ("refund.created", refund("re_1")),
        ("refund.created", refund("re_2")),
        ("refund.updated", refund("re_2")),
        ("refund.created", refund("re_3")),
    ]) {
        let facts = Facts {
            transaction_id: Some("pi_7".into()),
            movement_id: Some(movement.into()),
            amount: Some(money("EUR", units)),
            ..Facts::new(format!("evt_{number}"), name, kind)
        };
        let mut told = event(facts, number);
        told.restates = first(&events, &told);
        events.push(told);
    }
    events
}

fn first(events: &[PaymentEvent<'_>], told: &PaymentEvent<'_>) -> Option<EventId> {
    events.iter().find(|event| event.effect_id == told.effect_id).map(|event| event.id)
}

fn event(facts: Facts<'static>, number: u32) -> PaymentEvent<'static> {
    let second = |offset| Timestamp::from_second(1_767_323_045 + i64::from(number) + offset).expect("a time");
    let received_at = second(1);
    let arrival = Arrival {
        webhook_id: &WebhookId::new(received_at, number.into()),
        endpoint: &EndpointId::new("stripe-eu").expect("an id"),
        provider: &ProviderId::new("stripe").expect("an id"),
        authenticity: Authenticity::Verified,
        received_at,
    };
    let tier = facts.amount.map_or(RiskTier::Unrated, |_| RiskTier::Low);
    PaymentEvent::new(Facts { occurred_at: Some(second(0)), ..facts }, arrival, tier)
}

fn money(code: &str, units: i128) -> Money {
    Money::from_minor(units, Currency::new(code).expect("a code")).expect("in range")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn the_file_of_the_packages_is_current() {
        let file = include_str!("../../../consumers/events.jsonl");
        assert!(
            file == lines(),
            "run: cargo run -p tollgate-testkit --example sample-events > consumers/events.jsonl"
        );
        file.lines().for_each(schema::check);
    }

    #[test]
    fn the_story_has_four_effects() {
        let story = story();
        let firsts = story.iter().filter(|event| event.restates.is_none()).count();
        assert_eq!((story.len(), firsts), (7, 4));
    }
}
