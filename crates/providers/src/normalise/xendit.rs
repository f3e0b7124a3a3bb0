//! Xendit. <https://docs.xendit.co/docs/handling-webhooks>
//!
//! The newer products have an `event` and stand under `data`. Invoices, disbursements, virtual accounts and retail outlets
//! stand at the top level, without an `event`: what they are is told by their fields, and their state is in `status`. A payment
//! to a virtual account or an outlet has no state: it is called `virtual_account.paid` and `outlet.paid` here. The first
//! versions of QR codes and of direct debits have an `event` and stand at the top level; refunds may stand under the
//! `data` of `data` (<https://docs.xendit.co/apidocs/refund-webhook-notification>).
//!
//! Event id: `{event, else status}:{movement}:{transaction, where another}:{status}:{what it is}:{time}:{amount}`. The header
//! `webhook-id` proves nothing and is not read.
//!
//! Transaction: the payment (`payment_id`, else the payment request, else the invoice or session); an e-wallet's refund
//! names the charge. A payment that is its request's only one has the request as an alias; an invoice has its payment, and
//! a refund its invoice. Movement: the payment; the
//! refund's or payout's own id; the capture's, where a payment has several; the plan or the cycle.
//!
//! Money: a JSON number in major units; IDR where a disbursement, a virtual account, an outlet or a QR code of the first version
//! names no currency. A capture
//! is of its own `capture_amount`, an invoice of its `paid_amount`. A plan's price was not charged.
//!
//! Time: `updated`, else the event's `created`; `paid_at` of an invoice, `transaction_timestamp` of an account or outlet. When an
//! object was made is not the time of its events.
//!
//! Signed: nothing. The sender proves itself by a static token.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use tollgate_core::{Customer, EndpointConfig, EventType, EventType::*, Facts, PaymentMethod};

use super::{
    content::{ContentError, unknown},
    fields::{Number, Object, Pairs, Text, each, first_moment},
    identity::identified,
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "xendit",
    aliases: &[],
    headers: &[],
    query: &[],
    read: Read::BodyAndSettings(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    data: Object<Subject<'a>>,
    id: Text<'a>,
    payment_id: Text<'a>,
    callback_virtual_account_id: Text<'a>,
    fixed_payment_code_id: Text<'a>,
    retail_outlet_name: Text<'a>,
    status: Text<'a>,
    amount: Number<'a>,
    paid_amount: Number<'a>,
    currency: Text<'a>,
    payment_method: Text<'a>,
    payment_channel: Text<'a>,
    external_id: Text<'a>,
    disbursement_description: Text<'a>,
    bank_code: Text<'a>,
    timestamp: Text<'a>,
    paid_at: Text<'a>,
    transaction_timestamp: Text<'a>,
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
    payment_session_id: Text<'a>,
    session_type: Text<'a>,
    charge_id: Text<'a>,
    invoice_id: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    status: Text<'a>,
    customer_id: Text<'a>,
    amount: Number<'a>,
    request_amount: Number<'a>,
    capture_amount: Number<'a>,
    charge_amount: Number<'a>,
    refund_amount: Number<'a>,
    captures: Captures<'a>,
    currency: Text<'a>,
    country: Text<'a>,
    channel_code: Text<'a>,
    updated: Text<'a>,
    metadata: Pairs<'a>,
}

/// What has its subject under the `data` of its `data`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Nested<'a> {
    #[serde(borrow)]
    data: Object<Within<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Within<'a> {
    #[serde(borrow)]
    data: Object<Subject<'a>>,
}

impl<'a> Subject<'a> {
    /// What an event is about, wherever it stands.
    fn of(data: Object<Self>, bytes: &'a [u8]) -> Result<Self, ContentError> {
        let is_sent = |text: &Text<'_>| *text != Text::Absent;
        match data {
            Object::Value(data)
                if is_sent(&data.id) || is_sent(&data.payment_id) || is_sent(&data.status) =>
            {
                Ok(data)
            }
            Object::Value(data) => {
                let nested: Nested<'a> = json::read(bytes)?;
                Ok(nested.data.or_default().data.some().unwrap_or(data))
            }
            Object::Absent | Object::Wrong => json::read(bytes),
        }
    }
}

/// The last capture of a payment, and how many there were.
#[derive(Default)]
struct Captures<'a> {
    last: Capture<'a>,
    count: usize,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Capture<'a> {
    #[serde(borrow)]
    capture_id: Text<'a>,
    capture_amount: Number<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Captures<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut captures = Self::default();
        each(deserializer, |capture: Object<Capture<'de>>| {
            captures.last = capture.or_default();
            captures.count += 1;
        })?;
        Ok(captures)
    }
}

fn normalise<'a>(bytes: &'a [u8], config: &EndpointConfig) -> Result<Facts<'a>, ContentError> {
    let mut body: Body<'a> = json::read(bytes)?;
    match std::mem::take(&mut body.event).some() {
        Some(event_type) => event(event_type, body, bytes, config),
        None => top_level(body, bytes, config),
    }
}

