//! What ingest is given and what it answers.

use tollgate_core::{Authenticity, OnDuplicate, Timestamp, WebhookId};
use tollgate_providers::{ContentError, Headers, Refusal};

use crate::ports::PortError;

/// The header that names the endpoint on the generic path.
pub const PROVIDER_HEADER: &str = "X-Provider-ID";

/// A request, as the front door handed it over.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// Ours, for this delivery.
    pub webhook_id: &'a WebhookId,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The name in the path; `None` on the generic path.
    pub endpoint: Option<&'a str>,
    /// Every header.
    pub headers: &'a Headers,
    /// The raw query string.
    pub query: &'a str,
    /// The exact bytes.
    pub body: &'a [u8],
    /// The sender's address as the front door saw it.
    pub source_ip: &'a str,
    /// `X-Amzn-Trace-Id`.
    pub trace: Option<&'a str>,
}

/// A webhook that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The provider's id of the (first) event.
    pub event_id: String,
    /// How many events the delivery holds.
    pub events: usize,
    /// Whether every one of them was known before.
    pub duplicate: bool,
    /// How the endpoint wants a repeat answered.
    pub on_duplicate: OnDuplicate,
    /// What the signature proved.
    pub authenticity: Authenticity,
    /// Known event ids that came back with other payment facts.
    pub conflicts: usize,
}

/// What became of a webhook that was refused when it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It would be taken.
    Genuine {
        /// The provider's ids of its events.
        event_ids: Vec<String>,
        /// What its signature proves.
        authenticity: Authenticity,
    },
    /// It is durable.
    Taken(Taken),
}

/// Why a webhook was not taken. Nothing of it was kept, unless another delivery had brought it before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No such endpoint.
    #[error("unknown endpoint")]
    UnknownEndpoint,
    /// The generic path without [`PROVIDER_HEADER`].
    #[error("Missing required header: {PROVIDER_HEADER}")]
    NoProvider,
    /// Longer than the limit, in bytes.
    #[error("body is over the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Of an archive: not as its receipt has it, or not of a time of which webhooks are taken from archives.
    #[error("archived webhook: {0}")]
    Archived(&'static str),
    /// Not genuine. For the operator's eyes; the caller is told only that it is so.
    #[error("invalid signature: {0}")]
    Signature(Refusal),
    /// Generic endpoint only: the content does not follow our schema.
    #[error("{0}")]
    Content(ContentError),
    /// What an operator retrieved is of an endpoint whose scheme does not bind bodies.
    #[error("nothing that was retrieved is taken at an endpoint whose webhooks are merely authenticated")]
    NotRetrievable,
    /// What an operator retrieved is not the one event that it is to be.
    #[error("what was retrieved is not the event that was asked for, or cannot be read as one")]
    OtherEvent,
    /// A dependency is down; the sender should try again.
    #[error("unavailable: {0}")]
    Unavailable(PortError),
}

impl Rejection {
    /// A short fixed code for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownEndpoint => "unknown_endpoint",
            Self::NoProvider => "provider_header_missing",
            Self::TooLarge { .. } => "body_too_large",
            Self::Archived(code) => code,
            Self::Signature(refusal) => refusal.code(),
            Self::Content(_) => "invalid_content",
            Self::NotRetrievable => "not_retrievable",
            Self::OtherEvent => "other_event",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl From<PortError> for Rejection {
    fn from(problem: PortError) -> Self {
        Self::Unavailable(problem)
    }
}
