//! The bytes that normalisers may read.

use crate::{Received, Verified};

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
