//! Cashfree Payments and Payouts. <https://www.cashfree.com/docs/api-reference/webhooks/events-by-product>
//!
//! Event id: `{type}:{movement}:{transaction, where another}:{status}:{what besides decides the type}:{time, of what may
//! recur}:{amount}`, since Cashfree sends none that it signs.
//!
//! Transaction: `cf_payment_id`; links and forms name it `order.transaction_id`, and tell what the payment tells. A subscription,
//! a settlement and a transfer are their own. Movement: the payment, refund, dispute, settlement or transfer.
//!
//! Money: decimals in major units, of this movement. `link_amount_paid` is a running sum and is not read. Subscriptions,
//! settlements and transfers that name no currency are in INR. A payment that is not captured yet (`is_captured`) is an
//! authorisation; of a captured one the amount is `captured_amount`.
//!
//! Time: `event_time`. Signed: the whole body.

use std::borrow::Cow;

use serde::Deserialize;
use tollgate_core::{Customer, EventType, EventType::*, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, transaction, unknown},
    fields::{Flag, Id, Number, Object, Text},
    identity::identified,
    json,
    money::{self, Amount},
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "cashfree", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    event_time: Text<'a>,
    data: Object<Data<'a>>,
}

/// What a webhook is about. Those of subscriptions have the payment's or the refund's fields here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    payment: Object<Payment<'a>>,
    refund: Object<Refund<'a>>,
    auto_refund: Object<Refund<'a>>,
    dispute: Object<Dispute<'a>>,
    order: Object<Order<'a>>,
    form: Object<Form<'a>>,
    order_details: Object<Payment<'a>>,
    customer_details: Object<Buyer<'a>>,
    settlement: Object<Settlement<'a>>,
    subscription_details: Object<Subscription<'a>>,
    cf_subscription_id: Id<'a>,
    subscription_id: Id<'a>,
    cf_payment_id: Id<'a>,
    payment_id: Id<'a>,
    payment_amount: Number<'a>,
    payment_currency: Text<'a>,
    cf_refund_id: Id<'a>,
    refund_id: Id<'a>,
    refund_amount: Number<'a>,
    refund_currency: Text<'a>,
    refund_status: Text<'a>,
    cf_link_id: Id<'a>,
    link_id: Id<'a>,
    link_status: Text<'a>,
    link_currency: Text<'a>,
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
    order_currency: Text<'a>,
    payment_group: Text<'a>,
    payment_method: Object<Method<'a>>,
    is_captured: Flag,
    authorization: Object<Authorization<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Authorization<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    status: Text<'a>,
    captured_amount: Number<'a>,
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
    refund_id: Id<'a>,
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

/// The order that a link or a form made.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Order<'a> {
    #[serde(borrow)]
    transaction_id: Id<'a>,
    transaction_status: Text<'a>,
    order_status: Text<'a>,
    order_amount: Number<'a>,
    order_currency: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Form<'a> {
    #[serde(borrow)]
    form_currency: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Settlement<'a> {
    #[serde(borrow)]
    settlement_id: Id<'a>,
    cf_settlement_id: Id<'a>,
    amount_settled: Number<'a>,
    settlement_amount: Number<'a>,
    settlement_currency: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Subscription<'a> {
    #[serde(borrow)]
    cf_subscription_id: Id<'a>,
    subscription_id: Id<'a>,
    subscription_status: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Buyer<'a> {
    #[serde(borrow)]
    customer_id: Text<'a>,
}

/// What an event is about.
struct Subject<'a> {
    movement: Option<Cow<'a, str>>,
    transaction: Option<Cow<'a, str>>,
    aliases: Vec<Cow<'a, str>>,
    amount: Amount,
    status: Text<'a>,
    /// What decides the type besides the status.
    detail: Text<'a>,
    method: PaymentMethod<'a>,
}

impl Default for Subject<'_> {
    fn default() -> Self {
        Self {
            movement: None,
            transaction: None,
            aliases: Vec::new(),
            amount: Ok(None),
            status: Text::Absent,
            detail: Text::Absent,
            method: PaymentMethod::default(),
        }
    }
}

impl<'a> Subject<'a> {
    /// What is its own transaction; `other` is another id of it.
    fn own(id: Id<'a>, other: Id<'a>) -> Self {
        let (id, aliases) = transaction([id.some(), other.some()]);
        Self { movement: id.clone(), transaction: id, aliases, ..Self::default() }
    }

