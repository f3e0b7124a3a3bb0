//! dLocal. <https://docs.dlocal.com/docs/receive-notifications>
//!
//! Event id: `{status}:{movement}:{transaction, where another}:{object}:{status code}:{amount}`, since dLocal has none.
//! Provider's type: `status`.
//!
//! A body is an enrolment for later debits (its id begins with `E-`), a payment, a capture (a payment with `authorization_id`,
//! <https://docs.dlocal.com/docs/authorization-and-capture>), a refund (with `payment_id`) or a chargeback (with
//! `payment_id`, and an id that begins with `CHAR`). Transaction: the payment, and of a capture its authorisation; the
//! capture's own id, by which refunds name it, is then an alias. Movement: the object's own id; that of an authorisation
//! which is released is the authorisation.
//!
//! Money: decimals in major units, of the object's own movement. A verified card pays nothing.
//!
//! Time: `approved_date` of what is paid or authorised; `created_date` only of what begins, and absent otherwise.
//!
//! Signed: the whole body.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, EventType::*, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, transaction, unknown},
    fields::{Id, Number, Object, Text},
    identity::identified,
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "dlocal", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    payment_id: Text<'a>,
    authorization_id: Text<'a>,
    status: Text<'a>,
    status_code: Id<'a>,
    amount: Number<'a>,
    currency: Text<'a>,
    country: Text<'a>,
    created_date: Text<'a>,
    approved_date: Text<'a>,
    payment_method_type: Text<'a>,
    card: Object<Card<'a>>,
    payer: Object<Payer<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Card<'a> {
    #[serde(borrow)]
    brand: Text<'a>,
    country: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payer<'a> {
    #[serde(borrow)]
    user_reference: Text<'a>,
}

/// What a body is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Payment,
    Capture,
    Refund,
    Chargeback,
    Enrolment,
}

impl Subject {
    fn of(body: &Body<'_>) -> Self {
        let is_named = |text: &Text<'_>| !text.as_str().is_empty();
        // Chargebacks and refunds both name their payment; their own ids begin differently.
        match is_named(&body.payment_id) {
            true if body.id.as_str().starts_with("CHAR") => Self::Chargeback,
            true => Self::Refund,
            false if is_named(&body.authorization_id) => Self::Capture,
            // <https://docs.dlocal.com/reference/cancel-an-enrollment>
            false if body.id.as_str().starts_with("E-") => Self::Enrolment,
            false => Self::Payment,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Capture => "capture",
            Self::Refund => "refund",
            Self::Chargeback => "chargeback",
            Self::Enrolment => "enrolment",
        }
    }
}

fn normalise(content: &[u8]) -> Result<Facts<'_>, ContentError> {
    let body: Body<'_> = json::read(content)?;
    let subject = Subject::of(&body);
    let id = required(body.id, "id")?;
    let status = required(body.status, "status")?;
    let code = body.status_code.some().unwrap_or_default();
    let kind = kind(subject, &status, &code);
    let occurred_at = match kind {
        Some(PaymentSucceeded | PaymentAuthorized) => body.approved_date.moment(),
        Some(PaymentPending | RefundPending | DisputeOpened | DisputeWarning) => body.created_date.moment(),
        _ => None,
    };
    let authorization = body.authorization_id.some().filter(|_| subject == Subject::Capture);
    let movement_id = match kind {
        Some(PaymentCanceled) => authorization.clone().unwrap_or_else(|| id.clone()),
        _ => id.clone(),
    };
    let (transaction_id, aliases) = match subject {
        Subject::Payment | Subject::Enrolment => (Some(id), Vec::new()),
        Subject::Capture => transaction([authorization, Some(id)]),
        Subject::Refund | Subject::Chargeback => (body.payment_id.some(), Vec::new()),
    };
    let card = body.card.or_default();
    let words = [subject.name(), &code];
    let facts = match kind {
        Some(kind) => Facts::new("", status, kind),
        None => unknown("", status),
    };
    let facts = Facts {
        transaction_id,
        aliases,
        // An attempt to pay or to capture has an id of its own, and fails once.
        occurrence: matches!(kind, Some(PaymentFailed | PaymentCaptureFailed)).then(|| movement_id.clone()),
        movement_id: Some(movement_id),
        occurred_at,
        customer: Customer {
            id: body.payer.or_default().user_reference.some(),
            country: body.country.some(),
        },
        method: PaymentMethod {
            kind: body.payment_method_type.some(),
            brand: card.brand.some(),
            country: card.country.some(),
        },
        ..facts
    };
    let amount = match kind {
        Some(PaymentUpdated) => Ok(None),
        _ => money::decimal(body.amount, &body.currency),
    };
    Ok(identified(money::with_amount(facts, amount), &words, content))
}

fn kind(subject: Subject, status: &str, code: &str) -> Option<EventType> {
    Some(match (subject, status) {
        // <https://docs.dlocal.com/docs/chargebacks>: the code says how the dispute stands.
        (Subject::Chargeback, _) => match (code, status) {
            ("700", _) | (_, "WON" | "REVERSED") => DisputeWon,
            ("202", _) | (_, "LOST") => DisputeLost,
            ("101" | "201", _) => DisputeUpdated,
            ("800", _) => DisputeWarning,
            (_, "PENDING" | "COMPLETED") => DisputeOpened,
            _ => return None,
        },
        (Subject::Refund, "PENDING") => RefundPending,
        (Subject::Refund, "SUCCESS") => RefundSucceeded,
        (Subject::Refund, "REJECTED") => RefundFailed,
        (Subject::Refund, "CANCELLED") => RefundCanceled,
        (Subject::Enrolment, "CONFIRMED") => SubscriptionCreated,
        (Subject::Enrolment, "CANCELLED" | "EXPIRED" | "REJECTED") => SubscriptionCanceled,
        (Subject::Enrolment, "PENDING") => SubscriptionUpdated,
        (Subject::Payment | Subject::Capture, "PENDING") => PaymentPending,
        (Subject::Payment | Subject::Capture, "PAID") => PaymentSucceeded,
        (Subject::Payment | Subject::Capture, "AUTHORIZED") => PaymentAuthorized,
        // A card was checked, and nothing is to be paid with it.
        (Subject::Payment | Subject::Capture, "VERIFIED") => PaymentUpdated,
        (Subject::Payment, "REJECTED") => PaymentFailed,
        (Subject::Capture, "REJECTED") => PaymentCaptureFailed,
        // Of an authorisation: it is released.
        (Subject::Payment | Subject::Capture, "CANCELLED") => PaymentCanceled,
        (Subject::Payment | Subject::Capture, "EXPIRED") => PaymentExpired,
        _ => return None,
    })
}
