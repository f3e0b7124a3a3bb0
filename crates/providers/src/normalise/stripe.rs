//! Stripe. <https://docs.stripe.com/api/events/types>, <https://docs.stripe.com/currencies>
//!
//! Event id: `id`. The whole body is signed. Time: the event's `created`.
//!
//! Transaction: the payment intent, else the charge, the invoice or the Checkout session that the event names; what it
//! names besides is an alias, but for the charge of an intent. Since API version 2025-03-31 an invoice no longer names
//! its payment intent: `invoice_payment.paid` names both
//! (<https://docs.stripe.com/changelog/basil/2025-03-31/add-support-for-multiple-partial-payments-on-invoices>).
//!
//! Movement: of a payment's states the transaction, whether the intent, its charge or its Checkout session tells them;
//! else the refund, dispute, payout, invoice or subscription. A subscription's Checkout tells what happened to its
//! invoice, since the money is told by the invoice's payment intent.
//!
//! Amount, in Stripe's own minor units: of payments and their captures what was received, captured or authorised in all
//! (one intent is one movement); of refunds, disputes and payouts their own; of invoices what was paid of them in all, or
//! is due; of further captures of a charge what each of them added; of Checkout sessions their total. `charge.refunded`
//! and `transfer.reversed` carry running sums: what the event added is the sum less the one in `previous_attributes`, and
//! unknown without it, unless the sum is zero.
//!
//! A `charge.refunded` names the refund only before API version 2022-11-15. Since 2024-10-28 it comes beside
//! `refund.created`, which is the refund, and is an update of it
//! (<https://docs.stripe.com/changelog/acacia/2024-10-28/refund-webhook-update>). Between them the charge and its running
//! sum stand for the refund. A charge that was never captured cannot be refunded: its authorisation is released.
//!
//! An `….updated` event whose `previous_attributes` do not have the status is an update, whatever the status is.

mod body;
mod thin;

use std::borrow::Cow;

use tollgate_core::{Category, Customer, EndpointConfig, EventType, Facts, PaymentMethod};

use self::body::{Data, Event, List, Previous, Reversal, Subject};
use super::{
    content::{ContentError, required, transaction, unknown},
    fields::{Number, Object, Text},
    json,
    money::{self, Amount},
    normaliser::{Normaliser, Read},
    thin::{NamedObject, Thin},
};
use crate::request::Received;

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "stripe", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

/// What thin events only name.
pub(super) const THIN: Thin = Thin { name: "stripe", kinds: thin::KINDS, named, read: read_thin };

/// The first API version under which every refund has events of its own.
const REFUND_EVENTS: &str = "2024-10-28";

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    facts(json::read(body)?)
}

