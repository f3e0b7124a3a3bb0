//! Wise. <https://docs.wise.com/api-reference/webhook-event>
//!
//! Event id: `{event type}:{movement}:{transaction}:{state}:{occurred at}:{credit or debit}:{amount}`; of what came
//! from no payer it is `credit-{channel}`. Wise's own `X-Delivery-Id` is not signed, and nothing depends on it.
//!
//! Transaction: the transfer, of a pay-in (`account-details-payment`) too. For a change of a balance it is the
//! `transfer_reference`: the balance is no payment. A bulk settlement is known by its `settlement_reference`.
//! Movement: the transfer for a payout or a pay-in, `{transfer}:refunded` for a pay-in that is given back, the step
//! (`step_id`) of a transfer for a change of a balance. Where these are not named, as in `balances#credit`, it is
//! `{balance}:{occurred at}:{amount}:{currency}:{balance after it}`.
//!
//! Money: a decimal JSON number in major units, of this movement: what was added to a balance or paid in, what SWIFT
//! settled, what came back of a transfer. Other events have no amount. Transfers are payouts. A credit is a payment
//! received where its `channel_name` is `TRANSFER` or absent. One of another channel comes from no payer: a card
//! purchase was cancelled, or money of another currency was converted. A debit of a balance pays for a transfer, a card
//! or a conversion, each of which has events of its own: it moves nothing new. What the account's own cards spend is
//! ignored.
//!
//! A transfer that bounced is delivered later or refunded (`funds_refunded`), and has not failed yet. A pay-in that was
//! refunded before it was completed was never received: it is canceled.
//!
//! Wise may tell one receipt under several types (`balances#update`, `balances#credit`, `swift-in#credit`,
//! `incoming-transfer#credited`, `account-details-payment#state-change`) that share no id: an endpoint should have one of
//! them.
//!
//! Signed: the whole body, not the header with the test mode. Time: `occurred_at`, which some types spell otherwise.

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

/// Money was paid into the account by its bank details.
const PAY_IN: &str = "account-details-payment#state-change";

const PAY_IN_STATES: [&str; 5] = ["PENDING", "PROCESSING", "COMPLETED", "CANCELLED", "REFUNDED"];

/// The state of a pay-in that was refunded before it was completed.
const NEVER_RECEIVED: &str = "REFUNDED_UNRECEIVED";

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
    current_status: Text<'a>,
    #[serde(rename = "currentStatus")]
    batch_status: Text<'a>,
    #[serde(rename = "newStatus")]
    new_batch_status: Text<'a>,
    previous_state: Text<'a>,
    previous_status: Text<'a>,
    occurred_at: Text<'a>,
    occured_at: Text<'a>,
    #[serde(rename = "occurredAt")]
    batch_occurred_at: Text<'a>,
    transfer: Object<Transfer<'a>>,
    channel_name: Text<'a>,
    amount: Number<'a>,
    currency: Text<'a>,
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
    settlement_reference: Id<'a>,
    settled_amount: Object<Amount<'a>>,
    refund_amount: Number<'a>,
    refund_currency: Text<'a>,
}

