//! PayPal. <https://developer.paypal.com/api/rest/webhooks/event-names/>
//!
//! Event id: `id` (`WH-…`). Time: `create_time` of the event.
//!
//! Transaction: the order, else the payment of version 1, the authorisation, the capture or sale that the event names;
//! what it names besides is an alias. Refunds and disputes name the capture alone.
//!
//! Movement: of authorisations, captures, sales, refunds, disputes, payout items, subscriptions and invoices their own id.
//! An order that is completed is told as its one capture, or its one authorisation, is; an order of several captures is
//! updated, since each of them has an event of its own. So is a payout batch: its items tell what was paid
//! (<https://developer.paypal.com/docs/api/payments.payouts-batch/v1/>).
//!
//! Amount: decimal texts in major units (`value` in version 2, `total` in version 1): of each movement its own, of an
//! invoice that is paid its price, of one that is paid or refunded in part the one transaction that it lists. Sums over
//! several are not given. Reversals are negative at PayPal and positive here.
//!
//! An inquiry that becomes a dispute says so in an update alone. It does not say in which, so that each update of a dispute in
//! this stage (`CHARGEBACK`) tells that it is open: the first opens it, the others restate that.
//!
//! `INVOICING.INVOICE.PAID` also comes for a part payment and for a pending one: the invoice's status says which
//! (<https://developer.paypal.com/docs/invoicing/webhooks>).
//!
//! Signed: the transmission's id and time, the webhook's id and a CRC-32 of the body. Another body can be made with
//! the same CRC-32.

mod body;

use std::borrow::Cow;

use tollgate_core::{Category, Customer, EventType, Facts};

use self::body::{Amount, Event, Links, Payments, Resource, Settled, Unit};
use super::{
    content::{ContentError, required, transaction, unknown},
    fields::{First, Number, Object, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "paypal", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let event: Event<'_> = json::read(body)?;
    let event_id = required(event.id, "id")?;
    let event_type = event.event_type.some().unwrap_or_default();
    let mut resource = event.resource.or_default();
    // A refund may come as the capture that it is of, which does not say what was refunded.
    let is_capture = event.resource_type.as_str() == "capture" && resource.links.capture.is_none();
    let kind = kind(&event_type, &resource);
    let told = told(&event_type, is_capture, &mut resource);

    let (payer, subscriber) = (resource.payer.or_default(), resource.subscriber.or_default());
    let facts = Facts {
        transaction_id: told.transaction,
        aliases: told.aliases,
        occurred_at: event.create_time.moment(),
        customer: Customer {
            id: payer.payer_id.some().or_else(|| subscriber.payer_id.some()),
            country: payer.address.or_default().country_code.some(),
        },
        ..unknown(event_id, event_type)
    };
    let amount = told.amount;
    let value = if amount.value.is_absent() { amount.total } else { amount.value };
    let currency = if amount.currency_code == Text::Absent { amount.currency } else { amount.currency_code };
    let Some(kind) = kind else {
        // The resource of an event that is not known need not be a payment.
        let is_payment = ["PAYMENT", "CHECKOUT."].iter().any(|name| facts.event_type.starts_with(name));
        let amount = money::decimal(value, &currency).ok().flatten().filter(|_| is_payment);
        return Ok(Facts { amount, transaction_id: facts.transaction_id.filter(|_| is_payment), ..facts });
    };
    // Two event types tell that one capture was declined.
    let occurrence = (kind == EventType::PaymentFailed).then(|| told.movement.clone()).flatten();
    let facts = Facts { kind, unrecognized: None, movement_id: told.movement, occurrence, ..facts };
    let value = match value {
        Number::Bare(text) if kind.category() == Category::Refund => {
            Number::Bare(text.trim_start_matches('-'))
        }
        Number::Quoted(text) if kind.category() == Category::Refund => {
            Number::Quoted(text.trim_start_matches('-'))
        }
        value => value,
    };
    Ok(money::with_amount(facts, money::decimal(value, &currency)))
}

/// Which payment the event is about, what moved, and how much.
#[derive(Default)]
struct Told<'a> {
    transaction: Option<Cow<'a, str>>,
    aliases: Vec<Cow<'a, str>>,
    movement: Option<Cow<'a, str>>,
    amount: Amount<'a>,
}

