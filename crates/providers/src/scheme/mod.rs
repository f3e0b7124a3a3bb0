//! The signature engine.

/// Why a webhook is not genuine: a closed set that a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The header that carries the signature is absent.
    #[error("signature header missing")]
    HeaderMissing,
}

impl Refusal {
    /// The reason as a metric's dimension: short, fixed, snake case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::HeaderMissing => "header_missing",
        }
    }
}
