//! A normaliser: its names, what it reads, and the function that reads it.

use std::fmt;

use tollgate_core::{EndpointConfig, Facts};

use super::{
    content::{ContentError, IGNORED_TYPE, UNKNOWN_TYPE},
    event_types::EventTypes,
};
use crate::{request::Received, trusted::Trusted};

/// What a provider's function reads, and how many events it finds.
#[derive(Clone, Copy)]
pub(super) enum Read {
    /// One event in the body.
    Body(fn(&[u8]) -> Result<Facts<'_>, ContentError>),
    /// One event in the body, by the endpoint's parameters.
    BodyAndSettings(for<'a> fn(&'a [u8], &EndpointConfig) -> Result<Facts<'a>, ContentError>),
    /// One event in the body and the request's headers or query.
    Request(for<'a> fn(Received<'a>) -> Result<Facts<'a>, ContentError>),
    /// One event in the body and the request, by the endpoint's parameters.
    RequestAndSettings(for<'a> fn(Received<'a>, &EndpointConfig) -> Result<Facts<'a>, ContentError>),
    /// Several events in the body.
    Several(fn(&[u8]) -> Result<Vec<Facts<'_>>, ContentError>),
}

/// How one provider's webhooks become facts. Each provider's file holds its own. Resolved once, at start-up.
#[derive(Clone, Copy)]
pub struct Normaliser {
    /// The catalogue row's name, where there is one.
    pub(super) name: &'static str,
    pub(super) aliases: &'static [&'static str],
    /// The headers that it reads, in lower case.
    pub(super) headers: &'static [&'static str],
    /// The fields of the query that it reads.
    pub(super) query: &'static [&'static str],
    pub(super) read: Read,
}

impl Normaliser {
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Other names by which [`named`](Self::named) finds it.
    pub fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// The headers that it reads, in lower case: they must be kept with the body to normalise it again.
    pub fn headers(&self) -> &'static [&'static str] {
        self.headers
    }

    /// The fields of the query that it reads: they must be kept with the body to normalise it again.
    pub fn query(&self) -> &'static [&'static str] {
        self.query
    }

    /// Whether it reads the request's headers or query besides the body.
    pub(crate) fn reads_request(&self) -> bool {
        matches!(self.read, Read::Request(_) | Read::RequestAndSettings(_))
    }

    /// Whether it reads the endpoint's parameters.
    pub(crate) fn reads_settings(&self) -> bool {
        matches!(self.read, Read::BodyAndSettings(_) | Read::RequestAndSettings(_))
    }

    /// The webhook's facts: at least one event.
    ///
    /// # Errors
    ///
    /// A body without an event id. A body with one gives an event, unrecognized at worst.
    pub fn normalise<'a>(
        &self,
        trusted: Trusted<'a>,
        config: &EndpointConfig,
    ) -> Result<Vec<Facts<'a>>, ContentError> {
        let mut facts = Vec::new();
        self.normalise_into(trusted, config, &mut facts)?;
        Ok(facts)
    }

    /// Like [`normalise`](Self::normalise), and adds the events to `facts`: one list for many webhooks saves an
    /// allocation for each.
    ///
    /// # Errors
    ///
    /// Those of [`normalise`](Self::normalise). Nothing is added then.
    pub fn normalise_into<'a>(
        &self,
        trusted: Trusted<'a>,
        config: &EndpointConfig,
        facts: &mut Vec<Facts<'a>>,
    ) -> Result<(), ContentError> {
        let received = trusted.received();
        let before = facts.len();
        match self.read {
            Read::Body(read) => facts.push(read(received.body)?),
            Read::BodyAndSettings(read) => facts.push(read(received.body, config)?),
            Read::Request(read) => facts.push(read(received)?),
            Read::RequestAndSettings(read) => facts.push(read(received, config)?),
            Read::Several(read) => facts.append(&mut read(received.body)?),
        }
        let unknown = |facts: &&mut Facts<'_>| facts.unrecognized == Some(UNKNOWN_TYPE);
        for event in facts.iter_mut().skip(before).filter(unknown) {
            if self.event_types().is_some_and(|types| types.ignored.contains(&*event.event_type)) {
                event.unrecognized = Some(IGNORED_TYPE);
            }
        }
        Ok(())
    }

    /// The event types that its provider publishes.
    fn event_types(&self) -> Option<&'static EventTypes> {
        EventTypes::of(self.name)
    }
}

impl fmt::Debug for Normaliser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Normaliser").field(&self.name).finish()
    }
}

impl PartialEq for Normaliser {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Normaliser {}
