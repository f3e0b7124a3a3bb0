//! Plaid. <https://plaid.com/docs/api/webhooks/>
//!
//! Event id: `{payment, transfer or item id}:{webhook code}:{moment}`, since Plaid has none; the moment is the
//! body's `timestamp`, else `iat` of the `Plaid-Verification` token. Provider's type:
//! `{webhook_type}.{webhook_code}`.
//!
//! Money: not in the webhooks; it must be fetched. Only payment initiation says what became of a payment; the
//! rest (transactions, items, transfer events to be polled) is unrecognized.
//!
//! Signed: the `Plaid-Verification` token, with the body's SHA-256 in it.

use base64::Engine as _;
use serde::Deserialize;
use tollgate_core::{EventType, Facts, PaymentMethod, Timestamp};

use super::{
    content::{ContentError, composite, required, unknown},
    fields::{Number, Text},
    json,
    normaliser::{Normaliser, Read},
};
use crate::{headers::Headers, request::Received};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "plaid",
    aliases: &[],
    headers: &["plaid-verification"],
    read: Read::Request(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    webhook_type: Text<'a>,
    webhook_code: Text<'a>,
    payment_id: Text<'a>,
    transfer_id: Text<'a>,
    item_id: Text<'a>,
    new_payment_status: Text<'a>,
    timestamp: Text<'a>,
    environment: Text<'a>,
}

fn normalise<'a>(received: Received<'a>) -> Result<Facts<'a>, ContentError> {
    let body: Body<'a> = json::read(received.body)?;
    let code = required(body.webhook_code, "webhook_code")?;
    let id = body.payment_id.some().or_else(|| body.transfer_id.some()).or_else(|| body.item_id.some());
    let issued = issued_at(received.headers);
    let moment = match body.timestamp.as_str() {
        "" => issued.map(|at| at.as_second().to_string()).unwrap_or_default(),
        timestamp => timestamp.to_owned(),
    };
    let event_id = composite(&[id.as_deref().unwrap_or_default(), &code, &moment]);
    let event_type = [body.webhook_type.as_str(), &*code].join(".");
    let occurred_at = body.timestamp.moment().or(issued);
    let livemode = body.environment.is_live("production", "sandbox");
    let status = body.new_payment_status.as_str();
    let Some(kind) =
        (event_type == "PAYMENT_INITIATION.PAYMENT_STATUS_UPDATE").then(|| kind(status)).flatten()
    else {
        return Ok(Facts { occurred_at, livemode, ..unknown(event_id, event_type) });
    };
    Ok(Facts {
        transaction_id: id,
        occurred_at,
        livemode,
        method: PaymentMethod { kind: Some("bank_transfer".into()), ..PaymentMethod::default() },
        ..Facts::new(event_id, event_type, kind)
    })
}

fn kind(status: &str) -> Option<EventType> {
    use EventType::*;
    Some(match status.strip_prefix("PAYMENT_STATUS_")? {
        "INPUT_NEEDED" => PaymentRequiresAction,
        "AUTHORISING" | "PROCESSING" | "INITIATED" => PaymentPending,
        "EXECUTED" | "SETTLED" | "SUCCESS" => PaymentSucceeded,
        "INSUFFICIENT_FUNDS" | "FAILED" | "BLOCKED" | "REJECTED" => PaymentFailed,
        "CANCELLED" => PaymentCanceled,
        "UNKNOWN" => return None,
        _ => return None,
    })
}

/// When the token was issued. It has been verified with the signature.
fn issued_at(headers: &Headers) -> Option<Timestamp> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Claims<'a> {
        #[serde(borrow)]
        iat: Number<'a>,
    }
    let claims = headers.get("plaid-verification")?.split('.').nth(1)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).ok()?;
    json::read::<Claims<'_>>(&claims).ok()?.iat.unix_seconds()
}
