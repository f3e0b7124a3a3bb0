//! Paystack. <https://paystack.com/docs/payments/webhooks/>
//!
//! Event id: `{event}:{movement}:{transaction, where another}:{status}:{resolution}:{id of the object}:{time}:{amount}`, since
//! Paystack has none.
//!
//! Transaction: the payment's reference, which is all that refunds name; a dispute's is its transaction's, an invoice's its
//! transaction's once it has one. A transfer, a payment request or a subscription is its own.
//!
//! Movement: the payment's reference; the dispute's id; the transfer's reference; the subscription's or invoice's code; a
//! refund's reference. A refund under way has none yet: it is `{transaction}:refund:{amount}`, so that two refunds of one
//! amount that wait at once are one.
//!
//! Money: integers of subunits (kobo). Paystack multiplies XOF and RWF by a hundred like the others. A capture of a
//! preauthorisation has its own `captured_amount`. A plan's price was not charged.
//!
//! Time: `paid_at` of a charge or an invoice, `captured_at` of a capture, `resolvedAt` of a dispute, `transferred_at` of a
//! transfer, else when the object was updated. Its creation is the time of no other event.

use std::borrow::Cow;

use serde::Deserialize;
use tollgate_core::{Category, Customer, EventType, EventType::*, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Id, Number, Object, Pairs, Text, first_moment},
    identity::identified,
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "paystack", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    domain: Text<'a>,
    reference: Text<'a>,
    transaction_reference: Text<'a>,
    refund_reference: Text<'a>,
    transfer_code: Text<'a>,
    subscription_code: Text<'a>,
    invoice_code: Text<'a>,
    request_code: Text<'a>,
    transaction: Object<Transaction<'a>>,
    transaction_id: Id<'a>,
    bank_transfer: Object<Transfer<'a>>,
    amount: Number<'a>,
    captured_amount: Number<'a>,
    refund_amount: Number<'a>,
    currency: Text<'a>,
    status: Text<'a>,
    resolution: Text<'a>,
    channel: Text<'a>,
    paid_at: Text<'a>,
    captured_at: Text<'a>,
    expired_at: Text<'a>,
    transferred_at: Text<'a>,
    #[serde(rename = "resolvedAt")]
    resolved_at: Text<'a>,
    created_at: Text<'a>,
    updated_at: Text<'a>,
    #[serde(rename = "updatedAt")]
    updated_at_too: Text<'a>,
    authorization: Object<Authorization<'a>>,
    customer: Object<Buyer<'a>>,
    metadata: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Transaction<'a> {
    #[serde(borrow)]
    reference: Text<'a>,
    currency: Text<'a>,
}

