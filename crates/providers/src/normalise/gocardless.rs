//! GoCardless. <https://developer.gocardless.com/api-reference/#appendix-webhooks>
//!
//! One delivery holds up to 250 events. Event id: `id`. Provider's type: `{resource_type}.{action}`.
//!
//! Transaction: the payment that `links` names; where a refund's event names no payment, the refund; else the resource.
//! Movement: the resource. A chargeback has no id: its movement is `{payment}:chargeback`. GoCardless sends one event
//! for each time that a payment comes to a state, and it may come to one twice (a payment that failed late is submitted
//! again, a chargeback is made again). Thus the event is the occurrence of a success and of a chargeback's states.
//!
//! Money: not in the webhook; it must be fetched.
//!
//! Signed: the whole body. Time: `created_at`, the event's own.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use tollgate_core::{Category, EventType, Facts, PaymentMethod};

use super::{
    content::{self, ContentError, required, unknown},
    fields::{Object, Pairs, Text, each},
    json,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "gocardless", aliases: &[], headers: &[], query: &[], read: Read::Several(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delivery<'a> {
    #[serde(borrow)]
    events: Events<'a>,
}

/// The events, each turned into facts as it is read.
#[derive(Default)]
struct Events<'a>(content::Events<'a>);

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
    instalment_schedule: Text<'a>,
    outbound_payment: Text<'a>,
    billing_request: Text<'a>,
    payment_request_payment: Text<'a>,
    payment_account_transaction: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details<'a> {
    #[serde(borrow)]
    scheme: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Vec<Facts<'_>>, ContentError> {
    let Delivery { events: Events(events) } = json::read(body)?;
    let id = if events.count() == 0 { "events" } else { "events.id" };
    events.into_facts(body, id)
}

impl<'de: 'a, 'a> Deserialize<'de> for Events<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut events = content::Events::default();
        each(deserializer, |event: Object<Event<'de>>| events.push(event.or_default().facts()))?;
        Ok(Self(events))
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
        let links = self.links.or_default();
        let is_new_payment = resource == "subscriptions" && action == "payment_created";
        let (transaction_id, movement_id) = match resource {
            _ if is_new_payment => (links.payment.some(), None),
            "payments" => (links.payment.some(), None),
            "refunds" => {
                let refund = links.refund.some();
                (links.payment.some().or_else(|| refund.clone()), refund)
            }
            "payouts" | "creditors" => own(links.payout),
            "subscriptions" => own(links.subscription),
            "instalment_schedules" => own(links.instalment_schedule),
            "outbound_payments" => own(links.outbound_payment),
            "billing_requests" => {
                let request = links.billing_request.some();
                (links.payment_request_payment.some().or_else(|| request.clone()), request)
            }
            "payment_account_transactions" | "payment_account_transaction" => {
                own(links.payment_account_transaction)
            }
            _ => (None, None),
        };
        let Some(kind) = kind(resource, action) else {
            return Ok(Facts { transaction_id, occurred_at, ..unknown(event_id, event_type) });
        };
        let is_chargeback = kind.category() == Category::Dispute;
        let movement_id = match &transaction_id {
            Some(payment) if is_chargeback => Some(Cow::Owned([payment, ":chargeback"].concat())),
            _ => movement_id,
        };
        Ok(Facts {
            aliases: movement_id
                .clone()
                .filter(|refund| resource == "refunds" && transaction_id.as_ref() != Some(refund))
                .into_iter()
                .collect(),
            occurrence: (is_chargeback || kind == EventType::PaymentSucceeded).then(|| event_id.clone()),
            transaction_id,
            movement_id,
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

/// An object that is its own transaction and movement.
fn own(id: Text<'_>) -> (Option<Cow<'_, str>>, Option<Cow<'_, str>>) {
    let id = id.some();
    (id.clone(), id)
}

/// The joined names of the commonest events, for which nothing is allocated.
fn type_name(resource: &str, action: &str) -> Option<&'static str> {
    Some(match (resource, action) {
        ("payments", "created") => "payments.created",
        ("payments", "submitted") => "payments.submitted",
        ("payments", "confirmed") => "payments.confirmed",
        ("payments", "paid_out") => "payments.paid_out",
        ("payments", "failed") => "payments.failed",
        ("payments", "charged_back") => "payments.charged_back",
        ("payments", "chargeback_cancelled") => "payments.chargeback_cancelled",
        ("payments", "chargeback_settled") => "payments.chargeback_settled",
        _ => return None,
    })
}

fn kind(resource: &str, action: &str) -> Option<EventType> {
    use EventType::*;
    Some(match (resource, action) {
        ("payments", "created") | ("subscriptions", "payment_created") => PaymentCreated,
        ("payments", "submitted" | "customer_approval_granted" | "resubmission_requested") => PaymentPending,
        ("payments", "confirmed") => PaymentSucceeded,
        ("payments", "failed" | "customer_approval_denied") => PaymentFailed,
        ("payments", "cancelled") => PaymentCanceled,
        ("payments", "charged_back") => DisputeOpened,
        ("payments", "chargeback_cancelled") => DisputeWon,
        ("payments", "chargeback_settled") => DisputeLost,
        // `paid_out` is a step after the success, `late_failure_settled` one after the failure.
        ("payments", _) => PaymentUpdated,
        ("refunds", "created" | "submitted") => RefundPending,
        ("refunds", "paid") => RefundSucceeded,
        ("refunds", "failed" | "bounced" | "funds_returned") => RefundFailed,
        // `refund_settled`: it was taken off a payout.
        ("refunds", _) => RefundUpdated,
        ("payouts", "paid") => PayoutSucceeded,
        ("payouts", _) => PayoutUpdated,
        ("creditors", "bounced_payout") => PayoutFailed,
        ("outbound_payments", "created" | "set_to_pending_approval" | "set_to_executing") => PayoutPending,
        ("outbound_payments", "executed") => PayoutSucceeded,
        ("outbound_payments", "failed") => PayoutFailed,
        ("outbound_payments", "cancelled") => PayoutCanceled,
        ("outbound_payments", _) => PayoutUpdated,
        ("subscriptions", "created" | "customer_approval_granted") | ("instalment_schedules", "created") => {
            SubscriptionCreated
        }
        ("subscriptions", "cancelled" | "finished" | "customer_approval_denied")
        | ("instalment_schedules", "cancelled" | "completed" | "creation_failed") => SubscriptionCanceled,
        ("subscriptions" | "instalment_schedules", _) => SubscriptionUpdated,
        // A request asks for a mandate, a payment or both; a payment that comes of it has events of its own.
        (
            "billing_requests",
            "created"
            | "fulfilled"
            | "cancelled"
            | "failed"
            | "bank_authorisation_authorised"
            | "bank_authorisation_denied"
            | "bank_authorisation_expired"
            | "bank_authorisation_failed",
        )
        | ("payment_account_transactions" | "payment_account_transaction", "created") => PaymentUpdated,
        _ => return None,
    })
}
