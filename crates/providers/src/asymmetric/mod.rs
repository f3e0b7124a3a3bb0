//! Public-key signatures and certificates, behind the cargo feature `asymmetric`, which is on by default.
//!
//! aws-lc makes and checks them: it is what the functions' TLS uses, and the one part of this crate that is not Rust.
//! Without the feature no key of these algorithms can be decoded, so that no endpoint that needs one gets its keys.

#[cfg(not(feature = "asymmetric"))]
mod absent;
#[cfg(feature = "asymmetric")]
mod aws_lc;

#[cfg(not(feature = "asymmetric"))]
pub(crate) use absent::{PrivateKey, PublicKey, certificate_verifies};
#[cfg(feature = "asymmetric")]
pub(crate) use aws_lc::{PrivateKey, PublicKey, certificate_verifies};

/// An algorithm, and the form of its signatures where there are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RSA, PKCS#1 v1.5 padding, SHA-256, 2,048 to 8,192 bits.
    RsaPkcs1Sha256,
    /// ECDSA on P-256 with SHA-256; signatures in ASN.1.
    EcdsaP256Sha256Asn1,
    /// The same; signatures are the two numbers, one after the other.
    EcdsaP256Sha256Fixed,
    /// Ed25519.
    Ed25519,
}

/// # Errors
///
/// This build has no public-key signatures: what to say of a key that needs them.
pub(crate) fn is_built() -> Result<(), &'static str> {
    if cfg!(feature = "asymmetric") {
        Ok(())
    } else {
        Err("its algorithm is left out of this build (cargo feature `asymmetric`)")
    }
}
