//! Recurly, JSON webhooks. <https://docs.recurly.com/recurly-subscriptions/docs/webhooks>
//!
//! Event id: `id`. Provider's type: `{object_type}.{event_type}`. Transaction: the object's `uuid`, else its
//! invoice number.
//!
//! Money: not in the webhook; it must be fetched.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts};

use super::{
    content::{ContentError, required, unknown},
    fields::{Id, Text},
    json,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "recurly", aliases: &[], headers: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    object_type: Text<'a>,
    event_type: Text<'a>,
    event_time: Text<'a>,
    uuid: Text<'a>,
    invoice_number: Id<'a>,
    account_code: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let body: Body<'_> = json::read(body)?;
    let event_id = required(body.id, "id")?;
    let (object, event) = (body.object_type.as_str(), body.event_type.as_str());
    let event_type = [object, event].join(".");
    let occurred_at = body.event_time.moment();
    let Some(kind) = kind(object, event) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
    };
    Ok(Facts {
        transaction_id: body.uuid.some().or_else(|| body.invoice_number.some()),
        occurred_at,
        customer: Customer { id: body.account_code.some(), country: None },
        ..Facts::new(event_id, event_type, kind)
    })
}

fn kind(object: &str, event: &str) -> Option<EventType> {
    use EventType::*;
    Some(match (object, event) {
        ("payment" | "transaction", "succeeded" | "successful" | "success") => PaymentSucceeded,
        ("payment" | "transaction", "failed" | "declined") => PaymentFailed,
        ("payment" | "transaction", "scheduled" | "processing") => PaymentPending,
        ("payment" | "transaction", "voided" | "void") => PaymentCanceled,
        ("payment" | "transaction", "authorized") => PaymentAuthorized,
        ("refund", "succeeded" | "successful") | ("payment" | "transaction", "refunded") => RefundSucceeded,
        ("refund", "failed") => RefundFailed,
        ("chargeback" | "dispute", "opened" | "created") => DisputeOpened,
        ("chargeback" | "dispute", "won") => DisputeWon,
        ("chargeback" | "dispute", "lost") => DisputeLost,
        ("invoice" | "charge_invoice", "paid") => InvoicePaid,
        ("invoice" | "charge_invoice", "failed" | "past_due") => InvoicePaymentFailed,
        ("subscription", "created" | "activated") => SubscriptionCreated,
        ("subscription", "canceled" | "expired") => SubscriptionCanceled,
        ("subscription", "updated" | "renewed" | "paused" | "resumed" | "reactivated" | "past_due") => {
            SubscriptionUpdated
        }
        _ => return None,
    })
}
