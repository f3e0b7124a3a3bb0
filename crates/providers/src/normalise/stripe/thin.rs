//! Stripe's thin events (`"object": "v2.core.event"`). <https://docs.stripe.com/event-destinations#thin-events>,
//! <https://docs.stripe.com/changelog/endive/2026-09-30/thin-events-for-api-v1-resources-generally-available>
//!
//! One of an object of API v1 has the type of the snapshot event with `v1.` before it. Where it names that event
//! (`snapshot_event`), that one is fetched: what it says never changes. Else its `related_object` is, as it is now, and read under the type
//! that is signed. The URL that comes with it is not used.
//!
//! Of API v2 an outbound payment or transfer is fetched, whose amount has its currency in it; these are a preview of Stripe's.
//!
//! `previous_attributes` are those of the snapshot event; without it there are none.

use std::borrow::Cow;

use serde::Deserialize;

use super::body::{Data, Event, Subject};
use crate::{
    normalise::{
        content::ContentError,
        fields::{Flag, Number, Object, Pairs, Text},
        json,
        thin::NamedObject,
    },
    request::Received,
};

/// What `object` says of a thin event.
const OBJECT: &str = "v2.core.event";
/// Before the type of a snapshot event.
const V1: &str = "v1.";
const V2: &str = "v2.money_management.";
const SNAPSHOT: &str = "event";
/// By their types in `related_object`, but for the snapshot event itself.
pub(super) const KINDS: &[&str] = &[
    SNAPSHOT,
    "charge",
    "checkout.session",
    "dispute",
    "invoice",
    "invoice_payment",
    "payment_intent",
    "payout",
    "radar.early_fraud_warning",
    "refund",
    "review",
    "subscription",
    "subscription_schedule",
    "transfer",
    "v2.money_management.outbound_payment",
    "v2.money_management.outbound_transfer",
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct ThinEvent<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    object: Text<'a>,
    created: Number<'a>,
    livemode: Flag,
    #[serde(rename = "type")]
    kind: Text<'a>,
    context: Text<'a>,
    snapshot_event: Text<'a>,
    related_object: Object<Related<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Related<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
}

/// An object of API v2.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Outbound<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    status: Text<'a>,
    amount: Object<Sum<'a>>,
    metadata: Pairs<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Sum<'a> {
    #[serde(borrow)]
    value: Number<'a>,
    currency: Text<'a>,
}

/// The snapshot event's type of a thin event's; of API v2 the one that says the same of Treasury's object.
fn snapshot_type(thin: &str) -> Option<String> {
    let known = thin.strip_prefix(V1).map(str::to_owned);
    known.or_else(|| thin.strip_prefix(V2).map(|rest| ["treasury.", rest].concat()))
}

/// What a thin event of a type that `is_of_money` names.
pub(super) fn named<'a>(
    received: Received<'a>,
    is_of_money: impl Fn(&str) -> bool,
) -> Option<NamedObject<'a>> {
    let event: ThinEvent<'_> = json::read(received.body).ok()?;
    if event.object.as_str() != OBJECT || !is_of_money(&snapshot_type(event.kind.as_str())?) {
        return None;
    }
    let related = event.related_object.or_default();
    let object = match event.snapshot_event.some() {
        Some(snapshot) if event.kind.as_str().starts_with(V1) => NamedObject::new(SNAPSHOT, snapshot),
        _ => {
            let kind = KINDS.iter().find(|kind| **kind != SNAPSHOT && **kind == related.kind.as_str())?;
            NamedObject::new(kind, related.id.some()?)
        }
    };
    object?.on_behalf_of(event.context.some())
}

/// The event that a thin one tells with the object that it names, as if it were a snapshot event, and the thin one's own type.
/// `version` is the API's that an object is read by which does not say it.
pub(super) fn told_with<'a>(
    received: Received<'a>,
    wanted: &NamedObject<'_>,
    object: &'a [u8],
    version: &'static str,
) -> Result<(Event<'a>, Cow<'a, str>), ContentError> {
    const OTHER: ContentError = ContentError::InvalidField("id");
    let event: ThinEvent<'a> = json::read(received.body)?;
    let snapshot_type = snapshot_type(event.kind.as_str()).ok_or(ContentError::InvalidField("type"))?;
    let thin_type = event.kind.some().unwrap_or_default();
    let is_wanted = |id: &Text<'_>| id.as_str() == wanted.id;
    let (data, api_version) = match wanted.kind {
        SNAPSHOT => {
            let snapshot: Event<'a> = json::read(object)?;
            let data = snapshot.data.or_default();
            // One of another object, or of another type, is not the one that was signed for.
            let subject = match &data.object {
                Object::Value(subject) => subject.id.as_str(),
                Object::Absent | Object::Wrong => "",
            };
            let related = event.related_object.or_default();
            let is_of_it = related.id == Text::Absent || related.id.as_str() == subject;
            if !is_wanted(&snapshot.id) || snapshot.kind.as_str() != snapshot_type || !is_of_it {
                return Err(OTHER);
            }
            (data, snapshot.api_version)
        }
        kind if kind.starts_with(V2) => {
            let outbound: Outbound<'a> = json::read(object)?;
            if !is_wanted(&outbound.id) {
                return Err(OTHER);
            }
            let Outbound { id, status, amount, metadata } = outbound;
            let Sum { value: amount, currency } = amount.or_default();
            let subject = Subject { id, status, amount, currency, metadata, ..Subject::default() };
            (Data { object: Object::Value(subject), ..Data::default() }, Text::Absent)
        }
        _ => {
            let subject: Subject<'a> = json::read(object)?;
            if !is_wanted(&subject.id) {
                return Err(OTHER);
            }
            (Data { object: Object::Value(subject), ..Data::default() }, Text::Value(version.into()))
        }
    };
    let told = Event {
        id: event.id,
        api_version,
        created: event.created,
        livemode: event.livemode,
        kind: Text::Value(snapshot_type.into()),
        data: Object::Value(data),
    };
    Ok((told, thin_type))
}
