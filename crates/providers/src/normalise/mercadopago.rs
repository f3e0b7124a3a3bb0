//! Mercado Pago. <https://www.mercadopago.com/developers/en/docs/your-integrations/notifications/webhooks>
//!
//! Event id: `{id}:{data.id}`, `data.id` in lower case. Provider's type: `action`, else `type`. Transaction: `data.id`.
//! The query's `data.id` is signed and the body is not: a body that names another subject is unrecognized, and the signed
//! one is recorded.
//!
//! Money: not in the webhook; it must be fetched. Nor is a payment's state: `payment.updated` says only that
//! there is a new one, so that it is unrecognized; orders say theirs.

use serde::Deserialize;
use tollgate_core::{EventType, Facts};

use super::{
    content::{ContentError, composite, unknown},
    fields::{Flag, Id, Object, Text},
    json,
    normaliser::{Normaliser, Read},
};
use crate::{request::Received, text::form_field};

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "mercadopago",
    aliases: &["mercado_pago"],
    headers: &[],
    read: Read::Request(normalise),
};

const OTHER_SUBJECT: &str = "data.id of the body is not the signed one";
const STATE_ELSEWHERE: &str = "state is not in the webhook and must be fetched";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    action: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    date_created: Text<'a>,
    live_mode: Flag,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    id: Id<'a>,
}

fn normalise<'a>(received: Received<'a>) -> Result<Facts<'a>, ContentError> {
    let event: Event<'a> = json::read(received.body)?;
    let id = event.id.some().ok_or(ContentError::MissingField("id"))?;
    let named = event.data.or_default().id.some();
    let signed = form_field(received.query.as_bytes(), "data.id");
    let signed = signed.map_err(|_| ContentError::InvalidField("data.id"))?.filter(|id| !id.is_empty());
    let (subject, is_other) = match (named, signed) {
        // The signature may be of the id in lower case.
        (Some(named), Some(signed)) if !named.eq_ignore_ascii_case(&signed) => (Some(signed), true),
        (Some(named), _) => (Some(named), false),
        (None, signed) => (signed, false),
    };
    // In one case: which one the query has is not signed.
    let event_id = composite(&[&id, &subject.as_deref().unwrap_or_default().to_ascii_lowercase()]);
    let kind = kind(event.kind.as_str(), event.action.as_str());
    let event_type = event.action.some().or_else(|| event.kind.some()).unwrap_or_default();
    let facts = match kind {
        _ if is_other => {
            Facts { transaction_id: subject, ..Facts::unrecognized(event_id, event_type, OTHER_SUBJECT) }
        }
        Some(kind) => Facts { transaction_id: subject, ..Facts::new(event_id, event_type, kind) },
        None if event_type == "payment.updated" => {
            Facts { transaction_id: subject, ..Facts::unrecognized(event_id, event_type, STATE_ELSEWHERE) }
        }
        None => unknown(event_id, event_type),
    };
    let (occurred_at, livemode) = (event.date_created.moment(), event.live_mode.some());
    Ok(Facts { occurred_at, livemode, ..facts })
}

fn kind(event_type: &str, action: &str) -> Option<EventType> {
    use EventType::*;
    Some(match (event_type, action) {
        (_, "payment.created") => PaymentCreated,
        (_, "order.action_required") => PaymentRequiresAction,
        (_, "order.processed") => PaymentSucceeded,
        (_, "order.failed") => PaymentFailed,
        (_, "order.canceled") => PaymentCanceled,
        (_, "order.expired") => PaymentExpired,
        (_, "order.refunded") => RefundSucceeded,
        (_, "order.charged_back") => DisputeOpened,
        ("topic_chargebacks_wh" | "chargebacks", _) => DisputeUpdated,
        ("subscription_preapproval", "created") => SubscriptionCreated,
        ("subscription_preapproval", "updated") => SubscriptionUpdated,
        _ => return None,
    })
}
