//! Wise. <https://docs.wise.com/api-docs/webhooks-notifications>
//!
//! Event id: the `X-Delivery-Id` header; where it is missing,
//! `{resource id}:{event type}:{state}:{occurred at}`. Transaction: the transfer, `data.resource.id`.
//!
//! Money: a decimal JSON number in major units, where there is one (balance credits). A credit to a balance is
//! a payment received; transfers are payouts.
//!
//! Signed: the whole body, not the headers with the event id and the test mode.

use std::borrow::Cow;

use serde::Deserialize;
use tollgate_core::{EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, composite, header, required, unknown},
    fields::{Id, Number, Object, Text},
    json, money,
    normaliser::{Normaliser, Read},
};
use crate::request::Received;

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "wise",
    aliases: &[],
    headers: &["x-delivery-id", "x-test-notification"],
    read: Read::Request(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    event_type: Text<'a>,
    sent_at: Text<'a>,
    data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    resource: Object<Resource<'a>>,
    current_state: Text<'a>,
    occurred_at: Text<'a>,
    amount: Number<'a>,
    currency: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource<'a> {
    #[serde(borrow)]
    id: Id<'a>,
}

fn normalise<'a>(received: Received<'a>) -> Result<Facts<'a>, ContentError> {
    let event: Event<'a> = json::read(received.body)?;
    let event_type = required(event.event_type, "event_type")?;
    let data = event.data.or_default();
    let state = data.current_state.as_str();
    let resource = data.resource.or_default().id.some();
    let event_id = match header(received, "x-delivery-id") {
        Some(id) => Cow::Borrowed(id),
        None => {
            let resource = resource.as_deref().ok_or(ContentError::MissingField("x-delivery-id"))?;
            Cow::Owned(composite(&[resource, &event_type, state, data.occurred_at.as_str()]))
        }
    };
    let occurred_at = data.occurred_at.moment().or_else(|| event.sent_at.moment());
    let livemode = (received.headers.get("x-test-notification") == Some("true")).then_some(false);
    let Some(kind) = kind(&event_type, state) else {
        return Ok(Facts { occurred_at, livemode, ..unknown(event_id, event_type) });
    };
    let amount = money::decimal(data.amount, &data.currency);
    let facts = Facts {
        transaction_id: resource,
        occurred_at,
        method: PaymentMethod { kind: Some("bank_transfer".into()), ..PaymentMethod::default() },
        livemode,
        ..Facts::new(event_id, event_type, kind)
    };
    Ok(money::with_amount(facts, amount))
}

fn kind(event_type: &str, state: &str) -> Option<EventType> {
    use EventType::*;
    Some(match (event_type, state) {
        (
            "transfers#state-change",
            "incoming_payment_waiting" | "incoming_payment_initiated" | "processing" | "funds_converted",
        ) => PayoutPending,
        ("transfers#state-change", "outgoing_payment_sent") => PayoutSucceeded,
        ("transfers#state-change", "bounced_back" | "funds_refunded" | "charged_back")
        | ("transfers#payout-failure", _) => PayoutFailed,
        ("transfers#state-change", "cancelled") => PayoutCanceled,
        ("balances#credit", _) => PaymentSucceeded,
        _ => return None,
    })
}
