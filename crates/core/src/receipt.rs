//! The verification receipt: what was verified, when, by which key, and for which bytes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{EndpointId, ProviderId},
    id::hex_sha256,
};

/// Who says that an event is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authenticity {
    /// The sender holds the key and the body is what it signed.
    Verified,
    /// The provider's API told it: to an operator who asked, and whose right to say so is worth as much as a signing secret, or to
    /// the processor, for a verified webhook that only named an object. No sender can make such an event.
    Retrieved,
    /// The sender holds the key; the body itself is not (or only weakly) bound to it: static tokens, PayPal's
    /// CRC-32, Mercado Pago's and Midtrans's partial signatures.
    Authenticated,
}

impl Authenticity {
    /// The text used in events, attributes and the archive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Retrieved => "retrieved",
            Self::Authenticated => "authenticated",
        }
    }

    /// The one that proves less.
    pub fn weaker(self, other: Self) -> Self {
        self.max(other)
    }

    /// What its claims and links count for: `Verified` or `Authenticated`. What was retrieved counts with what is verified, or it
    /// would tell again what a verified event has told. A sender who holds a token can make neither.
    pub fn class(self) -> Self {
        match self {
            Self::Verified | Self::Retrieved => Self::Verified,
            Self::Authenticated => Self::Authenticated,
        }
    }

    /// Reads [`as_str`](Self::as_str) back.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "verified" => Some(Self::Verified),
            "retrieved" => Some(Self::Retrieved),
            "authenticated" => Some(Self::Authenticated),
            _ => None,
        }
    }
}

/// What verification proved. Kept with the webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Lower-case hex SHA-256 of the exact body.
    pub body_sha256: String,
    /// Where it arrived.
    pub endpoint: EndpointId,
    /// The provider whose scheme it passed.
    pub provider: ProviderId,
    /// What passing that scheme proves, or that nothing had to be passed.
    pub authenticity: Authenticity,
    /// The active key that verified, by its name; never the key.
    pub key_id: String,
    /// The signed timestamp, where the scheme has one.
    pub signed_at: Option<Timestamp>,
    /// The time by which it was checked: that of its arrival.
    pub verified_at: Timestamp,
    /// When it was taken in, where that was later than it arrived: it was refused then, and an operator had it taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_in_at: Option<Timestamp>,
}

impl Receipt {
    /// Whether this receipt is of exactly these bytes.
    pub fn is_of(&self, body: &[u8]) -> bool {
        self.body_sha256 == hex_sha256(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weaker_one_stands_and_what_was_retrieved_counts_with_what_is_verified() {
        use Authenticity::{Authenticated, Retrieved, Verified};
        for (one, other, weaker) in [
            (Verified, Retrieved, Retrieved),
            (Retrieved, Authenticated, Authenticated),
            (Verified, Authenticated, Authenticated),
            (Retrieved, Retrieved, Retrieved),
        ] {
            assert_eq!((one.weaker(other), other.weaker(one)), (weaker, weaker));
        }
        assert_eq!(
            [Verified, Retrieved, Authenticated].map(Authenticity::class),
            [Verified, Verified, Authenticated]
        );
        for one in [Verified, Retrieved, Authenticated] {
            assert_eq!(Authenticity::parse(one.as_str()), Some(one));
        }
    }
}