/// A pay-in.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Transfer<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    amount: Number<'a>,
    currency: Text<'a>,
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
    let state = first([data.current_state, data.current_status, data.new_batch_status, data.batch_status]);
    let before = first([data.previous_state, data.previous_status]);
    let state = if event_type == PAY_IN { pay_in_state(before.as_str(), state) } else { state };
    let side = match (data.transaction_type.as_str(), data.channel_name.as_str()) {
        ("credit", channel) if event_type == "balances#update" && !matches!(channel, "" | "TRANSFER") => {
            Text::Value(["credit-", channel].concat().into())
        }
        _ => data.transaction_type,
    };
    let told_at = first([data.occurred_at, data.occured_at, data.batch_occurred_at]);
    let is_balance = matches!(&*event_type, "balances#credit" | "balances#update");
    let (object, units, currency, alias) = match &*event_type {
        "balances#credit" | "balances#update" => {
            (data.transfer_reference.some(), data.amount, data.currency, None)
        }
        PAY_IN => {
            let transfer = data.transfer.or_default();
            (transfer.id.some(), transfer.amount, transfer.currency, None)
        }
        "transfers#refund" => {
            (resource.id.clone().some(), resource.refund_amount, resource.refund_currency, None)
        }
        "swift-in#credit" => {
            let settled = resource.settled_amount.or_default();
            (data.action.or_default().id.some(), settled.value, settled.currency, resource.uetr.some())
        }
        "swift#message-received" => (resource.uetr.some(), Number::Absent, Text::Absent, None),
        "incoming-transfer#credited" => {
            (data.incoming_transfer_id.some(), Number::Absent, Text::Absent, None)
        }
        "bulk-settlement#payment-received" => {
            (resource.settlement_reference.some(), Number::Absent, Text::Absent, None)
        }
        _ => {
            let object = data.transfer_id.some().or_else(|| resource.id.clone().some());
            (object, Number::Absent, Text::Absent, None)
        }
    };
    let occurred_at = told_at.moment();
    let livemode = (received.headers.get("x-test-notification") == Some("true")).then_some(false);
    let step = data.step_id.some();
    let kind = kind(&event_type, state.as_str(), side.as_str());

    let balance = data.balance_id.some().or_else(|| resource.id.some());
    let movement_id = match (is_balance, object.as_deref(), step.as_deref()) {
        (true, Some(reference), Some(step)) => Some(Cow::Owned(composite(&[reference, step]))),
        (true, ..) => Some(Cow::Owned(composite(&[
            balance.as_deref().unwrap_or_default(),
            told_at.as_str(),
            units.text().unwrap_or_default(),
            currency.as_str(),
            data.post_transaction_balance_amount.text().unwrap_or_default(),
        ]))),
        // What is given back moves the other way than the pay-in, whose states are not its own.
        (false, Some(transfer), _) if kind == Some(EventType::RefundSucceeded) => {
            Some(Cow::Owned(composite(&[transfer, "refunded"])))
        }
        (false, ..) => object.clone(),
    };
    let words = [state.as_str(), told_at.as_str(), side.as_str()];
    let Some(kind) = kind else {
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

/// A pay-in's state, in upper case as it is documented.
fn pay_in_state<'a>(before: &str, state: Text<'a>) -> Text<'a> {
    let known = |state: &str| PAY_IN_STATES.into_iter().find(|known| known.eq_ignore_ascii_case(state));
    match (known(before), known(state.as_str())) {
        (Some("PENDING" | "PROCESSING"), Some("REFUNDED")) => Text::Value(NEVER_RECEIVED.into()),
        (_, Some(known)) => Text::Value(known.into()),
        (_, None) => state,
    }
}

/// The first that was sent.
fn first<const N: usize>(texts: [Text<'_>; N]) -> Text<'_> {
    texts.into_iter().find(|text| *text != Text::Absent).unwrap_or_default()
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
            "funds_refunded" | "charged_back" => PayoutFailed,
            "cancelled" => PayoutCanceled,
            // `bounced_back` is not final.
            _ => PayoutUpdated,
        },
        "transfers#payout-failure" | "transfers#refund" => PayoutFailed,
        "transfers#active-cases"
        | "batch-payment-initiations#state-change"
        | "bulk-settlement#payment-received" => PayoutUpdated,
        "balances#credit" | "swift-in#credit" | "incoming-transfer#credited" => PaymentSucceeded,
        "balances#update" => match side {
            // From a payer.
            "credit" => PaymentSucceeded,
            "debit" => PayoutUpdated,
            _ => PaymentUpdated,
        },
        PAY_IN => match state {
            "COMPLETED" => PaymentSucceeded,
            "PENDING" | "PROCESSING" => PaymentPending,
            "CANCELLED" | NEVER_RECEIVED => PaymentCanceled,
            "REFUNDED" => RefundSucceeded,
            _ => PaymentUpdated,
        },
        "swift#message-received" => PaymentPending,
        "transaction-disputes#update" => DisputeUpdated,
        _ => return None,
    })
}
