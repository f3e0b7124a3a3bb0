//! Midtrans Iris payouts. <https://iris-docs.midtrans.com/#notification>
//!
//! Event id: `{reference_no}:{status}`. Provider's type: the status. Transaction: `reference_no`.
//!
//! Money: a decimal text in major units of IDR. Times come without an offset: they are Western Indonesia Time.

use serde::Deserialize;
use tollgate_core::{EventType, Facts};

use super::{
    content::{ContentError, composite, required, unknown},
    fields::{Number, Text},
    json, midtrans, money,
    normaliser::{Normaliser, Read},
    time,
};

pub(super) const NORMALISER: Normaliser =
    Normaliser { name: "midtrans_iris", aliases: &[], headers: &[], read: Read::Body(normalise) };

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
    let body: Body<'_> = json::read(body)?;
    let reference = required(body.reference_no, "reference_no")?;
    let status = body.status.some().unwrap_or_default();
    let event_id = composite(&[&reference, &status]);
    let occurred_at = time::at_offset(body.updated_at.as_str(), midtrans::WIB);
    let Some(kind) = kind(&status) else {
        return Ok(Facts { occurred_at, ..unknown(event_id, status) });
    };
    let amount = money::decimal(body.amount, &midtrans::or_idr(body.currency));
    let facts = Facts { transaction_id: Some(reference), occurred_at, ..Facts::new(event_id, status, kind) };
    Ok(money::with_amount(facts, amount))
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
