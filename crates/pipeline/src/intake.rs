//! The message between the validator and the processor: a webhook's exact bytes, and what is known of them.

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Deref};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};
use tollgate_core::{
    Authenticity, Delivery, EndpointId, EventId, ProviderId, Timestamp, WebhookId, id::hex_sha256,
};
use tollgate_providers::{Endpoint, Headers, Received, Trusted};

/// SQS: the largest message, attributes counted, in bytes (Amazon SQS quotas, "Message size").
pub const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// The message attributes' names: SQS takes ten at most.
pub mod attribute {
    /// [`super::WebhookId`].
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
    /// How the body is carried: [`super::Encoding`].
    pub const ENCODING: &str = "encoding";
    /// The rest of the receipt, and notes to the processor: JSON.
    pub const RECEIPT: &str = "receipt";
    /// The headers and the query that verifying again needs: JSON.
    pub const REQUEST: &str = "request";
    /// Set by the processor on quarantined messages: why. Takes the place of [`EVENT_ID`].
    pub const REASON: &str = "reason";
}

/// How a message carries the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Verbatim: it is UTF-8 of characters that SQS takes.
    Text,
    /// Base64.
    Base64,
    /// SQS takes no empty body; it is a single `-`.
    Empty,
    /// In S3: the message body is a [`ClaimCheck`].
    ClaimCheck,
}

impl Encoding {
    /// The text of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Base64 => "base64",
            Self::Empty => "empty",
            Self::ClaimCheck => "claim_check",
        }
    }

    /// Reads [`as_str`](Self::as_str) back.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Text, Self::Base64, Self::Empty, Self::ClaimCheck].into_iter().find(|e| e.as_str() == text)
    }
}

/// Where a large body is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimCheck {
    /// Its key in the payload bucket.
    pub key: String,
    /// Its SHA-256, lower-case hex.
    pub sha256: String,
    /// Its length in bytes.
    pub bytes: usize,
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
    /// The stable ids of events that were claimed with other payment facts: no effect is made of them while the
    /// ledger holds that claim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<EventId>,
    /// An ordered delivery of several payments is sent once for each: this message is for this one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_transaction: Option<String>,
}

/// The parts of the request, besides the body, that verifying again needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestParts {
    /// Kept headers.
    pub headers: Headers,
    /// The raw query string.
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
    /// FIFO: the payment object.
    pub group: String,
    /// FIFO: the ledger key's event id (and the payment, where one delivery makes several messages).
    pub deduplication_id: String,
    /// `X-Amzn-Trace-Id`, passed on as SQS's `AWSTraceHeader`.
    pub trace: Option<String>,
}

/// Why a queue message is not an intake message of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// An attribute is absent or unreadable.
    #[error("message attribute {0} is missing or malformed")]
    Attribute(&'static str),
    /// The body is not in its declared encoding.
    #[error("message body is not in its declared encoding")]
    Body,
    /// The bytes are not those that were verified.
    #[error("body differs from the one that was verified")]
    Altered,
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
            (attribute::SOURCE_IP, self.source_ip.clone()),
            (attribute::KEY_ID, self.key_id.clone()),
            (attribute::ENCODING, self.encoding.as_str().to_owned()),
            (attribute::RECEIPT, ascii_json(&self.notes)),
            (attribute::REQUEST, ascii_json(&self.request)),
        ]
    }

    /// What SQS counts: the body, and each attribute's name, type and value.
    pub fn size(&self) -> usize {
        let attributes: usize =
            self.attributes().iter().map(|(name, value)| name.len() + "String".len() + value.len()).sum();
        self.body.len() + attributes
    }
}

/// An intake message as the processor reads it: texts are borrowed from the batch. Only [`read`](Self::read) makes
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueuedMessage<'a> {
    /// The delivery.
    pub webhook_id: WebhookId,
    /// Where it arrived.
    pub endpoint: EndpointId,
    /// Whose it is.
    pub provider: ProviderId,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Who sent it.
    pub source_ip: &'a str,
    /// The key that verified.
    pub key_id: &'a str,
    /// The rest of the receipt.
    pub notes: Notes<'a>,
    /// Headers and query, as the JSON of [`RequestParts`].
    pub request: &'a str,
    /// How `body` carries the bytes.
    pub encoding: Encoding,
    /// The message body.
    pub body: &'a str,
    /// The same text as it stands between quotes in JSON, if it is available.
    pub escaped_body: Option<&'a str>,
}