fn told<'a>(event_type: &str, is_capture: bool, resource: &mut Resource<'a>) -> Told<'a> {
    let id = std::mem::take(&mut resource.id).some();
    let amount = std::mem::take(&mut resource.amount).some();
    let alone = |transaction: Option<Cow<'a, str>>, amount: Option<Amount<'a>>| Told {
        movement: transaction.clone(),
        transaction,
        aliases: Vec::new(),
        amount: amount.unwrap_or_default(),
    };
    if event_type.starts_with("BILLING.SUBSCRIPTION.") {
        let failed = std::mem::take(&mut resource.billing_info).or_default().last_failed_payment;
        return alone(id, failed.or_default().amount.some());
    }
    if event_type.starts_with("INVOICING.") {
        return invoice(event_type, id, amount, resource);
    }
    if event_type.starts_with("PAYMENT.PAYOUTS") || event_type.starts_with("PAYMENT.REFERENCED-PAYOUT") {
        let batch = std::mem::take(&mut resource.batch_header).or_default();
        let item = [&mut resource.payout_item_id, &mut resource.item_id]
            .into_iter()
            .find_map(|id| std::mem::take(id).some());
        let amounts = [
            std::mem::take(&mut resource.payout_item).or_default().amount,
            std::mem::take(&mut resource.payout_amount),
            batch.amount,
        ];
        let amount = amounts.into_iter().find_map(Object::some).or(amount);
        return alone(item.or_else(|| batch.payout_batch_id.some()).or(id), amount);
    }

    let related = std::mem::take(&mut resource.supplementary_data).or_default().related_ids.or_default();
    let Links { order, payment, authorization, capture } = std::mem::take(&mut resource.links);
    let mut order =
        related.order_id.some().or(order).or_else(|| std::mem::take(&mut resource.order_id).some());
    let mut payment = std::mem::take(&mut resource.parent_payment).some().or(payment);
    let mut authorization = related.authorization_id.some().or(authorization);
    let mut capture = [&mut resource.sale_id, &mut resource.capture_id]
        .into_iter()
        .find_map(|id| std::mem::take(id).some())
        .or_else(|| related.capture_id.some())
        .or(capture);
    let mut movement = id.clone();
    let mut amount = amount;
    let unit = std::mem::take(&mut resource.purchase_units).only();
    let own = match event_type {
        name if name.starts_with("CHECKOUT.ORDER.") => &mut order,
        name if name.starts_with("PAYMENT.AUTHORIZATION.") => &mut authorization,
        "PAYMENTS.PAYMENT.CREATED" | "CHECKOUT.CHECKOUT.BUYER-APPROVED" => &mut payment,
        name if name.ends_with(".REFUNDED") || name.ends_with(".REVERSED") => {
            if is_capture {
                // One that was reversed in part has its whole amount, not the reversed one.
                let is_whole =
                    name.ends_with(".REVERSED") && resource.status.as_str() != "PARTIALLY_REFUNDED";
                (movement, amount) = (None, amount.filter(|_| is_whole));
                &mut capture
            } else {
                &mut None
            }
        }
        name if name.starts_with("PAYMENT.CAPTURE.") || name.starts_with("PAYMENT.SALE.") => &mut capture,
        _ => &mut None,
    };
    if own.is_none() {
        *own = id.clone();
    }
    if let Some(unit) = unit {
        let Payments { captures, authorizations } = unit.payments.or_default();
        let (mut parts, places) = ([captures, authorizations], [&mut capture, &mut authorization]);
        let part = parts.iter_mut().zip(places).find(|(part, _)| part.count > 0);
        let part = part.map(|(part, place)| (std::mem::take(part).only(), place));
        match part {
            Some((Some(part), place)) if event_type == "CHECKOUT.ORDER.COMPLETED" => {
                let part_id = part.id.some();
                movement.clone_from(&part_id);
                *place = part_id;
                amount = part.amount.some();
            }
            _ => amount = amount.or_else(|| unit.amount.some()),
        }
    }
    let first = std::mem::take(&mut resource.transactions).only().unwrap_or_default();
    let dispute = std::mem::take(&mut resource.dispute_id).some();
    let disputed = std::mem::take(&mut resource.disputed_transactions).value.unwrap_or_default();
    capture = capture.or_else(|| disputed.seller_transaction_id.some());
    let (transaction, aliases) = transaction([order, payment, authorization, capture]);
    Told {
        transaction: transaction.or_else(|| dispute.clone()).or(id),
        aliases,
        movement: dispute.or(movement),
        amount: [
            amount.map_or(Object::Absent, Object::Value),
            std::mem::take(&mut resource.dispute_amount),
            first.amount,
        ]
        .into_iter()
        .find_map(Object::some)
        .unwrap_or_default(),
    }
}

