//! Braintree. <https://developer.paypal.com/braintree/docs/reference/general/webhooks/overview>
//!
//! The body is a form whose `bt_payload` is base64 of an XML notification. Event id:
//! `{kind}:{subject's id}:{timestamp}`, since Braintree has none; a subject without an id goes by its transaction,
//! its payment or token, or the SHA-256 of `bt_payload`. Transaction: the transaction; a failed refund's is the one it
//! refunded; a disbursement is its own.
//!
//! Money: decimal texts in major units. Where the subject names no currency it is the merchant account's: the
//! endpoint's `default_currency` parameter, else `XXX`.

use std::borrow::Cow;

use base64::Engine as _;
use tollgate_core::{Currency, Customer, EndpointConfig, EventType, Facts, PaymentMethod, id::hex_sha256};

use super::{
    content::{ContentError, unknown},
    form::Form,
    money,
    normaliser::{Normaliser, Read},
    xml::Texts,
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "braintree", aliases: &[], headers: &[], read: Read::BodyAndSettings(normalise) };

const SUBJECT: &str = "/notification/subject";

fn normalise<'a>(body: &'a [u8], config: &EndpointConfig) -> Result<Facts<'a>, ContentError> {
    let payload = Form::new(body)?.get("bt_payload")?;
    let payload = payload.ok_or(ContentError::MissingField("bt_payload"))?;
    let texts = Texts::read(&document(&payload)?)?;
    let kind_word = texts.get("/notification/kind").ok_or(ContentError::MissingField("kind"))?;
    let timestamp = texts.get("/notification/timestamp").ok_or(ContentError::MissingField("timestamp"))?;
    let object = texts.first_below(SUBJECT).unwrap_or_default();
    let own = |name: &str| texts.get(&format!("{SUBJECT}/{object}/{name}"));
    // A subscription's payment stands first in its list, a dispute's and a local payment's directly below.
    let payment = |name: &str| match object {
        "transaction" => own(name),
        "subscription" => own(&format!("transactions/transaction/{name}")),
        _ => own(&format!("transaction/{name}")),
    };
    let payment_id = || own("payment-id");
    let id = own("id").or_else(|| payment("id")).or_else(payment_id).or_else(|| own("token"));
    let id = id.map_or_else(|| Cow::Owned(hex_sha256(payload.as_bytes())), Cow::Borrowed);
    let event_id = format!("{kind_word}:{id}:{timestamp}");
    let occurred_at = timestamp.parse().ok();
    let Some(kind) = kind(kind_word, own("kind"), own("success")) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, kind_word.to_owned()) });
    };
    let amount = match object {
        "dispute" => own("amount-disputed").or_else(|| own("amount")),
        "subscription" | "local-payment" => payment("amount").or_else(|| own("price")),
        _ => own("amount"),
    };
    // Without a transaction beside it, a subscription's price was not charged.
    let amount = amount.filter(|_| {
        !matches!(kind.category(), tollgate_core::Category::Other) || payment("amount").is_some()
    });
    let amount =
        amount.map(|amount| money::decimal_text(amount, currency(&own, &payment, config)?)).transpose();
    let transaction_id = match kind {
        EventType::RefundFailed => own("refunded-transaction-id").or_else(|| own("refunded-transaction-fk")),
        _ => payment("id"),
    };
    let text = |value: Option<&str>| value.map(|value| Cow::Owned(value.to_owned()));
    let facts = Facts {
        transaction_id: text(transaction_id.or_else(|| own("id")).or_else(payment_id)),
        occurred_at,
        customer: Customer {
            id: text(payment("customer/id")),
            country: text(payment("billing/country-code-alpha2")),
        },
        method: PaymentMethod {
            kind: text(payment("payment-instrument-type")),
            brand: text(payment("credit-card/card-type")),
            country: text(payment("credit-card/country-of-issuance")),
        },
        ..Facts::new(event_id, kind_word.to_owned(), kind)
    };
    Ok(money::with_amount(facts, amount))
}

/// The XML. Nothing else of the body is signed.
fn document(payload: &str) -> Result<String, ContentError> {
    // Ruby breaks its base64 into lines.
    let encoded: String = payload.chars().filter(|char| !char.is_ascii_whitespace()).collect();
    let xml = base64::engine::general_purpose::STANDARD.decode(encoded);
    let xml = xml.map_err(|_| ContentError::InvalidField("bt_payload"))?;
    String::from_utf8(xml).map_err(|_| ContentError::InvalidField("bt_payload"))
}

fn currency<'t>(
    own: &impl Fn(&str) -> Option<&'t str>,
    payment: &impl Fn(&str) -> Option<&'t str>,
    config: &EndpointConfig,
) -> Result<Currency, &'static str> {
    let code = own("currency-iso-code")
        .or_else(|| payment("currency-iso-code"))
        .or_else(|| own("merchant-account/currency-iso-code"));
    match code {
        Some(code) => money::parse_currency(code),
        None => money::default_currency(config),
    }
}

fn kind(kind: &str, dispute: Option<&str>, success: Option<&str>) -> Option<EventType> {
    use EventType::*;
    Some(match kind {
        "transaction_settled" | "local_payment_completed" => PaymentSucceeded,
        "transaction_settlement_declined" => PaymentCaptureFailed,
        "local_payment_expired" => PaymentExpired,
        "local_payment_reversed" => RefundSucceeded,
        "refund_failed" => RefundFailed,
        "dispute_opened" if matches!(dispute, Some("retrieval")) => DisputeWarning,
        "dispute_opened" => DisputeOpened,
        "dispute_under_review" | "dispute_disputed" => DisputeUpdated,
        "dispute_won" => DisputeWon,
        "dispute_lost" | "dispute_accepted" | "dispute_auto_accepted" => DisputeLost,
        "dispute_expired" => DisputeClosed,
        "disbursement" if success == Some("false") => PayoutFailed,
        "disbursement" => PayoutSucceeded,
        "disbursement_exception" => PayoutFailed,
        "subscription_charged_successfully" => InvoicePaid,
        "subscription_charged_unsuccessfully" => InvoicePaymentFailed,
        "subscription_went_active" => SubscriptionCreated,
        "subscription_went_past_due" | "subscription_trial_ended" | "subscription_billing_skipped" => {
            SubscriptionUpdated
        }
        "subscription_canceled" | "subscription_expired" => SubscriptionCanceled,
        _ => return None,
    })
}
