//! Adyen: standard (payments) webhooks and those of Adyen for Platforms.
//! <https://docs.adyen.com/development-resources/webhooks/webhook-types>,
//! <https://docs.adyen.com/development-resources/currency-codes>
//!
//! Standard: one delivery holds many items. Event id, since Adyen has none:
//! `pspReference:eventCode:success:originalReference:value:currency`, and what tells a payment that was taken at once
//! (`taken`) or what a cancel-or-refund did. Transaction: `originalReference`, else `pspReference`. Movement: of captures,
//! refunds and disputes the `pspReference`, which all items of one have; else the transaction. An item that is not
//! wrapped in `notificationItems` is taken as well. Time: `eventDate`.
//!
//! A notification of chargeback and its chargeback open one dispute: they are one effect, and where the first is not sent
//! (direct debits) the second opens it. A modification that was refused leaves the payment as it was.
//!
//! Platforms: event id `{data.id}:{type}`, with the `data.sequenceNumber` or the timestamp, the status, the amount and
//! the kind of transfer. Movement: `data.id`. Transaction: the payment that a transfer has a share of
//! (`pspPaymentReference`), else `data.id`. A transfer that leaves a balance account is a payout; one that a bank account
//! sends to it is a payment; the shares of payments, and the receiving end of a transfer between two balance accounts,
//! move nothing that is not told elsewhere. `balancePlatform.transaction.created` books what a transfer told.
//!
//! Amount: integers in Adyen's own minor units, of each item its own; zero is no amount of a cancel-or-refund.
//!
//! Signed: of each standard item `pspReference`, `originalReference`, the account, the reference, the amount,
//! `eventCode` and `success`, and nothing else: not `eventDate`, `operations` or `additionalData`. Platforms: the whole
//! body.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use tollgate_core::{Category, Customer, EventType, Facts, PaymentMethod, id::hex_sha256};

use super::{
    content::{ContentError, composite, events_without_id, required, unknown},
    fields::{Flag, Number, Object, Pairs, Text, each, entries, first_moment},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "adyen", aliases: &[], headers: &[], read: Read::Several(normalise) };

pub(super) const PLATFORM: Normaliser =
    Normaliser { name: "adyen_platform", aliases: &[], headers: &[], read: Read::Body(normalise_platform) };

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Envelope<'a> {
    live: Flag,
    #[serde(borrow)]
    notification_items: Items<'a>,
}

/// The items, each turned into facts as it is read.
#[derive(Default)]
struct Items<'a> {
    facts: Vec<Facts<'a>>,
    without_id: Vec<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wrapper<'a> {
    #[serde(borrow, rename = "NotificationRequestItem")]
    item: Object<Item<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Item<'a> {
    #[serde(borrow)]
    additional_data: Additional<'a>,
    amount: Object<Amount<'a>>,
    event_code: Text<'a>,
    event_date: Text<'a>,
    operations: Operations,
    original_reference: Text<'a>,
    payment_method: Text<'a>,
    psp_reference: Text<'a>,
    success: Flag,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Amount<'a> {
    #[serde(borrow)]
    currency: Text<'a>,
    value: Number<'a>,
}

/// What is used of `additionalData`, a flat object with dotted names.
#[derive(Default)]
struct Additional<'a> {
    fraud_score: Option<u16>,
    issuer_country: Option<Cow<'a, str>>,
    billing_country: Option<Cow<'a, str>>,
    shopper_reference: Option<Cow<'a, str>>,
    modification: Option<Cow<'a, str>>,
    metadata: Pairs<'a>,
}

/// What can still be done to an authorised payment.
#[derive(Default)]
struct Operations {
    any: bool,
    capture: bool,
}

fn normalise(body: &[u8]) -> Result<Vec<Facts<'_>>, ContentError> {
    let envelope: Envelope<'_> = json::read(body)?;
    let Items { mut facts, without_id } = envelope.notification_items;
    if facts.is_empty() && !without_id.is_empty() {
        return Err(ContentError::MissingField("pspReference"));
    }
    facts.extend(events_without_id(body, without_id));
    if facts.is_empty() {
        let item: Item<'_> = json::read(body)?;
        if matches!(item.event_code, Text::Absent) {
            return normalise_platform(body).map(|facts| vec![facts]);
        }
        facts.push(item.facts()?);
    }
    for facts in &mut facts {
        facts.livemode = envelope.live.some();
    }
    Ok(facts)
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut items = Self::default();
        each(deserializer, |wrapper: Object<Wrapper<'de>>| {
            match wrapper.or_default().item.or_default().facts() {
                Ok(facts) => items.facts.push(facts),
                Err(_) => items.without_id.push(items.facts.len() + items.without_id.len()),
            }
        })?;
        Ok(items)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Additional<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut data = Self::default();
        entries(deserializer, |name, value| {
            if let Some(value) = value.some() {
                data.set(name, value);
            }
        })?;
        Ok(data)
    }
}

