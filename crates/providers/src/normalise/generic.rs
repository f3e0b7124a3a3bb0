//! Our own schema, for senders that follow it (`POST /webhook`).
//!
//! Required: `event_id` (text), `transaction_type` (`payment`, `refund` or `dispute`), `amount` (a JSON number
//! or decimal text in major units, exact), `timestamp` (RFC 3339 text).
//!
//! Optional: `currency` (else the endpoint's `default_currency` parameter, else `XXX`), `status` (else `succeeded`; a
//! dispute's is `opened`), `transaction_id` (else the event id), `movement_id`, `customer_id`, `country`,
//! `payment_method`, `card_brand`, `card_country`, `risk_score` (0 to 65,535), `livemode`, `metadata`.
//!
//! `movement_id` is the id of what moved: the refund's, the dispute's, the capture's. Events with the same one and the
//! same state tell one effect. Where it is absent, a payment's is its `transaction_id`, and each refund or dispute
//! event is a movement of its own. `amount` is the amount of this movement, and never a sum of several; its
//! sign is not used of a refund or a dispute. A payment of zero is `payment.updated`.
//!
//! Event id: `event_id`. What is missing or ill-typed is an error, which the sender is told.

use std::borrow::Cow;

use serde::Deserialize;
use tollgate_core::{Currency, Customer, EndpointConfig, EventType, Facts, PaymentMethod};

use super::{
    content::ContentError,
    fields::{Flag, Number, Pairs, Text},
    json, money,
    normaliser::{Normaliser, Read},
};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "generic",
    aliases: &[],
    headers: &[],
    query: &[],
    read: Read::BodyAndSettings(normalise),
};

/// ISO 4217's code for transactions where no currency is involved.
const NO_CURRENCY: &str = "XXX";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    event_id: Text<'a>,
    transaction_type: Text<'a>,
    amount: Number<'a>,
    timestamp: Text<'a>,
    currency: Text<'a>,
    status: Text<'a>,
    transaction_id: Text<'a>,
    movement_id: Text<'a>,
    customer_id: Text<'a>,
    country: Text<'a>,
    payment_method: Text<'a>,
    card_brand: Text<'a>,
    card_country: Text<'a>,
    risk_score: Number<'a>,
    livemode: Flag,
    metadata: Pairs<'a>,
}

fn normalise<'a>(body: &'a [u8], config: &EndpointConfig) -> Result<Facts<'a>, ContentError> {
    let body: Body<'a> = json::read(body)?;
    let event_id = required(body.event_id, "event_id")?;
    let transaction_type = required(body.transaction_type, "transaction_type")?;
    let amount = match body.amount {
        Number::Absent => return Err(ContentError::MissingField("amount")),
        Number::Wrong => return Err(ContentError::InvalidField("amount")),
        Number::Bare(text) | Number::Quoted(text) => text,
    };
    let timestamp = required(body.timestamp, "timestamp")?;

    let status = optional(body.status, "status")?;
    let kind = kind(&transaction_type, status.as_deref())?;
    let currency = optional(body.currency, "currency")?;
    let default = || config.parameters.get("default_currency").map_or(NO_CURRENCY, String::as_str);
    let currency = Currency::new(currency.as_deref().unwrap_or_else(default))
        .map_err(|_| ContentError::InvalidField("currency"))?;
    let amount = money::decimal_text(amount, currency).map_err(|_| ContentError::InvalidField("amount"))?;
    let occurred_at = timestamp.parse().map_err(|_| ContentError::InvalidField("timestamp"))?;
    let transaction_id = optional(body.transaction_id, "transaction_id")?;
    let provider_risk_score = match body.risk_score {
        Number::Absent => None,
        score @ Number::Bare(_) => Some(score.integer().ok_or(ContentError::InvalidField("risk_score"))?),
        Number::Quoted(_) | Number::Wrong => return Err(ContentError::InvalidField("risk_score")),
    };
    let livemode = match body.livemode {
        Flag::Absent => None,
        Flag::Value(livemode) => Some(livemode),
        Flag::Wrong => return Err(ContentError::InvalidField("livemode")),
    };

    let facts = Facts {
        transaction_id: Some(transaction_id.unwrap_or_else(|| event_id.clone())),
        movement_id: optional(body.movement_id, "movement_id")?,
        occurred_at: Some(occurred_at),
        customer: Customer {
            id: optional(body.customer_id, "customer_id")?,
            country: optional(body.country, "country")?,
        },
        method: PaymentMethod {
            kind: optional(body.payment_method, "payment_method")?,
            brand: optional(body.card_brand, "card_brand")?,
            country: optional(body.card_country, "card_country")?,
        },
        provider_risk_score,
        livemode,
        metadata: body.metadata.into_vec(),
        ..Facts::new(event_id, transaction_type, kind)
    };
    Ok(money::with_amount(facts, Ok(Some(amount))))
}

fn kind(transaction_type: &str, status: Option<&str>) -> Result<EventType, ContentError> {
    use EventType::*;
    let kind = match (transaction_type, status.unwrap_or("succeeded")) {
        ("payment", "created") => PaymentCreated,
        ("payment", "pending" | "processing") => PaymentPending,
        ("payment", "requires_action") => PaymentRequiresAction,
        ("payment", "authorized") => PaymentAuthorized,
        ("payment", "succeeded" | "completed") => PaymentSucceeded,
        ("payment", "failed") => PaymentFailed,
        ("payment", "canceled" | "cancelled") => PaymentCanceled,
        ("payment", "expired") => PaymentExpired,
        ("payment", "capture_failed") => PaymentCaptureFailed,
        ("refund", "created" | "pending" | "processing") => RefundPending,
        ("refund", "succeeded" | "completed") => RefundSucceeded,
        ("refund", "failed") => RefundFailed,
        ("refund", "canceled" | "cancelled") => RefundCanceled,
        ("dispute", "warning") => DisputeWarning,
        ("dispute", "created" | "opened" | "succeeded") => DisputeOpened,
        ("dispute", "pending" | "processing" | "updated") => DisputeUpdated,
        ("dispute", "won") => DisputeWon,
        ("dispute", "lost") => DisputeLost,
        ("dispute", "closed") => DisputeClosed,
        ("payment" | "refund" | "dispute", _) => return Err(ContentError::InvalidField("status")),
        _ => return Err(ContentError::InvalidField("transaction_type")),
    };
    Ok(kind)
}

fn required<'a>(text: Text<'a>, name: &'static str) -> Result<Cow<'a, str>, ContentError> {
    match text {
        Text::Value(text) if !text.is_empty() => Ok(text),
        Text::Absent => Err(ContentError::MissingField(name)),
        Text::Value(_) | Text::Wrong => Err(ContentError::InvalidField(name)),
    }
}

fn optional<'a>(text: Text<'a>, name: &'static str) -> Result<Option<Cow<'a, str>>, ContentError> {
    match text {
        Text::Value(text) if !text.is_empty() => Ok(Some(text)),
        Text::Absent => Ok(None),
        Text::Value(_) | Text::Wrong => Err(ContentError::InvalidField(name)),
    }
}
