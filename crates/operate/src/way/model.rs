//! What is found of an id.

use serde::Serialize;
use tollgate_core::{Authenticity, EndpointId, EventId, PaymentEvent, ProviderId, Timestamp, WebhookId};

use crate::queues::Depth;

/// Everything that is known of what an id names.
#[derive(Debug, Clone, Serialize)]
pub struct Way {
    /// The id as it was asked for.
    pub asked: String,
    /// When it was looked for.
    pub looked_at: Timestamp,
    /// What it names: nothing, or more than one thing.
    pub names: Vec<Named>,
    /// The deliveries, in the order of their arrival.
    pub webhooks: Vec<Webhook>,
    /// The payments.
    pub payments: Vec<Payment>,
    /// The queues that they pass, and their dead letters, where anything is in them.
    pub queues: Vec<Depth>,
    /// What was not looked through, and why.
    pub notes: Vec<String>,
}

impl Way {
    /// Whether anything was found.
    pub fn is_found(&self) -> bool {
        !self.webhooks.is_empty() || !self.payments.is_empty()
    }

    /// Every gap of the deliveries and the payments.
    pub fn gaps(&self) -> impl Iterator<Item = &Step> {
        self.webhooks.iter().flat_map(|webhook| &webhook.steps).filter(|step| step.is_gap())
    }
}

/// What an id names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Named {
    /// A delivery.
    Webhook,
    /// A payment event, by our id.
    Event,
    /// An effect.
    Effect,
    /// A provider's event.
    ProviderEvent {
        /// Where it arrived.
        endpoint: EndpointId,
    },
    /// A payment.
    Transaction {
        /// Whose it is.
        endpoint: EndpointId,
    },
    /// Another id of a payment.
    Alias {
        /// Whose it is.
        endpoint: EndpointId,
        /// The payment.
        of: String,
    },
    /// What moved.
    Movement {
        /// Where it was told.
        endpoint: EndpointId,
    },
}

/// A delivery.
#[derive(Debug, Clone, Serialize)]
pub struct Webhook {
    /// Its id.
    pub webhook_id: WebhookId,
    /// Where it arrived.
    pub endpoint: Option<EndpointId>,
    /// Whose it is.
    pub provider: Option<ProviderId>,
    /// What its signature proved.
    pub receipt: Option<ReceiptOf>,
    /// Its way, from the gateway to the archive.
    pub steps: Vec<Step>,
    /// Its canonical events. Of one that had no effect, as this version reads its body.
    pub events: Vec<PaymentEvent<'static>>,
    /// The headers that are archived, in the order in which they came. They may hold a sender's credentials.
    #[serde(skip)]
    pub headers: Vec<(String, String)>,
    /// The bytes, where they are archived.
    #[serde(skip)]
    pub body: Option<Vec<u8>>,
    /// What was fetched for its event, as its provider told it.
    #[serde(skip)]
    pub object: Option<Vec<u8>>,
}

/// The receipt, check by check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReceiptOf {
    /// What it proves.
    pub authenticity: Authenticity,
    /// The key that verified, by its name.
    pub key_id: String,
    /// The signed time, where the scheme has one.
    pub signed_at: Option<Timestamp>,
    /// When it was checked.
    pub verified_at: Timestamp,
    /// When it was taken in, where it was refused when it arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_in_at: Option<Timestamp>,
    /// Of the body that was checked.
    pub body_sha256: String,
    /// Whether the archived bytes have this digest.
    pub is_of_archived_body: Option<bool>,
    /// Who sent it.
    pub source_ip: String,
}

/// A part of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The gateway and the validator's answer.
    Arrival,
    /// The check of the signature.
    Signature,
    /// The event's claim in the ledger.
    Claim,
    /// The intake queue, its dead letters and the quarantine.
    Queue,
    /// The event in its payment's history.
    Transaction,
    /// The event on the bus.
    Bus,
    /// A rule of the bus and its target.
    Target,
    /// The fraud detector's decision.
    Fraud,
    /// The row in the archive.
    Archive,
}

impl Part {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arrival => "arrival",
            Self::Signature => "signature",
            Self::Claim => "claim",
            Self::Queue => "queue",
            Self::Transaction => "transaction",
            Self::Bus => "bus",
            Self::Target => "target",
            Self::Fraud => "fraud",
            Self::Archive => "archive",
        }
    }
}

/// How far a part of the way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It was passed.
    Done,
    /// It follows from something else that was passed; nothing keeps a record of it.
    Implied,
    /// It is to be expected: not enough time has passed.
    Waiting,
    /// It ended here.
    Stopped,
    /// It should be there and is not.
    Missing,
    /// It is not on the way.
    LeftOut,
    /// It could not be looked for.
    Unknown,
}

impl Progress {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Implied => "implied",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
            Self::Missing => "missing",
            Self::LeftOut => "left out",
            Self::Unknown => "unknown",
        }
    }
}

/// One step of a way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which part.
    pub part: Part,
    /// Which event, where the part has one for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventId>,
    /// When, where something keeps the time.
    pub at: Option<Timestamp>,
    /// How far it is.
    pub progress: Progress,
    /// What is known of it.
    pub detail: String,
    /// Of a gap, its likely cause and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl Step {
    /// Whether something is wrong with it.
    pub fn is_gap(&self) -> bool {
        matches!(self.progress, Progress::Missing | Progress::Stopped)
    }
}

/// A payment with its events.
#[derive(Debug, Clone, Serialize)]
pub struct Payment {
    /// Whose it is.
    pub endpoint: EndpointId,
    /// Its id.
    pub transaction_id: String,
    /// Its other ids, as its events name them.
    pub aliases: Vec<String>,
    /// The event of its latest state.
    pub latest: Option<EventId>,
    /// Its events, in the order in which they happened.
    pub events: Vec<EventOf>,
    /// There are more events than were read.
    pub is_cut: bool,
    /// Deliveries that told one of its events with other payment facts, as far as they are still dead letters.
    pub conflicts: Vec<Conflict>,
}

/// An event of a payment.
#[derive(Debug, Clone, Serialize)]
pub struct EventOf {
    /// The event.
    pub event: PaymentEvent<'static>,
    /// Its place in the order of arrival, from 1.
    pub arrived_as: usize,
    /// Its claim.
    pub claim: ClaimOf,
    /// The first event that told its effect, where that is claimed still: for 90 days.
    pub effect_told_by: Option<EventId>,
    /// The fraud detector's decision.
    pub decision: Option<DecisionOf>,
}

/// The ledger's claim of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ClaimOf {
    /// Its effects are done.
    Processed {
        /// When the delivery that claimed it arrived.
        since: Timestamp,
        /// The delivery that did them.
        webhook_id: Option<WebhookId>,
    },
    /// Its effects are not done.
    Received {
        /// When the delivery that claimed it arrived.
        since: Timestamp,
        /// That delivery.
        webhook_id: Option<WebhookId>,
        /// A message of it is set aside as too old.
        is_too_old: bool,
    },
    /// It is older than the ledger's memory of 30 days.
    Forgotten,
    /// There is none.
    Missing,
}

/// A fraud decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionOf {
    /// When.
    pub at: Timestamp,
    /// 0 to 100.
    pub score: u8,
    /// `approve`, `review` or `block`.
    pub verdict: String,
    /// Why.
    pub reasons: Vec<String>,
}

/// A delivery that told a known event with other payment facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The delivery.
    pub webhook_id: WebhookId,
    /// The provider's id of the event.
    pub provider_event_id: String,
    /// Our id of it.
    pub event_id: EventId,
}
