//! Without aws-lc: the types have no values, and nothing verifies.

use super::algorithm::Algorithm;

#[derive(Clone)]
pub(crate) enum PublicKey {}

impl PublicKey {
    pub(crate) fn new(_: Algorithm, _: &[u8]) -> Option<Self> {
        None
    }

    pub(crate) fn verifies(&self, _: &[u8], _: &[u8]) -> bool {
        match *self {}
    }
}

pub(crate) enum PrivateKey {}

impl PrivateKey {
    pub(crate) fn from_pkcs8(_: Algorithm, _: &[u8]) -> Option<Self> {
        None
    }

    pub(crate) fn from_ed25519_seed(_: &[u8]) -> Option<Self> {
        None
    }

    pub(crate) fn from_p256_scalar(_: &[u8], _: &[u8]) -> Option<Self> {
        None
    }

    pub(crate) fn public(&self) -> Vec<u8> {
        match *self {}
    }

    pub(crate) fn sign(&self, _: &[u8]) -> Option<Vec<u8>> {
        match *self {}
    }
}

pub(crate) fn certificate_verifies(_: &webpki::EndEntityCert<'_>, _: &[u8], _: &[u8]) -> bool {
    false
}
