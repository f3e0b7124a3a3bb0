//! Braintree. <https://developer.paypal.com/braintree/docs/reference/general/webhooks/overview>
//!
//! The body is a form whose `bt_payload` is base64 of an XML notification, and nothing else of it is signed. Event id, since
//! Braintree has none: `{kind}:{movement}:{transaction}:{timestamp}:{our type}:{status}:{amount}`; the
//! SHA-256 of `bt_payload` stands in the place of ids that are not there. Time: the notification's `timestamp`.
//!
//! Transaction: a local payment's `payment-id`, with its transaction as an alias; else the transaction; of a refund the
//! one it refunds, of a part of a settlement the one that was authorised. Movement: of refunds, disputes and
//! disbursements their own id; of a subscription's charge its transaction, of its other events the subscription; else
//! the transaction.
//!
//! Amount: decimal texts in major units, of each movement its own; a subscription's price is not given where nothing was
//! charged. A disbursement of the type `debit` takes money from the merchant's account: its amount is negative. Where the
//! subject names no currency it is the merchant account's: the endpoint's `default_currency` parameter, else `XXX`.

use std::borrow::Cow;

use base64::Engine as _;
use tollgate_core::{
    Category, Currency, Customer, EndpointConfig, EventType, Facts, PaymentMethod, id::hex_sha256,
};

use super::{
    content::{ContentError, unknown},
    form::Form,
    identity::identified,
    money,
    normaliser::{Normaliser, Read},
    xml::Texts,
};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "braintree",
    aliases: &[],
    headers: &[],
    query: &[],
    read: Read::BodyAndSettings(normalise),
};

const SUBJECT: &str = "/notification/subject";
const UNREAD: &str = "bt_payload cannot be read";

fn normalise<'a>(body: &'a [u8], config: &EndpointConfig) -> Result<Facts<'a>, ContentError> {
    let payload = Form::new(body)?.get("bt_payload")?;
    let payload = payload.ok_or(ContentError::MissingField("bt_payload"))?;
    // What is signed with a line's end is good without it, too.
    let signed = payload.trim_end_matches('\n');
    // Named after what is signed: whoever adds a field to the form makes no second event.
    let unread = || Facts::unrecognized(format!("sha256:{}", hex_sha256(signed.as_bytes())), "", UNREAD);
    Ok(read(signed, config).unwrap_or_else(|_| unread()))
}

