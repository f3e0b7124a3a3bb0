//! Chargebee. <https://apidocs.chargebee.com/docs/api/events>,
//! <https://apidocs.chargebee.com/docs/api/currencies>, <https://apidocs.chargebee.com/docs/api/transactions>
//!
//! Event id: `id` (`ev_…`). Transaction: the payment: of a refund or a reversal the one that it acts on
//! (`refunded_txn_id`), else the transaction itself; a capture also names its authorisation, as an alias. A payment
//! intent, a voucher, an invoice, a credit note or a subscription is its own. Movement: that object's own id.
//!
//! Money: integers in cents: whole units of currencies without decimals, hundredths of all others, also of those with
//! three decimals. A payment's, refund's or authorisation's is its transaction's amount, an intent's or voucher's its
//! own. A paid invoice's is `amount_paid`, one that could not be collected has `amount_due`. A transaction of zero
//! moves nothing (`payment.updated`). Subscriptions and credit notes have none.
//!
//! `transaction_created` tells what the transaction's type and status say, under the movement of the event beside it.
//! `transaction_updated` may be about any field, so that it never is a success.
//!
//! Signed: nothing. The sender proves itself by a static password. Time: `occurred_at`.

use std::{borrow::Cow, mem};

use serde::Deserialize;
use tollgate_core::{Category, Currency, Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, required, unknown},
    fields::{Number, Object, Text},
    json,
    money::{self, Amount},
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "chargebee", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    event_type: Text<'a>,
    occurred_at: Number<'a>,
    content: Object<Content<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Content<'a> {
    #[serde(borrow)]
    transaction: Object<Transaction<'a>>,
    invoice: Object<Invoice<'a>>,
    subscription: Object<Inner<'a>>,
    credit_note: Object<CreditNote<'a>>,
    payment_intent: Object<Inner<'a>>,
    payment_voucher: Object<Inner<'a>>,
    purchase: Object<Inner<'a>>,
    omnichannel_subscription: Object<Inner<'a>>,
    omnichannel_subscription_item: Object<Inner<'a>>,
    omnichannel_transaction: Object<Inner<'a>>,
    omnichannel_one_time_order: Object<Inner<'a>>,
    customer: Object<Buyer<'a>>,
    card: Object<Card<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Transaction<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    status: Text<'a>,
    refunded_txn_id: Text<'a>,
    reference_transaction_id: Text<'a>,
    reference_authorization_id: Text<'a>,
    amount: Number<'a>,
    currency_code: Text<'a>,
    payment_method: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Invoice<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    status: Text<'a>,
    amount_paid: Number<'a>,
    amount_due: Number<'a>,
    currency_code: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CreditNote<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    reference_invoice_id: Text<'a>,
}

/// An object of which no more is read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    status: Text<'a>,
    amount: Number<'a>,
    currency_code: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Buyer<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    billing_address: Object<Address<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Address<'a> {
    #[serde(borrow)]
    country: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Card<'a> {
    #[serde(borrow)]
    card_type: Text<'a>,
    issuing_country: Text<'a>,
}

/// What an event tells of the object that its type names.
struct Told<'a> {
    kind: EventType,
    transaction_id: Option<Cow<'a, str>>,
    alias: Option<Cow<'a, str>>,
    movement_id: Option<Cow<'a, str>>,
    amount: Amount,
}

impl<'a> Told<'a> {
    /// Of an object that is its own transaction and movement.
    fn own(kind: EventType, id: Text<'a>, amount: Amount) -> Self {
        let id = id.some();
        Self { kind, transaction_id: id.clone(), alias: None, movement_id: id, amount }
    }
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_id = required(event.id, "id")?;
    let event_type = event.event_type.some().unwrap_or_default();
    let occurred_at = event.occurred_at.unix_seconds();
    let mut content = event.content.or_default();
    let customer = mem::take(&mut content.customer).or_default();
    let card = mem::take(&mut content.card).or_default();
    let transaction = mem::take(&mut content.transaction).or_default();
    let method = transaction.payment_method.clone().some();
    let Some(told) = told(&event_type, transaction, content) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
    };
    // Each failed attempt is a transaction of its own, which two types of events may tell.
    let occurrence = match told.kind {
        EventType::PaymentFailed => told.movement_id.clone().or_else(|| told.transaction_id.clone()),
        _ => None,
    };
    let facts = Facts {
        transaction_id: told.transaction_id,
        aliases: told.alias.into_iter().collect(),
        movement_id: told.movement_id,
        occurrence,
        occurred_at,
        customer: Customer {
            id: customer.id.some(),
            country: customer.billing_address.or_default().country.some(),
        },
        method: PaymentMethod {
            kind: method,
            brand: card.card_type.some(),
            country: card.issuing_country.some(),
        },
        ..Facts::new(event_id, event_type, told.kind)
    };
    Ok(money::with_amount(facts, told.amount))
}

