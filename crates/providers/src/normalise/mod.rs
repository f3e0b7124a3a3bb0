//! Provider bodies to canonical facts.

/// Content that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The body is not JSON (or not the form or XML that this provider sends).
    #[error("body is not valid JSON")]
    NotJson,
    /// A required field is absent.
    #[error("Missing required field: {0}")]
    MissingField(&'static str),
    /// A field has the wrong type or an impossible value.
    #[error("Invalid field: {0}")]
    InvalidField(&'static str),
}
