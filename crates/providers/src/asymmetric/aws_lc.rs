//! Public-key signatures by aws-lc.

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED,
        ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, VerificationAlgorithm,
    },
};

use super::algorithm::Algorithm;

/// The sizes of RSA keys that serve, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A public key, with the one algorithm that it serves.
#[derive(Clone)]
pub(crate) struct PublicKey(ParsedPublicKey);

impl PublicKey {
    /// From the bytes that the algorithm uses, or a `SubjectPublicKeyInfo` in DER.
    pub(crate) fn new(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        let verifying: &'static dyn VerificationAlgorithm = match algorithm {
            Algorithm::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::EcdsaP256Sha256Asn1 => &ECDSA_P256_SHA256_ASN1,
            Algorithm::EcdsaP256Sha256Fixed => &ECDSA_P256_SHA256_FIXED,
            Algorithm::Ed25519 => &ED25519,
        };
        let key = ParsedPublicKey::new(verifying, bytes).ok()?;
        // aws-lc checks an RSA key's size with each signature: one that would never verify is no key.
        (algorithm != Algorithm::RsaPkcs1Sha256 || has_rsa_size(&key)).then_some(Self(key))
    }

    /// Whether `signature` is this key's of `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }
}

fn has_rsa_size(key: &ParsedPublicKey) -> bool {
    let der = key.as_der().ok();
    let key = der.and_then(|der| rsa::PublicEncryptingKey::from_der(der.as_ref()).ok());
    key.is_some_and(|key| RSA_BITS.contains(&key.key_size_bits()))
}

/// A private key, with the one algorithm that it serves.
pub(crate) enum PrivateKey {
    Rsa(rsa::KeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    pub(crate) fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Option<Self> {
        let ecdsa = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, der).ok().map(Self::Ecdsa);
        match algorithm {
            Algorithm::RsaPkcs1Sha256 => rsa::KeyPair::from_pkcs8(der).ok().map(Self::Rsa),
            Algorithm::EcdsaP256Sha256Asn1 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            Algorithm::EcdsaP256Sha256Fixed => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Ed25519 => Ed25519KeyPair::from_pkcs8(der).ok().map(Self::Ed25519),
        }
    }

    pub(crate) fn from_ed25519_seed(seed: &[u8]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self::Ed25519)
    }

    /// From its number and its public point; it signs in the fixed form.
    pub(crate) fn from_p256_scalar(scalar: &[u8], point: &[u8]) -> Option<Self> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        EcdsaKeyPair::from_private_key_and_public_key(algorithm, scalar, point).ok().map(Self::Ecdsa)
    }

    /// The bytes of its public key.
    pub(crate) fn public(&self) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Self::Ecdsa(pair) => pair.public_key().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// Its signature of `message`; `None` when there is no randomness to be had.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut out).ok()?;
                Some(out)
            }
            Self::Ecdsa(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            Self::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
        }
    }
}

/// Whether `signature` is an RSA signature (PKCS#1 v1.5, SHA-256) of `message` by the key of `certificate`. Whether the
/// certificate is to be trusted is another question.
pub(crate) fn certificate_verifies(
    certificate: &webpki::EndEntityCert<'_>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let algorithm = webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256;
    certificate.verify_signature(algorithm, message, signature).is_ok()
}
