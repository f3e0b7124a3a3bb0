//! Mercado Pago. <https://www.mercadopago.com/developers/en/docs/your-integrations/notifications/webhooks>
//!
//! Event id: `{action}:{movement}:{transaction, where another}:{type}:{id}:{status}:{version}:{amount}`. Orders of Point
//! have no `id` but a version. Provider's type: `action`, else `type`; both where the action is only `created` or `updated`.
//!
//! Signed: the query's `data.id`, `x-request-id` and the time of sending; nothing of the body. So no event is verified, and a
//! body that names another `data.id` than the signed one is unrecognized, under the signed one.
//!
//! Transaction: the order, payment, subscription or whatever `data.id` names; of chargebacks, claims and fraud alerts the payment,
//! `data.payment_id`. The payment of an order is an alias where it has only one. Movement: the same; of an order's
//! refund the refund, where the body lists one, else `{order}:refunds:{how many}`.
//!
//! Money: orders alone have it, as decimals without a currency: that is the endpoint's `default_currency`. An order's amount is
//! `total_paid_amount`, a refund's its own. All else must be fetched, and so must be the state of a payment or a
//! subscription: `payment.updated` says only that there is a new one.
//!
//! Time: `date_created` of orders, of which each notification has its own, and of what is created; elsewhere it is when the
//! resource was created, and absent.

use std::borrow::Cow;

use serde::Deserialize;
use tollgate_core::{Customer, EndpointConfig, EventType, EventType::*, Facts, PaymentMethod};

use super::{
    content::{ContentError, unknown},
    fields::{First, Flag, Id, Number, Object, Pairs, Text},
    identity::identified,
    json,
    money::{self, Amount},
    normaliser::{Normaliser, Read},
    thin::{NamedObject, Thin},
};
use crate::{request::Received, text::form_field};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "mercadopago",
    aliases: &["mercado_pago"],
    headers: &[],
    query: &["data.id"],
    read: Read::RequestAndSettings(normalise),
};

/// A payment, which a webhook only names. <https://www.mercadopago.com/developers/en/reference/payments/_payments_id/get>
///
/// Its id is the signed one of the query. What became of it is its `status`; whoever asks late sees a later one, and a webhook of
/// each is sent. Amount: of the payment `transaction_amount`, of its only refund the refund's.
pub(super) const THIN: Thin = Thin { name: "mercadopago", kinds: &[PAYMENT], named, read: read_payment };

const PAYMENT: &str = "payment";

const OTHER_SUBJECT: &str = "data.id of the body is not the signed one";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    action: Text<'a>,
    actions: First<Text<'a>>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    date_created: Text<'a>,
    live_mode: Flag,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    payment_id: Id<'a>,
    status: Text<'a>,
    status_detail: Text<'a>,
    version: Id<'a>,
    currency: Text<'a>,
    currency_id: Text<'a>,
    total_paid_amount: Number<'a>,
    total_amount: Number<'a>,
    transactions: Object<Transactions<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Transactions<'a> {
    #[serde(borrow)]
    payments: First<Part<'a>>,
    refunds: First<Part<'a>>,
}

/// A payment or a refund of an order.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Part<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    reference_id: Id<'a>,
    status: Text<'a>,
    amount: Number<'a>,
}

