//! The message as the validator sends it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use tollgate_core::{Authenticity, Delivery, EndpointId, EventId, ProviderId, Timestamp, WebhookId};
use tollgate_providers::Headers;

use super::{
    body::Encoding,
    seal::{Seal, Sealed},
};

/// SQS: the largest message, attributes counted, in bytes (Amazon SQS quotas, "Message size").
pub const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// The most that a message says of the ids that were claimed, in bytes: 250 events (the most of a delivery) with ids of 64.
pub const MAX_CLAIMED_BYTES: usize = 16_384;

/// The longest name of an operator's act, in bytes.
pub const MAX_ACT_BYTES: usize = 64;

/// The message attributes' names: SQS takes ten at most.
pub mod attribute {
    /// A [`WebhookId`](tollgate_core::WebhookId).
    pub const WEBHOOK_ID: &str = "webhook_id";
    /// The endpoint's name.
    pub const ENDPOINT: &str = "endpoint";
    /// The provider's name.
    pub const PROVIDER: &str = "provider";
    /// The stable id of the first event, for people who look into the queue.
    pub const EVENT_ID: &str = "event_id";
    /// RFC 3339.
    pub const RECEIVED_AT: &str = "received_at";
    /// The sender's address as the front door saw it.
    pub const SOURCE_IP: &str = "source_ip";
    /// The key that verified.
    pub const KEY_ID: &str = "key_id";
    /// How the body is carried: [`Encoding`](super::Encoding).
    pub const ENCODING: &str = "encoding";
    /// The rest of the receipt, and notes to the processor: JSON.
    pub const RECEIPT: &str = "receipt";
    /// What verifying again or normalising needs of headers and query: JSON.
    pub const REQUEST: &str = "request";
    /// Set by the processor on quarantined messages: why. Takes the place of [`EVENT_ID`].
    pub const REASON: &str = "reason";
}

/// What accompanies the body besides the plain attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes<'a> {
    /// What the signature proved.
    pub authenticity: Authenticity,
    /// Of the exact body.
    #[serde(borrow)]
    pub body_sha256: Cow<'a, str>,
    /// The signed timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<Timestamp>,
    /// When it was taken in, where it was refused when it arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_in_at: Option<Timestamp>,
    /// The provider's ids of the delivery's events as the validator read them and claimed, in their order, each on a line of its
    /// own. Empty where they are not told: more than [`MAX_CLAIMED_BYTES`], or an id with a line break.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub claimed: Cow<'a, str>,
    /// The stable ids of events that were claimed with other payment facts: none of them ever has an
    /// effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<EventId>,
    /// An ordered delivery of several payments is sent once for each: this message is for this one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_transaction: Option<String>,
    /// An operator sent the webhook again from an archive: the act, as its record has it. At most [`MAX_ACT_BYTES`].
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub replayed_by: Option<Cow<'a, str>>,
}

/// Whether a message's [`attribute::RECEIPT`] says that its webhook was taken in later than it arrived: one that was refused then,
/// or one that was sent again.
pub fn is_taken_later(receipt: &str) -> bool {
    // Within a text a quote is escaped.
    ["\"taken_in_at\":", "\"replayed_by\":"].iter().any(|name| receipt.contains(name))
}

/// The parts of the request, besides the body, that verifying again needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestParts {
    /// Kept headers.
    pub headers: Headers,
    /// The kept fields of the query, as they were sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
}

/// A verified webhook on its way to the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntakeMessage {
    /// The delivery.
    pub webhook_id: WebhookId,
    /// Where it arrived.
    pub endpoint: EndpointId,
    /// Whose it is.
    pub provider: ProviderId,
    /// The first event's stable id.
    pub event_id: String,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Who sent it.
    pub source_ip: String,
    /// The key that verified.
    pub key_id: String,
    /// The rest of the receipt.
    pub notes: Notes<'static>,
    /// Headers and query.
    pub request: RequestParts,
    /// How `body` carries the bytes.
    pub encoding: Encoding,
    /// The message body.
    pub body: String,
    /// Which queue.
    pub delivery: Delivery,
    /// FIFO: endpoint and payment. The standard queue's group is the endpoint.
    pub group: String,
    /// FIFO: the delivery (and its message's number, where it makes several).
    pub deduplication_id: String,
    /// `X-Amzn-Trace-Id`, passed on as SQS's `AWSTraceHeader`.
    pub trace: Option<String>,
}

impl IntakeMessage {
    /// The attributes, at most ten, every value in characters that SQS takes and none empty.
    pub fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![
            (attribute::WEBHOOK_ID, self.webhook_id.to_string()),
            (attribute::ENDPOINT, self.endpoint.to_string()),
            (attribute::PROVIDER, self.provider.to_string()),
            (attribute::EVENT_ID, self.event_id.clone()),
            (attribute::RECEIVED_AT, self.received_at.to_string()),
            (attribute::SOURCE_IP, dash(&self.source_ip).to_owned()),
            (attribute::KEY_ID, dash(&self.key_id).to_owned()),
            (attribute::ENCODING, self.encoding.as_str().to_owned()),
            (attribute::RECEIPT, ascii_json(&self.notes)),
            (attribute::REQUEST, ascii_json(&self.request)),
        ]
    }

    /// The seal of the message as the processor will read it.
    pub fn seal(&self) -> Seal {
        Sealed {
            webhook_id: &self.webhook_id,
            endpoint: &self.endpoint,
            provider: &self.provider,
            received_at: self.received_at,
            source_ip: dash(&self.source_ip),
            key_id: dash(&self.key_id),
            authenticity: self.notes.authenticity,
            body_sha256: &self.notes.body_sha256,
            signed_at: self.notes.signed_at,
            taken_in_at: self.notes.taken_in_at,
            claimed: &self.notes.claimed,
            replayed_by: self.notes.replayed_by.as_deref(),
            request: &ascii_json(&self.request),
        }
        .seal()
    }

    /// What SQS counts: the body, and each attribute's name, type and value.
    pub fn size(&self) -> usize {
        let attributes: usize =
            self.attributes().iter().map(|(name, value)| name.len() + "String".len() + value.len()).sum();
        self.body.len() + attributes
    }
}

/// SQS takes no empty value; readers know a dash for one.
fn dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// JSON in ASCII alone, so that any text can travel in an attribute.
fn ascii_json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned());
    if json.is_ascii() && !json.contains('\u{7f}') {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}
