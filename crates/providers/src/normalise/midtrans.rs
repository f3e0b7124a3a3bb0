//! Midtrans and Iris payouts. <https://docs.midtrans.com/docs/https-notification-webhooks>
//!
//! Event id: `{transaction_id}:{transaction_status}`, with `:{refund_amount}` for refunds, of which there can be
//! several; a payout's is `{reference_no}:{status}`. Provider's type: the status. Transaction: `transaction_id`.
//!
//! Money: a decimal text in major units; IDR where no currency is sent. A refund's is `refund_amount`, the sum of
//! the refunds so far. Times come without an offset: they are Western Indonesia Time (UTC+7).

use std::borrow::Cow;

use serde::Deserialize;
use tollgate_core::{EndpointConfig, EventType, Facts, PaymentMethod};

use super::{
    ContentError, composite,
    fields::{Number, Text},
    json, money, time, unknown,
};
use crate::Received;

/// Western Indonesia Time, in hours east of UTC; there is no daylight saving.
const WIB: i8 = 7;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    transaction_id: Text<'a>,
    transaction_status: Text<'a>,
    fraud_status: Text<'a>,
    gross_amount: Number<'a>,
    refund_amount: Number<'a>,
    currency: Text<'a>,
    payment_type: Text<'a>,
    bank: Text<'a>,
    transaction_time: Text<'a>,
    settlement_time: Text<'a>,
    reference_no: Text<'a>,
    status: Text<'a>,
    amount: Number<'a>,
    updated_at: Text<'a>,
}

pub(super) fn normalise<'a>(
    received: Received<'a>,
    _config: &EndpointConfig,
) -> Result<Facts<'a>, ContentError> {
    let body: Body<'a> = json::read(received.body)?;
    let currency = match body.currency {
        Text::Absent => Text::Value(Cow::Borrowed("IDR")),
        currency => currency,
    };
    if let Some(reference) = body.reference_no.some() {
        let status = body.status.some().unwrap_or_default();
        let event_id = composite(&[&reference, &status]);
        let occurred_at = time::at_offset(body.updated_at.as_str(), WIB);
        let Some(kind) = payout_kind(&status) else {
            return Ok(Facts { occurred_at, ..unknown(event_id, status) });
        };
        let amount = money::decimal(body.amount, &currency);
        let transaction_id = Some(reference);
        let facts = Facts { transaction_id, occurred_at, ..Facts::new(event_id, status, kind) };
        return Ok(money::with_amount(facts, amount));
    }
    let id = super::required(body.transaction_id, "transaction_id")?;
    let status = super::required(body.transaction_status, "transaction_status")?;
    let refund = matches!(&*status, "refund" | "partial_refund");
    let event_id = match body.refund_amount.text() {
        Some(refunded) if refund => composite(&[&id, &status, refunded]),
        _ => composite(&[&id, &status]),
    };
    let settled = if &*status == "settlement" { body.settlement_time.as_str() } else { "" };
    let occurred_at =
        time::at_offset(settled, WIB).or_else(|| time::at_offset(body.transaction_time.as_str(), WIB));
    let Some(kind) = kind(&status, body.fraud_status.as_str()) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, status) });
    };
    let units =
        if refund && !body.refund_amount.is_absent() { body.refund_amount } else { body.gross_amount };
    let amount = money::decimal(units, &currency);
    let facts = Facts {
        transaction_id: Some(id),
        occurred_at,
        method: PaymentMethod { kind: body.payment_type.some(), brand: body.bank.some(), country: None },
        ..Facts::new(event_id, status, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(status: &str, fraud: &str) -> Option<EventType> {
    use EventType::*;
    Some(match status {
        "pending" => PaymentPending,
        "authorize" => PaymentAuthorized,
        // Held until the merchant has looked at it.
        "capture" if fraud == "challenge" => PaymentRequiresAction,
        "capture" | "settlement" => PaymentSucceeded,
        "deny" | "failure" => PaymentFailed,
        "cancel" => PaymentCanceled,
        "expire" => PaymentExpired,
        "refund" | "partial_refund" => RefundSucceeded,
        "chargeback" | "partial_chargeback" => DisputeOpened,
        _ => return None,
    })
}

fn payout_kind(status: &str) -> Option<EventType> {
    use EventType::*;
    Some(match status {
        "queued" | "approved" | "processed" => PayoutPending,
        "completed" => PayoutSucceeded,
        "failed" => PayoutFailed,
        "rejected" => PayoutCanceled,
        _ => return None,
    })
}
