//! Adyen for Platforms. <https://docs.adyen.com/development-resources/webhooks/webhook-types>
//!
//! Event id `{data.id}:{type}`, with the `data.sequenceNumber` or the timestamp, the status, the amount and
//! the kind of transfer. Movement: `data.id`. Transaction: the payment that a transfer has a share of
//! (`pspPaymentReference`), else `data.id`. A transfer that leaves a balance account is a payout; one that a bank account
//! sends to it is a payment; the shares of payments, and the receiving end of a transfer between two balance accounts,
//! move nothing that is not told elsewhere. `balancePlatform.transaction.created` books what a transfer told.
//!
//! Amount: integers in Adyen's own minor units. Signed: the whole body.

use serde::Deserialize;
use tollgate_core::{EventType, Facts, id::hex_sha256};

use super::{
    content::{ContentError, composite, required, unknown},
    fields::{Number, Object, Text, first_moment},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "adyen_platform",
    aliases: &[],
    headers: &[],
    query: &[],
    read: Read::Body(normalise),
};

/// As Adyen writes it in all its webhooks.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Amount<'a> {
    #[serde(borrow)]
    pub(super) currency: Text<'a>,
    pub(super) value: Number<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    environment: Text<'a>,
    timestamp: Text<'a>,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Data<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    sequence_number: Number<'a>,
    status: Text<'a>,
    category: Text<'a>,
    category_data: Object<CategoryData<'a>>,
    direction: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    amount: Object<Amount<'a>>,
    created_at: Text<'a>,
    updated_at: Text<'a>,
    account_holder: Object<Inner<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CategoryData<'a> {
    #[serde(borrow)]
    psp_payment_reference: Text<'a>,
}

/// The object that an event without an id of its own is about.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner<'a> {
    #[serde(borrow)]
    id: Text<'a>,
}

pub(super) fn normalise(bytes: &[u8]) -> Result<Facts<'_>, ContentError> {
    let body: Event<'_> = json::read(bytes)?;
    let event_type = required(body.kind, "type")?;
    let data = body.data.or_default();
    let livemode = body.environment.is_live("live", "test");
    let id = data.id.some().or_else(|| data.account_holder.or_default().id.some());
    let Some(id) = id else {
        // Reports, for example.
        let event_id = composite(&[&event_type, "sha256-", &hex_sha256(bytes)]);
        return Ok(Facts { occurred_at: body.timestamp.moment(), livemode, ..unknown(event_id, event_type) });
    };
    let transfer = event_type.starts_with("balancePlatform.transfer.");
    let amount = data.amount.or_default();
    // What has no number in a sequence is told apart by when it happened: an account is updated many times.
    let number = data.sequence_number.text().unwrap_or(body.timestamp.as_str());
    let (category, direction, type_) = (data.category.as_str(), data.direction.as_str(), data.kind.as_str());
    let payment = data.category_data.or_default().psp_payment_reference.some();
    let payment = payment.filter(|_| category == "platformPayment");
    let mut event_id = composite(&[
        &id,
        &event_type,
        number,
        data.status.as_str(),
        amount.value.text().unwrap_or_default(),
        amount.currency.as_str(),
        category,
        direction,
        type_,
        payment.as_deref().unwrap_or_default(),
    ]);
    event_id.truncate(event_id.trim_end_matches(':').len());
    let moments = [&body.timestamp, &data.updated_at];
    let occurred_at = first_moment(moments)
        .or_else(|| data.created_at.moment().filter(|_| event_type.ends_with(".created")));
    if !transfer {
        return Ok(Facts { occurred_at, livemode, ..unknown(event_id, event_type) });
    }
    let amount = money::minor(amount.value, &amount.currency, scale);
    let kind = transfer_kind(data.status.as_str(), category, direction, type_);
    let facts = Facts {
        transaction_id: payment.or_else(|| Some(id.clone())),
        movement_id: Some(id),
        occurred_at,
        livemode,
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

/// What a transfer's event tells, by its status and by where the money goes.
/// <https://docs.adyen.com/api-explorer/transfer-webhooks/latest/post/balancePlatform.transfer.updated>,
/// <https://docs.adyen.com/platforms/payment-event-webhooks>
fn transfer_kind(status: &str, category: &str, direction: &str, type_: &str) -> EventType {
    use EventType::*;
    let kind = outgoing_kind(status);
    match (category, direction) {
        // Each share of a payment is a transfer. The standard webhooks tell the payment, its refunds and chargebacks.
        ("platformPayment", _) => match type_ {
            name if name.starts_with("refund") => RefundUpdated,
            name if name.to_ascii_lowercase().ends_with("chargeback") || name == "chargebackReversal" => {
                DisputeUpdated
            }
            _ => PaymentUpdated,
        },
        // Money that a bank account sends to an account of the platform.
        ("bank" | "topUp", "incoming") => match kind {
            PayoutPending => PaymentPending,
            PayoutSucceeded => PaymentSucceeded,
            PayoutFailed => PaymentFailed,
            PayoutCanceled => PaymentCanceled,
            _ => PaymentUpdated,
        },
        // The other end of a transfer between two accounts of the platform is a transfer too.
        (_, "incoming") => PayoutUpdated,
        _ => kind,
    }
}

/// What became of money that leaves an account.
fn outgoing_kind(status: &str) -> EventType {
    use EventType::*;
    match status {
        "received" | "authorised" | "pending" | "pendingApproval" | "pendingExecution" => PayoutPending,
        status if status.ends_with("Pending") => PayoutPending,
        "booked" | "captured" | "capturedExternally" | "credited" | "bankTransfer" | "internalTransfer" => {
            PayoutSucceeded
        }
        "refused" | "rejected" | "failed" | "error" | "returned" | "reversed" | "captureReversed"
        | "undefined" => PayoutFailed,
        "cancelled" | "expired" => PayoutCanceled,
        // Fees, disputes of issued cards and the like.
        _ => PayoutUpdated,
    }
}

/// Decimals by which Adyen counts, where ISO 4217 says otherwise.
pub(super) fn scale(currency: &str) -> Option<u8> {
    match currency {
        "CLP" | "ISK" => Some(2),
        "CVE" | "IDR" => Some(0),
        _ => None,
    }
}
