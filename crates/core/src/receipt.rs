//! The verification receipt: what was verified, when, by which key, and for which bytes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{EndpointId, ProviderId},
    id::hex_sha256,
};

/// What a good signature proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authenticity {
    /// The sender holds the key and the body is what it signed.
    Verified,
    /// The sender holds the key; the body itself is not (or only weakly) bound to it: static tokens, PayPal's
    /// CRC-32, Mercado Pago's and Midtrans's partial signatures.
    Authenticated,
}

impl Authenticity {
    /// The text used in events, attributes and the archive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Authenticated => "authenticated",
        }
    }

    /// The one that proves less.
    pub fn weaker(self, other: Self) -> Self {
        self.max(other)
    }

    /// Reads [`as_str`](Self::as_str) back.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "verified" => Some(Self::Verified),
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
    /// What passing that scheme proves.
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
