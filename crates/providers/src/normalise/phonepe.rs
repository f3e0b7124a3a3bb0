//! PhonePe. <https://developer.phonepe.com/payment-gateway/webhook-handling>
//!
//! Event id: `{event}:{movement}:{transaction, where another}:{state}:{attempt}:{how the mandate was authorised}:{time}:{amount}`,
//! since PhonePe has none. An event is named by `event`, in older webhooks by `type` (`PG_REFUND_COMPLETED`).
//!
//! Transaction: the order by the merchant's own id, `merchantOrderId`, which refunds name as `originalMerchantOrderId`. PhonePe's id of
//! the order is an alias. A settlement and a change of a subscription are their own.
//!
//! Movement: the order; the refund, the settlement, the subscription. Failed attempts at an order are told apart by their
//! `transactionId`.
//!
//! Money: integers of paise; the currency is INR. Of the orders that set up a subscription only those that authorise it by
//! a first payment (`TRANSACTION`) take money.
//!
//! Time: the refund's `timestamp`, else that of the order's attempt; `lastUpdatedAt` of a settlement.
//!
//! Signed: nothing. The sender proves itself by a hash of the credentials.

use serde::{Deserialize, Deserializer};
use tollgate_core::{Category, EventType, EventType::*, Facts, PaymentMethod};

use super::{
    content::{ContentError, unknown},
    fields::{Number, Object, Text, each},
    identity::identified,
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "phonepe", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    payload: Object<Payload<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(borrow)]
    order_id: Text<'a>,
    transaction_id: Text<'a>,
    merchant_order_id: Text<'a>,
    refund_id: Text<'a>,
    merchant_refund_id: Text<'a>,
    original_merchant_order_id: Text<'a>,
    settlement_id: Text<'a>,
    subscription_id: Text<'a>,
    merchant_subscription_id: Text<'a>,
    payment_flow: Object<Flow<'a>>,
    state: Text<'a>,
    amount: Number<'a>,
    timestamp: Number<'a>,
    last_updated_at: Number<'a>,
    payment_details: Details<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Flow<'a> {
    #[serde(borrow)]
    subscription_id: Text<'a>,
    merchant_subscription_id: Text<'a>,
    auth_workflow_type: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Detail<'a> {
    #[serde(borrow)]
    transaction_id: Text<'a>,
    timestamp: Number<'a>,
    payment_mode: Text<'a>,
    state: Text<'a>,
}

/// Of the attempts at an order the one that paid, else the latest.
#[derive(Default)]
struct Details<'a>(Detail<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Details<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rank = |detail: &Detail<'_>| {
            let paid = detail.state.as_str() == "COMPLETED";
            (paid, detail.timestamp.integer::<i64>())
        };
        let mut best = Self::default();
        each(deserializer, |detail: Object<Detail<'de>>| {
            let detail = detail.or_default();
            if rank(&detail) >= rank(&best.0) {
                best.0 = detail;
            }
        })?;
        Ok(best)
    }
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_type = event.event.some().or_else(|| event.kind.some());
    let event_type = event_type.ok_or(ContentError::MissingField("event"))?;
    let payload = event.payload.or_default();
    let state = payload.state;
    let flow = payload.payment_flow.or_default();
    let name = dotted(&event_type);
    let kind = kind(name, state.as_str());
    let detail = payload.payment_details.0;
    let times = [payload.timestamp, payload.last_updated_at, detail.timestamp];
    let time = times.into_iter().find(|time| !time.is_absent()).unwrap_or_default();

    let order = payload.order_id.some();
    let merchant_order =
        payload.merchant_order_id.some().or_else(|| payload.original_merchant_order_id.some());
    let attempt = detail.transaction_id.some().or_else(|| payload.transaction_id.some());
    let ids = [payload.subscription_id, flow.subscription_id];
    let more_ids = [payload.merchant_subscription_id, flow.merchant_subscription_id];
    let subscription = ids.into_iter().chain(more_ids).find_map(Text::some);
    let of_order = merchant_order.clone().or_else(|| order.clone());
    let (movement_id, transaction_id) = match kind {
        _ if event_type.starts_with("settlement.") => {
            let id = payload.settlement_id.some();
            (id.clone(), id)
        }
        Some(SubscriptionCreated) => (subscription.or_else(|| of_order.clone()), of_order),
        Some(SubscriptionUpdated | SubscriptionCanceled) => (subscription.clone(), of_order.or(subscription)),
        Some(kind) if kind.category() == Category::Refund => {
            (payload.refund_id.some().or_else(|| payload.merchant_refund_id.some()), of_order)
        }
        Some(kind) if kind.category() == Category::Payout => (None, of_order),
        _ => {
            let id = of_order.or_else(|| attempt.clone());
            (id.clone(), id)
        }
    };
    let workflow = flow.auth_workflow_type;
    let units = match kind {
        Some(SubscriptionCreated) if workflow.as_str() == "TRANSACTION" => payload.amount,
        Some(SubscriptionCreated | SubscriptionUpdated | SubscriptionCanceled) => Number::Absent,
        _ => payload.amount,
    };
    let amount = money::minor(units, &Text::Value("INR".into()), money::iso);
    let facts = match kind {
        Some(kind) => Facts::new("", event_type, kind),
        None => unknown("", event_type),
    };
    let failed = matches!(kind, Some(PaymentFailed | InvoicePaymentFailed));
    let words = [
        state.as_str(),
        attempt.as_deref().unwrap_or_default(),
        workflow.as_str(),
        time.text().unwrap_or_default(),
    ];
    let facts = Facts {
        aliases: order.filter(|id| Some(id) != transaction_id.as_ref()).into_iter().collect(),
        transaction_id,
        movement_id,
        occurrence: attempt.clone().filter(|_| failed),
        occurred_at: time.unix_millis(),
        method: PaymentMethod { kind: detail.payment_mode.some(), ..PaymentMethod::default() },
        ..facts
    };
    Ok(identified(money::with_amount(facts, amount), &words, body))
}

