//! Why a webhook is refused.

/// Why a webhook is not genuine: a closed set that a person can act on. Holds no part of a key and no part of a
/// body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The header, form field or body field that carries the signature is absent or empty.
    #[error("signature missing")]
    HeaderMissing,
    /// Something else that the scheme reads is absent: a header, a query parameter, a field of the body.
    #[error("{0} missing")]
    Missing(String),
    /// Something that may come once came more than once.
    #[error("{0} given more than once")]
    Duplicate(String),
    /// The signed timestamp came more than once, so that it is not known which one was signed.
    #[error("more than one timestamp")]
    DuplicateTimestamp,
    /// Text outside its grammar: not canonical hex or base64, digits that are not ASCII digits, an unknown
    /// version, a separator within a signed value.
    #[error("{0} malformed")]
    Malformed(&'static str),
    /// More candidate signatures than [`MAX_CANDIDATES`](crate::scheme::MAX_CANDIDATES).
    #[error("too many candidate signatures")]
    TooManyCandidates,
    /// The signed timestamp lies before the window.
    #[error("signed {seconds} s ago, beyond the window of {window} s")]
    TooOld {
        /// Its age.
        seconds: u64,
        /// The window's half-width.
        window: u32,
    },
    /// The signed timestamp lies after the window: the sender's clock or ours is wrong.
    #[error("signed {seconds} s ahead of our clock, beyond the window of {window} s")]
    TooNew {
        /// How far ahead.
        seconds: u64,
        /// The window's half-width.
        window: u32,
    },
    /// The signature names a key that is not among the active ones.
    #[error("signed with a key id that is not active here")]
    UnknownKeyId,
    /// The signature is well-formed and does not match: another key, or other bytes.
    #[error("signature does not match: another key, or the body was altered")]
    Mismatch,
    /// The sender's key is right, for certain, and the body is not what it signed.
    #[error("the body is not the one that was signed")]
    BodyAltered,
    /// A transmission's signature is good, and it came before with another body (PayPal signs a body's CRC-32 alone).
    #[error("the transmission came before with another body")]
    TransmissionReused,
    /// The static token is wrong.
    #[error("token does not match")]
    WrongToken,
    /// One item of a batch is not signed rightly; counted from 0.
    #[error("item {0} of the batch is not signed rightly")]
    Item(usize),
    /// A certificate or public key is needed and was not handed in.
    #[error("certificate or public key not available")]
    MaterialMissing,
    /// The certificate's address is not one of the provider's own over https.
    #[error("certificate URL is not the provider's")]
    MaterialAddress,
    /// The certificate or public key is not to be trusted: the reason.
    #[error("certificate or public key refused: {0}")]
    MaterialUntrusted(&'static str),
}

impl Refusal {
    /// The reason as a metric's dimension: short, fixed, snake case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::HeaderMissing => "header_missing",
            Self::Missing(_) => "field_missing",
            Self::Duplicate(_) => "duplicate_field",
            Self::DuplicateTimestamp => "duplicate_timestamp",
            Self::Malformed(_) => "malformed",
            Self::TooManyCandidates => "too_many_candidates",
            Self::TooOld { .. } => "too_old",
            Self::TooNew { .. } => "too_new",
            Self::UnknownKeyId => "unknown_key_id",
            Self::Mismatch => "signature_mismatch",
            Self::BodyAltered => "body_altered",
            Self::TransmissionReused => "transmission_reused",
            Self::WrongToken => "wrong_token",
            Self::Item(_) => "batch_item_invalid",
            Self::MaterialMissing => "material_missing",
            Self::MaterialAddress => "material_address",
            Self::MaterialUntrusted(_) => "material_untrusted",
        }
    }

    /// Whether newer keys could change the verdict: worth one early refresh of an aged secret.
    pub fn may_be_stale_key(&self) -> bool {
        matches!(
            self,
            Self::Mismatch
                | Self::WrongToken
                | Self::UnknownKeyId
                | Self::Item(_)
                | Self::MaterialUntrusted(_)
        )
    }
}
