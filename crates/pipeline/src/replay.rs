//! What an operator's tool hands to the validator, and what it is answered: webhooks of an archive, to be taken in again.

use serde::{Deserialize, Serialize};
use tollgate_core::{Authenticity, PaymentEvent, Receipt, RiskTier, Timestamp, WebhookId, event::Arrival};
use tollgate_providers::{Endpoint, Received, Trusted};

use crate::{
    ingest::{Rejection, Taken},
    intake::RequestParts,
    normalising::{enriched, fifo_group, read_facts, unrecognized_facts},
};

/// An invocation of the validator that is no request. Nothing but `lambda:InvokeFunction` makes one: an event of a gateway or of
/// a function URL always says how it was requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handed {
    /// A webhook of an archive.
    pub replay: ArchivedWebhook,
}

/// A webhook as the archive has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchivedWebhook {
    /// The operator's act, as its record has it.
    pub act: String,
    /// What is to be done with it.
    pub mode: Mode,
    /// Its id.
    pub webhook_id: WebhookId,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Who sent it.
    pub source_ip: String,
    /// What was kept of headers and query.
    pub request: RequestParts,
    /// Its exact bytes, in base64.
    pub body: String,
    /// What the check found that let it in.
    pub receipt: Receipt,
}

/// What is done with a webhook of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is taken in.
    Take,
    /// Nothing: it is looked at whether it would be taken.
    Foresee,
    /// Nothing: it is looked at whether it is genuine, however old it is.
    Verify,
}

/// What became of a webhook that was handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Answer {
    /// It is genuine; nothing was done.
    Genuine,
    /// It is in the intake queue, and an event of it was not known before.
    Accepted(Done),
    /// Each of its events was known before. What is not processed is in the intake queue again.
    Duplicate(Done),
    /// It was not taken, and a repeat would not be.
    Refused {
        /// [`Rejection::code`].
        reason: String,
        /// The same in words.
        detail: String,
    },
    /// Something does not answer. It may have been taken all the same.
    Unavailable {
        /// What.
        detail: String,
    },
}

/// A webhook that is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The provider's id of the (first) event.
    pub event_id: String,
    /// How many events it holds.
    pub events: usize,
    /// What it proves.
    pub authenticity: Authenticity,
    /// Known event ids that it tells with other payment facts.
    pub conflicts: usize,
}

impl Answer {
    /// That of a result; where nothing was to be done no more than that it is genuine.
    pub fn of(taken: Result<Taken, Rejection>, mode: Mode) -> Self {
        let done = |taken: Taken| {
            let Taken { event_id, events, authenticity, conflicts, .. } = taken;
            Done { event_id, events, authenticity, conflicts }
        };
        match taken {
            Ok(_) if mode != Mode::Take => Self::Genuine,
            Ok(taken) if taken.duplicate => Self::Duplicate(done(taken)),
            Ok(taken) => Self::Accepted(done(taken)),
            Err(Rejection::Unavailable(problem)) => Self::Unavailable { detail: problem.to_string() },
            Err(rejection) => {
                Self::Refused { reason: rejection.code().to_owned(), detail: rejection.to_string() }
            }
        }
    }
}

/// The events that this version's normalisers read in a webhook of an archive, to be looked at: those of its payment, where its row
/// is for one. Their tier is unrated, and nothing is known of their payments. An event for which an `object` was fetched is read with
/// that one, and nothing is fetched.
pub fn events_of<'a>(
    endpoint: &Endpoint,
    received: Received<'a>,
    object: Option<&'a [u8]>,
    arrival: Arrival<'_>,
    only_transaction: Option<&str>,
) -> Vec<PaymentEvent<'a>> {
    let mut facts = Vec::new();
    if let Err(why) = read_facts(endpoint, Trusted::for_inspection(received), &mut facts) {
        facts.push(unrecognized_facts(received.body, &why));
    }
    facts.retain(|facts| only_transaction.is_none_or(|only| only == fifo_group(facts)));
    let event = |facts| PaymentEvent::new(facts, arrival, RiskTier::Unrated);
    let mut events: Vec<PaymentEvent<'a>> = facts.into_iter().map(event).collect();
    if let ([event], Some(object)) = (events.as_mut_slice(), object)
        && let Ok(facts) = endpoint.enriched(Trusted::for_inspection(received), object)
    {
        *event = enriched(event, facts, RiskTier::Unrated);
    }
    events
}