    fn of(event_type: &str, data: Data<'a>) -> Self {
        match event_type {
            "PAYMENT_LINK_EVENT" => Self::link(data),
            "PAYMENT_FORM_ORDER_WEBHOOK" => {
                let order = data.order.or_default();
                let currency = match order.order_currency {
                    Text::Absent => data.form.or_default().form_currency,
                    currency => currency,
                };
                let amount = money::decimal(order.order_amount, &currency);
                let id = order.transaction_id;
                Self { amount, status: order.order_status, ..Self::own(id, Id::default()) }
            }
            "SUBSCRIPTION_REFUND_STATUS" => Self {
                movement: data.cf_refund_id.some().or_else(|| data.refund_id.some()),
                transaction: data.cf_payment_id.some().or_else(|| data.payment_id.some()),
                amount: money::decimal(data.refund_amount, &or_inr(data.refund_currency)),
                status: data.refund_status,
                ..Self::default()
            },
            _ if event_type.starts_with("SUBSCRIPTION_PAYMENT_") => Self {
                amount: money::decimal(data.payment_amount, &or_inr(data.payment_currency)),
                ..Self::own(data.cf_payment_id, data.payment_id)
            },
            _ if event_type.starts_with("SUBSCRIPTION_") => {
                let details = data.subscription_details.or_default();
                let status = details.subscription_status;
                let one = Self::own(details.cf_subscription_id, details.subscription_id);
                match one.transaction {
                    Some(_) => Self { status, ..one },
                    None => Self { status, ..Self::own(data.cf_subscription_id, data.subscription_id) },
                }
            }
            _ if event_type.contains("SETTLEMENT_") => {
                let settlement = data.settlement.or_default();
                let currency = or_inr(settlement.settlement_currency);
                let settled = match settlement.amount_settled {
                    Number::Absent => settlement.settlement_amount,
                    settled => settled,
                };
                let amount = money::decimal(settled, &currency);
                Self { amount, ..Self::own(settlement.settlement_id, settlement.cf_settlement_id) }
            }
            _ if event_type.starts_with("TRANSFER_") => {
                let amount = money::decimal(data.transfer_amount, &or_inr(data.transfer_currency));
                Self { amount, ..Self::own(data.cf_transfer_id, data.transfer_id) }
            }
            _ => Self::of_payment(data),
        }
    }

    /// A payment link: its payment, if it has one.
    fn link(data: Data<'a>) -> Self {
        let order = data.order.or_default();
        let paid = order.transaction_id.some();
        let amount = match paid {
            Some(_) => money::decimal(order.order_amount, &data.link_currency),
            None => Ok(None),
        };
        let id = paid.or_else(|| data.cf_link_id.some()).or_else(|| data.link_id.some());
        Self {
            movement: id.clone(),
            transaction: id,
            amount,
            status: data.link_status,
            detail: order.transaction_status,
            ..Self::default()
        }
    }

    /// A refund or a dispute of a payment, or a payment.
    fn of_payment(data: Data<'a>) -> Self {
        if let Some(refund) = data.refund.some().or_else(|| data.auto_refund.some()) {
            return Self {
                movement: refund.cf_refund_id.some().or_else(|| refund.refund_id.some()),
                transaction: refund.cf_payment_id.some(),
                amount: money::decimal(refund.refund_amount, &refund.refund_currency),
                status: refund.refund_status,
                ..Self::default()
            };
        }
        if let Object::Value(dispute) = data.dispute {
            let order = data.order_details.or_default();
            let currencies = [dispute.dispute_amount_currency, order.payment_currency, order.order_currency];
            let currency = currencies.into_iter().find(|currency| *currency != Text::Absent);
            return Self {
                movement: dispute.dispute_id.some(),
                transaction: order.cf_payment_id.some(),
                amount: money::decimal(dispute.dispute_amount, &currency.unwrap_or_default()),
                status: dispute.dispute_status,
                detail: dispute.dispute_type,
                ..Self::default()
            };
        }
        let payment = data.payment.or_default();
        let authorization = payment.authorization.or_default();
        let done = authorization.status.as_str() == "SUCCESS";
        let (detail, units) = match (authorization.action.as_str(), payment.is_captured.some()) {
            ("VOID", _) if done => ("void", payment.payment_amount),
            ("CAPTURE", _) if done && !authorization.captured_amount.is_absent() => {
                ("captured", authorization.captured_amount)
            }
            (_, Some(false)) => ("uncaptured", payment.payment_amount),
            _ => ("", payment.payment_amount),
        };
        let card = payment.payment_method.or_default().card.or_default();
        Self {
            amount: money::decimal(units, &payment.payment_currency),
            detail: Text::Value(detail.into()),
            method: PaymentMethod {
                kind: payment.payment_group.some(),
                brand: card.card_network.some(),
                country: card.card_country.some(),
            },
            ..Self::own(payment.cf_payment_id, Id::default())
        }
    }
}

