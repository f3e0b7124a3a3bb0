//! Paystack. <https://paystack.com/docs/payments/webhooks/>
//!
//! Event id: `{event}:{data.id, else the reference}`, since Paystack has none; an invoice's update with
//! `:{status}`, since it can have several. Transaction: the payment's
//! reference, which is all that refunds name; a dispute's is its transaction's; a transfer's is its own.
//!
//! Money: integers of subunits (kobo). Paystack multiplies XOF and RWF by a hundred like the others.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, composite, required, unknown},
    fields::{Id, Number, Object, Pairs, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "paystack", aliases: &[], headers: &[], read: Read::Body(normalise) };

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
    transaction: Object<Transaction<'a>>,
    amount: Number<'a>,
    refund_amount: Number<'a>,
    currency: Text<'a>,
    status: Text<'a>,
    resolution: Text<'a>,
    channel: Text<'a>,
    paid_at: Text<'a>,
    created_at: Text<'a>,
    #[serde(rename = "updatedAt")]
    updated_at: Text<'a>,
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

#[derive(Default, Deserialize)]
#[serde(default)]
struct Authorization<'a> {
    #[serde(borrow)]
    brand: Text<'a>,
    country_code: Text<'a>,
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
    let reference =
        [&data.reference, &data.refund_reference, &data.transaction_reference, &data.transfer_code]
            .into_iter()
            .chain([&data.invoice_code, &data.subscription_code])
            .map(Text::as_str)
            .find(|text| !text.is_empty());
    let own = data.id.some();
    let id = own.as_deref().or(reference);
    let id = id.ok_or(ContentError::MissingField("data.id"))?;
    let event_id = match &*event_type {
        "invoice.update" => composite(&[&event_type, id, data.status.as_str()]),
        _ => composite(&[&event_type, id]),
    };
    let occurred_at = if event_type == "charge.success" { &data.paid_at } else { &data.updated_at };
    let occurred_at = occurred_at.moment().or_else(|| data.created_at.moment());
    let livemode = data.domain.is_live("live", "test");
    let Some(kind) = kind(&event_type, data.status.as_str(), data.resolution.as_str()) else {
        return Ok(Facts { occurred_at, livemode, ..unknown(event_id, event_type) });
    };
    let transaction = data.transaction.or_default();
    let currency = if data.currency == Text::Absent { transaction.currency } else { data.currency };
    let units = match kind.category() {
        // A plan's price was not charged.
        _ if event_type.starts_with("subscription.") => Number::Absent,
        tollgate_core::Category::Dispute => data.refund_amount,
        _ => data.amount,
    };
    let amount = money::minor(units, &currency, scale);
    let authorization = data.authorization.or_default();
    let transaction_id = data.transaction_reference.some().or_else(|| transaction.reference.some());
    let facts = Facts {
        transaction_id: transaction_id
            .or_else(|| data.reference.some())
            .or_else(|| data.transfer_code.some())
            .or_else(|| data.subscription_code.some())
            .or_else(|| data.invoice_code.some()),
        occurred_at,
        customer: Customer { id: data.customer.or_default().customer_code.some(), country: None },
        method: PaymentMethod {
            kind: data.channel.some(),
            brand: authorization.brand.some(),
            country: authorization.country_code.some(),
        },
        livemode,
        metadata: data.metadata.into_vec(),
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(event_type: &str, status: &str, resolution: &str) -> Option<EventType> {
    use EventType::*;
    Some(match event_type {
        "charge.success" => PaymentSucceeded,
        "charge.failed" => PaymentFailed,
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
        "invoice.update" if status == "success" => InvoicePaid,
        "invoice.payment_failed" => InvoicePaymentFailed,
        _ => return None,
    })
}

/// Decimals by which Paystack counts, where ISO 4217 says otherwise.
fn scale(currency: &str) -> Option<u8> {
    matches!(currency, "XOF" | "RWF").then_some(2)
}
