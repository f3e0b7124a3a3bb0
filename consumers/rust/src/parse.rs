//! From a message's text to a payment event, or a typed refusal.

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_core::{EffectId, EndpointId, EventId, EventType, PaymentEvent, Timestamp, event::SCHEMA};

/// The text is no payment event of this schema. The message holds no data of the event, so that it can be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// No JSON at all.
    #[error("not JSON")]
    NotJson,
    /// Another name or version of the schema.
    #[error("another schema")]
    OtherSchema,
    /// A field is missing or ill-typed; the place is that in the event's own text.
    #[error("malformed at line {line}, column {column}")]
    Malformed {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An event of a type that this version knows.
    Known(Box<PaymentEvent<'static>>),
    /// An event of a type that a later Tollgate has.
    Unknown(Box<UnknownEvent>),
}

/// What can be read of an event of an unknown type.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UnknownEvent {
    /// The same on every copy.
    pub id: EventId,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The endpoint at which the webhook arrived.
    pub endpoint: EndpointId,
    /// What moved.
    pub movement_id: String,
    /// The same on every event that tells the same effect.
    pub effect_id: EffectId,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When the webhook arrived.
    pub received_at: Timestamp,
    /// The whole event.
    #[serde(skip)]
    pub json: String,
}

impl Event {
    /// The same on every copy and every retry.
    pub fn id(&self) -> EventId {
        match self {
            Self::Known(event) => event.id,
            Self::Unknown(event) => event.id,
        }
    }

    /// The same on every event that tells the same effect.
    pub fn effect_id(&self) -> EffectId {
        match self {
            Self::Known(event) => event.effect_id,
            Self::Unknown(event) => event.effect_id,
        }
    }

    /// Its type, if this version knows it.
    pub fn kind(&self) -> Option<EventType> {
        match self {
            Self::Known(event) => Some(event.kind),
            Self::Unknown(_) => None,
        }
    }

    /// The payment event, if this version knows its type.
    pub fn known(&self) -> Option<&PaymentEvent<'static>> {
        match self {
            Self::Known(event) => Some(event),
            Self::Unknown(_) => None,
        }
    }

    /// `{endpoint}#{movement_id}`: two merchants' providers may use the same ids.
    pub fn movement_key(&self) -> String {
        match self {
            Self::Known(event) => format!("{}#{}", event.endpoint, event.movement_id),
            Self::Unknown(event) => format!("{}#{}", event.endpoint, event.movement_id),
        }
    }

    /// When it happened; `None` where the provider does not say.
    pub fn dated(&self) -> Option<Timestamp> {
        let (occurred, received) = self.times();
        (occurred != received).then_some(occurred)
    }

    pub(crate) fn times(&self) -> (Timestamp, Timestamp) {
        match self {
            Self::Known(event) => (event.occurred_at, event.received_at),
            Self::Unknown(event) => (event.occurred_at, event.received_at),
        }
    }
}

/// The event in an SQS message's body: an EventBridge event with it in `detail`, or the payment event itself. Fields that
/// this version does not know are ignored.
///
/// # Errors
///
/// [`EventError`].
pub fn parse(text: &str) -> Result<Event, EventError> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|_| EventError::NotJson)?;
    let text = match serde_json::from_str::<Envelope<'_>>(whole.get()) {
        Ok(Envelope { detail_type: Some(_), detail: Some(detail) }) => detail.get(),
        _ => whole.get(),
    };
    let Head { schema, kind } = read(text)?;
    if string(schema).as_deref() != Some(SCHEMA) {
        return Err(EventError::OtherSchema);
    }
    let is_unknown = string(kind).is_some_and(|kind| !kind.is_empty() && EventType::parse(&kind).is_none());
    if is_unknown {
        return Ok(Event::Unknown(Box::new(UnknownEvent { json: text.to_owned(), ..read(text)? })));
    }
    Ok(Event::Known(Box::new(read(text)?)))
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "detail-type")]
    detail_type: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, EventError> {
    // serde_json's own message may hold data.
    serde_json::from_str(text)
        .map_err(|error| EventError::Malformed { line: error.line(), column: error.column() })
}

fn string(json: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(json?.get()).ok()
}