/// An invoice is the transaction. A part payment or a refund is the one that it lists, else the running sum tells it
/// apart from the others.
fn invoice<'a>(
    event_type: &str,
    id: Option<Cow<'a, str>>,
    amount: Option<Amount<'a>>,
    resource: &mut Resource<'a>,
) -> Told<'a> {
    let invoice = std::mem::take(&mut resource.invoice).or_default();
    let status = if invoice.status == Text::Absent { &resource.status } else { &invoice.status };
    let transaction = invoice.id.some().or(id);
    let (word, settled) = match event_type {
        "INVOICING.INVOICE.REFUNDED" => ("refunded", invoice.refunds),
        "INVOICING.INVOICE.PAID" if status.as_str() == "PARTIALLY_PAID" => ("paid", invoice.payments),
        _ => {
            let amount = [invoice.amount, invoice.total_amount].into_iter().find_map(Object::some).or(amount);
            return Told {
                movement: transaction.clone(),
                transaction,
                aliases: Vec::new(),
                amount: amount.unwrap_or_default(),
            };
        }
    };
    let Settled { paid_amount, refund_amount, transactions } = settled.or_default();
    let only = transactions.only().unwrap_or_default();
    let sum = || {
        let sum = [paid_amount, refund_amount].into_iter().find_map(Object::some)?;
        let (id, sum) = (transaction.as_deref()?, sum.value.text()?);
        Some(Cow::Owned([id, ":", word, ":", sum].concat()))
    };
    let movement = only.payment_id.some().or_else(|| only.refund_id.some()).or_else(sum);
    Told { transaction, aliases: Vec::new(), movement, amount: only.amount.or_default() }
}