fn facts(event: Event<'_>) -> Result<Facts<'_>, ContentError> {
    let event_id = required(event.id, "id")?;
    let Data { object, previous_attributes } = event.data.or_default();
    let mut subject = object.or_default();
    let (previous, has_previous) = match previous_attributes {
        Object::Value(previous) => (previous, true),
        Object::Absent | Object::Wrong => (Previous::default(), false),
    };
    // Thin events (`v2.core.event`) write the time as RFC 3339 text.
    let occurred_at = match event.created {
        Number::Quoted(text) => text.parse().ok(),
        created => created.unix_seconds(),
    };
    let event_type = event.kind.as_str();
    let amount = amount(event_type, &subject, &previous);
    let reversal = reversal(event_type, &mut subject, &amount);
    let told = Told {
        event_type,
        subject: &subject,
        previous: has_previous.then_some(&previous),
        has_refund_events: event.api_version.as_str() >= REFUND_EVENTS,
        reversal: reversal.as_ref(),
    };
    let kind = told.kind();
    let ids = told.ids(kind.unwrap_or(EventType::PaymentUnrecognized));
    let amount = match &reversal {
        // A subscription has no amount: its invoice has.
        _ if kind == Some(EventType::SubscriptionCreated) => Ok(None),
        Some(reversal) => money::minor(reversal.amount, &subject.currency, scale),
        None => amount,
    };

    let details = subject.payment_method_details.or_default();
    let card = details.card.or_default();
    let country = [
        subject.billing_details.or_default().address,
        subject.customer_details.or_default().address,
        subject.customer_address,
    ]
    .into_iter()
    .find_map(|address| address.or_default().country.some());
    let facts = Facts {
        transaction_id: ids.transaction,
        aliases: ids.aliases,
        occurred_at,
        customer: Customer { id: subject.customer.0.some(), country },
        method: PaymentMethod {
            kind: details.kind.some(),
            brand: card.brand.some(),
            country: card.country.some(),
        },
        provider_risk_score: subject.outcome.or_default().risk_score.integer(),
        livemode: event.livemode.some(),
        metadata: subject.metadata.into_vec(),
        ..unknown(event_id, event.kind.some().unwrap_or_default())
    };
    let Some(kind) = kind else {
        // Where no payment is named, an amount may be of anything, such as a product's price.
        let amount = amount.ok().flatten().filter(|_| facts.transaction_id.is_some());
        return Ok(Facts { amount, ..facts });
    };
    let facts =
        Facts { kind, unrecognized: None, movement_id: ids.movement, occurrence: ids.occurrence, ..facts };
    Ok(money::with_amount(facts, amount))
}

fn named(received: Received<'_>) -> Option<NamedObject<'_>> {
    thin::named(received, is_of_money)
}

/// Whether an event of this type, of whatever object, is of money.
fn is_of_money(event_type: &str) -> bool {
    let subject = Subject::default();
    let told =
        Told { event_type, subject: &subject, previous: None, has_refund_events: true, reversal: None };
    told.kind().is_some()
}

fn read_thin<'a>(
    received: Received<'a>,
    object: &'a [u8],
    _: &EndpointConfig,
) -> Result<Facts<'a>, ContentError> {
    let wanted = named(received).ok_or(ContentError::InvalidField("related_object"))?;
    // Thin events came long after refunds had events of their own.
    let (event, event_type) = thin::told_with(received, &wanted, object, REFUND_EVENTS)?;
    Ok(Facts { event_type, ..facts(event)? })
}

/// The refund or reversal that a running sum's event names: the newest of its list, unless its amount says that it is not
/// the one that was added.
fn reversal<'a>(event_type: &str, subject: &mut Subject<'a>, added: &Amount) -> Option<Reversal<'a>> {
    let list = match event_type {
        "charge.refunded" => &mut subject.refunds,
        "transfer.reversed" => &mut subject.reversals,
        _ => return None,
    };
    let newest =
        std::mem::take(list).some().and_then(List::newest).filter(|newest| newest.id != Text::Absent)?;
    let amount = money::minor(newest.amount, &subject.currency, scale);
    (!matches!(added, Ok(Some(_))) || *added == amount).then_some(newest)
}

/// One event, and what decides its type and ids.
struct Told<'e, 'a> {
    event_type: &'e str,
    subject: &'e Subject<'a>,
    /// Absent where the event does not say what changed.
    previous: Option<&'e Previous<'a>>,
    has_refund_events: bool,
    reversal: Option<&'e Reversal<'a>>,
}

/// Which payment the event is about, and what moved.
struct Ids<'a> {
    transaction: Option<Cow<'a, str>>,
    aliases: Vec<Cow<'a, str>>,
    movement: Option<Cow<'a, str>>,
    occurrence: Option<Cow<'a, str>>,
}