fn read<'a>(payload: &str, config: &EndpointConfig) -> Result<Facts<'a>, ContentError> {
    let texts = Texts::read(&document(payload)?)?;
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
    let (id, transaction) = (own("id"), payment("id"));
    let local = own("payment-id").or_else(|| own("local-payment/payment-id"));
    let refunded = own("refunded-transaction-id").or_else(|| own("refunded-transaction-fk"));
    let is_credit = own("type") == Some("credit") || refunded.is_some();
    let occurred_at = timestamp.parse().ok();
    let kind = kind(&Subject {
        kind: kind_word,
        dispute: own("kind"),
        success: own("success"),
        status: payment("status"),
        is_credit,
        has_transaction: transaction.is_some(),
    });
    let category = kind.map(EventType::category);
    let amount = match object {
        "dispute" => own("amount-disputed").or_else(|| own("amount")),
        "subscription" => payment("amount").filter(|_| is_charge(kind)),
        object if object.starts_with("local-payment") => payment("amount"),
        _ => own("amount"),
    };
    // Its amount is written without a sign.
    let is_taken = object == "disbursement" && own("disbursement-type") == Some("debit");
    let amount = amount.map(|amount| match amount.strip_prefix('-') {
        None if is_taken => Cow::Owned(["-", amount].concat()),
        _ => Cow::Borrowed(amount),
    });
    let amount =
        amount.map(|amount| money::decimal_text(&amount, currency(&own, &payment, config)?)).transpose();

    let text = |value: Option<&str>| value.map(|value| Cow::Owned(value.to_owned()));
    let is_subscription = object == "subscription" && !is_charge(kind);
    let named = [
        id.filter(|_| is_subscription),
        local,
        refunded,
        own("authorized-transaction-id"),
        own("retried-transaction-id"),
        own("transaction-id"),
        transaction,
        id,
    ];
    let transaction_id = named.into_iter().flatten().next().filter(|_| kind.is_some());
    let alias = transaction
        .filter(|id| Some(*id) != transaction_id && !is_credit && !is_subscription && kind.is_some());
    let movement_id = match (category, object) {
        (None, _) => None,
        (Some(Category::Refund), "local-payment-reversed") => {
            local.map(|local| Cow::Owned([local, ":reversed"].concat()))
        }
        (Some(Category::Payment), "transaction") if own("authorized-transaction-id").is_some() => text(id),
        (Some(Category::Payment), _) => None,
        (Some(Category::Other), "subscription") if is_charge(kind) => text(transaction.or(id)),
        _ => text(id.or(transaction)),
    };
    let facts = Facts {
        transaction_id: text(transaction_id),
        aliases: text(alias).into_iter().collect(),
        // A charge, or a settlement, fails once.
        occurrence: match kind {
            Some(EventType::InvoicePaymentFailed) => movement_id.clone(),
            Some(EventType::PaymentCaptureFailed) => text(transaction),
            _ => None,
        },
        movement_id,
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
        ..unknown("", kind_word.to_owned())
    };
    let facts = match kind {
        Some(kind) => money::with_amount(Facts { kind, unrecognized: None, ..facts }, amount),
        None => facts,
    };
    let words = [timestamp, facts.kind.as_str(), payment("status").unwrap_or_default()];
    Ok(identified(facts, &words, payload.as_bytes()))
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

/// Whether it tells of a subscription's charge.
fn is_charge(kind: Option<EventType>) -> bool {
    matches!(kind, Some(EventType::InvoicePaid | EventType::InvoicePaymentFailed))
}

/// What decides an event's type.
struct Subject<'t> {
    kind: &'t str,
    dispute: Option<&'t str>,
    success: Option<&'t str>,
    status: Option<&'t str>,
    is_credit: bool,
    has_transaction: bool,
}

fn kind(subject: &Subject<'_>) -> Option<EventType> {
    use EventType::*;
    let &Subject { kind, dispute, success, status, is_credit, has_transaction } = subject;
    Some(match kind {
        "transaction_settled" if is_credit => RefundSucceeded,
        "transaction_settled" => PaymentSucceeded,
        "transaction_settlement_declined" if is_credit => RefundFailed,
        "transaction_settlement_declined" => PaymentCaptureFailed,
        "transaction_disbursed" if is_credit => RefundUpdated,
        // Its money reaches the merchant; a review decides whether it is taken, and has no money of its own.
        "transaction_disbursed" | "transaction_reviewed" => PaymentUpdated,
        "transaction_retried" => PaymentPending,
        // Without a transaction the payer's payment still has to be taken.
        "local_payment_completed" if !has_transaction => PaymentPending,
        "local_payment_completed" => PaymentSucceeded,
        "local_payment_funded" if matches!(status, Some("settled" | "settling" | "settlement_confirmed")) => {
            PaymentSucceeded
        }
        "local_payment_funded" => PaymentPending,
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
        // Nothing was due.
        "subscription_charged_successfully" if !has_transaction => SubscriptionUpdated,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_signed_makes_no_second_event() {
        let config = r#"{"id":"braintree","scheme":"braintree","secret":"ssm:braintree"}"#;
        let config: EndpointConfig = serde_json::from_str(config).unwrap();
        for xml in [
            "<notification><kind>check</kind><timestamp>2026-01-02T03:04:05Z</timestamp></notification>",
            "<notification>",
        ] {
            let payload =
                base64::engine::general_purpose::STANDARD.encode(xml).replace('+', "%2B").replace('=', "%3D");
            let ids: Vec<String> = ["", "%0A", "&x=1", "%0A&x=2"]
                .map(|more| format!("bt_signature=k%7C00&bt_payload={payload}{more}"))
                .iter()
                .map(|body| normalise(body.as_bytes(), &config).unwrap().event_id.into_owned())
                .collect();
            assert!(ids.iter().all(|id| *id == ids[0]), "{xml}: {ids:?}");
        }
    }
}
