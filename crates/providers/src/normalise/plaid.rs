//! Plaid. <https://plaid.com/docs/api/webhooks/>, <https://github.com/plaid/plaid-openapi>
//!
//! Provider's type: `{webhook_type}.{webhook_code}`.
//!
//! Event id: `{provider's type}:{movement}:{transaction, where another}:{wallet transaction, where another}:{payment, if it names
//! one}:{old status}:{new status}:{occurrence}:{time}`. What Plaid sends when there is something to fetch has neither a status
//! nor a time, and the next such webhook may be the same bytes. Its id has the second in which the token was issued (`iat`)
//! and the body's SHA-256 instead.
//!
//! Transaction: the payment; a wallet transaction that names none; a recurring transfer. Movement: the payment, for money into a
//! wallet too; for money out of a wallet the wallet transaction. Only credits become `SETTLED` and only debits `EXECUTED` in
//! a wallet. A payment's `EXECUTED` and `SETTLED` are one success: the money left the payer's account, then it arrived.
//!
//! Money: not in the webhooks; it must be fetched. Time: `timestamp`, else `iat`.
//!
//! Signed: the `Plaid-Verification` token, with the body's SHA-256 in it.

use base64::Engine as _;
use serde::Deserialize;
use tollgate_core::{Category, EventType, EventType::*, Facts, PaymentMethod, Timestamp, id::hex_sha256};

use super::{
    content::{ContentError, composite, required, unknown},
    fields::{Number, Text},
    identity::identified,
    json,
    normaliser::{Normaliser, Read},
};
use crate::{headers::Headers, request::Received};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "plaid",
    aliases: &[],
    headers: &["plaid-verification"],
    query: &[],
    read: Read::Request(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    webhook_type: Text<'a>,
    webhook_code: Text<'a>,
    payment_id: Text<'a>,
    transaction_id: Text<'a>,
    recurring_transfer_id: Text<'a>,
    transfer_id: Text<'a>,
    skipped_origination_date: Text<'a>,
    new_payment_status: Text<'a>,
    old_payment_status: Text<'a>,
    new_status: Text<'a>,
    old_status: Text<'a>,
    timestamp: Text<'a>,
    environment: Text<'a>,
}

fn normalise<'a>(received: Received<'a>) -> Result<Facts<'a>, ContentError> {
    let body: Body<'a> = json::read(received.body)?;
    let code = required(body.webhook_code, "webhook_code")?;
    let event_type = [body.webhook_type.as_str(), &*code].join(".");
    let issued = issued_at(received.headers);
    let timestamp = body.timestamp.as_str();
    let livemode = body.environment.is_live("production", "sandbox");
    let (payment, wallet) = (body.payment_id.some(), body.transaction_id.some());
    let recurring = body.recurring_transfer_id.some();
    let of_payment = if payment.is_some() { "payment" } else { "" };

    let (old, new) = match event_type.as_str() {
        "PAYMENT_INITIATION.PAYMENT_STATUS_UPDATE" => (&body.old_payment_status, &body.new_payment_status),
        _ => (&body.old_status, &body.new_status),
    };
    let (old, new) = (old.as_str(), new.as_str());
    let kind = match event_type.as_str() {
        "PAYMENT_INITIATION.PAYMENT_STATUS_UPDATE" => payment_status(new),
        "WALLET.WALLET_TRANSACTION_STATUS_UPDATE" => wallet_status(new, payment.is_some()),
        "TRANSFER.RECURRING_NEW_TRANSFER" => Some(SubscriptionUpdated),
        "TRANSFER.RECURRING_TRANSFER_SKIPPED" => Some(InvoicePaymentFailed),
        "TRANSFER.RECURRING_CANCELLED" => Some(SubscriptionCanceled),
        _ => None,
    };
    let kind = kind.map(|kind| if old == new && !new.is_empty() { unchanged(kind) } else { kind });

    let transfer = body.transfer_id.some();
    let date = body.skipped_origination_date.some();
    let (transaction_id, movement_id) = match kind.map(EventType::category) {
        Some(Category::Payment | Category::Refund | Category::Payout) => {
            let transaction = payment.or_else(|| wallet.clone());
            let is_payment = kind.is_some_and(|kind| kind.category() == Category::Payment);
            (transaction.clone(), if is_payment { transaction } else { wallet.clone() })
        }
        Some(_) => {
            let id = recurring.or(payment);
            (id.clone(), id)
        }
        None => (payment.or_else(|| wallet.clone()).or(transfer.clone()), None),
    };
    let occurrence =
        if kind.is_some_and(|kind| kind.category() == Category::Other) { transfer.or(date) } else { None };
    let method = PaymentMethod { kind: Some("bank_transfer".into()), ..PaymentMethod::default() };
    let facts = match kind {
        Some(kind) => Facts { method, ..Facts::new("", event_type, kind) },
        None => unknown("", event_type),
    };
    let facts = Facts {
        transaction_id,
        movement_id,
        occurrence,
        occurred_at: body.timestamp.moment().or(issued),
        livemode,
        ..facts
    };
    if facts.unrecognized.is_some() && timestamp.is_empty() {
        let issued = issued.map(|at| at.as_second().to_string()).unwrap_or_default();
        let event_id = composite(&[&facts.event_type, &issued, &hex_sha256(received.body)]);
        return Ok(Facts { event_id: event_id.into(), ..facts });
    }
    let wallet = wallet.filter(|id| facts.movement_id.as_ref() != Some(id)).unwrap_or_default();
    let occurrence = facts.occurrence.clone().unwrap_or_default();
    Ok(identified(facts, &[&wallet, of_payment, old, new, &occurrence, timestamp], received.body))
}