impl<'a> Additional<'a> {
    fn set(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        match &*name {
            "totalFraudScore" => self.fraud_score = value.parse().ok(),
            "issuerCountry" | "cardIssuingCountry" => self.issuer_country = Some(value),
            "billingAddress.country" => self.billing_country = Some(value),
            "shopperReference" | "recurring.shopperReference" => self.shopper_reference = Some(value),
            "modification.action" => self.modification = Some(value),
            _ => {
                let own = match &name {
                    Cow::Borrowed(name) => name.strip_prefix("metadata.").map(Cow::Borrowed),
                    Cow::Owned(name) => name.strip_prefix("metadata.").map(|own| Cow::Owned(own.to_owned())),
                };
                if let Some(own) = own {
                    self.metadata.push(own, value);
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Operations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut operations = Self::default();
        each(deserializer, |operation: Text<'de>| {
            operations.any = true;
            operations.capture |= operation.as_str() == "CAPTURE";
        })?;
        Ok(operations)
    }
}

impl<'a> Item<'a> {
    fn facts(self) -> Result<Facts<'a>, ContentError> {
        let psp_reference = required(self.psp_reference, "pspReference")?;
        let event_code = required(self.event_code, "eventCode")?;
        let original = self.original_reference.some();
        let success = self.success.some() == Some(true);
        // A payment that can no longer be captured was taken at once (iDEAL and its like).
        let taken = event_code == "AUTHORISATION" && self.operations.any && !self.operations.capture;
        let action = match self.additional_data.modification.as_deref() {
            Some(action) if event_code == "CANCEL_OR_REFUND" => action,
            _ if taken => "taken",
            _ => "",
        };
        let amount = self.amount.or_default();
        let kind = match kind(&event_code, success, action) {
            // A card was verified.
            Some(EventType::PaymentAuthorized | EventType::PaymentSucceeded)
                if amount.value.text() == Some("0") =>
            {
                Some(EventType::PaymentUpdated)
            }
            kind => kind,
        };
        let event_id = composite(&[
            &psp_reference,
            &event_code,
            if success { "true" } else { "false" },
            original.as_deref().unwrap_or_default(),
            amount.value.text().unwrap_or_default(),
            amount.currency.as_str(),
            action,
        ]);
        let is_own = kind.is_some_and(|kind| has_movement(&event_code, kind));
        let movement_id = is_own.then(|| psp_reference.clone());
        let occurrence = match kind {
            // One capture fails once, whichever of the two codes says so.
            Some(EventType::PaymentCaptureFailed) => movement_id.clone(),
            Some(EventType::PaymentAuthorized) if event_code == "AUTHORISATION_ADJUSTMENT" => {
                Some(psp_reference.clone())
            }
            _ => None,
        };
        let value = match amount.value {
            Number::Bare("0") if event_code == "CANCEL_OR_REFUND" => Number::Absent,
            value => value,
        };
        let amount = money::minor(value, &amount.currency, scale);
        let transaction = original.unwrap_or(psp_reference);
        let movement_id = match kind {
            Some(kind) if kind.category() != Category::Payment => {
                movement_id.or_else(|| Some(transaction.clone()))
            }
            _ => movement_id,
        };
        let facts = Facts {
            transaction_id: Some(transaction).filter(|_| kind.is_some() || event_code == "CANCEL_OR_REFUND"),
            movement_id,
            occurrence,
            occurred_at: self.event_date.moment(),
            customer: Customer {
                id: self.additional_data.shopper_reference,
                country: self.additional_data.billing_country,
            },
            // One word for both: `visa`, `ideal`, `paypal`.
            method: PaymentMethod {
                kind: None,
                brand: self.payment_method.some(),
                country: self.additional_data.issuer_country,
            },
            provider_risk_score: self.additional_data.fraud_score,
            metadata: self.additional_data.metadata.into_vec(),
            ..unknown(event_id, event_code)
        };
        let Some(kind) = kind else {
            return Ok(Facts {
                amount: amount.ok().flatten().filter(|_| facts.transaction_id.is_some()),
                ..facts
            });
        };
        Ok(money::with_amount(Facts { kind, unrecognized: None, ..facts }, amount))
    }
}

/// Whether the `pspReference` is that of what moved or is to move, and not of a step of the payment.
fn has_movement(code: &str, kind: EventType) -> bool {
    match kind.category() {
        Category::Payment => matches!(code, "CAPTURE" | "CAPTURE_FAILED"),
        Category::Payout => code == "PAYOUT_THIRDPARTY",
        Category::Refund | Category::Dispute | Category::Other => true,
    }
}

fn kind(code: &str, success: bool, action: &str) -> Option<EventType> {
    use EventType::*;
    Some(match (code, success) {
        ("AUTHORISATION", true) if action == "taken" => PaymentSucceeded,
        ("AUTHORISATION" | "AUTHORISATION_ADJUSTMENT", true) => PaymentAuthorized,
        ("AUTHORISATION", false) => PaymentFailed,
        ("PENDING", _) => PaymentPending,
        ("CAPTURE", true) => PaymentSucceeded,
        ("CAPTURE", false) | ("CAPTURE_FAILED", _) => PaymentCaptureFailed,
        ("CANCELLATION" | "TECHNICAL_CANCEL", true) => PaymentCanceled,
        ("OFFER_CLOSED" | "EXPIRE", true) => PaymentExpired,
        ("CANCEL_OR_REFUND", true) if action == "cancel" => PaymentCanceled,
        ("CANCEL_OR_REFUND", true) if action == "refund" => RefundSucceeded,
        ("CANCEL_OR_REFUND", false) if action == "refund" => RefundFailed,
        // The payment stands as it stood.
        ("AUTHORISATION_ADJUSTMENT" | "CANCELLATION" | "TECHNICAL_CANCEL", false)
        | ("CANCEL_OR_REFUND" | "OFFER_CLOSED" | "EXPIRE", false) => PaymentUpdated,
        ("AUTORESCUE" | "CANCEL_AUTORESCUE" | "HANDLED_EXTERNALLY" | "PROCESS_RETRY", _)
        | ("MANUAL_REVIEW_ACCEPT" | "MANUAL_REVIEW_REJECT", _)
        // An order's payments have items of their own.
        | ("ORDER_OPENED" | "ORDER_CLOSED", _) => PaymentUpdated,
        ("REFUND" | "REFUND_WITH_DATA", true) => RefundSucceeded,
        ("REFUND" | "REFUND_WITH_DATA", false) | ("REFUND_FAILED" | "REFUNDED_REVERSED", _) => RefundFailed,
        ("POSTPONED_REFUND", true) => RefundPending,
        ("POSTPONED_REFUND", false) => RefundFailed,
        ("VOID_PENDING_REFUND", true) => RefundCanceled,
        ("VOID_PENDING_REFUND", false) => RefundUpdated,
        ("REQUEST_FOR_INFORMATION" | "NOTIFICATION_OF_FRAUD", _) => DisputeWarning,
        ("NOTIFICATION_OF_CHARGEBACK" | "CHARGEBACK", _) => DisputeOpened,
        ("INFORMATION_SUPPLIED" | "ISSUER_COMMENTS" | "DISPUTE_DEFENSE_PERIOD_ENDED", _)
        | ("PREARBITRATION_OPENED", _) => DisputeUpdated,
        ("CHARGEBACK_REVERSED" | "PREARBITRATION_WON" | "ARBITRATION_WON", _)
        | ("ISSUER_RESPONSE_TIMEFRAME_EXPIRED", _) => DisputeWon,
        ("SECOND_CHARGEBACK" | "PREARBITRATION_LOST" | "ARBITRATION_LOST", _) => DisputeLost,
        ("PAYOUT_THIRDPARTY", true) => PayoutSucceeded,
        ("PAYOUT_THIRDPARTY", false) | ("PAYOUT_EXPIRE" | "PAIDOUT_REVERSED", _) => PayoutFailed,
        ("PAYOUT_DECLINE", _) => PayoutCanceled,
        _ => return None,
    })
}

/// Decimals by which Adyen counts, where ISO 4217 says otherwise.
fn scale(currency: &str) -> Option<u8> {
    match currency {
        "CLP" | "ISK" => Some(2),
        "CVE" | "IDR" => Some(0),
        _ => None,
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Platform<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    environment: Text<'a>,
    timestamp: Text<'a>,
    data: Object<PlatformData<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PlatformData<'a> {
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

fn normalise_platform(bytes: &[u8]) -> Result<Facts<'_>, ContentError> {
    let body: Platform<'_> = json::read(bytes)?;
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
