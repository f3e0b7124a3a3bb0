//! How a message carries a webhook's exact bytes.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use tollgate_core::{Timestamp, WebhookId, id::hex_sha256};

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

impl ClaimCheck {
    /// The claim check of `body`, named by day and webhook so that a person can find it.
    pub fn of(webhook_id: &WebhookId, received_at: Timestamp, body: &[u8]) -> Self {
        Self::named(webhook_id.as_str(), received_at, body)
    }

    /// The claim check of the body of a message that is no webhook of ours, named by day and its digest.
    pub(crate) fn of_unread(at: Timestamp, body: &[u8]) -> Self {
        Self::named(&format!("unread-{}", hex_sha256(body)), at, body)
    }

    /// The claim check of `bytes` under a key of their own.
    pub(crate) fn at(key: String, bytes: &[u8]) -> Self {
        Self { key, sha256: hex_sha256(bytes), bytes: bytes.len() }
    }

    fn named(name: &str, at: Timestamp, body: &[u8]) -> Self {
        let day = at.strftime("%Y/%m/%d");
        Self { key: format!("{day}/{name}"), sha256: hex_sha256(body), bytes: body.len() }
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

/// Where a message's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<B> {
    /// In the message.
    Inline(B),
    /// In the payload bucket.
    ClaimCheck(ClaimCheck),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_where_each_of_its_characters_is() {
        for c in '\0'..=char::MAX {
            assert_eq!(is_sqs_text(&format!("a{c}ü")), is_sqs_character(c), "{c:?}");
        }
    }
}
