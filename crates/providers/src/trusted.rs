//! The bytes that normalisers may read.

use tollgate_core::{Authenticity, Timestamp};

use crate::{request::Received, scheme::interface::Proof};

/// A webhook whose signature is good, or what the provider's own API told. Only [`Endpoint::verify`](crate::Endpoint::verify)
/// and [`Endpoint::retrieved`](crate::Endpoint::retrieved) make one.
#[derive(Debug, Clone, Copy)]
pub struct Verified<'a> {
    received: Received<'a>,
    authenticity: Authenticity,
    key_id: &'a str,
    signed_at: Option<Timestamp>,
    transmission_id: Option<&'a str>,
}

impl<'a> Verified<'a> {
    pub(crate) fn new(received: Received<'a>, proof: Proof<'a>, transmission_id: Option<&'a str>) -> Self {
        let Proof { authenticity, key_id, signed_at } = proof;
        Self { received, authenticity, key_id, signed_at, transmission_id }
    }

    /// The webhook.
    pub fn received(&self) -> Received<'a> {
        self.received
    }

    /// What the signature proves.
    pub fn authenticity(&self) -> Authenticity {
        self.authenticity
    }

    /// The key that verified.
    pub fn key_id(&self) -> &'a str {
        self.key_id
    }

    /// The signed timestamp, where there is one.
    pub fn signed_at(&self) -> Option<Timestamp> {
        self.signed_at
    }

    /// The signed id under which one body may come, where the signature does not cover the body (PayPal).
    pub fn transmission_id(&self) -> Option<&'a str> {
        self.transmission_id
    }
}

/// A webhook whose content may be acted on, because its signature was verified. The normalisers take nothing else.
///
/// There are three ways to get one, and each names its reason: from a [`Verified`], with
/// [`verified_earlier`](Self::verified_earlier), or with [`for_inspection`](Self::for_inspection).
#[derive(Debug, Clone, Copy)]
pub struct Trusted<'a>(Received<'a>);

impl<'a> From<Verified<'a>> for Trusted<'a> {
    fn from(verified: Verified<'a>) -> Self {
        Self(verified.received())
    }
}

impl<'a> Trusted<'a> {
    /// A webhook that was verified before it was stored in a place that only the verifier may write to. The caller
    /// vouches for that, so clippy refuses this call everywhere but where the intake queue is read.
    pub fn verified_earlier(received: Received<'a>) -> Self {
        Self(received)
    }

    /// A webhook that nobody verified, whose facts are shown or compared and have no effect: for the operator's tool,
    /// tests and benches.
    pub fn for_inspection(received: Received<'a>) -> Self {
        Self(received)
    }

    /// The webhook.
    pub fn received(self) -> Received<'a> {
        self.0
    }
}
