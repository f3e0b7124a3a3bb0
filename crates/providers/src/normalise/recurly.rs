//! Recurly, JSON webhooks. <https://docs.recurly.com/recurly-subscriptions/docs/webhooks>,
//! <https://docs.recurly.com/recurly-subscriptions/docs/payment-notifications>
//!
//! Event id: `{id}:{object_type}.{event_type}:{transaction}`: Recurly's samples have two types under one `id`.
//! Provider's type: `{object_type}.{event_type}`. Transaction: the object's `uuid`, else its invoice number; an invoice that
//! has both has its number as an alias, by which dunning events name it.
//!
//! Movement: the object. Which object's `uuid` a refund has is not documented: each is a movement of its own.
//!
//! Money: not in the webhook; it must be fetched.
//!
//! Signed: the time of sending and the whole body. Time: `event_time`.

use serde::Deserialize;
use tollgate_core::{Category, Customer, EventType, Facts};

use super::{
    content::{ContentError, composite, required, transaction, unknown},
    fields::{Id, Text},
    json,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "recurly", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

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
    let id = required(body.id, "id")?;
    let (object, event) = (body.object_type.as_str(), body.event_type.as_str());
    let event_type = [object, event].join(".");
    let (uuid, number) = (body.uuid.some(), body.invoice_number.some());
    let (transaction_id, aliases) = transaction([uuid, number]);
    // The transaction is in the id too: it is the movement, and one `id` may have several.
    let event_id = composite(&[&id, &event_type, transaction_id.as_deref().unwrap_or_default()]);
    let occurred_at = body.event_time.moment();
    let Some(kind) = kind(object, event) else {
        return Ok(Facts { transaction_id, occurred_at, ..unknown(event_id, event_type) });
    };
    Ok(Facts {
        movement_id: transaction_id.clone().filter(|_| kind.category() != Category::Refund),
        transaction_id,
        aliases,
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
        ("payment" | "transaction", "authorized" | "transaction_authorized") => PaymentAuthorized,
        ("refund", "succeeded" | "successful") | ("payment" | "transaction", "refunded") => RefundSucceeded,
        ("refund", "failed") => RefundFailed,
        ("payment" | "transaction", _) => PaymentUpdated,
        ("chargeback" | "dispute", "opened" | "created") => DisputeOpened,
        ("chargeback" | "dispute", "won") => DisputeWon,
        ("chargeback" | "dispute", "lost") => DisputeLost,
        ("invoice" | "charge_invoice", "paid") => InvoicePaid,
        ("invoice" | "charge_invoice", "failed" | "past_due") => InvoicePaymentFailed,
        ("invoice" | "charge_invoice" | "dunning_event", _) => PaymentUpdated,
        // A credit invoice or a credit payment settles other invoices; a refund of money has events of its own.
        ("credit_invoice" | "credit_payment", _) => RefundUpdated,
        ("subscription" | "external_subscription", "created" | "activated") => SubscriptionCreated,
        ("subscription" | "external_subscription", "canceled" | "expired") => SubscriptionCanceled,
        ("subscription" | "external_subscription", _) => SubscriptionUpdated,
        _ => return None,
    })
}