impl<'a> Told<'_, 'a> {
    fn kind(&self) -> Option<EventType> {
        use EventType::*;
        let status = self.subject.status.as_str();
        Some(match self.event_type {
            "payment_intent.created" => PaymentCreated,
            "payment_intent.processing" | "payment_intent.partially_funded" | "charge.pending" => {
                PaymentPending
            }
            "payment_intent.requires_action"
            | "invoice.payment_action_required"
            | "invoice.payment_attempt_required" => PaymentRequiresAction,
            "payment_intent.amount_capturable_updated" if !self.is_newly_authorized() => PaymentUpdated,
            "payment_intent.amount_capturable_updated" => PaymentAuthorized,
            "payment_intent.succeeded" | "charge.captured" | "invoice_payment.paid" => PaymentSucceeded,
            "payment_intent.payment_failed" | "charge.failed" | "checkout.session.async_payment_failed" => {
                PaymentFailed
            }
            "payment_intent.canceled" | "invoice.voided" => PaymentCanceled,
            "charge.expired" | "checkout.session.expired" => PaymentExpired,
            "charge.succeeded" if self.subject.captured.some() == Some(false) => PaymentAuthorized,
            "charge.succeeded" => PaymentSucceeded,
            "charge.updated" if self.was_uncaptured() && self.subject.captured.some() == Some(true) => {
                PaymentSucceeded
            }
            "charge.updated" if self.is_further_capture() => PaymentSucceeded,
            "charge.updated"
            | "review.opened"
            | "review.closed"
            | "invoice.marked_uncollectible"
            | "invoice.overdue"
            | "invoice.overpaid" => PaymentUpdated,
            "checkout.session.completed" | "checkout.session.async_payment_succeeded" => self.session(),
            "charge.refunded" => self.charge_refunded(),
            "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => self.refund(),
            "radar.early_fraud_warning.created" => DisputeWarning,
            // `warning_…` is an inquiry: no money has been withdrawn.
            "charge.dispute.created" if status.starts_with("warning_") => DisputeWarning,
            "charge.dispute.created" => DisputeOpened,
            "charge.dispute.updated" => self.dispute_updated(),
            "charge.dispute.funds_withdrawn"
            | "charge.dispute.funds_reinstated"
            | "radar.early_fraud_warning.updated" => DisputeUpdated,
            "charge.dispute.closed" => match status {
                "won" => DisputeWon,
                "lost" => DisputeLost,
                _ => DisputeClosed,
            },
            "payout.created" | "treasury.outbound_payment.created" | "treasury.outbound_transfer.created" => {
                PayoutPending
            }
            "payout.updated" if self.is_status_unchanged() => PayoutUpdated,
            "payout.updated" => match status {
                "paid" => PayoutSucceeded,
                "failed" => PayoutFailed,
                "canceled" => PayoutCanceled,
                _ => PayoutPending,
            },
            "payout.reconciliation_completed"
            | "transfer.updated"
            | "treasury.outbound_payment.expected_arrival_date_updated"
            | "treasury.outbound_payment.tracking_details_updated"
            | "treasury.outbound_transfer.expected_arrival_date_updated"
            | "treasury.outbound_transfer.tracking_details_updated" => PayoutUpdated,
            "payout.paid"
            | "transfer.created"
            | "treasury.outbound_payment.posted"
            | "treasury.outbound_transfer.posted" => PayoutSucceeded,
            "payout.failed"
            | "transfer.reversed"
            | "treasury.outbound_payment.failed"
            | "treasury.outbound_payment.returned"
            | "treasury.outbound_transfer.failed"
            | "treasury.outbound_transfer.returned" => PayoutFailed,
            "payout.canceled"
            | "treasury.outbound_payment.canceled"
            | "treasury.outbound_transfer.canceled" => PayoutCanceled,
            // It waits for its first payment: <https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses>
            "customer.subscription.created" if status == "incomplete" => SubscriptionUpdated,
            "customer.subscription.created" => SubscriptionCreated,
            "customer.subscription.updated" => self.subscription_updated(),
            "customer.subscription.deleted" => SubscriptionCanceled,
            name if name.starts_with("customer.subscription.") => SubscriptionUpdated,
            name if name.starts_with("subscription_schedule.") => SubscriptionUpdated,
            "invoice.paid" | "invoice.payment_succeeded" => InvoicePaid,
            "invoice.payment_failed" => InvoicePaymentFailed,
            _ => return None,
        })
    }

    /// A session may end without a payment (`setup`, or nothing is due), or before a delayed method has paid.
    fn session(&self) -> EventType {
        use EventType::*;
        let is_subscription = self.subject.mode.as_str() == "subscription";
        let is_paid = self.event_type == "checkout.session.async_payment_succeeded";
        let status = self.subject.payment_status.as_str();
        // A session with nothing due may be `paid` as well: a discount of the whole price.
        let is_free = status == "no_payment_required" || self.subject.amount_total.text() == Some("0");
        match status {
            _ if self.subject.mode.as_str() == "setup" => PaymentUpdated,
            _ if is_free && is_subscription => SubscriptionCreated,
            _ if is_free => PaymentUpdated,
            status if status != "paid" && !is_paid => PaymentPending,
            _ if !is_subscription => PaymentSucceeded,
            _ if self.subject.invoice.0 == Text::Absent => SubscriptionCreated,
            _ => InvoicePaid,
        }
    }

    fn charge_refunded(&self) -> EventType {
        use EventType::*;
        let is_whole = self.subject.refunded.some() != Some(false);
        match (self.subject.captured.some(), self.reversal) {
            (Some(false), _) if is_whole => PaymentCanceled,
            (Some(false), _) => PaymentUpdated,
            // What was not captured of an authorisation was released.
            _ if self.was_uncaptured() => PaymentUpdated,
            (_, Some(refund)) => refund_state(refund.status.as_str()).unwrap_or(RefundSucceeded),
            _ if self.has_refund_events || self.is_refunded_less() => RefundUpdated,
            _ => RefundSucceeded,
        }
    }

    fn refund(&self) -> EventType {
        use EventType::*;
        let status = self.subject.status.as_str();
        match self.event_type {
            _ if self.subject.reason.as_str() == "expired_uncaptured_charge" => PaymentExpired,
            "refund.failed" if status != "canceled" => RefundFailed,
            "refund.updated" | "charge.refund.updated" if self.is_status_unchanged() => RefundUpdated,
            _ => refund_state(status).unwrap_or(RefundPending),
        }
    }

    fn dispute_updated(&self) -> EventType {
        use EventType::*;
        let Some(before) = self.previous.map(|previous| previous.status.as_str()) else {
            return DisputeUpdated;
        };
        match self.subject.status.as_str() {
            status if before.is_empty() || before == status => DisputeUpdated,
            "won" => DisputeWon,
            "lost" => DisputeLost,
            "warning_closed" | "prevented" => DisputeClosed,
            status if before.starts_with("warning_") && !status.starts_with("warning_") => DisputeOpened,
            _ => DisputeUpdated,
        }
    }

    fn subscription_updated(&self) -> EventType {
        use EventType::*;
        let before = self.previous.map_or("", |previous| previous.status.as_str());
        match self.subject.status.as_str() {
            status if before.is_empty() || before == status => SubscriptionUpdated,
            "canceled" | "incomplete_expired" => SubscriptionCanceled,
            "active" | "trialing" if before == "incomplete" => SubscriptionCreated,
            _ => SubscriptionUpdated,
        }
    }

    /// Whether the event says what changed, and the status is not among it.
    fn is_status_unchanged(&self) -> bool {
        self.previous.is_some_and(|previous| {
            let before = previous.status.as_str();
            before.is_empty() || before == self.subject.status.as_str()
        })
    }

    fn was_uncaptured(&self) -> bool {
        self.previous.is_some_and(|previous| previous.captured.some() == Some(false))
    }

    /// One authorisation can be captured several times, and the charge has the sum:
    /// <https://docs.stripe.com/payments/multicapture>.
    fn is_further_capture(&self) -> bool {
        self.previous.is_some_and(Previous::had_captured)
    }

    /// A failed refund takes its amount out of the charge's sum.
    fn is_refunded_less(&self) -> bool {
        let sum = |number: Number<'_>| number.integer::<i128>();
        let before = self.previous.and_then(|previous| sum(previous.amount_refunded));
        sum(self.subject.amount_refunded).zip(before).is_some_and(|(total, before)| total < before)
    }

    /// What can be captured also becomes less, when it is captured or released.
    fn is_newly_authorized(&self) -> bool {
        let sum = |number: Number<'_>| number.integer::<i128>();
        let before = self.previous.and_then(|previous| sum(previous.amount_capturable));
        match sum(self.subject.amount_capturable) {
            Some(0) => self.subject.status.as_str() == "requires_capture",
            Some(now) => before.is_none_or(|before| now > before),
            None => true,
        }
    }

    fn ids(&self, kind: EventType) -> Ids<'a> {
        let subject = self.subject;
        let text = |text: &Text<'a>| text.clone().some();
        let id = || text(&subject.id);
        let (intent, charge) = (text(&subject.payment_intent), text(&subject.charge));
        let invoice = text(&subject.invoice);
        let paid_by = |payment: &Object<body::Payment<'a>>| match payment {
            Object::Value(payment) => [&payment.payment_intent, &payment.charge, &payment.payment_record]
                .into_iter()
                .find_map(|payment| text(payment)),
            Object::Absent | Object::Wrong => None,
        };
        let (first, _) = self.event_type.split_once('.').unwrap_or((self.event_type, ""));
        let about_charge = ["charge.refund.", "charge.dispute."];
        let is_about_charge = about_charge.iter().any(|name| self.event_type.starts_with(name));
        // An intent's charge is no alias: whatever names such a charge names its intent too, and each alias costs a write.
        let of_intent = |charge: Option<Cow<'a, str>>| charge.filter(|_| intent.is_none());
        let (transaction, aliases) = match first {
            "payment_intent" => transaction([id(), invoice, None]),
            "checkout" => transaction([intent, invoice, id()]),
            "invoice_payment" => transaction([paid_by(&subject.payment), invoice]),
            "invoice" => {
                let payment = match &subject.payments {
                    Object::Value(List { data }) => data.value.as_ref().and_then(|one| paid_by(&one.payment)),
                    Object::Absent | Object::Wrong => None,
                };
                transaction([intent.clone().or(payment), of_intent(charge), id()])
            }
            "charge" if !is_about_charge => transaction([intent.clone(), of_intent(id()), invoice]),
            "charge" | "refund" | "radar" | "review" => transaction([intent.clone(), of_intent(charge)]),
            "customer" | "subscription_schedule" => (text(&subject.subscription).or_else(id), Vec::new()),
            "payout" | "transfer" | "treasury" => (id(), Vec::new()),
            // Not known: only what names a payment is one.
            _ => transaction([intent.clone(), of_intent(charge)]),
        };
        // A refund, dispute or warning that names no payment is all there is of it.
        let transaction =
            if kind == EventType::PaymentUnrecognized { transaction } else { transaction.or_else(id) };
        let movement = match (first, kind) {
            ("charge", EventType::RefundPending | EventType::RefundSucceeded | EventType::RefundUpdated)
            | ("charge", EventType::RefundFailed | EventType::RefundCanceled)
                if !is_about_charge =>
            {
                self.reversed("refunded", subject.amount_refunded)
            }
            ("charge", EventType::PaymentSucceeded) if self.is_further_capture() => {
                self.reversed("captured", subject.amount_captured)
            }
            ("transfer", EventType::PayoutFailed) => self.reversed("reversed", subject.amount_reversed),
            ("checkout", EventType::InvoicePaid) => text(&subject.invoice),
            ("checkout", EventType::SubscriptionCreated) => text(&subject.subscription),
            ("refund", EventType::PaymentExpired) | ("invoice", EventType::PaymentRequiresAction) => None,
            ("refund" | "radar" | "invoice", _) => id(),
            ("charge", _) if is_about_charge && kind != EventType::PaymentExpired => id(),
            _ => None,
        };
        // A payment's movement is its transaction where nothing else is said.
        let movement = if kind.category() == Category::Payment {
            movement
        } else {
            movement.or_else(|| transaction.clone())
        };
        Ids { transaction, aliases, movement, occurrence: self.occurrence() }
    }

    /// The refund or reversal itself, else its object and the running sum that it made.
    fn reversed(&self, word: &str, sum: Number<'_>) -> Option<Cow<'a, str>> {
        match self.reversal {
            Some(reversal) => reversal.id.clone().some(),
            None => {
                let (object, sum) = (self.subject.id.as_str(), sum.text().unwrap_or_default());
                Some(Cow::Owned([object, ":", word, ":", sum].concat()))
            }
        }
    }

    fn occurrence(&self) -> Option<Cow<'a, str>> {
        let subject = self.subject;
        let text = |text: &Text<'a>| text.clone().some();
        match self.event_type {
            "charge.failed" => text(&subject.id),
            "payment_intent.payment_failed" => {
                text(&subject.latest_charge).or_else(|| match &subject.last_payment_error {
                    Object::Value(error) => text(&error.charge),
                    Object::Absent | Object::Wrong => None,
                })
            }
            // Both say how much is authorised now.
            "charge.succeeded" if subject.captured.some() == Some(false) => {
                subject.amount.text().map(Cow::Borrowed)
            }
            "payment_intent.amount_capturable_updated" if self.is_newly_authorized() => {
                nonzero(subject.amount_capturable).unwrap_or(subject.amount).text().map(Cow::Borrowed)
            }
            _ => None,
        }
    }
}

