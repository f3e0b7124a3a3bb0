//! Authorize.Net. <https://developer.authorize.net/api/reference/features/webhooks.html>
//!
//! Event id: `notificationId`. Transaction and movement: `payload.id`. A void, and the capture of an earlier authorisation, have the
//! id of the transaction that they change. A refund is a transaction of its own, and the payload does not name the payment it
//! belongs to. A subscription is its own.
//!
//! An attempt to pay is a transaction, which fails or is held once: `payment.fraud.held` and the transaction's own event are one
//! occurrence. `payment.fraud.approved` does not say whether the money is taken or only reserved: it is told as reserved.
//!
//! Money: a decimal JSON number in major units of the account's currency, which the payload does not name: the
//! endpoint's `default_currency` parameter, else `XXX`. `authAmount` is the amount of this transaction. A subscription's `amount` is
//! its price, and told only where collecting it failed.
//!
//! Time: `eventDate`.

use serde::Deserialize;
use tollgate_core::{Customer, EndpointConfig, EventType, EventType::*, Facts};

use super::{
    content::{ContentError, required, unknown},
    fields::{Id, Number, Object, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "authorize_net",
    aliases: &[],
    headers: &[],
    query: &[],
    read: Read::BodyAndSettings(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    notification_id: Text<'a>,
    event_type: Text<'a>,
    event_date: Text<'a>,
    payload: Object<Payload<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    response_code: Number<'a>,
    auth_amount: Number<'a>,
    amount: Number<'a>,
    profile: Object<Profile<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Profile<'a> {
    #[serde(borrow)]
    customer_profile_id: Id<'a>,
}

fn normalise<'a>(body: &'a [u8], config: &EndpointConfig) -> Result<Facts<'a>, ContentError> {
    let event: Event<'a> = json::read(body)?;
    let event_id = required(event.notification_id, "notificationId")?;
    let event_type = event.event_type.some().unwrap_or_default();
    let payload = event.payload.or_default();
    let kind = kind(&event_type, payload.response_code.text().unwrap_or("1"));
    let units = match kind {
        Some(SubscriptionCreated | SubscriptionUpdated | SubscriptionCanceled) => Number::Absent,
        _ if payload.auth_amount.is_absent() => payload.amount,
        _ => payload.auth_amount,
    };
    let amount = money::decimal_in(units, || money::default_currency(config));
    let kind = match kind {
        // A card was verified.
        Some(PaymentAuthorized) if money::is_zero(&amount) => Some(PaymentUpdated),
        kind => kind,
    };
    let id = payload.id.some();
    let facts = match kind {
        Some(kind) => Facts::new(event_id, event_type, kind),
        None => unknown(event_id, event_type),
    };
    let facts = Facts {
        occurrence: id.clone().filter(|_| matches!(kind, Some(PaymentFailed | PaymentRequiresAction))),
        movement_id: id.clone().filter(|_| kind.is_some()),
        transaction_id: id,
        occurred_at: event.event_date.moment(),
        customer: Customer {
            id: payload.profile.or_default().customer_profile_id.some(),
            ..Customer::default()
        },
        ..facts
    };
    Ok(money::with_amount(facts, amount))
}

/// `response`: 1 approved, 2 declined, 3 error, 4 held for review.
fn kind(event_type: &str, response: &str) -> Option<EventType> {
    let name = event_type.strip_prefix("net.authorize.")?;
    Some(match (name, response) {
        (
            "payment.authorization.created"
            | "payment.authcapture.created"
            | "payment.capture.created"
            | "payment.priorAuthCapture.created",
            "4",
        ) => PaymentRequiresAction,
        ("payment.fraud.held", _) => PaymentRequiresAction,
        ("payment.authorization.created" | "payment.authcapture.created", "2" | "3") => PaymentFailed,
        ("payment.authorization.created", _) => PaymentAuthorized,
        ("payment.capture.created" | "payment.priorAuthCapture.created", "2" | "3") => PaymentCaptureFailed,
        (
            "payment.authcapture.created" | "payment.capture.created" | "payment.priorAuthCapture.created",
            _,
        ) => PaymentSucceeded,
        ("payment.fraud.approved", _) => PaymentAuthorized,
        ("payment.fraud.declined", _) => PaymentFailed,
        ("payment.void.created", "1") => PaymentCanceled,
        // A refused void leaves the transaction as it was.
        ("payment.void.created", _) => PaymentUpdated,
        ("payment.refund.created", "1") => RefundSucceeded,
        ("payment.refund.created", "4") => RefundPending,
        ("payment.refund.created", _) => RefundFailed,
        ("customer.subscription.created", _) => SubscriptionCreated,
        (
            "customer.subscription.updated"
            | "customer.subscription.suspended"
            | "customer.subscription.expiring",
            _,
        ) => SubscriptionUpdated,
        (
            "customer.subscription.cancelled"
            | "customer.subscription.terminated"
            | "customer.subscription.expired",
            _,
        ) => SubscriptionCanceled,
        ("customer.subscription.failed", _) => InvoicePaymentFailed,
        _ => return None,
    })
}