impl<'a> QueuedMessage<'a> {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`IntakeError::Attribute`].
    pub fn read(body: &'a str, attributes: &[(&'a str, &'a str)]) -> Result<Self, IntakeError> {
        let text = |name: &'static str| {
            let found = attributes.iter().find(|(known, _)| *known == name);
            found.map(|(_, text)| *text).ok_or(IntakeError::Attribute(name))
        };
        // It goes into the archive as it is.
        let Shape { .. } = json(attribute::REQUEST, text)?;
        Ok(Self {
            webhook_id: read(attribute::WEBHOOK_ID, text, WebhookId::parse)?,
            endpoint: read(attribute::ENDPOINT, text, |name| EndpointId::new(name).ok())?,
            provider: read(attribute::PROVIDER, text, |name| ProviderId::new(name).ok())?,
            received_at: read(attribute::RECEIVED_AT, text, |time| time.parse().ok())?,
            source_ip: text(attribute::SOURCE_IP)?,
            key_id: text(attribute::KEY_ID)?,
            notes: json(attribute::RECEIPT, text)?,
            request: text(attribute::REQUEST)?,
            encoding: read(attribute::ENCODING, text, Encoding::parse)?,
            body,
            escaped_body: None,
        })
    }

    /// The webhook's exact body, or its claim check.
    ///
    /// # Errors
    ///
    /// [`IntakeError::Body`].
    pub fn content(&self) -> Result<Content<QueuedBody<'a>>, IntakeError> {
        Ok(match decode(self.encoding, self.body)? {
            Content::Inline(bytes) => Content::Inline(QueuedBody(bytes)),
            Content::ClaimCheck(claim_check) => Content::ClaimCheck(claim_check),
        })
    }

    /// The webhook's exact body, which was `fetched` with the message's claim check.
    ///
    /// # Errors
    ///
    /// [`IntakeError::Altered`]: they are not the bytes that ingest verified.
    pub fn claim_checked_body(
        &self,
        claim_check: &ClaimCheck,
        fetched: Vec<u8>,
    ) -> Result<QueuedBody<'static>, IntakeError> {
        if claim_check.sha256 != self.notes.body_sha256 {
            return Err(IntakeError::Altered);
        }
        claim_check.check(&fetched)?;
        Ok(QueuedBody(Cow::Owned(fetched)))
    }

    /// The webhook with what `endpoint`'s normaliser reads of it.
    ///
    /// # Errors
    ///
    /// [`IntakeError::Attribute`]: the request's headers or query are needed and cannot be read.
    pub fn webhook(&self, body: QueuedBody<'a>, endpoint: &Endpoint) -> Result<Dequeued<'a>, IntakeError> {
        let request =
            if endpoint.normalises_request(&body) { self.request()? } else { RequestParts::default() };
        Ok(Dequeued { request, body })
    }

    /// Headers and query.
    ///
    /// # Errors
    ///
    /// [`IntakeError::Attribute`].
    pub fn request(&self) -> Result<RequestParts, IntakeError> {
        json(attribute::REQUEST, |_| Ok(self.request))
    }
}

/// The exact body of a webhook that came out of the intake queue. Only [`QueuedMessage::content`] and
/// [`QueuedMessage::claim_checked_body`] make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedBody<'a>(Cow<'a, [u8]>);

impl Deref for QueuedBody<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// A webhook that came out of the intake queue. Ingest verified it before it sent the message, and the queue's policy
/// lets no one else send. Only [`QueuedMessage::webhook`] makes one.
#[derive(Debug)]
pub struct Dequeued<'a> {
    /// Empty unless the normaliser reads it.
    request: RequestParts,
    body: QueuedBody<'a>,
}

impl Dequeued<'_> {
    /// What the normaliser takes.
    #[expect(clippy::disallowed_methods, reason = "the message was read from the intake queue")]
    pub fn trusted(&self) -> Trusted<'_> {
        let RequestParts { headers, query } = &self.request;
        Trusted::verified_earlier(Received { headers, query, body: &self.body })
    }
}

/// [`RequestParts`] looked over without being kept.
#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow, rename = "headers")]
    _headers: Headings<'a>,
    #[serde(borrow, default, rename = "query")]
    _query: Cow<'a, str>,
}

struct Headings<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Deserialize<'de> for Headings<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[expect(dead_code, reason = "looked over and not kept")]
        struct Heading<'a>(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Cow<'a, str>);
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of headers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut headers: A) -> Result<(), A::Error> {
                while let Some(Heading(..)) = headers.next_element()? {}
                Ok(())
            }
        }
        deserializer.deserialize_seq(Each).map(|()| Self(PhantomData))
    }
}