/// The currency; the rupee where none is named.
fn or_inr(currency: Text<'_>) -> Text<'_> {
    if currency == Text::Absent { Text::Value("INR".into()) } else { currency }
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_type = required(event.kind, "type")?;
    let mut data = event.data.or_default();
    let customer = std::mem::take(&mut data.customer_details).or_default().customer_id.some();
    let subject = Subject::of(&event_type, data);
    let (status, detail) = (subject.status.as_str(), subject.detail.as_str());
    let kind = kind(&event_type, status, detail);
    let of_subscription = event_type.starts_with("SUBSCRIPTION_");
    // An attempt to pay has an id of its own, and fails once. A subscription's debit is tried again under its id.
    let fails_once = kind == Some(PaymentFailed) && !of_subscription;
    let recurs = of_subscription || kind.is_some_and(EventType::may_recur) && !fails_once;
    let words = [status, detail, if recurs { event.event_time.as_str() } else { "" }];
    let facts = match kind {
        Some(kind) => Facts::new("", event_type, kind),
        None => unknown("", event_type),
    };
    let facts = Facts {
        transaction_id: subject.transaction,
        aliases: subject.aliases,
        occurrence: subject.movement.clone().filter(|_| fails_once),
        movement_id: subject.movement,
        occurred_at: event.event_time.moment(),
        customer: Customer { id: customer, country: None },
        method: subject.method,
        ..facts
    };
    Ok(identified(money::with_amount(facts, subject.amount), &words, body))
}

/// `detail` is a dispute's type, the state of a link's payment, or what became of an authorisation.
fn kind(event_type: &str, status: &str, detail: &str) -> Option<EventType> {
    Some(match event_type {
        "PAYMENT_SUCCESS_WEBHOOK" | "PAYMENT_SUCCESS" => match detail {
            "uncaptured" => PaymentAuthorized,
            "void" => PaymentCanceled,
            _ => PaymentSucceeded,
        },
        "PAYMENT_FAILED_WEBHOOK" | "PAYMENT_FAILED" => PaymentFailed,
        "PAYMENT_USER_DROPPED_WEBHOOK" => PaymentCanceled,
        // What Cashfree charges for a payment that was told.
        "PAYMENT_CHARGES_WEBHOOK" => PaymentUpdated,
        "PAYMENT_LINK_EVENT" => match (status, detail) {
            ("PAID" | "PARTIALLY_PAID", "SUCCESS" | "") => PaymentSucceeded,
            ("EXPIRED", _) => PaymentExpired,
            ("CANCELLED", _) => PaymentCanceled,
            _ => PaymentUpdated,
        },
        "PAYMENT_FORM_ORDER_WEBHOOK" => match status {
            "PAID" => PaymentSucceeded,
            _ => PaymentUpdated,
        },
        "REFUND_STATUS_WEBHOOK" | "AUTO_REFUND_STATUS_WEBHOOK" | "SUBSCRIPTION_REFUND_STATUS" => match status
        {
            "SUCCESS" => RefundSucceeded,
            "FAILED" => RefundFailed,
            "CANCELLED" => RefundCanceled,
            _ => RefundPending,
        },
        "DISPUTE_CREATED" if matches!(detail, "RETRIEVAL" | "FRAUD_INQUIRY") => DisputeWarning,
        "DISPUTE_CREATED" => DisputeOpened,
        "DISPUTE_UPDATED" => DisputeUpdated,
        "DISPUTE_CLOSED" if status.ends_with("MERCHANT_WON") => DisputeWon,
        "DISPUTE_CLOSED" if status.ends_with("MERCHANT_LOST") || status.ends_with("MERCHANT_ACCEPTED") => {
            DisputeLost
        }
        "DISPUTE_CLOSED" => DisputeClosed,
        "SUBSCRIPTION_PAYMENT_SUCCESS" => PaymentSucceeded,
        "SUBSCRIPTION_PAYMENT_FAILED" => PaymentFailed,
        "SUBSCRIPTION_PAYMENT_CANCELLED" => PaymentCanceled,
        // The payer is told that a debit will come.
        "SUBSCRIPTION_PAYMENT_NOTIFICATION_INITIATED" => PaymentCreated,
        "SUBSCRIPTION_STATUS_CHANGED" | "SUBSCRIPTION_STATUS_CHANGE" => match status {
            "ACTIVE" => SubscriptionCreated,
            "CANCELLED" | "CUSTOMER_CANCELLED" | "COMPLETED" | "EXPIRED" | "LINK_EXPIRED"
            | "CARD_EXPIRED" => SubscriptionCanceled,
            _ => SubscriptionUpdated,
        },
        "SUBSCRIPTION_AUTH_STATUS" | "SUBSCRIPTION_CARD_EXPIRY_REMINDER" => SubscriptionUpdated,
        "SETTLEMENT_INITIATED" | "VENDOR_SETTLEMENT_INITIATED" => PayoutPending,
        "SETTLEMENT_SUCCESS" | "VENDOR_SETTLEMENT_SUCCESS" => PayoutSucceeded,
        "SETTLEMENT_FAILED"
        | "SETTLEMENT_REVERSED"
        | "VENDOR_SETTLEMENT_FAILED"
        | "VENDOR_SETTLEMENT_REVERSED" => PayoutFailed,
        "TRANSFER_SUCCESS" | "TRANSFER_ACKNOWLEDGED" => PayoutSucceeded,
        "TRANSFER_FAILED" | "TRANSFER_REVERSED" => PayoutFailed,
        "TRANSFER_REJECTED" => PayoutCanceled,
        // Some transfer of a batch was: it has an event of its own.
        "BULK_TRANSFER_REJECTED" => PayoutUpdated,
        _ => return None,
    })
}