fn told<'a>(event_type: &str, transaction: Transaction<'a>, content: Content<'a>) -> Option<Told<'a>> {
    use EventType::*;
    Some(match event_type {
        "payment_initiated"
        | "payment_succeeded"
        | "payment_failed"
        | "payment_refunded"
        | "refund_initiated"
        | "authorization_succeeded"
        | "authorization_voided"
        | "transaction_created"
        | "transaction_updated"
        | "transaction_deleted" => of_transaction(event_type, transaction, content.invoice.or_default()),
        "payment_intent_created" | "payment_intent_updated" => {
            let intent = content.payment_intent.or_default();
            let amount = money::minor(intent.amount, &intent.currency_code, scale);
            let kind = match intent.status.as_str() {
                _ if event_type == "payment_intent_created" => PaymentCreated,
                "in_progress" => PaymentPending,
                "authorized" => PaymentAuthorized,
                "expired" => PaymentExpired,
                _ => PaymentUpdated,
            };
            Told::own(kind, intent.id, amount)
        }
        "voucher_created" | "voucher_expired" | "voucher_create_failed" => {
            let voucher = content.payment_voucher.or_default();
            let amount = money::minor(voucher.amount, &voucher.currency_code, scale);
            let kind = match event_type {
                "voucher_created" => PaymentRequiresAction,
                "voucher_expired" => PaymentExpired,
                _ => PaymentFailed,
            };
            Told::own(kind, voucher.id, amount)
        }
        "invoice_generated" | "invoice_generated_with_backdating" | "invoice_updated" => {
            of_invoice(content.invoice.or_default())
        }
        "invoice_deleted"
        | "dunning_updated"
        | "pending_invoice_created"
        | "pending_invoice_updated"
        | "payment_schedules_created"
        | "payment_schedules_updated" => Told::own(PaymentUpdated, content.invoice.or_default().id, Ok(None)),
        "credit_note_created"
        | "credit_note_created_with_backdating"
        | "credit_note_updated"
        | "credit_note_deleted" => {
            let note = content.credit_note.or_default();
            Told {
                transaction_id: note.reference_invoice_id.some(),
                ..Told::own(RefundUpdated, note.id, Ok(None))
            }
        }
        "purchase_created" => Told::own(PaymentCreated, content.purchase.or_default().id, Ok(None)),
        "omnichannel_transaction_created" => {
            Told::own(PaymentSucceeded, content.omnichannel_transaction.or_default().id, Ok(None))
        }
        "omnichannel_one_time_order_created" | "omnichannel_one_time_order_item_cancelled" => {
            Told::own(PaymentUpdated, content.omnichannel_one_time_order.or_default().id, Ok(None))
        }
        "omnichannel_subscription_created" | "omnichannel_subscription_imported" => {
            Told::own(SubscriptionCreated, content.omnichannel_subscription.or_default().id, Ok(None))
        }
        "omnichannel_subscription_item_expired" | "omnichannel_subscription_item_cancelled" => {
            of_app_item(SubscriptionCanceled, content)
        }
        name if name.starts_with("omnichannel_subscription_") => of_app_item(SubscriptionUpdated, content),
        "subscription_created" | "subscription_created_with_backdating" => {
            let subscription = content.subscription.or_default();
            // It starts on a later day, and `subscription_started` says so then.
            let is_future = subscription.status.as_str() == "future";
            let kind = if is_future { SubscriptionUpdated } else { SubscriptionCreated };
            Told::own(kind, subscription.id, Ok(None))
        }
        "subscription_started" => {
            Told::own(SubscriptionCreated, content.subscription.or_default().id, Ok(None))
        }
        "subscription_cancelled" | "subscription_canceled_with_backdating" | "subscription_deleted" => {
            Told::own(SubscriptionCanceled, content.subscription.or_default().id, Ok(None))
        }
        // Reminders tell what will be.
        name if name.ends_with("_reminder") => return None,
        name if name.starts_with("subscription_")
            || name.starts_with("contract_term_")
            || name == "mrr_updated" =>
        {
            Told::own(SubscriptionUpdated, content.subscription.or_default().id, Ok(None))
        }
        _ => return None,
    })
}

