//! What is said of a call that AWS refuses.

/// A call that is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error's code.
    pub code: &'static str,
    /// What is wrong, for people.
    pub why: String,
}

/// An answer, or what is wrong.
pub(super) type Checked = Result<(), Refusal>;

pub(super) fn refuse<T>(code: &'static str, why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, why: why.into() })
}

pub(super) fn ensure(is_good: bool, code: &'static str, why: &str) -> Checked {
    if is_good { Ok(()) } else { refuse(code, why) }
}
