//! Reads the facts of a webhook's events. Ingest and the processor both call it, and must get the same facts.

use std::borrow::Cow;

use tollgate_core::{
    Authenticity, Facts, PaymentEvent, RiskTier,
    event::Arrival,
    id::{bounded, hex_sha256},
};
use tollgate_providers::{ContentError, Endpoint, Trusted};
use tracing::error;

/// Adds the facts of a webhook's events to `facts`, which must be empty: at least one, or an error.
///
/// # Errors
///
/// The normaliser's error. A body without any event is `MissingField`. A panic of the normaliser is a bug of ours;
/// the webhook counts as one with invalid content, and ingest keeps it.
pub(crate) fn read_facts<'a>(
    endpoint: &Endpoint,
    trusted: Trusted<'a>,
    facts: &mut Vec<Facts<'a>>,
) -> Result<(), ContentError> {
    let normalised = tollgate_batch::guard(|| endpoint.normalise_into(trusted, facts));
    normalised.unwrap_or_else(|panic| {
        error!(error = %panic, endpoint = %endpoint.id(), "normaliser panicked");
        facts.clear();
        Err(ContentError::InvalidField("body"))
    })?;
    if facts.is_empty() { Err(ContentError::MissingField("event")) } else { Ok(()) }
}

/// The facts of a webhook whose body cannot be read. The event id is the body's SHA-256, so that a retry of the same
/// bytes is the same event.
pub(crate) fn unrecognized_facts<'a>(body: &[u8], problem: &ContentError) -> Facts<'a> {
    let why = match problem {
        ContentError::NotJson => "body cannot be decoded",
        ContentError::MissingField(_) => "required field missing",
        ContentError::InvalidField(_) => "field invalid",
        ContentError::TooManyEvents => "more events than its provider sends in one delivery",
    };
    Facts::unrecognized(format!("sha256:{}", hex_sha256(body)), "", why)
}

/// What an ordered delivery's messages are told apart by, beside the endpoint: an event's payment, or the event itself where it names no payment.
/// At most [`tollgate_core::id::MAX_PROVIDER_EVENT_ID_LEN`] bytes.
pub(crate) fn fifo_group<'a>(facts: &'a Facts<'_>) -> Cow<'a, str> {
    bounded(Cow::Borrowed(facts.transaction_id.as_deref().unwrap_or(&facts.event_id)))
}

/// The event with what was fetched. Which event it is, what its provider calls it and when it happened stay the webhook's; it is at
/// most as authentic as what is retrieved, since no signature covers what it says.
pub(crate) fn enriched<'a>(thin: &PaymentEvent<'_>, facts: Facts<'a>, tier: RiskTier) -> PaymentEvent<'a> {
    let facts = Facts {
        event_id: thin.provider_event_id.to_string().into(),
        event_type: thin.provider_event_type.to_string().into(),
        occurred_at: Some(thin.occurred_at),
        ..facts
    };
    let arrival = Arrival {
        webhook_id: &thin.webhook_id,
        endpoint: &thin.endpoint,
        provider: &thin.provider,
        authenticity: thin.authenticity,
        received_at: thin.received_at,
    };
    let payment = PaymentEvent::new(facts, arrival, tier);
    let authenticity = thin.authenticity.weaker(Authenticity::Retrieved);
    PaymentEvent { authenticity, enriched: true, ..payment }
}