fn refund_state(status: &str) -> Option<EventType> {
    match status {
        "succeeded" => Some(EventType::RefundSucceeded),
        "failed" => Some(EventType::RefundFailed),
        "canceled" => Some(EventType::RefundCanceled),
        "pending" | "requires_action" => Some(EventType::RefundPending),
        _ => None,
    }
}

fn amount(event_type: &str, subject: &Subject<'_>, previous: &Previous<'_>) -> Amount {
    let exact = |units| money::minor(units, &subject.currency, scale);
    match event_type {
        "payment_intent.succeeded" => exact(nonzero(subject.amount_received).unwrap_or(subject.amount)),
        "payment_intent.amount_capturable_updated" => {
            exact(nonzero(subject.amount_capturable).unwrap_or(subject.amount))
        }
        "charge.captured" | "charge.updated" if previous.had_captured() => {
            money::added(exact(subject.amount_captured), exact(previous.amount_captured))
        }
        "charge.captured" | "charge.updated" => {
            exact(nonzero(subject.amount_captured).unwrap_or(subject.amount))
        }
        // The whole of what was never captured is released.
        "charge.refunded" if subject.captured.some() == Some(false) => exact(subject.amount_refunded),
        "charge.refunded" => money::added(exact(subject.amount_refunded), exact(previous.amount_refunded)),
        "transfer.reversed" => money::added(exact(subject.amount_reversed), exact(previous.amount_reversed)),
        "invoice.paid" | "invoice.payment_succeeded" | "invoice_payment.paid" => exact(subject.amount_paid),
        name if name.starts_with("invoice.") => exact(subject.amount_due),
        name if name.starts_with("checkout.session.") => exact(subject.amount_total),
        name if name.starts_with("customer.") || name.starts_with("subscription_schedule.") => Ok(None),
        _ => exact(subject.amount),
    }
}

/// Fields that older API versions leave at zero or out.
fn nonzero(units: Number<'_>) -> Option<Number<'_>> {
    (!matches!(units, Number::Absent | Number::Bare("0"))).then_some(units)
}

/// Decimals by which Stripe counts, where ISO 4217 says otherwise: ISK and UGX have two, for old
/// integrations, MGA has none.
fn scale(currency: &str) -> Option<u8> {
    match currency {
        "ISK" | "UGX" => Some(2),
        "MGA" => Some(0),
        _ => None,
    }
}