fn normalise<'a>(received: Received<'a>, config: &EndpointConfig) -> Result<Facts<'a>, ContentError> {
    let event: Event<'a> = json::read(received.body)?;
    let mut data = event.data.or_default();
    let named = std::mem::take(&mut data.id).some();
    let signed = form_field(received.query.as_bytes(), "data.id");
    let signed = signed.map_err(|_| ContentError::InvalidField("data.id"))?.filter(|id| !id.is_empty());
    let (subject, is_other) = match (named, signed) {
        // The signature may be of the id in lower case.
        (Some(named), Some(signed)) if !named.eq_ignore_ascii_case(&signed) => (Some(lower(signed)), true),
        (Some(named), _) => (Some(named), false),
        (None, signed) => (signed.map(lower), false),
    };
    let topic = event.kind.some().unwrap_or_default();
    let first_action = event.actions.value.unwrap_or_default().some();
    let event_type = match event.action.some() {
        Some(action) if action.contains('.') || topic.is_empty() => action,
        Some(action) => [&*topic, &*action].join(".").into(),
        None => topic.clone(),
    };
    let (status, detail) = (data.status, data.status_detail);
    let refunds = data.transactions.or_default();
    let (count, refund) = (refunds.refunds.count, refunds.refunds.only());
    let mut refund = refund.unwrap_or_default();
    let refund_status = std::mem::take(&mut refund.status);
    let kind =
        kind(&topic, &event_type, detail.as_str(), count > 0).map(|kind| match refund_status.as_str() {
            "processing" | "in_process" | "pending" if kind == RefundSucceeded => RefundPending,
            "failed" | "rejected" if kind == RefundSucceeded => RefundFailed,
            _ => kind,
        });
    let currency = match (data.currency, data.currency_id, config.parameters.get("default_currency")) {
        (Text::Absent, Text::Absent, Some(code)) => Text::Value(code.clone().into()),
        (Text::Absent, currency, _) | (currency, ..) => currency,
    };

    let id = event.id.some().unwrap_or_default();
    let version = data.version.some().unwrap_or_default();
    let action = first_action.unwrap_or_default();
    let words =
        [&*topic, &*id, status.as_str(), detail.as_str(), refund_status.as_str(), &*version, &*action];
    let facts = match kind {
        _ if is_other => Facts::unrecognized("", event_type, OTHER_SUBJECT),
        Some(kind) => Facts::new("", event_type, kind),
        None => unknown("", event_type),
    };
    let payment = refunds.payments.only().unwrap_or_default();
    let mut about = About { transaction: subject.clone(), movement: subject, ..About::default() };
    match facts.kind {
        RefundSucceeded | RefundPending | RefundFailed => about.refund(refund, count, &currency),
        DisputeOpened => {
            about.movement = about.movement.map(|order| [&*order, ":chargeback"].concat().into())
        }
        DisputeUpdated | DisputeWarning => {
            about.transaction = data.payment_id.some().or(about.transaction);
        }
        _ if is_other => {}
        PaymentSucceeded => about.amount = money::decimal(data.total_paid_amount, &currency),
        PaymentRequiresAction
        | PaymentAuthorized
        | PaymentFailed
        | PaymentCanceled
        | PaymentExpired
        | PaymentCreated => {
            about.amount = money::decimal(data.total_amount, &currency);
        }
        _ => {}
    }
    let of_order = facts.event_type.starts_with("order.");
    if !is_other && of_order {
        let ids = [payment.id.some(), payment.reference_id.some()];
        about.aliases = ids.into_iter().flatten().collect();
    }
    let is_dated = of_order || facts.event_type.ends_with("created");
    let facts = Facts {
        transaction_id: about.transaction,
        aliases: about.aliases,
        movement_id: about.movement,
        occurred_at: event.date_created.moment().filter(|_| is_dated),
        livemode: event.live_mode.some(),
        is_unsigned: true,
        ..facts
    };
    Ok(identified(money::with_amount(facts, about.amount), &words, received.body))
}

fn named(received: Received<'_>) -> Option<NamedObject<'_>> {
    let event: Event<'_> = json::read(received.body).ok()?;
    let signed = form_field(received.query.as_bytes(), "data.id").ok()??;
    let is_same = event.data.or_default().id.some().is_none_or(|named| named == signed);
    let is_payment = event.kind.as_str() == PAYMENT && is_same && signed.bytes().all(|b| b.is_ascii_digit());
    if is_payment { NamedObject::new(PAYMENT, signed) } else { None }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payment<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    status: Text<'a>,
    status_detail: Text<'a>,
    transaction_amount: Number<'a>,
    currency_id: Text<'a>,
    payment_method_id: Text<'a>,
    payment_type_id: Text<'a>,
    live_mode: Flag,
    payer: Object<Payer<'a>>,
    refunds: First<Part<'a>>,
    metadata: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payer<'a> {
    #[serde(borrow)]
    id: Id<'a>,
}

fn read_payment<'a>(
    received: Received<'a>,
    object: &'a [u8],
    config: &EndpointConfig,
) -> Result<Facts<'a>, ContentError> {
    let wanted = named(received).ok_or(ContentError::InvalidField("data.id"))?;
    let payment: Payment<'a> = json::read(object)?;
    let id = payment.id.some().filter(|id| *id == wanted.id).ok_or(ContentError::InvalidField("id"))?;
    let thin = normalise(received, config)?;
    let (status, detail) = (payment.status.as_str(), payment.status_detail.as_str());
    let kind = match (status, detail) {
        ("pending" | "in_process", _) => PaymentPending,
        ("authorized", _) => PaymentAuthorized,
        ("approved", "partially_refunded") | ("refunded", _) => RefundSucceeded,
        ("approved", _) => PaymentSucceeded,
        ("rejected", _) => PaymentFailed,
        ("cancelled", "expired") => PaymentExpired,
        ("cancelled", _) => PaymentCanceled,
        ("in_mediation", _) => DisputeOpened,
        ("charged_back", "settled") => DisputeLost,
        ("charged_back", "reimbursed") => DisputeWon,
        ("charged_back", _) => DisputeOpened,
        _ => PaymentUpdated,
    };
    let own = |what: &str| Some([&*id, ":", what].concat().into());
    let whole = || money::decimal(payment.transaction_amount, &payment.currency_id);
    let (movement, amount) = match kind {
        RefundSucceeded => {
            let count = payment.refunds.count;
            let refund = payment.refunds.only().unwrap_or_default();
            let amount = money::decimal(refund.amount, &payment.currency_id);
            // Where there were several, nothing says which of them is told.
            (refund.id.some().or_else(|| own(&format!("refunds:{count}"))), amount)
        }
        DisputeOpened if status == "in_mediation" => (own("mediation"), Ok(None)),
        DisputeOpened | DisputeLost | DisputeWon => (own("chargeback"), Ok(None)),
        PaymentUpdated => (Some(id.clone()), Ok(None)),
        _ => (Some(id.clone()), whole()),
    };
    let facts = Facts {
        kind,
        unrecognized: None,
        transaction_id: Some(id),
        aliases: Vec::new(),
        movement_id: movement,
        // A payment is rejected once: another try is another payment.
        occurrence: (kind == PaymentFailed).then(|| "".into()),
        livemode: payment.live_mode.some().or(thin.livemode),
        customer: Customer { id: payment.payer.or_default().id.some(), country: None },
        method: PaymentMethod {
            kind: payment.payment_type_id.some(),
            brand: payment.payment_method_id.some(),
            country: None,
        },
        metadata: payment.metadata.into_vec(),
        amount: None,
        ..thin
    };
    Ok(money::with_amount(facts, amount))
}

