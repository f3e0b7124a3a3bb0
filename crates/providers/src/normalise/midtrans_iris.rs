//! Midtrans Iris payouts. <https://iris-docs.midtrans.com/#notification>
//!
//! Event id: `{status}:{reference_no}:{amount}`. Provider's type: the status. Transaction and movement: `reference_no`.
//!
//! Money: a decimal text in major units of IDR. Times come without an offset: they are Western Indonesia Time.

use serde::Deserialize;
use tollgate_core::{EventType, Facts};

use super::{
    content::{ContentError, required, unknown},
    fields::{Number, Text},
    identity::identified,
    json, midtrans, money,
    normaliser::{Normaliser, Read},
    time,
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "midtrans_iris", aliases: &[], headers: &[], query: &[], read: Read::Body(normalise) };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    reference_no: Text<'a>,
    status: Text<'a>,
    amount: Number<'a>,
    currency: Text<'a>,
    updated_at: Text<'a>,
}

fn normalise(body: &[u8]) -> Result<Facts<'_>, ContentError> {
    let bytes = body;
    let body: Body<'_> = json::read(body)?;
    let reference = required(body.reference_no, "reference_no")?;
    let status = body.status.some().unwrap_or_default();
    let amount = money::decimal(body.amount, &midtrans::or_idr(body.currency));
    let facts = match kind(&status) {
        Some(kind) => Facts::new("", status, kind),
        None => unknown("", status),
    };
    let facts = Facts {
        movement_id: Some(reference.clone()),
        transaction_id: Some(reference),
        occurred_at: time::at_offset(body.updated_at.as_str(), midtrans::WIB),
        ..facts
    };
    Ok(identified(money::with_amount(facts, amount), &[], bytes))
}

fn kind(status: &str) -> Option<EventType> {
    use EventType::*;
    Some(match status {
        "queued" | "approved" | "processed" => PayoutPending,
        "completed" => PayoutSucceeded,
        "failed" => PayoutFailed,
        "rejected" => PayoutCanceled,
        _ => return None,
    })
}