fn of_app_item(kind: EventType, content: Content<'_>) -> Told<'_> {
    let subscription = content.omnichannel_subscription.or_default().id.some();
    let item = Told::own(kind, content.omnichannel_subscription_item.or_default().id, Ok(None));
    Told { transaction_id: subscription.or(item.transaction_id), ..item }
}

fn of_invoice(invoice: Invoice<'_>) -> Told<'_> {
    let exact = |units| money::minor(units, &invoice.currency_code, scale);
    let (kind, amount) = match invoice.status.as_str() {
        // Paid by credits alone, or nothing was due.
        "paid" if invoice.amount_paid.text() == Some("0") => (EventType::PaymentUpdated, Ok(None)),
        "paid" => (EventType::InvoicePaid, exact(invoice.amount_paid)),
        "not_paid" => (EventType::InvoicePaymentFailed, exact(invoice.amount_due)),
        _ => (EventType::PaymentUpdated, Ok(None)),
    };
    Told::own(kind, invoice.id, amount)
}

fn of_transaction<'a>(event_type: &str, transaction: Transaction<'a>, invoice: Invoice<'a>) -> Told<'a> {
    use EventType::*;
    let has_amount = !transaction.amount.is_absent();
    let amount = match has_amount || event_type != "payment_failed" {
        true => money::minor(transaction.amount, &transaction.currency_code, scale),
        false => money::minor(invoice.amount_due, &invoice.currency_code, scale),
    };
    let (object, status) = (transaction.kind.as_str(), transaction.status.as_str());
    let acts_on_payment = matches!(object, "refund" | "payment_reversal");
    let kind = match event_type {
        "payment_initiated" => PaymentPending,
        "authorization_succeeded" => PaymentAuthorized,
        "authorization_voided" => PaymentCanceled,
        "payment_succeeded" => PaymentSucceeded,
        "payment_failed" => PaymentFailed,
        "refund_initiated" => RefundPending,
        "payment_refunded" => match status {
            "in_progress" => RefundPending,
            "failure" | "timeout" | "late_failure" => RefundFailed,
            "voided" => RefundCanceled,
            _ => RefundSucceeded,
        },
        "transaction_created" => match (object, status) {
            ("refund" | "payment_reversal", "success") => RefundSucceeded,
            ("refund" | "payment_reversal", "in_progress") => RefundPending,
            ("refund" | "payment_reversal", "failure" | "timeout" | "late_failure") => RefundFailed,
            ("refund" | "payment_reversal", "voided") => RefundCanceled,
            ("refund" | "payment_reversal", _) => RefundUpdated,
            ("authorization", "success") => PaymentAuthorized,
            ("payment", "success") => PaymentSucceeded,
            ("authorization" | "payment", "in_progress") => PaymentPending,
            ("authorization" | "payment", "failure" | "timeout" | "late_failure") => PaymentFailed,
            ("authorization" | "payment", "voided") => PaymentCanceled,
            _ => PaymentUpdated,
        },
        _ if acts_on_payment => RefundUpdated,
        _ => PaymentUpdated,
    };
    let kind = match &amount {
        Ok(Some(amount)) if amount.minor_units() == 0 && kind == PaymentSucceeded => PaymentUpdated,
        _ => kind,
    };
    let id = transaction.id.some();
    if kind.category() == Category::Refund {
        let refunded = transaction.refunded_txn_id.some();
        let refunded = refunded.or_else(|| transaction.reference_transaction_id.some());
        return Told {
            kind,
            transaction_id: refunded.or_else(|| id.clone()),
            alias: None,
            movement_id: id,
            amount,
        };
    }
    Told {
        kind,
        transaction_id: id.clone().or_else(|| invoice.id.some()),
        alias: transaction.reference_authorization_id.some(),
        movement_id: id,
        amount,
    }
}

/// Decimals by which Chargebee counts, where ISO 4217 says otherwise.
fn scale(currency: &str) -> Option<u8> {
    let exponent = Currency::new(currency).ok()?.exponent()?;
    (exponent > 2).then_some(2)
}