fn kind(event_type: &str, resource: &Resource<'_>) -> Option<EventType> {
    use EventType::*;
    let status = resource.status.as_str();
    Some(match event_type {
        "PAYMENT.AUTHORIZATION.CREATED" => PaymentAuthorized,
        "PAYMENT.AUTHORIZATION.VOIDED"
        | "CHECKOUT.PAYMENT-APPROVAL.REVERSED"
        | "CHECKOUT.ORDER.VOIDED"
        | "PAYMENT.ORDER.CANCELLED"
        | "INVOICING.INVOICE.CANCELLED" => PaymentCanceled,
        "PAYMENT.ORDER.CREATED" => PaymentCreated,
        "PAYMENT.CAPTURE.COMPLETED" | "PAYMENT.SALE.COMPLETED" => PaymentSucceeded,
        "CHECKOUT.ORDER.COMPLETED" => order_completed(&resource.purchase_units),
        "PAYMENT.CAPTURE.PENDING"
        | "PAYMENT.SALE.PENDING"
        | "CHECKOUT.ORDER.APPROVED"
        | "PAYMENTS.PAYMENT.CREATED"
        | "CHECKOUT.CHECKOUT.BUYER-APPROVED" => PaymentPending,
        "CHECKOUT.ORDER.PROCESSED" | "CHECKOUT.ORDER.SAVED" => PaymentUpdated,
        "PAYMENT.CAPTURE.DENIED"
        | "PAYMENT.CAPTURE.DECLINED"
        | "PAYMENT.SALE.DENIED"
        | "CHECKOUT.ORDER.DECLINED" => PaymentFailed,
        // A reversal is money that PayPal itself gave back. Version 1 writes the states in lower case.
        "PAYMENT.CAPTURE.REFUNDED"
        | "PAYMENT.SALE.REFUNDED"
        | "PAYMENT.CAPTURE.REVERSED"
        | "PAYMENT.SALE.REVERSED" => match (status, resource.state.as_str()) {
            ("PENDING", _) | (_, "pending") => RefundPending,
            ("FAILED", _) | (_, "failed") => RefundFailed,
            ("CANCELLED", _) | (_, "cancelled") => RefundCanceled,
            _ => RefundSucceeded,
        },
        "PAYMENT.REFUND.PENDING" => RefundPending,
        "PAYMENT.REFUND.FAILED" => RefundFailed,
        "CUSTOMER.DISPUTE.CREATED" if resource.dispute_life_cycle_stage.as_str() == "INQUIRY" => {
            DisputeWarning
        }
        "CUSTOMER.DISPUTE.CREATED" | "RISK.DISPUTE.CREATED" => DisputeOpened,
        // An inquiry may have become a dispute. Later updates of it restate that it was opened.
        "CUSTOMER.DISPUTE.UPDATED"
            if resource.dispute_life_cycle_stage.as_str() == "CHARGEBACK" && status != "RESOLVED" =>
        {
            DisputeOpened
        }
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
        "PAYMENT.PAYOUTSBATCH.SUCCESS" => PayoutUpdated,
        "PAYMENT.PAYOUTS-ITEM.SUCCEEDED" | "PAYMENT.REFERENCED-PAYOUT-ITEM.COMPLETED" => PayoutSucceeded,
        "PAYMENT.PAYOUTSBATCH.DENIED"
        | "PAYMENT.PAYOUTS-ITEM.BLOCKED"
        | "PAYMENT.PAYOUTS-ITEM.DENIED"
        | "PAYMENT.PAYOUTS-ITEM.FAILED"
        | "PAYMENT.PAYOUTS-ITEM.REFUNDED"
        | "PAYMENT.PAYOUTS-ITEM.RETURNED"
        | "PAYMENT.REFERENCED-PAYOUT-ITEM.FAILED" => PayoutFailed,
        "PAYMENT.PAYOUTS-ITEM.CANCELED" => PayoutCanceled,
        // It waits for the payer's approval: `APPROVAL_PENDING`, or `APPROVED`.
        "BILLING.SUBSCRIPTION.CREATED" if status != "ACTIVE" && resource.state.as_str() != "Active" => {
            SubscriptionUpdated
        }
        "BILLING.SUBSCRIPTION.CREATED" | "BILLING.SUBSCRIPTION.ACTIVATED" => SubscriptionCreated,
        "BILLING.SUBSCRIPTION.UPDATED"
        | "BILLING.SUBSCRIPTION.RE-ACTIVATED"
        | "BILLING.SUBSCRIPTION.SUSPENDED" => SubscriptionUpdated,
        "BILLING.SUBSCRIPTION.CANCELLED" | "BILLING.SUBSCRIPTION.EXPIRED" => SubscriptionCanceled,
        "BILLING.SUBSCRIPTION.PAYMENT.FAILED" => InvoicePaymentFailed,
        "INVOICING.INVOICE.PAID" => {
            let status = match &resource.invoice {
                Object::Value(invoice) if invoice.status != Text::Absent => invoice.status.as_str(),
                _ => status,
            };
            match status {
                "PARTIALLY_PAID" => PaymentSucceeded,
                "PAYMENT_PENDING" => PaymentPending,
                "REFUNDED" | "PARTIALLY_REFUNDED" | "MARKED_AS_REFUNDED" => PaymentUpdated,
                _ => InvoicePaid,
            }
        }
        "INVOICING.INVOICE.REFUNDED" => RefundSucceeded,
        _ => return None,
    })
}

/// What an order is when it is completed: what its one capture or authorisation is.
fn order_completed(units: &First<Unit<'_>>) -> EventType {
    use EventType::*;
    let Some(unit) = units.value.as_ref().filter(|_| units.count == 1) else {
        // Each part has events of its own.
        return if units.count == 0 { PaymentSucceeded } else { PaymentUpdated };
    };
    let Object::Value(Payments { captures, authorizations }) = &unit.payments else {
        return PaymentSucceeded;
    };
    match (captures.count, &captures.value, authorizations.count) {
        (1, Some(capture), _) => match capture.status.as_str() {
            "PENDING" => PaymentPending,
            "DECLINED" | "FAILED" => PaymentFailed,
            "REFUNDED" | "PARTIALLY_REFUNDED" => PaymentUpdated,
            _ => PaymentSucceeded,
        },
        (0, _, 0) => PaymentSucceeded,
        (0, _, 1) => PaymentAuthorized,
        _ => PaymentUpdated,
    }
}
