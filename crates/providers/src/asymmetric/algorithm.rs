//! Public-key algorithms.

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