/// The events that older webhooks name by `type` alone, in upper case and with underscores.
const WITH_TYPE: [&str; 21] = [
    "checkout.order.completed",
    "checkout.order.failed",
    "checkout.transaction.attempt.failed",
    "pg.order.completed",
    "pg.order.failed",
    "pg.transaction.attempt.failed",
    "pg.refund.accepted",
    "pg.refund.completed",
    "pg.refund.failed",
    "subscription.setup.order.completed",
    "subscription.setup.order.failed",
    "subscription.paused",
    "subscription.unpaused",
    "subscription.cancelled",
    "subscription.revoked",
    "subscription.notification.completed",
    "subscription.notification.failed",
    "subscription.redemption.order.completed",
    "subscription.redemption.order.failed",
    "subscription.redemption.transaction.completed",
    "subscription.redemption.transaction.failed",
];

/// An event's name as `event` has it.
fn dotted(event_type: &str) -> &str {
    let is = |name: &&str| {
        let as_type = name.bytes().map(|byte| if byte == b'.' { b'_' } else { byte.to_ascii_uppercase() });
        as_type.eq(event_type.bytes())
    };
    WITH_TYPE.into_iter().find(is).unwrap_or(event_type)
}

fn kind(name: &str, state: &str) -> Option<EventType> {
    Some(match name {
        "checkout.order.completed" | "pg.order.completed" | "paylink.order.completed" => match state {
            "FAILED" => PaymentFailed,
            "PENDING" => PaymentPending,
            _ => PaymentSucceeded,
        },
        "checkout.order.failed"
        | "pg.order.failed"
        | "paylink.order.failed"
        | "subscription.setup.order.failed"
        | "checkout.transaction.attempt.failed"
        | "pg.transaction.attempt.failed"
        | "pg.transaction.failed" => PaymentFailed,
        "pg.refund.accepted" => RefundPending,
        "pg.refund.completed" if state == "FAILED" => RefundFailed,
        "pg.refund.completed" => RefundSucceeded,
        "pg.refund.failed" => RefundFailed,
        "settlement.initiated" => PayoutPending,
        "settlement.processed" => PayoutSucceeded,
        // It is tried again; nor does a split's line in the ledger move anything.
        "settlement.attempt.failed" | "order.split.settlement.accepted" | "order.split.settlement.failed" => {
            PayoutUpdated
        }
        "subscription.setup.order.completed" => SubscriptionCreated,
        "subscription.paused"
        | "subscription.unpaused"
        | "subscription.notification.completed"
        | "subscription.notification.failed" => SubscriptionUpdated,
        "subscription.cancelled" | "subscription.revoked" => SubscriptionCanceled,
        "subscription.redemption.order.completed" | "subscription.redemption.transaction.completed" => {
            InvoicePaid
        }
        "subscription.redemption.order.failed" | "subscription.redemption.transaction.failed" => {
            InvoicePaymentFailed
        }
        "subscription.redemption.order.cancelled" => PaymentCanceled,
        _ => return None,
    })
}
