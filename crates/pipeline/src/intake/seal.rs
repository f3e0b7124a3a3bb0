//! What ties a message to the claims that were made for it.

use std::fmt;

use sha2::{Digest as _, Sha256};
use tollgate_core::{Authenticity, EndpointId, ProviderId, Timestamp, WebhookId, id::to_hex};

/// A digest of everything in an intake message that decides what is done and what is archived: half a SHA-256, as text
/// 32 lower-case hex digits.
///
/// The validator puts it into the claim of each event of the delivery before it sends the message. Who can write into
/// the queue and not into the ledger can make no message that is taken. Half a digest is enough: the webhook's id is
/// drawn after its sender has chosen the bytes, so nobody can look for two messages of one seal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seal([u8; 16]);

/// What a seal covers. Not the events that are conflicts, and not which payment a message is for: both only leave out.
/// Not the encoding: the body's digest is of the exact bytes.
#[derive(Debug)]
pub(super) struct Sealed<'a> {
    pub(super) webhook_id: &'a WebhookId,
    pub(super) endpoint: &'a EndpointId,
    pub(super) provider: &'a ProviderId,
    pub(super) received_at: Timestamp,
    pub(super) source_ip: &'a str,
    pub(super) key_id: &'a str,
    pub(super) authenticity: Authenticity,
    pub(super) body_sha256: &'a str,
    pub(super) signed_at: Option<Timestamp>,
    pub(super) taken_in_at: Option<Timestamp>,
    pub(super) claimed: &'a str,
    pub(super) replayed_by: Option<&'a str>,
    /// The text of the message attribute.
    pub(super) request: &'a str,
}

impl Sealed<'_> {
    pub(super) fn seal(&self) -> Seal {
        let received_at = self.received_at.to_string();
        let signed_at = self.signed_at.map(|at| at.to_string()).unwrap_or_default();
        // Of a message without them the seal is what it was before there were any.
        let taken_in_at = self.taken_in_at.map(|at| at.to_string());
        let mut digest = Sha256::new();
        let parts = [
            "tollgate.seal/1",
            self.webhook_id.as_str(),
            self.endpoint.as_str(),
            self.provider.as_str(),
            &received_at,
            self.source_ip,
            self.key_id,
            self.authenticity.as_str(),
            self.body_sha256,
            &signed_at,
            self.claimed,
            self.request,
        ];
        for part in parts.into_iter().chain(taken_in_at.as_deref()).chain(self.replayed_by) {
            // With its length, so that no text of one part can be read as another part's.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let digest: [u8; 32] = digest.finalize().into();
        Seal(digest.first_chunk().copied().unwrap_or_default())
    }
}

impl Seal {
    /// Reads back the text of a seal; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        let seal = Self(u128::from_str_radix(text, 16).ok()?.to_be_bytes());
        (seal.to_string() == text).then_some(seal)
    }
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_read_back_from_its_text_alone() {
        let seal = Seal([0xa7; 16]);
        assert_eq!(Seal::parse(&seal.to_string()), Some(seal));
        let short = "a7".repeat(15);
        for text in ["", &short, &"A7".repeat(16), &format!("+{short}7")] {
            assert_eq!(Seal::parse(text), None, "{text}");
        }
    }
}
