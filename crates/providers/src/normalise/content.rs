//! What every provider's file needs: the error, required fields, event ids, and events that are not recognized.

use std::borrow::Cow;

use tollgate_core::{Facts, id::hex_sha256};

use super::fields::Text;
use crate::request::Received;

/// Why a body gives no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The body is not JSON (or not the form or XML that this provider sends).
    #[error("body is not valid JSON")]
    NotJson,
    /// A required field is absent.
    #[error("Missing required field: {0}")]
    MissingField(&'static str),
    /// A field has the wrong type or an impossible value.
    #[error("Invalid field: {0}")]
    InvalidField(&'static str),
    /// More events than a provider sends in one delivery.
    #[error("too many events")]
    TooManyEvents,
}

/// Why an event is unrecognized whose type its provider's file does not name.
pub(super) const UNKNOWN_TYPE: &str = "unknown event type";

/// Why an event is unrecognized whose type the provider publishes and is not about money.
pub(super) const IGNORED_TYPE: &str = "ignored on purpose";

/// The text of a field that every event of this provider must have.
pub(super) fn required<'a>(text: Text<'a>, name: &'static str) -> Result<Cow<'a, str>, ContentError> {
    text.some().ok_or(ContentError::MissingField(name))
}

/// A header's value, if it is there and not empty.
pub(super) fn header<'a>(received: Received<'a>, name: &str) -> Option<&'a str> {
    received.headers.get(name).filter(|value| !value.is_empty())
}

/// An event id made of several parts, in one allocation.
pub(super) fn composite(parts: &[&str]) -> String {
    parts.join(":")
}

/// The transaction and its other names: the first id that is there, then the others without repeats. `ids` begins with
/// the one that all events of the payment name.
pub(super) fn transaction<'a, const N: usize>(
    ids: [Option<Cow<'a, str>>; N],
) -> (Option<Cow<'a, str>>, Vec<Cow<'a, str>>) {
    let mut ids = ids.into_iter().flatten();
    let first = ids.next();
    let mut aliases = Vec::new();
    for id in ids {
        if Some(&id) != first.as_ref() && !aliases.contains(&id) {
            if aliases.capacity() == 0 {
                aliases.reserve_exact(N - 1);
            }
            aliases.push(id);
        }
    }
    (first, aliases)
}

/// An event whose type its provider's file does not name.
pub(super) fn unknown<'a>(
    event_id: impl Into<Cow<'a, str>>,
    event_type: impl Into<Cow<'a, str>>,
) -> Facts<'a> {
    Facts::unrecognized(event_id, event_type, UNKNOWN_TYPE)
}

/// The most events that one delivery may hold: GoCardless' 250 (<https://developer.gocardless.com/api-reference/#webhooks>),
/// the highest of the providers'. Each is claimed in the ledger, and 1 MiB could hold half a million.
pub(super) const MAX_EVENTS: usize = 250;

/// The events of a delivery, as they are read. No more are kept than [`MAX_EVENTS`].
#[derive(Default)]
pub(super) struct Events<'a> {
    facts: Vec<Facts<'a>>,
    /// The places of those that have no id.
    without_id: Vec<usize>,
    count: usize,
}

impl<'a> Events<'a> {
    /// Adds the next event.
    pub(super) fn push(&mut self, event: Result<Facts<'a>, ContentError>) {
        match event {
            _ if self.count >= MAX_EVENTS => {}
            Ok(facts) => self.facts.push(facts),
            Err(_) => self.without_id.push(self.count),
        }
        self.count += 1;
    }

    /// How many came.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The events of the delivery `body`. Unrecognized events stand in place of those that have no id, one for each of their
    /// places, so that the others are kept. Their ids are made of the body's hash: a retry of the same bytes has the same
    /// ids.
    ///
    /// # Errors
    ///
    /// None that has an id (`id` is the field's name), or more than [`MAX_EVENTS`].
    pub(super) fn into_facts(
        mut self,
        body: &[u8],
        id: &'static str,
    ) -> Result<Vec<Facts<'a>>, ContentError> {
        if self.count > MAX_EVENTS {
            return Err(ContentError::TooManyEvents);
        }
        if self.facts.is_empty() {
            return Err(ContentError::MissingField(id));
        }
        if !self.without_id.is_empty() {
            let body = hex_sha256(body);
            let event =
                |place| Facts::unrecognized(format!("sha256:{body}:{place}"), "", "required field missing");
            self.facts.extend(self.without_id.into_iter().map(event));
        }
        Ok(self.facts)
    }
}