/// In one case: which one the query has is not signed.
fn lower(id: Cow<'_, str>) -> Cow<'_, str> {
    if id.bytes().any(|byte| byte.is_ascii_uppercase()) { id.to_ascii_lowercase().into() } else { id }
}

/// What an event is about.
struct About<'a> {
    transaction: Option<Cow<'a, str>>,
    aliases: Vec<Cow<'a, str>>,
    movement: Option<Cow<'a, str>>,
    amount: Amount,
}

impl Default for About<'_> {
    fn default() -> Self {
        Self { transaction: None, aliases: Vec::new(), movement: None, amount: Ok(None) }
    }
}

impl<'a> About<'a> {
    /// A refund of an order. Where the order has had several, nothing says which of them is told.
    fn refund(&mut self, only: Part<'a>, count: usize, currency: &Text<'_>) {
        self.amount = money::decimal(only.amount, currency);
        let of_order = || self.movement.as_deref().map(|order| format!("{order}:refunds:{count}").into());
        self.movement = only.id.some().or_else(of_order);
    }
}

fn kind(topic: &str, action: &str, detail: &str, has_refunds: bool) -> Option<EventType> {
    let is_refunded = detail.contains("refunded");
    Some(match (action, topic) {
        // <https://www.mercadopago.com/developers/en/docs/order/notifications>
        ("order.created", _) => PaymentCreated,
        ("order.processing", _) => PaymentPending,
        ("order.at_terminal", _) => PaymentPending,
        // <https://www.mercadopago.com.br/developers/en/docs/checkout-pro-orders/payment-management/status/order-status>
        ("order.action_required", _) if detail == "waiting_capture" => PaymentAuthorized,
        ("order.action_required", _) => PaymentRequiresAction,
        // A part was refunded of an order that was processed before.
        ("order.processed", _) if is_refunded && has_refunds => RefundSucceeded,
        ("order.processed", _) if is_refunded => PaymentUpdated,
        ("order.processed", _) => PaymentSucceeded,
        ("order.failed", _) => PaymentFailed,
        ("order.canceled", _) => PaymentCanceled,
        ("order.expired", _) => PaymentExpired,
        ("order.refunded", _) => RefundSucceeded,
        ("order.charged_back", _) => DisputeOpened,
        ("order.updated", _) => PaymentUpdated,
        ("payment.created", _) => PaymentCreated,
        ("payment.updated", _) => PaymentUpdated,
        (_, "topic_chargebacks_wh" | "chargebacks" | "topic_claims_integration_wh" | "claim") => {
            DisputeUpdated
        }
        (_, "stop_delivery_op_wh") => DisputeWarning,
        // A merchant's order may have several payments, and a subscription's payment is fetched.
        (_, "topic_merchant_order_wh" | "merchant_order" | "subscription_authorized_payment") => {
            PaymentUpdated
        }
        // A subscription that is created may wait for its payer.
        (_, "subscription_preapproval") => SubscriptionUpdated,
        _ => return None,
    })
}
