//! Cashfree Payments. <https://www.cashfree.com/docs/api-reference/payments/latest/payments/webhooks>
//!
//! Event id: `{type}:{payment, refund, dispute or transfer id}`, with the status of what changes state, since
//! Cashfree has none. Transaction: `cf_payment_id`; a payout is its own.
//!
//! Money: a decimal JSON number in major units.

use serde::Deserialize;
use tollgate_core::{Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, composite, required, unknown},
    fields::{Id, Number, Object, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "cashfree", aliases: &[], headers: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    event_time: Text<'a>,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    payment: Object<Payment<'a>>,
    refund: Object<Refund<'a>>,
    dispute: Object<Dispute<'a>>,
    order_details: Object<Payment<'a>>,
    customer_details: Object<Buyer<'a>>,
    transfer_id: Id<'a>,
    cf_transfer_id: Id<'a>,
    transfer_amount: Number<'a>,
    transfer_currency: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payment<'a> {
    #[serde(borrow)]
    cf_payment_id: Id<'a>,
    payment_amount: Number<'a>,
    payment_currency: Text<'a>,
    payment_group: Text<'a>,
    payment_method: Object<Method<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Method<'a> {
    #[serde(borrow)]
    card: Object<Card<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Card<'a> {
    #[serde(borrow)]
    card_network: Text<'a>,
    card_country: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refund<'a> {
    #[serde(borrow)]
    cf_refund_id: Id<'a>,
    cf_payment_id: Id<'a>,
    refund_amount: Number<'a>,
    refund_currency: Text<'a>,
    refund_status: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Dispute<'a> {
    #[serde(borrow)]
    dispute_id: Id<'a>,
    dispute_amount: Number<'a>,
    dispute_amount_currency: Text<'a>,
    dispute_type: Text<'a>,
    dispute_status: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Buyer<'a> {
    #[serde(borrow)]
    customer_id: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_type = required(event.kind, "type")?;
    let occurred_at = event.event_time.moment();
    let data = event.data.or_default();
    let customer = Customer { id: data.customer_details.or_default().customer_id.some(), country: None };
    let (id, amount, transaction_id, status, method) = if let Object::Value(refund) = data.refund {
        let amount = money::decimal(refund.refund_amount, &refund.refund_currency);
        let id = refund.cf_refund_id.some();
        (id, amount, refund.cf_payment_id.some(), refund.refund_status, PaymentMethod::default())
    } else if let Object::Value(dispute) = data.dispute {
        let amount = money::decimal(dispute.dispute_amount, &dispute.dispute_amount_currency);
        let payment = data.order_details.or_default().cf_payment_id.some();
        let inquiry = matches!(dispute.dispute_type.as_str(), "RETRIEVAL" | "FRAUD_INQUIRY");
        let status = if inquiry && &*event_type == "DISPUTE_CREATED" {
            Text::Value("INQUIRY".into())
        } else {
            dispute.dispute_status
        };
        (dispute.dispute_id.some(), amount, payment, status, PaymentMethod::default())
    } else if let Object::Value(payment) = data.payment {
        let amount = money::decimal(payment.payment_amount, &payment.payment_currency);
        let id = payment.cf_payment_id.some();
        let card = payment.payment_method.or_default().card.or_default();
        let method = PaymentMethod {
            kind: payment.payment_group.some(),
            brand: card.card_network.some(),
            country: card.card_country.some(),
        };
        (id.clone(), amount, id, Text::Absent, method)
    } else {
        let id = data.cf_transfer_id.some().or_else(|| data.transfer_id.some());
        let currency = match data.transfer_currency {
            Text::Absent => Text::Value("INR".into()),
            currency => currency,
        };
        let amount = money::decimal(data.transfer_amount, &currency);
        (id.clone(), amount, id, Text::Absent, PaymentMethod::default())
    };
    let id = id.ok_or(ContentError::MissingField("data.payment.cf_payment_id"))?;
    let event_id = match status.as_str() {
        "" => composite(&[&event_type, &id]),
        status => composite(&[&event_type, &id, status]),
    };
    let Some(kind) = kind(&event_type, status.as_str()) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
    };
    let transaction_id = transaction_id.or(Some(id));
    let facts =
        Facts { transaction_id, occurred_at, customer, method, ..Facts::new(event_id, event_type, kind) };
    Ok(money::with_amount(facts, amount))
}

fn kind(event_type: &str, status: &str) -> Option<EventType> {
    use EventType::*;
    Some(match (event_type, status) {
        ("PAYMENT_SUCCESS_WEBHOOK" | "PAYMENT_SUCCESS", _) => PaymentSucceeded,
        ("PAYMENT_FAILED_WEBHOOK" | "PAYMENT_FAILED", _) => PaymentFailed,
        ("PAYMENT_USER_DROPPED_WEBHOOK", _) => PaymentCanceled,
        ("REFUND_STATUS_WEBHOOK" | "AUTO_REFUND_STATUS_WEBHOOK", status) => match status {
            "SUCCESS" => RefundSucceeded,
            "FAILED" => RefundFailed,
            "CANCELLED" => RefundCanceled,
            _ => RefundPending,
        },
        ("DISPUTE_CREATED", "INQUIRY") => DisputeWarning,
        ("DISPUTE_CREATED", _) => DisputeOpened,
        ("DISPUTE_UPDATED", _) => DisputeUpdated,
        ("DISPUTE_CLOSED", status) if status.ends_with("MERCHANT_WON") => DisputeWon,
        ("DISPUTE_CLOSED", status)
            if status.ends_with("MERCHANT_LOST") || status.ends_with("MERCHANT_ACCEPTED") =>
        {
            DisputeLost
        }
        ("DISPUTE_CLOSED", _) => DisputeClosed,
        ("TRANSFER_SUCCESS" | "TRANSFER_ACKNOWLEDGED", _) => PayoutSucceeded,
        ("TRANSFER_FAILED" | "TRANSFER_REVERSED", _) => PayoutFailed,
        ("TRANSFER_REJECTED", _) => PayoutCanceled,
        _ => return None,
    })
}
