//! The message as the processor reads it.

use std::{borrow::Cow, collections::BTreeSet, fmt, marker::PhantomData, ops::Deref};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
#[cfg(test)]
use tollgate_core::Authenticity;
use tollgate_core::{EndpointId, LedgerKey, ProviderId, Timestamp, WebhookId, id::hex_sha256};
use tollgate_providers::{Endpoint, Received, Trusted};

use super::{
    body::{ClaimCheck, Content, Encoding, IntakeError, decode},
    message::{Notes, RequestParts, attribute},
    seal::{Seal, Sealed},
};

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
        let ValidateOnly { .. } = json(attribute::REQUEST, text)?;
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

    /// The message's seal: the one that the validator put into the ledger, if nothing was altered.
    pub fn seal(&self) -> Seal {
        Sealed {
            webhook_id: &self.webhook_id,
            endpoint: &self.endpoint,
            provider: &self.provider,
            received_at: self.received_at,
            source_ip: self.source_ip,
            key_id: self.key_id,
            authenticity: self.notes.authenticity,
            body_sha256: &self.notes.body_sha256,
            signed_at: self.notes.signed_at,
            taken_in_at: self.notes.taken_in_at,
            claimed: &self.notes.claimed,
            replayed_by: self.notes.replayed_by.as_deref(),
            request: self.request,
        }
        .seal()
    }

    /// The claims of its events, as the validator made them, each once; none where they are too many for a message.
    pub fn claimed_keys(&self) -> Vec<LedgerKey> {
        let ids = self.notes.claimed.split('\n').filter(|id| !id.is_empty());
        let keys: BTreeSet<LedgerKey> = ids.map(|id| LedgerKey::new(&self.endpoint, id)).collect();
        keys.into_iter().collect()
    }

    /// The webhook's exact body, or its claim check.
    ///
    /// # Errors
    ///
    /// [`IntakeError::Body`]; [`IntakeError::Altered`] where the bytes are not those that ingest verified.
    pub fn content(&self) -> Result<Content<QueuedBody<'a>>, IntakeError> {
        Ok(match decode(self.encoding, self.body)? {
            Content::Inline(bytes) if hex_sha256(&bytes) != self.notes.body_sha256 => {
                return Err(IntakeError::Altered);
            }
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

    /// The message with its body in S3: `claim_check` is its [`ClaimCheck`] as JSON.
    pub(crate) fn claim_checked<'c>(self, claim_check: &'c str) -> QueuedMessage<'c>
    where
        'a: 'c,
    {
        QueuedMessage { encoding: Encoding::ClaimCheck, body: claim_check, escaped_body: None, ..self }
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

#[cfg(test)]
impl QueuedMessage<'_> {
    /// The first webhook of the endpoint `acme`.
    pub(crate) fn example() -> Self {
        Self {
            webhook_id: WebhookId::new(Timestamp::UNIX_EPOCH, 1),
            endpoint: EndpointId::new("acme").unwrap(),
            provider: ProviderId::new("generic").unwrap(),
            received_at: Timestamp::UNIX_EPOCH,
            source_ip: "",
            key_id: "",
            notes: Notes {
                authenticity: Authenticity::Verified,
                body_sha256: "".into(),
                signed_at: None,
                taken_in_at: None,
                claimed: "".into(),
                conflicts: Vec::new(),
                only_transaction: None,
                replayed_by: None,
            },
            request: "{}",
            encoding: Encoding::Text,
            body: "",
            escaped_body: None,
        }
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

/// A webhook that came out of the intake queue. Only [`QueuedMessage::webhook`] makes one.
#[derive(Debug)]
pub struct Dequeued<'a> {
    /// Empty unless the normaliser reads it.
    request: RequestParts,
    body: QueuedBody<'a>,
}

impl Dequeued<'_> {
    /// What the normaliser takes.
    #[expect(
        clippy::disallowed_methods,
        reason = "no event takes effect unless the message has its claim's seal"
    )]
    pub fn trusted(&self) -> Trusted<'_> {
        let RequestParts { headers, query } = &self.request;
        Trusted::verified_earlier(Received { headers, query, body: &self.body })
    }
}

/// Checks the JSON of [`RequestParts`] and keeps nothing of it.
#[derive(Deserialize)]
struct ValidateOnly<'a> {
    #[serde(borrow, rename = "headers")]
    _headers: ValidHeaders<'a>,
    #[serde(borrow, default, rename = "query")]
    _query: Cow<'a, str>,
}

struct ValidHeaders<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Deserialize<'de> for ValidHeaders<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[expect(dead_code, reason = "checked and not kept")]
        struct Header<'a>(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Cow<'a, str>);
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of headers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut headers: A) -> Result<(), A::Error> {
                while let Some(Header(..)) = headers.next_element()? {}
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

#[cfg(test)]
mod tests {
    use super::*;

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
