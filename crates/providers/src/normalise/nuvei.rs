//! Nuvei (SafeCharge) DMNs. <https://docs.nuvei.com/documentation/integration/webhooks/payment-dmns/>
//!
//! The body is a form; DMNs sent with GET are not read. Event id:
//! `{PPP_TransactionID}:{Status}:{TransactionID}`. Transaction: `relatedTransactionId` (a settlement, refund or
//! void names what it acts on), else `TransactionID`, else `PPP_TransactionID`.
//!
//! Money: a decimal text in major units. `responseTimeStamp` comes without an offset: it is UTC.
//!
//! Signed: the amount, currency, time, `PPP_TransactionID` and `Status`, joined, and `productId`. Not `TransactionID`,
//! `relatedTransactionId` or `transactionType`. Each signed field must have its own form: values that could have been
//! split in another place are unrecognized.

use tollgate_core::{Currency, Customer, EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, composite, unknown},
    form::Form,
    money,
    normaliser::{Normaliser, Read},
    time,
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "nuvei", aliases: &["safecharge"], headers: &[], read: Read::Body(normalise) };

const AMBIGUOUS: &str = "signed values could be split in another place";

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let form = Form::new(body)?;
    let ppp = form.get("PPP_TransactionID")?.ok_or(ContentError::MissingField("PPP_TransactionID"))?;
    let status = form.get("Status")?.unwrap_or_default();
    let transaction = form.get("TransactionID")?;
    let event_id = composite(&[&ppp, &status, transaction.as_deref().unwrap_or_default()]);
    let event_type = form.get("transactionType")?.unwrap_or_default();
    let occurred_at = form.get("responseTimeStamp")?.filter(|text| is_time(text.as_bytes()));
    let occurred_at = occurred_at.and_then(|text| time::at_offset(&text.replacen('.', " ", 1), 0));
    let Some(kind) = kind(&event_type, &status) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, event_type) });
    };
    if occurred_at.is_none() || !ppp.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Facts { occurred_at, ..Facts::unrecognized(event_id, event_type, AMBIGUOUS) });
    }
    let currency = form.get("currency")?.unwrap_or_default();
    let amount = match form.get("totalAmount")? {
        Some(amount) => match Currency::new(&currency) {
            Ok(known) if known.is_known() && currency == known.code() => {
                money::decimal_text(&amount, known).map(Some)
            }
            _ => Err(AMBIGUOUS),
        },
        None => Err(AMBIGUOUS),
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

/// `2026-01-02.03:04:05`, to the letter.
fn is_time(text: &[u8]) -> bool {
    const FORM: &[u8] = b"0000-00-00.00:00:00";
    let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    text.len() == FORM.len() && text.iter().zip(FORM).all(fits)
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
