//! Keys: from the text that a provider gives to what computes and checks signatures.

use std::{borrow::Cow, sync::Arc};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest, hmac,
    rand::SystemRandom,
    rsa,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ParsedPublicKey, VerificationAlgorithm},
};
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::text::{from_hex, key_from_base64};

/// What makes a signature of the signed content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// HMAC with SHA-1, for providers that never moved on.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-512.
    HmacSha512,
    /// RSA, PKCS#1 v1.5 padding, SHA-256, 2,048 to 8,192 bits.
    RsaPkcs1Sha256,
    /// ECDSA on P-256 with SHA-256, ASN.1 signatures.
    EcdsaP256Sha256,
    /// Ed25519.
    Ed25519,
    /// Plain SHA-256 of a content that holds the secret.
    Sha256,
    /// Plain SHA-512 of a content that holds the secret.
    Sha512,
    /// The secret itself, sent along: it authenticates the sender and signs nothing.
    Token,
}

impl Algorithm {
    /// Length of a signature in bytes, where it is fixed.
    pub(crate) fn signature_len(self) -> Option<usize> {
        match self {
            Self::HmacSha1 => Some(20),
            Self::HmacSha256 | Self::Sha256 => Some(32),
            Self::HmacSha512 | Self::Sha512 | Self::Ed25519 => Some(64),
            Self::RsaPkcs1Sha256 | Self::EcdsaP256Sha256 | Self::Token => None,
        }
    }

    /// Whether the secret is part of the signed content.
    pub(crate) fn takes_secret_in_content(self) -> bool {
        matches!(self, Self::Sha256 | Self::Sha512 | Self::Token)
    }

    /// The text used in the catalogue.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha512 => "hmac-sha512",
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::Ed25519 => "ed25519",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Token => "token",
        }
    }

    fn public(self) -> Option<&'static dyn VerificationAlgorithm> {
        match self {
            Self::RsaPkcs1Sha256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::EcdsaP256Sha256 => Some(&signature::ECDSA_P256_SHA256_ASN1),
            Self::Ed25519 => Some(&signature::ED25519),
            _ => None,
        }
    }
}

/// How a key's text becomes its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyForm {
    /// The text's own bytes.
    #[default]
    Utf8,
    /// Hexadecimal, either case.
    Hex,
    /// Standard base64; padding may be absent.
    Base64,
    /// A PEM public key; or a PKCS#8 private key, where webhooks are to be signed.
    Pem,
}

/// How the provider gives its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeySpec {
    /// How the text becomes bytes. Default utf8.
    pub form: KeyForm,
    /// Text before an encoded key (`whsec_`), removed where it is there. Only for hex and base64.
    pub prefix: Option<String>,
    /// The fewest bytes after decoding. Default 8.
    pub min_bytes: usize,
    /// The exact number of bytes after decoding, where the provider fixes it.
    pub bytes: Option<usize>,
    /// Text that every key holds (`:` in `user:password`).
    pub contains: Option<String>,
}

impl Default for KeySpec {
    fn default() -> Self {
        Self { form: KeyForm::Utf8, prefix: None, min_bytes: 8, bytes: None, contains: None }
    }
}

/// Whether short keys are refused. Test vectors of providers use short ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strength {
    Serving,
    TestVector,
}

/// A key, ready to use.
#[derive(Clone)]
pub(crate) enum Key {
    Hmac(Arc<hmac::Key>),
    Secret(Arc<Zeroizing<Vec<u8>>>),
    Public { public: ParsedPublicKey, private: Option<Arc<PrivateKey>> },
    Jwk(super::plaid::Jwk),
}

pub(crate) enum PrivateKey {
    Rsa(rsa::KeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// One piece of the signed content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Bytes(Cow<'a, [u8]>),
    Secret,
}

impl Piece<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Bytes(bytes) if bytes.is_empty())
    }
}

/// The longest digest: SHA-512's.
const MAX_DIGEST: usize = 64;

/// A digest or MAC of the signed content.
pub(crate) struct Digest {
    bytes: [u8; MAX_DIGEST],
    len: usize,
}

impl Digest {
    fn new(source: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_DIGEST];
        bytes.get_mut(..source.len())?.copy_from_slice(source);
        Some(Self { bytes, len: source.len() })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Key {
    /// Decodes and checks a key's text.
    pub(crate) fn decode(
        text: &str,
        spec: &KeySpec,
        algorithm: Algorithm,
        strength: Strength,
    ) -> Result<Self, &'static str> {
        check_text(text, spec)?;
        if let Some(public) = algorithm.public() {
            return decode_public(text, spec, algorithm, public);
        }
        let bytes = decode_bytes(text, spec)?;
        if bytes.is_empty() {
            return Err("it is empty");
        }
        if strength == Strength::Serving {
            check_strength(&bytes, spec)?;
        }
        Ok(match hmac_algorithm(algorithm) {
            Some(algorithm) => Self::Hmac(Arc::new(hmac::Key::new(algorithm, &bytes))),
            None => Self::Secret(Arc::new(bytes)),
        })
    }

