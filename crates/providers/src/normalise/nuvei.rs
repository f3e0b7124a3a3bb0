//! Nuvei (SafeCharge) DMNs. <https://docs.nuvei.com/documentation/integration/webhooks/payment-dmns/>
//!
//! The body is a form; DMNs sent with GET are not read. Event id: `{transactionType}:{movement}:{transaction, where
//! another}:{PPP_TransactionID}:{Status}:{responseTimeStamp}:{amount}`.
//!
//! Transaction: a payment's own `TransactionID`, else `PPP_TransactionID`. A settlement, refund, void or chargeback has
//! the one that it acts on, `relatedTransactionId`. A refund acts on the settlement, so that the settlement's own id is
//! an alias. What a Sale is related to is another payment (the first of its subscription, its 3-D Secure check) and is not
//! read. Movement: the `TransactionID` of the payment, settlement, refund or payout; of a void, what is voided.
//!
//! Money: a decimal text in major units, of this movement. An authorisation or a sale of nothing is a check of the card.
//! `responseTimeStamp` comes without an offset: it is UTC.
//!
//! Signed: the amount, currency, time, `PPP_TransactionID` and `Status`, joined, and `productId`. Not `TransactionID`,
//! `relatedTransactionId` or `transactionType`, so that no event is verified. Each signed field must have its own form:
//! values that could have been split in another place are unrecognized.

use tollgate_core::{Currency, Customer, EventType, EventType::*, Facts, PaymentMethod};

use super::{
    content::{ContentError, transaction, unknown},
    form::Form,
    identity::identified,
    money,
    normaliser::{Normaliser, Read},
    time,
};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "nuvei",
    aliases: &["safecharge"],
    headers: &[],
    query: &[],
    read: Read::Body(normalise),
};

const AMBIGUOUS: &str = "signed values could be split in another place";

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let form = Form::new(body)?;
    let ppp = form.get("PPP_TransactionID")?.ok_or(ContentError::MissingField("PPP_TransactionID"))?;
    let status = form.get("Status")?.unwrap_or_default();
    let event_type = form.get("transactionType")?.unwrap_or_default();
    let responded = form.get("responseTimeStamp")?.unwrap_or_default();
    let occurred_at = Some(&responded).filter(|text| is_time(text.as_bytes()));
    let occurred_at = occurred_at.and_then(|text| time::at_offset(&text.replacen('.', " ", 1), 0));
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
    let is_nothing = amount.is_ok_and(|amount| amount.is_some_and(|amount| amount.minor_units() == 0));
    let kind = match kind(&event_type, &status) {
        Some(PaymentAuthorized | PaymentSucceeded) if is_nothing => Some(PaymentUpdated),
        kind => kind,
    };

    let own = form.get("TransactionID")?;
    let related = match &*event_type {
        "Settle" | "Credit" | "Refund" | "Void" | "VoidCredit" | "Chargeback" => {
            form.get("relatedTransactionId")?
        }
        _ => None,
    };
    let movement_id = match &*event_type {
        "Void" | "VoidCredit" => related.clone().or_else(|| own.clone()),
        // A chargeback that names one transaction names the payment.
        "Chargeback" if related.is_none() => None,
        _ => own.clone().or_else(|| Some(ppp.clone())),
    };
    let fallback = related.is_none().then(|| ppp.clone());
    let (transaction_id, mut aliases) = transaction([related, own, fallback]);
    aliases.retain(|alias| *alias != ppp && matches!(&*event_type, "Settle" | "Credit" | "Refund"));

    let is_digit = |byte: u8| byte.is_ascii_digit();
    let is_ambiguous =
        occurred_at.is_none() || !ppp.bytes().all(is_digit) || status.bytes().next().is_some_and(is_digit);
    let words = [&*ppp, &*status, &*responded];
    let facts = match kind {
        Some(_) if is_ambiguous => Facts::unrecognized("", event_type, AMBIGUOUS),
        Some(kind) => Facts::new("", event_type, kind),
        None => unknown("", event_type),
    };
    let facts = Facts {
        transaction_id,
        aliases,
        // Each attempt has an id of its own, and fails once.
        occurrence: movement_id
            .clone()
            .filter(|_| matches!(kind, Some(PaymentFailed | PaymentCaptureFailed))),
        movement_id,
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
        is_unsigned: true,
        ..facts
    };
    // A split amount is another amount.
    let amount = if is_ambiguous { Ok(None) } else { amount };
    Ok(identified(money::with_amount(facts, amount), &words, body))
}

/// `2026-01-02.03:04:05`, to the letter.
fn is_time(text: &[u8]) -> bool {
    const FORM: &[u8] = b"0000-00-00.00:00:00";
    let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    text.len() == FORM.len() && text.iter().zip(FORM).all(fits)
}

/// What became of a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Approved,
    Pending,
    Failed,
    Canceled,
}

impl Outcome {
    fn of(status: &str) -> Option<Self> {
        const WORDS: [(&str, Outcome); 10] = [
            ("APPROVED", Outcome::Approved),
            ("SUCCESS", Outcome::Approved),
            ("OK", Outcome::Approved),
            ("PENDING", Outcome::Pending),
            ("REDIRECT", Outcome::Pending),
            ("DECLINED", Outcome::Failed),
            ("ERROR", Outcome::Failed),
            ("FAIL", Outcome::Failed),
            ("CANCELED", Outcome::Canceled),
            ("CANCELLED", Outcome::Canceled),
        ];
        WORDS.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(status)).map(|(_, outcome)| outcome)
    }
}

fn kind(transaction_type: &str, status: &str) -> Option<EventType> {
    use Outcome::{Approved, Canceled, Failed, Pending};
    if transaction_type == "Chargeback" {
        return Some(DisputeOpened);
    }
    Some(match (transaction_type, Outcome::of(status)?) {
        ("Sale" | "Settle" | "Sale3D", Approved) => PaymentSucceeded,
        ("Auth" | "PreAuth", Approved) => PaymentAuthorized,
        ("Sale" | "Auth" | "Sale3D" | "PreAuth" | "Settle", Pending) => PaymentPending,
        ("Settle", Failed | Canceled) => PaymentCaptureFailed,
        ("Sale" | "Auth" | "Sale3D" | "PreAuth", Failed) => PaymentFailed,
        ("Sale" | "Auth" | "Sale3D" | "PreAuth", Canceled) => PaymentCanceled,
        // 3-D Secure alone: the payer was authenticated, and no money was reserved.
        ("InitAuth3D" | "Auth3D", Approved) => PaymentUpdated,
        ("InitAuth3D" | "Auth3D", Pending) => PaymentRequiresAction,
        ("InitAuth3D" | "Auth3D", Failed) => PaymentFailed,
        ("InitAuth3D" | "Auth3D", Canceled) => PaymentCanceled,
        ("Void", Approved) => PaymentCanceled,
        ("Void", Pending | Failed | Canceled) => PaymentUpdated,
        // The refund is voided.
        ("VoidCredit", Approved) => RefundCanceled,
        ("VoidCredit", Pending | Failed | Canceled) => RefundUpdated,
        ("Credit" | "Refund", Approved) => RefundSucceeded,
        ("Credit" | "Refund", Pending) => RefundPending,
        ("Credit" | "Refund", Failed) => RefundFailed,
        ("Credit" | "Refund", Canceled) => RefundCanceled,
        ("Payout", Approved) => PayoutSucceeded,
        ("Payout", Pending) => PayoutPending,
        ("Payout", Failed) => PayoutFailed,
        ("Payout", Canceled) => PayoutCanceled,
        _ => return None,
    })
}