fn event<'a>(
    event_type: Cow<'a, str>,
    body: Body<'a>,
    bytes: &'a [u8],
    config: &EndpointConfig,
) -> Result<Facts<'a>, ContentError> {
    let is_flat = !matches!(body.data, Object::Value(_));
    let subject = Subject::of(body.data, bytes)?;
    let (family, _) = event_type.split_once('.').unwrap_or((&event_type, ""));
    let status = subject.status;
    let has_payment = !subject.payment_id.as_str().is_empty();
    let is_saving = subject.session_type.as_str() == "SAVE";
    let kind = match event_kind(&event_type, status.as_str()) {
        // Nothing is paid where a payment method is only stored.
        Some(PaymentSucceeded) if family == "payment_session" && is_saving => None,
        // The payment itself is told by its own event, under an id that this one does not name.
        Some(PaymentSucceeded) if family == "payment_session" && !has_payment => Some(PaymentUpdated),
        kind => kind,
    };
    // A refund of an e-wallet has its charge's amounts beside its own.
    let units = [
        subject.refund_amount,
        subject.captures.last.capture_amount,
        subject.capture_amount,
        subject.amount,
        subject.charge_amount,
        subject.request_amount,
    ];
    let units = units.into_iter().find(|units| !units.is_absent()).unwrap_or_default();
    let units = if event_type.starts_with("recurring.plan.") { Number::Absent } else { units };
    let currency = match money::currency_or_default(&subject.currency, config) {
        // QRIS is Indonesian.
        Err(money::NO_CURRENCY) if is_flat && family == "qr" => money::parse_currency("IDR"),
        currency => currency,
    };
    let amount = money::decimal_in(units, || currency);

    let own = subject.id.some();
    let request = subject.payment_request_id.some();
    let payment = subject.payment_id.some();
    // The request of a code that is used again has many payments.
    let is_only = matches!(subject.kind.as_str(), "" | "PAY" | "PAY_AND_SAVE" | "SINGLE_PAYMENT");
    let alias = match family {
        "refund" => subject.invoice_id.clone().some(),
        _ => request.clone().filter(|_| is_only && (payment.is_some() || family == "payment")),
    };
    let several = subject.captures.count > 1;
    let capture = if several { subject.captures.last.capture_id.some() } else { None };
    let (movement_id, transaction_id) = match family {
        "refund" => {
            (own.clone(), payment.or(request).or_else(|| subject.invoice_id.some()).or_else(|| own.clone()))
        }
        _ if !subject.charge_id.as_str().is_empty() => (own, subject.charge_id.some()),
        "capture" => (own.clone(), payment.or(request).or(own)),
        "payment_request" => {
            let id = request.or(own);
            (id.clone(), id)
        }
        "payment_session" => {
            let id = payment.or_else(|| subject.payment_session_id.some()).or(own);
            (id.clone(), id)
        }
        "payout" | "recurring" => (own.clone(), own),
        _ => {
            let id = payment.or(own).or(request);
            (capture.or_else(|| id.clone()), id)
        }
    };
    let facts = match kind {
        Some(kind) => Facts::new("", event_type, kind),
        None => unknown("", event_type),
    };
    let facts = Facts {
        aliases: alias.filter(|id| Some(id) != transaction_id.as_ref()).into_iter().collect(),
        transaction_id,
        // Each attempt is a payment of its own.
        occurrence: (kind == Some(PaymentFailed)).then(|| movement_id.clone()).flatten(),
        movement_id,
        occurred_at: first_moment([&subject.updated, &body.timestamp, &body.created]),
        customer: Customer { id: subject.customer_id.some(), country: subject.country.some() },
        method: PaymentMethod { kind: subject.channel_code.some(), ..PaymentMethod::default() },
        metadata: subject.metadata.into_vec(),
        ..facts
    };
    let session = if has_payment { "with payment" } else { subject.session_type.as_str() };
    let saving = if is_saving { "SAVE" } else { "" };
    let words = [status.as_str(), session, saving, subject.updated.as_str()];
    Ok(identified(money::with_amount(facts, amount), &words, bytes))
}

