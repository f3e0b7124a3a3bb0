//! PayPal. <https://developer.paypal.com/api/rest/webhooks/event-names/>
//!
//! Event id: `id` (`WH-…`). Transaction: the capture, sale or authorisation, which is the resource itself; a
//! refund's is what it refunds (`sale_id`, `capture_id` or the link `up`), a dispute's the seller's transaction,
//! an order's, payout's or subscription's its own.
//!
//! Money: decimal texts in major units (`value` in version 2, `total` in version 1).
//!
//! Signed: the transmission's id and time, the webhook's id and a CRC-32 of the body. Another body can be made with
//! the same CRC-32.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use tollgate_core::{Customer, EventType, Facts};

use super::{
    content::{ContentError, required, unknown},
    fields::{First, Number, Object, Text, each},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "paypal", aliases: &[], headers: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    event_type: Text<'a>,
    create_time: Text<'a>,
    resource: Object<Resource<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    amount: Object<Amount<'a>>,
    sale_id: Text<'a>,
    capture_id: Text<'a>,
    links: Up<'a>,
    purchase_units: First<Unit<'a>>,
    payer: Object<Payer<'a>>,
    subscriber: Object<Payer<'a>>,
    dispute_id: Text<'a>,
    dispute_amount: Object<Amount<'a>>,
    dispute_life_cycle_stage: Text<'a>,
    dispute_outcome: Object<Outcome<'a>>,
    disputed_transactions: First<Disputed<'a>>,
    payout_item_id: Text<'a>,
    payout_item: Object<Unit<'a>>,
    batch_header: Object<Batch<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Amount<'a> {
    #[serde(borrow)]
    value: Number<'a>,
    total: Number<'a>,
    currency_code: Text<'a>,
    currency: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Unit<'a> {
    #[serde(borrow)]
    amount: Object<Amount<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payer<'a> {
    #[serde(borrow)]
    payer_id: Text<'a>,
    address: Object<Address<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Address<'a> {
    #[serde(borrow)]
    country_code: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Outcome<'a> {
    #[serde(borrow)]
    outcome_code: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Disputed<'a> {
    #[serde(borrow)]
    seller_transaction_id: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Batch<'a> {
    #[serde(borrow)]
    payout_batch_id: Text<'a>,
    amount: Object<Amount<'a>>,
}

