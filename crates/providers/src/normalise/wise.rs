//! Wise. <https://docs.wise.com/api-reference/webhook-event>
//!
//! Event id: `{event type}:{movement}:{transaction}:{state}:{occurred at}:{credit or debit}:{amount}`. Wise's own
//! `X-Delivery-Id` is not signed, and nothing depends on it.
//!
//! Transaction: the transfer. For a change of a balance it is the `transfer_reference`: the balance is no payment.
//! Movement: the transfer for a payout, the step (`step_id`) of a transfer for a change of a balance. Where these are
//! not named, as in `balances#credit`, it is `{balance}:{occurred at}:{amount}:{currency}:{balance after it}`.
//!
//! Money: a decimal JSON number in major units, of this movement: what was added to a balance, what SWIFT settled, what
//! came back of a transfer. Other events have no amount. A credit is a payment received, and transfers are payouts. A
//! debit of a balance pays for a transfer, a card or a conversion, each of which has events of its own: it moves
//! nothing new. What the account's own cards spend is ignored.
//!
//! Wise may tell one receipt under several types (`balances#update`, `balances#credit`, `swift-in#credit`,
//! `incoming-transfer#credited`) that share no id: an endpoint should have one of them.
//!
//! Signed: the whole body, not the header with the test mode. Time: `occurred_at`.

use std::borrow::Cow;

use serde::Deserialize;
use tollgate_core::{EventType, Facts, PaymentMethod};

use super::{
    content::{ContentError, composite, required, unknown},
    fields::{Id, Number, Object, Text},
    identity::identified,
    json, money,
    normaliser::{Normaliser, Read},
};
use crate::request::Received;

pub(super) const NORMALISER: Normaliser = Normaliser {
    name: "wise",
    aliases: &[],
    headers: &["x-test-notification"],
    query: &[],
    read: Read::Request(normalise),
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    event_type: Text<'a>,
    data: Object<Data<'a>>,
}

/// The fields that are read of every kind of event. Which of them are there depends on the event's type.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    resource: Object<Resource<'a>>,
    action: Object<Resource<'a>>,
    current_state: Text<'a>,
    occurred_at: Text<'a>,
    amount: Number<'a>,
    currency: Text<'a>,
    settled_amount: Object<Amount<'a>>,
    transaction_type: Text<'a>,
    transfer_id: Id<'a>,
    incoming_transfer_id: Id<'a>,
    transfer_reference: Id<'a>,
    balance_id: Id<'a>,
    step_id: Id<'a>,
    post_transaction_balance_amount: Number<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    uetr: Text<'a>,
    refund_amount: Number<'a>,
    refund_currency: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Amount<'a> {
    #[serde(borrow)]
    value: Number<'a>,
    currency: Text<'a>,
}

fn normalise<'a>(received: Received<'a>) -> Result<Facts<'a>, ContentError> {
    let event: Event<'a> = json::read(received.body)?;
    let event_type = required(event.event_type, "event_type")?;
    let data = event.data.or_default();
    let resource = data.resource.or_default();
    let (state, side) = (data.current_state, data.transaction_type);
    let is_balance = matches!(&*event_type, "balances#credit" | "balances#update");
    let (object, units, currency, alias) = match &*event_type {
        "balances#credit" | "balances#update" => {
            (data.transfer_reference.some(), data.amount, data.currency, None)
        }
        "transfers#refund" => {
            (resource.id.clone().some(), resource.refund_amount, resource.refund_currency, None)
        }
        "swift-in#credit" => {
            let settled = data.settled_amount.or_default();
            (data.action.or_default().id.some(), settled.value, settled.currency, resource.uetr.some())
        }
        "swift#message-received" => (resource.uetr.some(), Number::Absent, Text::Absent, None),
        "incoming-transfer#credited" => {
            (data.incoming_transfer_id.some(), Number::Absent, Text::Absent, None)
        }
        _ => {
            let object = data.transfer_id.some().or_else(|| resource.id.clone().some());
            (object, Number::Absent, Text::Absent, None)
        }
    };
    let occurred_at = data.occurred_at.moment();
    let livemode = (received.headers.get("x-test-notification") == Some("true")).then_some(false);
    let step = data.step_id.some();

    let balance = data.balance_id.some().or_else(|| resource.id.some());
    let movement_id = match (is_balance, object.as_deref(), step.as_deref()) {
        (true, Some(reference), Some(step)) => Some(Cow::Owned(composite(&[reference, step]))),
        (true, ..) => Some(Cow::Owned(composite(&[
            balance.as_deref().unwrap_or_default(),
            data.occurred_at.as_str(),
            units.text().unwrap_or_default(),
            currency.as_str(),
            data.post_transaction_balance_amount.text().unwrap_or_default(),
        ]))),
        (false, ..) => object.clone(),
    };
    let words = [state.as_str(), data.occurred_at.as_str(), side.as_str()];
    let Some(kind) = kind(&event_type, state.as_str(), side.as_str()) else {
        // Its resource may be a profile or a card.
        let facts = Facts { movement_id: object, occurred_at, livemode, ..unknown("", event_type) };
        let facts = identified(facts, &words, received.body);
        return Ok(Facts { movement_id: None, ..facts });
    };
    let facts = Facts {
        transaction_id: object,
        aliases: alias.into_iter().collect(),
        movement_id,
        occurred_at,
        method: PaymentMethod { kind: Some("bank_transfer".into()), ..PaymentMethod::default() },
        livemode,
        ..Facts::new("", event_type, kind)
    };
    let facts = money::with_amount(facts, money::decimal(units, &currency));
    Ok(identified(facts, &words, received.body))
}

fn kind(event_type: &str, state: &str, side: &str) -> Option<EventType> {
    use EventType::*;
    Some(match event_type {
        "transfers#state-change" => match state {
            "incoming_payment_waiting"
            | "incoming_payment_initiated"
            | "waiting_recipient_input_to_proceed"
            | "processing"
            | "funds_converted" => PayoutPending,
            "outgoing_payment_sent" => PayoutSucceeded,
            "bounced_back" | "funds_refunded" | "charged_back" => PayoutFailed,
            "cancelled" => PayoutCanceled,
            _ => PayoutUpdated,
        },
        "transfers#payout-failure" | "transfers#refund" => PayoutFailed,
        "transfers#active-cases"
        | "batch-payment-initiations#state-change"
        | "bulk-settlement#payment-received" => PayoutUpdated,
        "balances#credit" | "swift-in#credit" | "incoming-transfer#credited" => PaymentSucceeded,
        "balances#update" => match side {
            "credit" => PaymentSucceeded,
            "debit" => PayoutUpdated,
            _ => PaymentUpdated,
        },
        "account-details-payment#state-change" => match state {
            "" | "completed" | "COMPLETED" => PaymentSucceeded,
            _ => PaymentPending,
        },
        "swift#message-received" => PaymentPending,
        "transaction-disputes#update" => DisputeUpdated,
        _ => return None,
    })
}