/// What a telling of a state becomes when the body says that the state is the one before.
fn unchanged(kind: EventType) -> EventType {
    match kind.category() {
        Category::Payment => PaymentUpdated,
        Category::Refund => RefundUpdated,
        Category::Payout => PayoutUpdated,
        _ => SubscriptionUpdated,
    }
}

fn payment_status(status: &str) -> Option<EventType> {
    Some(match status.strip_prefix("PAYMENT_STATUS_")? {
        "INPUT_NEEDED" => PaymentRequiresAction,
        "AUTHORISING" | "PROCESSING" | "INITIATED" | "UNKNOWN" => PaymentPending,
        "EXECUTED" | "SETTLED" | "SUCCESS" => PaymentSucceeded,
        "INSUFFICIENT_FUNDS" | "FAILED" | "BLOCKED" | "REJECTED" => PaymentFailed,
        "CANCELLED" => PaymentCanceled,
        // A standing order was set up. Its payments are the bank's to make.
        "ESTABLISHED" | "COMPLETED" => SubscriptionCreated,
        _ => return None,
    })
}

/// A wallet's transaction names a payment if it is that payment's money coming in, or a refund of it.
fn wallet_status(status: &str, names_payment: bool) -> Option<EventType> {
    Some(match (status, names_payment) {
        ("SETTLED", _) => PaymentSucceeded,
        ("EXECUTED", true) => RefundSucceeded,
        ("EXECUTED", false) => PayoutSucceeded,
        // A payment whose money does not come fails as a payment.
        ("FAILED" | "BLOCKED", true) => RefundFailed,
        ("FAILED" | "BLOCKED", false) => PayoutFailed,
        // Nothing says whether the money is to come or to go.
        ("AUTHORISING" | "INITIATED", true) => PaymentUpdated,
        ("AUTHORISING" | "INITIATED", false) => PayoutUpdated,
        _ => return None,
    })
}

/// When the token was issued. It has been verified with the signature.
fn issued_at(headers: &Headers) -> Option<Timestamp> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Claims<'a> {
        #[serde(borrow)]
        iat: Number<'a>,
    }
    let claims = headers.get("plaid-verification")?.split('.').nth(1)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).ok()?;
    json::read::<Claims<'_>>(&claims).ok()?.iat.unix_seconds()
}
