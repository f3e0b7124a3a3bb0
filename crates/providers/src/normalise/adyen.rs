//! Adyen: standard (payments) webhooks. Those of Adyen for Platforms are in `adyen_platform.rs`.
//! <https://docs.adyen.com/development-resources/webhooks/webhook-types>,
//! <https://docs.adyen.com/development-resources/currency-codes>
//!
//! One delivery holds many items. Event id, since Adyen has none:
//! `pspReference:eventCode:success:originalReference:value:currency`, and what tells a payment that was taken at once
//! (`taken`) or what a cancel-or-refund did. Transaction: `originalReference`, else `pspReference`. Movement: of captures,
//! refunds and disputes the `pspReference`, which all items of one have; else the transaction. An item that is not
//! wrapped in `notificationItems` is taken as well. Time: `eventDate`.
//!
//! A notification of chargeback and its chargeback open one dispute: they are one effect, and where the first is not sent
//! (direct debits) the second opens it. So does `DISPUTE_OPENED_WITH_CHARGEBACK`, which stands in the first one's place where a
//! chargeback comes without it. A modification that was refused leaves the payment as it was.
//!
//! Amount: integers in Adyen's own minor units, of each item its own; zero is no amount of a cancel-or-refund.
//!
//! Signed: of each item `pspReference`, `originalReference`, the account, the reference, the amount, `eventCode` and
//! `success`, and nothing else: not `eventDate`, `operations` or `additionalData`.

pub(crate) mod items;

use tollgate_core::{Category, Customer, EventType, Facts, PaymentMethod};

use self::items::{Item, Notification, Sink};
use super::{
    adyen_platform::{self, scale},
    content::{ContentError, Events, composite, required, unknown},
    fields::{Number, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "adyen", aliases: &[], headers: &[], query: &[], read: Read::Several(normalise) };

impl<'a> Sink<'a> for Events<'a> {
    fn take(&mut self, item: Item<'a>) {
        self.push(item.facts());
    }
}

fn normalise(body: &[u8]) -> Result<Vec<Facts<'_>>, ContentError> {
    let notification = Notification::<Events<'_>>::read(body)?;
    let live = notification.live.some();
    let mut events = notification.into_items();
    if events.count() == 0 {
        let item: Item<'_> = json::read(body)?;
        if matches!(item.event_code, Text::Absent) {
            return adyen_platform::normalise(body).map(|facts| vec![facts]);
        }
        events.push(Ok(item.facts()?));
    }
    let mut facts = events.into_facts(body, "pspReference")?;
    for facts in &mut facts {
        facts.livemode = live;
    }
    Ok(facts)
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
            value if value.text() == Some("0") && event_code == "CANCEL_OR_REFUND" => Number::Absent,
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
        ("NOTIFICATION_OF_CHARGEBACK" | "DISPUTE_OPENED_WITH_CHARGEBACK" | "CHARGEBACK", _) => DisputeOpened,
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