/// A transfer that was sent back.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Transfer<'a> {
    #[serde(borrow)]
    transaction_id: Id<'a>,
    amount: Number<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Authorization<'a> {
    #[serde(borrow)]
    brand: Text<'a>,
    country_code: Text<'a>,
    channel: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Buyer<'a> {
    #[serde(borrow)]
    customer_code: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_type = required(event.event, "event")?;
    let data = event.data.or_default();
    let (status, resolution) = (data.status, data.resolution);
    let kind = kind(&event_type, status.as_str(), resolution.as_str());
    let (family, rest) = event_type.split_once('.').unwrap_or((&event_type, ""));
    let updated = [&data.updated_at, &data.updated_at_too];
    let moments = match family {
        "charge" if rest.starts_with("dispute.") => {
            let begun = if rest == "dispute.create" { &data.created_at } else { &Text::Absent };
            [begun, &data.resolved_at, updated[0], updated[1]]
        }
        "paymentrequest" if rest == "pending" => [&data.created_at, updated[0], updated[1], &Text::Absent],
        "charge" | "paymentrequest" | "invoice" => [&data.paid_at, updated[0], updated[1], &Text::Absent],
        "preauthorization" => [&data.captured_at, &data.expired_at, updated[0], updated[1]],
        "transfer" if rest == "success" => [&data.transferred_at, updated[0], updated[1], &Text::Absent],
        "subscription" if rest == "create" => [&data.created_at, updated[0], updated[1], &Text::Absent],
        _ => [updated[0], updated[1], &Text::Absent, &Text::Absent],
    };
    let occurred_at = first_moment(moments);

    let transaction = data.transaction.or_default();
    let currency = if data.currency == Text::Absent { transaction.currency } else { data.currency };
    let transfer = data.bank_transfer.or_default();
    let units = match kind.map(EventType::category) {
        _ if family == "subscription" => Number::Absent,
        Some(Category::Dispute) => data.refund_amount,
        _ if rest.starts_with("capture.") && !data.captured_amount.is_absent() => data.captured_amount,
        _ if family == "bank" => transfer.amount,
        _ => data.amount,
    };
    let amount = money::minor(units, &currency, scale);

    let own_id = data.id.some();
    let payment = data.transaction_reference.some().or_else(|| transaction.reference.some());
    let payment = payment.or_else(|| data.reference.some());
    let codes = [data.transfer_code, data.subscription_code, data.invoice_code, data.request_code];
    let code = codes.into_iter().find_map(Text::some);
    let (transaction_id, movement_id) = match family {
        "refund" => {
            let movement = data.refund_reference.some().or_else(|| own_id.clone());
            let under_way = || {
                let units = units.text().unwrap_or_default();
                payment.as_deref().map(|id| Cow::Owned([id, ":refund:", units].concat()))
            };
            let movement = movement.or_else(under_way);
            (payment, movement)
        }
        "charge" if rest.starts_with("dispute.") => (payment, own_id.clone()),
        "transfer" => {
            let id = payment.or(code).or_else(|| own_id.clone());
            (id.clone(), id)
        }
        "subscription" | "paymentrequest" => {
            let id = code.or(payment).or_else(|| own_id.clone());
            (id.clone(), id)
        }
        // Before it is charged an invoice has no payment.
        "invoice" => (payment.or_else(|| code.clone()), code.or_else(|| own_id.clone())),
        "bank" => {
            let id = transfer.transaction_id.some();
            (id.clone(), id)
        }
        _ => {
            let id = payment.or(code).or_else(|| own_id.clone());
            (id.clone(), id)
        }
    };
    // Paystack's number of the payment, by which a transfer that is sent back names it.
    let number = match family {
        "charge" if rest == "success" || rest == "failed" => own_id.clone(),
        "preauthorization" => data.transaction_id.some(),
        _ => None,
    };
    let authorization = data.authorization.or_default();
    let facts = match kind {
        Some(kind) => Facts::new("", event_type, kind),
        None => unknown("", event_type),
    };
    let facts = Facts {
        aliases: number.filter(|id| Some(id) != transaction_id.as_ref()).into_iter().collect(),
        transaction_id,
        movement_id,
        occurred_at,
        customer: Customer { id: data.customer.or_default().customer_code.some(), country: None },
        method: PaymentMethod {
            kind: data.channel.some().or_else(|| authorization.channel.some()),
            brand: authorization.brand.some(),
            country: authorization.country_code.some(),
        },
        livemode: data.domain.is_live("live", "test"),
        metadata: data.metadata.into_vec(),
        ..facts
    };
    let time = moments.into_iter().map(Text::as_str).find(|text| !text.is_empty()).unwrap_or_default();
    let words = [status.as_str(), resolution.as_str(), own_id.as_deref().unwrap_or_default(), time];
    Ok(identified(money::with_amount(facts, amount), &words, body))
}

fn kind(event_type: &str, status: &str, resolution: &str) -> Option<EventType> {
    Some(match event_type {
        "charge.success" | "preauthorization.capture.success" => PaymentSucceeded,
        // A transfer of a wrong amount: the bank sends it back.
        "charge.failed" | "bank.transfer.rejected" => PaymentFailed,
        "preauthorization.reserve.success" => PaymentAuthorized,
        "preauthorization.capture.failed" => PaymentCaptureFailed,
        "preauthorization.release.success" => PaymentCanceled,
        // The money stays reserved.
        "preauthorization.release.failed" => PaymentUpdated,
        "refund.pending" | "refund.processing" | "refund.needs-attention" => RefundPending,
        "refund.processed" => RefundSucceeded,
        "refund.failed" => RefundFailed,
        "charge.dispute.create" => DisputeOpened,
        "charge.dispute.remind" => DisputeUpdated,
        "charge.dispute.resolve" => match resolution {
            "declined" => DisputeWon,
            "merchant-accepted" | "auto-accepted" => DisputeLost,
            _ => DisputeClosed,
        },
        "transfer.success" => PayoutSucceeded,
        "transfer.failed" | "transfer.reversed" => PayoutFailed,
        "subscription.create" => SubscriptionCreated,
        "subscription.not_renew" => SubscriptionUpdated,
        "subscription.disable" => SubscriptionCanceled,
        "invoice.update" | "invoice.create" if status == "success" => InvoicePaid,
        "invoice.update" | "invoice.create" => SubscriptionUpdated,
        "invoice.payment_failed" => InvoicePaymentFailed,
        "paymentrequest.pending" => PaymentCreated,
        "paymentrequest.success" => InvoicePaid,
        _ => return None,
    })
}

/// Decimals by which Paystack counts, where ISO 4217 says otherwise.
fn scale(currency: &str) -> Option<u8> {
    matches!(currency, "XOF" | "RWF").then_some(2)
}
