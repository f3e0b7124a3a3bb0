//! GoCardless. <https://developer.gocardless.com/api-reference/#appendix-webhooks>
//!
//! One delivery holds up to 250 events. Event id: `id`. Provider's type: `{resource_type}.{action}`.
//! Transaction: the payment, else the refund, payout, subscription or mandate that `links` names.
//!
//! Money: not in the webhook; it must be fetched.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use tollgate_core::{EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, events_without_id, required, unknown},
    fields::{Object, Pairs, Text, each},
    json,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "gocardless", aliases: &[], headers: &[], read: Read::Several(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delivery<'a> {
    #[serde(borrow)]
    events: Events<'a>,
}

/// The events, each turned into facts as it is read.
#[derive(Default)]
struct Events<'a> {
    facts: Vec<Facts<'a>>,
    without_id: Vec<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    created_at: Text<'a>,
    resource_type: Text<'a>,
    action: Text<'a>,
    links: Object<Links<'a>>,
    details: Object<Details<'a>>,
    resource_metadata: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Links<'a> {
    #[serde(borrow)]
    payment: Text<'a>,
    refund: Text<'a>,
    payout: Text<'a>,
    subscription: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details<'a> {
    #[serde(borrow)]
    scheme: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Vec<Facts<'_>>, ContentError> {
    let Delivery { events: Events { mut facts, without_id } } = json::read(body)?;
    if facts.is_empty() {
        return Err(ContentError::MissingField(if without_id.is_empty() { "events" } else { "events.id" }));
    }
    facts.extend(events_without_id(body, without_id));
    Ok(facts)
}

impl<'de: 'a, 'a> Deserialize<'de> for Events<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut events = Self::default();
        each(deserializer, |event: Object<Event<'de>>| match event.or_default().facts() {
            Ok(facts) => events.facts.push(facts),
            Err(_) => events.without_id.push(events.facts.len() + events.without_id.len()),
        })?;
        Ok(events)
    }
}

impl<'a> Event<'a> {
    fn facts(self) -> Result<Facts<'a>, ContentError> {
        let event_id = required(self.id, "events.id")?;
        let (resource, action) = (self.resource_type.as_str(), self.action.as_str());
        let occurred_at = self.created_at.moment();
        let event_type = match type_name(resource, action) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned([resource, action].join(".")),
        };
        let Some(kind) = kind(resource, action) else {
            return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
        };
        let links = self.links.or_default();
        let transaction_id = links.payment.some();
        let transaction_id = transaction_id
            .or_else(|| links.refund.some())
            .or_else(|| links.payout.some())
            .or_else(|| links.subscription.some());
        Ok(Facts {
            transaction_id,
            occurred_at,
            method: PaymentMethod {
                kind: self.details.or_default().scheme.some(),
                ..PaymentMethod::default()
            },
            metadata: self.resource_metadata.into_vec(),
            ..Facts::new(event_id, event_type, kind)
        })
    }
}

/// The joined names of the commonest events, for which nothing is allocated.
fn type_name(resource: &str, action: &str) -> Option<&'static str> {
    Some(match (resource, action) {
        ("payments", "created") => "payments.created",
        ("payments", "submitted") => "payments.submitted",
        ("payments", "confirmed") => "payments.confirmed",
        ("payments", "paid_out") => "payments.paid_out",
        ("payments", "failed") => "payments.failed",
        _ => return None,
    })
}

fn kind(resource: &str, action: &str) -> Option<EventType> {
    use EventType::*;
    Some(match (resource, action) {
        ("payments", "created") => PaymentCreated,
        ("payments", "submitted" | "customer_approval_granted" | "resubmission_requested") => PaymentPending,
        ("payments", "confirmed") => PaymentSucceeded,
        ("payments", "failed" | "late_failure_settled" | "customer_approval_denied") => PaymentFailed,
        ("payments", "cancelled") => PaymentCanceled,
        ("payments", "charged_back") => DisputeOpened,
        ("payments", "chargeback_cancelled") => DisputeWon,
        ("payments", "chargeback_settled") => DisputeLost,
        ("refunds", "created" | "submitted") => RefundPending,
        ("refunds", "paid" | "refund_settled") => RefundSucceeded,
        ("refunds", "failed" | "bounced" | "funds_returned") => RefundFailed,
        ("payouts", "paid") => PayoutSucceeded,
        ("subscriptions", "created" | "customer_approval_granted") => SubscriptionCreated,
        ("subscriptions", "amended" | "paused" | "resumed") => SubscriptionUpdated,
        ("subscriptions", "cancelled" | "finished" | "customer_approval_denied") => SubscriptionCanceled,
        _ => return None,
    })
}
