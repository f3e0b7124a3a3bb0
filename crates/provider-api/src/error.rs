//! Why a provider could not be asked.

/// Why a provider could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// It takes the key for nothing, or not for this.
    #[error("it refuses the key ({0}): is it the right one, of the right environment, and may it read this?")]
    Refused(u16),
    /// It answers with a failure each time.
    #[error("it answers {0}")]
    Status(u16),
    /// It answers with a failure, and says why.
    #[error("it answers {0}: {1}")]
    Said(u16, String),
    /// Nobody knows whether it did what it was asked to do.
    #[error("whether it was done is not known: {0}")]
    Unknown(String),
    /// It asks for a pause that nobody waits for.
    #[error("it wants to be asked again in {0} s")]
    Later(u64),
    /// No whole answer came.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// The answer is not as it is documented.
    #[error("its answer is not as it is documented: {0}")]
    NotAsDocumented(&'static str),
    /// A list that repeats itself, or has no end.
    #[error("its list does not end")]
    Endless,
}
