//! How a provider signs and gives its keys, as the catalogue writes it.

use serde::{Deserialize, Serialize};

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