    /// The MAC or digest that `pieces` should have; `None` for public keys.
    pub(crate) fn digest(&self, algorithm: Algorithm, pieces: &[Piece<'_>]) -> Option<Digest> {
        match (self, algorithm) {
            (Self::Hmac(key), _) => {
                let mut context = hmac::Context::with_key(key);
                for piece in pieces {
                    if let Piece::Bytes(bytes) = piece {
                        context.update(bytes);
                    }
                }
                Digest::new(context.sign().as_ref())
            }
            (Self::Secret(secret), Algorithm::Sha256 | Algorithm::Sha512 | Algorithm::Token) => {
                let algorithm =
                    if algorithm == Algorithm::Sha512 { &digest::SHA512 } else { &digest::SHA256 };
                let mut context = digest::Context::new(algorithm);
                for piece in pieces {
                    context.update(match piece {
                        Piece::Bytes(bytes) => bytes,
                        Piece::Secret => secret,
                    });
                }
                Digest::new(context.finish().as_ref())
            }
            _ => None,
        }
    }

    /// Whether `candidate` is the signature that `expected` stands for, in constant time.
    pub(crate) fn matches(algorithm: Algorithm, expected: &Digest, candidate: &[u8]) -> bool {
        if algorithm == Algorithm::Token {
            // Hashing first hides the token's length as well.
            let candidate = digest::digest(&digest::SHA256, candidate);
            return verify_slices_are_equal(expected.as_bytes(), candidate.as_ref()).is_ok();
        }
        verify_slices_are_equal(expected.as_bytes(), candidate).is_ok()
    }

    /// The secret itself, for the providers that send it.
    pub(crate) fn token(&self) -> Option<&[u8]> {
        match self {
            Self::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    /// Whether `candidate` is this public key's signature of `message`.
    pub(crate) fn verifies(&self, message: &[u8], candidate: &[u8]) -> bool {
        match self {
            Self::Public { public, .. } => public.verify_sig(message, candidate).is_ok(),
            _ => false,
        }
    }

    /// A signature of `message` by the private key, where there is one.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let Self::Public { private: Some(private), .. } = self else { return None };
        private.sign(message)
    }
}

impl PrivateKey {
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut out).ok()?;
                Some(out)
            }
            Self::Ecdsa(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            Self::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
        }
    }
}

fn hmac_algorithm(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::HmacSha1 => Some(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        Algorithm::HmacSha256 => Some(hmac::HMAC_SHA256),
        Algorithm::HmacSha512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn check_text(text: &str, spec: &KeySpec) -> Result<(), &'static str> {
    if text.trim().is_empty() {
        return Err("it is empty");
    }
    if spec.form != KeyForm::Pem && text.trim() != text {
        return Err("it has white space around it");
    }
    match &spec.contains {
        Some(part) if !text.contains(part.as_str()) => Err("it is not in the form that this scheme needs"),
        _ => Ok(()),
    }
}

fn decode_bytes(text: &str, spec: &KeySpec) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let stripped = spec.prefix.as_deref().and_then(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    let bytes = match spec.form {
        KeyForm::Utf8 => text.as_bytes().to_vec(),
        KeyForm::Hex => from_hex(stripped).ok_or("it is not hexadecimal")?,
        KeyForm::Base64 => key_from_base64(stripped).ok_or("it is not base64")?,
        KeyForm::Pem => return Err("a PEM key cannot serve this algorithm"),
    };
    Ok(Zeroizing::new(bytes))
}

fn check_strength(bytes: &[u8], spec: &KeySpec) -> Result<(), &'static str> {
    if spec.bytes.is_some_and(|bytes_wanted| bytes.len() != bytes_wanted) {
        return Err("it does not have the length that its provider gives");
    }
    if bytes.len() < spec.min_bytes {
        return Err("it is too short");
    }
    if bytes.windows(2).all(|pair| pair.first() == pair.last()) {
        return Err("it is one byte repeated");
    }
    Ok(())
}

/// The prefix and the two lengths of Standard Webhooks' private Ed25519 keys: a seed, or a seed and its public key.
const ED25519_PRIVATE_PREFIX: &str = "whsk_";

fn decode_public(
    text: &str,
    spec: &KeySpec,
    algorithm: Algorithm,
    verification: &'static dyn VerificationAlgorithm,
) -> Result<Key, &'static str> {
    const BAD: &str = "it is not a key of this algorithm";
    let (public, private) = if spec.form == KeyForm::Pem {
        if text.contains("PRIVATE KEY-----") {
            let der = rustls_pki_types::PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes())
                .map_err(|_| "it is not a PKCS#8 private key in PEM")?;
            let private = private_from_pkcs8(der.secret_pkcs8_der(), algorithm).ok_or(BAD)?;
            (private.public(), Some(private))
        } else {
            let der = rustls_pki_types::SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes())
                .map_err(|_| "it is not a public key in PEM")?;
            (der.as_ref().to_vec(), None)
        }
    } else if let (Algorithm::Ed25519, Some(seed)) = (algorithm, text.strip_prefix(ED25519_PRIVATE_PREFIX)) {
        let seed = Zeroizing::new(key_from_base64(seed).ok_or("it is not base64")?);
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.get(..32).ok_or(BAD)?).map_err(|_| BAD)?;
        let private = PrivateKey::Ed25519(pair);
        (private.public(), Some(private))
    } else {
        (decode_bytes(text, spec)?.to_vec(), None)
    };
    let public = ParsedPublicKey::new(verification, public).map_err(|_| BAD)?;
    Ok(Key::Public { public, private: private.map(Arc::new) })
}

fn private_from_pkcs8(der: &[u8], algorithm: Algorithm) -> Option<PrivateKey> {
    match algorithm {
        Algorithm::RsaPkcs1Sha256 => rsa::KeyPair::from_pkcs8(der).ok().map(PrivateKey::Rsa),
        Algorithm::EcdsaP256Sha256 => {
            EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, der)
                .ok()
                .map(PrivateKey::Ecdsa)
        }
        Algorithm::Ed25519 => Ed25519KeyPair::from_pkcs8(der).ok().map(PrivateKey::Ed25519),
        _ => None,
    }
}

impl PrivateKey {
    fn public(&self) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Self::Ecdsa(pair) => pair.public_key().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }
}