/// The last part of the link to the object that this one belongs to.
#[derive(Default)]
struct Up<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Up<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Link<'a> {
            #[serde(borrow)]
            href: Text<'a>,
            rel: Text<'a>,
        }
        let mut up = None;
        each(deserializer, |link: Object<Link<'de>>| {
            let link = link.or_default();
            if link.rel.as_str() == "up" {
                up = match link.href {
                    Text::Value(Cow::Borrowed(href)) => href.rsplit('/').next().map(Cow::Borrowed),
                    href => href.as_str().rsplit('/').next().map(|id| Cow::Owned(id.to_owned())),
                };
            }
        })?;
        Ok(Self(up.filter(|id| !id.is_empty())))
    }
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_id = required(event.id, "id")?;
    let event_type = event.event_type.some().unwrap_or_default();
    let occurred_at = event.create_time.moment();
    let resource = event.resource.or_default();
    let Some(kind) = kind(&event_type, &resource) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
    };
    let batch = resource.batch_header.or_default();
    let amount = [
        resource.amount,
        resource.dispute_amount,
        resource.payout_item.or_default().amount,
        batch.amount,
        resource.purchase_units.only().unwrap_or_default().amount,
    ];
    // The `amount` of a subscription or an order is not what this event moved.
    let amount = amount.into_iter().find_map(Object::some).unwrap_or_default();
    let value = if amount.value.is_absent() { amount.total } else { amount.value };
    let currency = if amount.currency_code == Text::Absent { amount.currency } else { amount.currency_code };
    let amount = money::decimal(value, &currency);

    let refunded = resource.sale_id.some().or_else(|| resource.capture_id.some()).or(resource.links.0);
    let disputed = resource.disputed_transactions.value.unwrap_or_default();
    let transaction_id = (kind.category() == tollgate_core::Category::Refund)
        .then_some(refunded)
        .flatten()
        .or_else(|| disputed.seller_transaction_id.some())
        .or_else(|| resource.dispute_id.some())
        .or_else(|| resource.payout_item_id.some())
        .or_else(|| batch.payout_batch_id.some())
        .or_else(|| resource.id.some());
    let (payer, subscriber) = (resource.payer.or_default(), resource.subscriber.or_default());
    let facts = Facts {
        transaction_id,
        occurred_at,
        customer: Customer {
            id: payer.payer_id.some().or_else(|| subscriber.payer_id.some()),
            country: payer.address.or_default().country_code.some(),
        },
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(event_type: &str, resource: &Resource<'_>) -> Option<EventType> {
    use EventType::*;
    Some(match event_type {
        "PAYMENT.AUTHORIZATION.CREATED" => PaymentAuthorized,
        "PAYMENT.AUTHORIZATION.VOIDED" | "CHECKOUT.PAYMENT-APPROVAL.REVERSED" => PaymentCanceled,
        "PAYMENT.CAPTURE.COMPLETED" | "PAYMENT.SALE.COMPLETED" | "CHECKOUT.ORDER.COMPLETED" => {
            PaymentSucceeded
        }
        "PAYMENT.CAPTURE.PENDING" | "PAYMENT.SALE.PENDING" | "CHECKOUT.ORDER.APPROVED" => PaymentPending,
        "PAYMENT.CAPTURE.DENIED" | "PAYMENT.CAPTURE.DECLINED" | "PAYMENT.SALE.DENIED" => PaymentFailed,
        // A reversal is money that PayPal itself gave back.
        "PAYMENT.CAPTURE.REFUNDED"
        | "PAYMENT.SALE.REFUNDED"
        | "PAYMENT.CAPTURE.REVERSED"
        | "PAYMENT.SALE.REVERSED" => RefundSucceeded,
        "PAYMENT.REFUND.PENDING" => RefundPending,
        "PAYMENT.REFUND.FAILED" => RefundFailed,
        "CUSTOMER.DISPUTE.CREATED" if matches!(&resource.dispute_life_cycle_stage, Text::Value(stage) if stage == "INQUIRY") => {
            DisputeWarning
        }
        "CUSTOMER.DISPUTE.CREATED" | "RISK.DISPUTE.CREATED" => DisputeOpened,
        "CUSTOMER.DISPUTE.UPDATED" => DisputeUpdated,
        "CUSTOMER.DISPUTE.RESOLVED" => match &resource.dispute_outcome {
            Object::Value(outcome) => match outcome.outcome_code.as_str() {
                "RESOLVED_SELLER_FAVOUR" | "RESOLVED_SELLER_FAVOR" => DisputeWon,
                "RESOLVED_BUYER_FAVOUR" | "RESOLVED_BUYER_FAVOR" | "ACCEPTED" => DisputeLost,
                _ => DisputeClosed,
            },
            _ => DisputeClosed,
        },
        "PAYMENT.PAYOUTSBATCH.PROCESSING"
        | "PAYMENT.PAYOUTS-ITEM.HELD"
        | "PAYMENT.PAYOUTS-ITEM.UNCLAIMED" => PayoutPending,
        "PAYMENT.PAYOUTSBATCH.SUCCESS" | "PAYMENT.PAYOUTS-ITEM.SUCCEEDED" => PayoutSucceeded,
        "PAYMENT.PAYOUTSBATCH.DENIED"
        | "PAYMENT.PAYOUTS-ITEM.BLOCKED"
        | "PAYMENT.PAYOUTS-ITEM.DENIED"
        | "PAYMENT.PAYOUTS-ITEM.FAILED"
        | "PAYMENT.PAYOUTS-ITEM.REFUNDED"
        | "PAYMENT.PAYOUTS-ITEM.RETURNED" => PayoutFailed,
        "PAYMENT.PAYOUTS-ITEM.CANCELED" => PayoutCanceled,
        "BILLING.SUBSCRIPTION.CREATED" | "BILLING.SUBSCRIPTION.ACTIVATED" => SubscriptionCreated,
        "BILLING.SUBSCRIPTION.UPDATED"
        | "BILLING.SUBSCRIPTION.RE-ACTIVATED"
        | "BILLING.SUBSCRIPTION.SUSPENDED" => SubscriptionUpdated,
        "BILLING.SUBSCRIPTION.CANCELLED" | "BILLING.SUBSCRIPTION.EXPIRED" => SubscriptionCanceled,
        "BILLING.SUBSCRIPTION.PAYMENT.FAILED" => InvoicePaymentFailed,
        _ => return None,
    })
}
