//! Keys: from the text that a provider gives to what computes and checks signatures.

use std::{borrow::Cow, sync::Arc};

use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::{
    algorithm::{Algorithm, KeyForm, KeySpec, Strength},
    ed25519,
    jwk::Jwk,
};
use crate::{
    asymmetric::{self, PrivateKey, PublicKey},
    mac::{Hash, Mac, are_equal},
    text::{from_hex, key_from_base64},
};

/// A key, ready to use.
#[derive(Clone)]
pub(crate) enum Key {
    Hmac(Arc<Mac>),
    Secret(Arc<Zeroizing<Vec<u8>>>),
    Public { public: PublicKey, private: Option<Arc<PrivateKey>> },
    Jwk(Jwk),
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

    pub(crate) fn into_lower_case(self) -> Self {
        match self {
            Self::Bytes(bytes) if bytes.iter().any(u8::is_ascii_uppercase) => {
                Self::Bytes(Cow::Owned(bytes.to_ascii_lowercase()))
            }
            same => same,
        }
    }
}

/// A digest or MAC of the signed content.
#[expect(clippy::large_enum_variant, reason = "one for each webhook, on the stack: a box would cost more")]
pub(crate) enum Digest {
    Mac(Mac),
    Plain(Vec<u8>),
}

impl Digest {
    /// To sign with; [`Key::matches`] compares.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Mac(mac) => mac.into_tag(),
            Self::Plain(bytes) => bytes,
        }
    }

    fn is(&self, candidate: &[u8]) -> bool {
        match self {
            Self::Mac(mac) => mac.verify(candidate),
            Self::Plain(bytes) => are_equal(bytes, candidate),
        }
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
        if let Some(algorithm) = asymmetric_algorithm(algorithm) {
            return decode_public(text, spec, algorithm);
        }
        let bytes = decode_bytes(text, spec)?;
        if bytes.is_empty() {
            return Err("it is empty");
        }
        if strength == Strength::Serving {
            check_strength(&bytes, spec)?;
        }
        match hmac_hash(algorithm) {
            Some(hash) => Self::hmac(hash, &bytes),
            None => Ok(Self::Secret(Arc::new(bytes))),
        }
    }

    /// An HMAC key of bytes that are known to be good.
    pub(crate) fn hmac(hash: Hash, bytes: &[u8]) -> Result<Self, &'static str> {
        let mac = Mac::new(hash, bytes).ok_or("it is not a key of this algorithm")?;
        Ok(Self::Hmac(Arc::new(mac)))
    }

    /// The MAC or digest that `pieces` should have; `None` for public keys.
    pub(crate) fn digest(&self, algorithm: Algorithm, pieces: &[Piece<'_>]) -> Option<Digest> {
        match (self, algorithm) {
            (Self::Hmac(key), _) => {
                let mut mac = Mac::clone(key);
                for piece in pieces {
                    if let Piece::Bytes(bytes) = piece {
                        mac.update(bytes);
                    }
                }
                Some(Digest::Mac(mac))
            }
            (Self::Secret(secret), Algorithm::Sha256 | Algorithm::Sha512 | Algorithm::Token) => {
                let hash = if algorithm == Algorithm::Sha512 { Hash::Sha512 } else { Hash::Sha256 };
                let pieces = pieces.iter().map(|piece| match piece {
                    Piece::Bytes(bytes) => bytes.as_ref(),
                    Piece::Secret => secret.as_slice(),
                });
                Some(Digest::Plain(hash.digest(pieces)))
            }
            _ => None,
        }
    }

    /// Whether `candidate` is the signature that `expected` stands for, in constant time.
    pub(crate) fn matches(algorithm: Algorithm, expected: &Digest, candidate: &[u8]) -> bool {
        if algorithm == Algorithm::Token {
            // Hashing first hides the token's length as well.
            return expected.is(&Hash::Sha256.digest([candidate]));
        }
        expected.is(candidate)
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
            Self::Public { public, .. } => public.verifies(message, candidate),
            _ => false,
        }
    }

    /// A signature of `message` by the private key, where there is one.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let Self::Public { private: Some(private), .. } = self else { return None };
        private.sign(message)
    }
}

fn asymmetric_algorithm(algorithm: Algorithm) -> Option<asymmetric::Algorithm> {
    match algorithm {
        Algorithm::RsaPkcs1Sha256 => Some(asymmetric::Algorithm::RsaPkcs1Sha256),
        Algorithm::EcdsaP256Sha256 => Some(asymmetric::Algorithm::EcdsaP256Sha256Asn1),
        Algorithm::Ed25519 => Some(asymmetric::Algorithm::Ed25519),
        _ => None,
    }
}

fn hmac_hash(algorithm: Algorithm) -> Option<Hash> {
    match algorithm {
        Algorithm::HmacSha1 => Some(Hash::Sha1),
        Algorithm::HmacSha256 => Some(Hash::Sha256),
        Algorithm::HmacSha512 => Some(Hash::Sha512),
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

fn decode_public(text: &str, spec: &KeySpec, algorithm: asymmetric::Algorithm) -> Result<Key, &'static str> {
    const BAD: &str = "it is not a key of this algorithm";
    asymmetric::is_built()?;
    let (public, private) = if spec.form == KeyForm::Pem {
        if text.contains("PRIVATE KEY-----") {
            let der = rustls_pki_types::PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes())
                .map_err(|_| "it is not a PKCS#8 private key in PEM")?;
            let private = PrivateKey::from_pkcs8(algorithm, der.secret_pkcs8_der()).ok_or(BAD)?;
            (private.public(), Some(private))
        } else {
            let der = rustls_pki_types::SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes())
                .map_err(|_| "it is not a public key in PEM")?;
            (der.as_ref().to_vec(), None)
        }
    } else if let (asymmetric::Algorithm::Ed25519, Some(seed)) =
        (algorithm, text.strip_prefix(ED25519_PRIVATE_PREFIX))
    {
        let seed = Zeroizing::new(key_from_base64(seed).ok_or("it is not base64")?);
        let private = PrivateKey::from_ed25519_seed(seed.get(..32).ok_or(BAD)?).ok_or(BAD)?;
        (private.public(), Some(private))
    } else {
        (decode_bytes(text, spec)?.to_vec(), None)
    };
    let key = PublicKey::new(algorithm, &public).ok_or(BAD)?;
    if algorithm == asymmetric::Algorithm::Ed25519 && !ed25519::is_sound(&public) {
        return Err("anyone can sign for it: it is of small order, or not in its one spelling");
    }
    Ok(Key::Public { public: key, private: private.map(Arc::new) })
}
