//! What the suites are made of.

use tollgate_core::{
    Authenticity, EndpointId, EventType, Facts, Money, PaymentEvent, ProviderId, RiskTier, Timestamp,
    WebhookId, event::Arrival,
};

pub(super) fn endpoint() -> EndpointId {
    EndpointId::new("contract").unwrap()
}

/// An event of `transaction` that happened at `at`.
pub fn event(event_id: &str, transaction: &str, at: Timestamp, amount: Money) -> PaymentEvent<'static> {
    let facts = Facts {
        transaction_id: Some(transaction.to_owned().into()),
        amount: Some(amount),
        occurred_at: Some(at),
        ..Facts::new(event_id.to_owned(), "contract", EventType::PaymentSucceeded)
    };
    let arrival = Arrival {
        webhook_id: &WebhookId::new(at, 1),
        endpoint: &endpoint(),
        provider: &ProviderId::new("stripe").unwrap(),
        authenticity: Authenticity::Verified,
        received_at: at,
    };
    PaymentEvent::new(facts, arrival, RiskTier::Low)
}