fn top_level<'a>(
    body: Body<'a>,
    bytes: &'a [u8],
    config: &EndpointConfig,
) -> Result<Facts<'a>, ContentError> {
    let is_sent = |text: &Text<'_>| *text != Text::Absent;
    let is_account = is_sent(&body.callback_virtual_account_id);
    let is_outlet = is_sent(&body.fixed_payment_code_id) || is_sent(&body.retail_outlet_name);
    let is_payment = (is_account || is_outlet) && is_sent(&body.payment_id);
    let is_disbursement = is_sent(&body.disbursement_description)
        || is_sent(&body.bank_code) && !is_sent(&body.payment_method) && !is_sent(&body.paid_at);
    // A virtual account was opened or changed: nothing is paid.
    let is_opened = is_disbursement && !is_sent(&body.disbursement_description) && body.amount.is_absent();
    let status = body.status.some().unwrap_or_default();
    let what = match () {
        () if is_payment && is_account => "virtual account",
        () if is_payment => "outlet",
        () if !is_sent(&body.external_id) => "",
        () if is_opened => "account",
        () if is_disbursement => "disbursement",
        () => "invoice",
    };
    let kind = match what {
        // They are told once, when the money is there; an outlet's status is that of the settlement.
        "virtual account" | "outlet" => Some(PaymentSucceeded),
        "" | "account" => None,
        _ => status_kind(&status, what == "disbursement"),
    };
    let (own, payment) = (body.id.some(), body.payment_id.some());
    let alias = payment.clone().filter(|payment| what == "invoice" && Some(payment) != own.as_ref());
    let id = if is_payment { payment } else { own };
    if id.is_none() && status.is_empty() {
        return Err(ContentError::MissingField("id"));
    }
    let is_paid = kind == Some(PaymentSucceeded) && !body.paid_amount.is_absent();
    let units = if is_paid { body.paid_amount } else { body.amount };
    let currency = match money::currency_or_default(&body.currency, config) {
        Err(money::NO_CURRENCY) if what != "invoice" => money::parse_currency("IDR"),
        currency => currency,
    };
    let amount = money::decimal_in(units, || currency);
    let moments = [&body.paid_at, &body.transaction_timestamp, &body.updated];
    let time = moments.into_iter().map(Text::as_str).find(|text| !text.is_empty()).unwrap_or_default();
    let occurred_at = first_moment(moments);
    // A payment to an account or an outlet has no status that says so.
    let event_type = if is_payment {
        Cow::Borrowed(if is_account { "virtual_account.paid" } else { "outlet.paid" })
    } else {
        status
    };
    let facts = match kind {
        Some(kind) => Facts::new("", event_type, kind),
        None => unknown("", event_type),
    };
    let facts = Facts {
        movement_id: id.clone(),
        transaction_id: id,
        aliases: alias.into_iter().collect(),
        occurred_at,
        method: PaymentMethod {
            kind: body.payment_method.some(),
            brand: body.payment_channel.some().or_else(|| body.retail_outlet_name.some()),
            country: None,
        },
        ..facts
    };
    Ok(identified(money::with_amount(facts, amount), &[what, time], bytes))
}

fn event_kind(event_type: &str, status: &str) -> Option<EventType> {
    let by_status = |succeeded, failed, pending| match status {
        "SUCCEEDED" | "COMPLETED" | "SUCCESSFUL" => succeeded,
        "FAILED" => failed,
        "VOIDED" | "CANCELLED" => PaymentCanceled,
        _ => pending,
    };
    Some(match event_type {
        "payment.awaiting_capture" | "payment.authorization" => PaymentAuthorized,
        "payment.pending" | "payment_request.pending" => PaymentPending,
        "payment.succeeded" | "payment.capture" | "capture.succeeded" => PaymentSucceeded,
        "payment.failed" | "payment.failure" | "payment_request.failed" => PaymentFailed,
        "capture.failed" => PaymentCaptureFailed,
        "payment.expired" | "payment_request.expired" | "payment_request.expiry" => PaymentExpired,
        "payment_session.completed" => PaymentSucceeded,
        "payment_session.expired" => PaymentExpired,
        "ewallet.capture" | "qr.payment" | "direct_debit.payment" | "paylater.payment" => {
            by_status(PaymentSucceeded, PaymentFailed, PaymentPending)
        }
        // A charge that is released on the day it was made.
        "ewallet.void" => by_status(PaymentCanceled, PaymentUpdated, PaymentUpdated),
        "ewallet.refund" | "paylater.refund" => match by_status(RefundSucceeded, RefundFailed, RefundPending)
        {
            PaymentCanceled => RefundCanceled,
            kind => kind,
        },
        "refund.succeeded" => RefundSucceeded,
        "refund.failed" => RefundFailed,
        "payout.succeeded" => PayoutSucceeded,
        "payout.failed" | "payout.expired" | "payout.reversed" => PayoutFailed,
        "payout.cancelled" => PayoutCanceled,
        "recurring.plan.activated" => SubscriptionCreated,
        "recurring.plan.inactivated" => SubscriptionCanceled,
        "recurring.cycle.created" => SubscriptionUpdated,
        "recurring.cycle.succeeded" => InvoicePaid,
        "recurring.cycle.failed" | "recurring.cycle.retrying" | "recurring.cycle.force_attempt_failed" => {
            InvoicePaymentFailed
        }
        _ => return None,
    })
}

fn status_kind(status: &str, disbursement: bool) -> Option<EventType> {
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
