//! Nuvei (SafeCharge) DMNs. <https://docs.nuvei.com/documentation/integration/webhooks/payment-dmns/>
//!
//! The body (or, for DMNs sent with GET, the query) is a form. Event id:
//! `{PPP_TransactionID}:{Status}:{TransactionID}`. Transaction: `relatedTransactionId` (a settlement, refund or
//! void names what it acts on), else `TransactionID`, else `PPP_TransactionID`.
//!
//! Money: a decimal text in major units. `responseTimeStamp` comes without an offset: it is UTC.

use tollgate_core::{Customer, EndpointConfig, EventType, Facts, PaymentMethod};

use super::{ContentError, composite, fields::Text, form::Form, money, time, unknown};
use crate::Received;

pub(super) fn normalise<'a>(
    received: Received<'a>,
    _config: &EndpointConfig,
) -> Result<Facts<'a>, ContentError> {
    let form = Form::new(if received.body.is_empty() { received.query.as_bytes() } else { received.body })?;
    let ppp = form.get("PPP_TransactionID")?.ok_or(ContentError::MissingField("PPP_TransactionID"))?;
    let status = match form.get("Status")? {
        Some(status) => status,
        None => form.get("ppp_status")?.unwrap_or_default(),
    };
    let transaction = form.get("TransactionID")?;
    let event_id = composite(&[&ppp, &status, transaction.as_deref().unwrap_or_default()]);
    let event_type = form.get("transactionType")?.unwrap_or_default();
    let occurred_at = form.get("responseTimeStamp")?;
    let occurred_at = occurred_at.and_then(|text| time::at_offset(&text.replacen('.', " ", 1), 0));
    let Some(kind) = kind(&event_type, &status) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
    };
    let amount = match form.get("totalAmount")? {
        None => Ok(None),
        Some(amount) => money::known(&form.get("currency")?.map_or(Text::Absent, Text::Value))
            .and_then(|currency| money::decimal_text(&amount, currency).map(Some)),
    };
    let facts = Facts {
        transaction_id: form.get("relatedTransactionId")?.or(transaction).or(Some(ppp)),
        occurred_at,
        customer: Customer {
            id: match form.get("user_token_id")? {
                None => form.get("userid")?,
                id => id,
            },
            country: form.get("country")?,
        },
        method: PaymentMethod {
            kind: form.get("payment_method")?,
            brand: form.get("cardCompany")?,
            country: form.get("cardIssuingCountry")?,
        },
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(transaction_type: &str, status: &str) -> Option<EventType> {
    use EventType::*;
    let outcome = [
        ("APPROVED", 0),
        ("SUCCESS", 0),
        ("OK", 0),
        ("PENDING", 1),
        ("DECLINED", 2),
        ("ERROR", 2),
        ("FAIL", 2),
    ]
    .into_iter()
    .find(|(word, _)| word.eq_ignore_ascii_case(status))
    .map(|(_, outcome)| outcome);
    Some(match (transaction_type, outcome) {
        (_, None) if status.eq_ignore_ascii_case("CANCELED") => PaymentCanceled,
        ("Chargeback", _) => DisputeOpened,
        ("Sale" | "Settle" | "Sale3D", Some(0)) => PaymentSucceeded,
        ("Auth" | "Auth3D" | "PreAuth", Some(0)) => PaymentAuthorized,
        ("Sale" | "Auth" | "Auth3D" | "Sale3D" | "PreAuth" | "Settle", Some(1)) => PaymentPending,
        ("Settle", Some(2)) => PaymentCaptureFailed,
        ("Sale" | "Auth" | "Auth3D" | "Sale3D" | "PreAuth", Some(2)) => PaymentFailed,
        ("Void" | "VoidCredit", Some(0)) => PaymentCanceled,
        ("Credit" | "Refund", Some(0)) => RefundSucceeded,
        ("Credit" | "Refund", Some(1)) => RefundPending,
        ("Credit" | "Refund", Some(2)) => RefundFailed,
        ("Payout", Some(0)) => PayoutSucceeded,
        ("Payout", Some(1)) => PayoutPending,
        ("Payout", Some(2)) => PayoutFailed,
        _ => return None,
    })
}
