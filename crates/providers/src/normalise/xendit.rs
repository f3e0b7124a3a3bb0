//! Xendit. <https://docs.xendit.co/docs/handling-webhooks>
//!
//! Event id: the `webhook-id` header; where it is missing, `{id}:{event, else status}`. Transaction: the
//! payment or invoice (`payment_id` or `payment_request_id` where a refund or capture names one), else the
//! object's own id.
//!
//! Money: a JSON number in major units. Invoices and disbursements stand at the top level, without an `event`;
//! the newer products stand under `data`.
//!
//! Signed: nothing. The sender proves itself by a static token.

use std::borrow::Cow;

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, composite, header, unknown},
    fields::{Number, Object, Pairs, Text, first_moment},
    json, money,
    normaliser::{Normaliser, Read},
};
use crate::request::Received;

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "xendit", aliases: &[], headers: &["webhook-id"], read: Read::Request(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    data: Object<Subject<'a>>,
    id: Text<'a>,
    status: Text<'a>,
    amount: Number<'a>,
    paid_amount: Number<'a>,
    currency: Text<'a>,
    payment_method: Text<'a>,
    payment_channel: Text<'a>,
    external_id: Text<'a>,
    disbursement_description: Text<'a>,
    bank_code: Text<'a>,
    paid_at: Text<'a>,
    updated: Text<'a>,
    created: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Subject<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    payment_id: Text<'a>,
    payment_request_id: Text<'a>,
    customer_id: Text<'a>,
    amount: Number<'a>,
    request_amount: Number<'a>,
    currency: Text<'a>,
    country: Text<'a>,
    channel_code: Text<'a>,
    updated: Text<'a>,
    created: Text<'a>,
    metadata: Pairs<'a>,
}

fn normalise<'a>(received: Received<'a>) -> Result<Facts<'a>, ContentError> {
    let body: Body<'a> = json::read(received.body)?;
    let header_id = header(received, "webhook-id");
    let event_id = |id: Option<&str>, word: &str| match (header_id, id) {
        (Some(header), _) => Ok(Cow::Borrowed(header)),
        (None, Some(id)) => Ok(Cow::Owned(composite(&[id, word]))),
        (None, None) => Err(ContentError::MissingField("webhook-id")),
    };
    if let Some(event_type) = body.event.some() {
        let subject = body.data.or_default();
        let id = subject.payment_id.some().or_else(|| subject.id.some());
        let id = id.or_else(|| subject.payment_request_id.some());
        let event_id = event_id(id.as_deref(), &event_type)?;
        let occurred_at = first_moment([&subject.updated, &body.created, &subject.created]);
        let Some(kind) = event_kind(&event_type) else {
            return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
        };
        let units = if subject.amount.is_absent() { subject.request_amount } else { subject.amount };
        let amount = money::decimal(units, &subject.currency);
        let facts = Facts {
            transaction_id: id,
            occurred_at,
            customer: Customer { id: subject.customer_id.some(), country: subject.country.some() },
            method: PaymentMethod { kind: subject.channel_code.some(), ..PaymentMethod::default() },
            metadata: subject.metadata.into_vec(),
            ..Facts::new(event_id, event_type, kind)
        };
        return Ok(money::with_amount(facts, amount));
    }
    let id = body.id.some();
    let status = body.status.some().unwrap_or_default();
    let event_id = event_id(id.as_deref(), &status)?;
    let occurred_at = first_moment([&body.paid_at, &body.updated, &body.created]);
    let disbursement = body.disbursement_description != Text::Absent
        || body.bank_code != Text::Absent
            && body.payment_method == Text::Absent
            && body.paid_at == Text::Absent;
    let kind = if body.external_id == Text::Absent { None } else { status_kind(&status, disbursement) };
    let Some(kind) = kind else {
        return Ok(Facts { occurred_at, ..unknown(event_id, status) });
    };
    let paid = kind == EventType::PaymentSucceeded && !body.paid_amount.is_absent();
    let amount = money::decimal(if paid { body.paid_amount } else { body.amount }, &body.currency);
    let facts = Facts {
        transaction_id: id,
        occurred_at,
        method: PaymentMethod {
            kind: body.payment_method.some(),
            brand: body.payment_channel.some(),
            country: None,
        },
        ..Facts::new(event_id, status, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn event_kind(event_type: &str) -> Option<EventType> {
    use EventType::*;
    Some(match event_type {
        "payment.awaiting_capture" | "payment.authorization" => PaymentAuthorized,
        "payment.pending" | "payment_request.pending" => PaymentPending,
        "payment.succeeded" | "payment.capture" | "capture.succeeded" => PaymentSucceeded,
        "payment.failed" | "payment.failure" | "payment_request.failed" => PaymentFailed,
        "capture.failed" => PaymentCaptureFailed,
        "payment_request.expiry" | "payment.expired" => PaymentExpired,
        "refund.succeeded" => RefundSucceeded,
        "refund.failed" => RefundFailed,
        "payout.succeeded" => PayoutSucceeded,
        "payout.failed" | "payout.expired" | "payout.reversed" => PayoutFailed,
        "payout.cancelled" => PayoutCanceled,
        "recurring.plan.activated" => SubscriptionCreated,
        "recurring.plan.inactivated" => SubscriptionCanceled,
        "recurring.cycle.succeeded" => InvoicePaid,
        "recurring.cycle.failed" | "recurring.cycle.retrying" => InvoicePaymentFailed,
        _ => return None,
    })
}

fn status_kind(status: &str, disbursement: bool) -> Option<EventType> {
    use EventType::*;
    Some(match (status, disbursement) {
        ("COMPLETED", true) => PayoutSucceeded,
        ("FAILED", true) => PayoutFailed,
        ("PENDING", true) => PayoutPending,
        ("PENDING", false) => PaymentPending,
        ("PAID" | "SETTLED", false) => PaymentSucceeded,
        ("EXPIRED", false) => PaymentExpired,
        _ => return None,
    })
}