fn read<'a, T>(
    name: &'static str,
    text: impl Fn(&'static str) -> Result<&'a str, IntakeError>,
    parse: impl FnOnce(&'a str) -> Option<T>,
) -> Result<T, IntakeError> {
    parse(text(name)?).ok_or(IntakeError::Attribute(name))
}

fn json<'a, T: Deserialize<'a>>(
    name: &'static str,
    text: impl Fn(&'static str) -> Result<&'a str, IntakeError>,
) -> Result<T, IntakeError> {
    read(name, text, |json| serde_json::from_str(json).ok())
}

/// Where a message's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<B> {
    /// In the message.
    Inline(B),
    /// In the payload bucket.
    ClaimCheck(ClaimCheck),
}

impl ClaimCheck {
    /// The claim check of `body`, named by day and webhook so that a person can find it.
    pub fn of(webhook_id: &WebhookId, received_at: Timestamp, body: &[u8]) -> Self {
        let day = received_at.strftime("%Y/%m/%d");
        Self { key: format!("{day}/{webhook_id}"), sha256: hex_sha256(body), bytes: body.len() }
    }

    /// Checks fetched bytes against the pointer.
    ///
    /// # Errors
    ///
    /// [`IntakeError::Altered`].
    pub fn check(&self, bytes: &[u8]) -> Result<(), IntakeError> {
        if bytes.len() == self.bytes && hex_sha256(bytes) == self.sha256 {
            Ok(())
        } else {
            Err(IntakeError::Altered)
        }
    }
}

/// How a message can carry `body` by itself, and the text that does.
pub fn encode(body: &[u8]) -> (Encoding, String) {
    match simdutf8::basic::from_utf8(body) {
        Ok("") => (Encoding::Empty, "-".to_owned()),
        Ok(text) if is_sqs_text(text) => (Encoding::Text, text.to_owned()),
        _ => (Encoding::Base64, STANDARD.encode(body)),
    }
}

/// The bytes behind `body`, or where they are.
///
/// # Errors
///
/// [`IntakeError::Body`].
pub fn decode(encoding: Encoding, body: &str) -> Result<Content<Cow<'_, [u8]>>, IntakeError> {
    Ok(match encoding {
        Encoding::Text => Content::Inline(Cow::Borrowed(body.as_bytes())),
        Encoding::Empty => Content::Inline(Cow::Borrowed(&[])),
        Encoding::Base64 => {
            Content::Inline(Cow::Owned(STANDARD.decode(body).map_err(|_| IntakeError::Body)?))
        }
        Encoding::ClaimCheck => {
            Content::ClaimCheck(serde_json::from_str(body).map_err(|_| IntakeError::Body)?)
        }
    })
}

/// [`is_sqs_character`] of a whole text, by bytes: every webhook's body is asked, and this is many times faster.
fn is_sqs_text(text: &str) -> bool {
    let is_control = |byte: u8| u8::from((byte < b' ') & (byte != b'\t') & (byte != b'\n') & (byte != b'\r'));
    // Place by place, so that the compiler takes a vector's worth at a time.
    let (blocks, rest) = text.as_bytes().as_chunks::<32>();
    let mut found = [0; 32];
    for block in blocks {
        found.iter_mut().zip(block).for_each(|(found, byte)| *found |= is_control(*byte));
    }
    let has_control = found != [0; 32] || rest.iter().any(|byte| is_control(*byte) != 0);
    // Both begin with EF in UTF-8; a byte is found faster than a character.
    let may_have = memchr::memchr(0xef, text.as_bytes()).is_some();
    !has_control && !(may_have && (text.contains('\u{fffe}') || text.contains('\u{ffff}')))
}

/// SQS takes the characters of XML 1.0 (SendMessage, API reference).
pub fn is_sqs_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_where_each_of_its_characters_is() {
        for c in '\0'..=char::MAX {
            assert_eq!(is_sqs_text(&format!("a{c}ü")), is_sqs_character(c), "{c:?}");
        }
    }

    #[test]
    fn a_fetched_body_is_the_one_that_the_receipt_names() {
        let webhook_id = WebhookId::new(Timestamp::UNIX_EPOCH, 1);
        let claim_check = |body: &[u8]| ClaimCheck::of(&webhook_id, Timestamp::UNIX_EPOCH, body);
        let receipt = format!(r#"{{"authenticity":"verified","body_sha256":"{}"}}"#, hex_sha256(b"signed"));
        let id = webhook_id.to_string();
        let attributes = [
            (attribute::WEBHOOK_ID, id.as_str()),
            (attribute::ENDPOINT, "e"),
            (attribute::PROVIDER, "p"),
            (attribute::RECEIVED_AT, "2026-01-01T00:00:00Z"),
            (attribute::SOURCE_IP, "::1"),
            (attribute::KEY_ID, "k"),
            (attribute::RECEIPT, &receipt),
            (attribute::REQUEST, r#"{"headers":[]}"#),
            (attribute::ENCODING, "claim_check"),
        ];
        let message = QueuedMessage::read("{}", &attributes).unwrap();
        let cases: [(&[u8], &[u8], bool); 3] =
            [(b"signed", b"signed", true), (b"signed", b"other!", false), (b"other!", b"other!", false)];
        for (claimed, fetched, is_taken) in cases {
            let body = message.claim_checked_body(&claim_check(claimed), fetched.to_vec());
            let expected =
                if is_taken { Ok(QueuedBody(Cow::Borrowed(fetched))) } else { Err(IntakeError::Altered) };
            assert_eq!(body, expected, "{claimed:?} {fetched:?}");
        }
    }
}
