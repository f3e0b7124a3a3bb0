//! What a check finds.

use serde::Serialize;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The local peer has nothing of the kind: there is nothing to check.
    LeftOut,
    /// It serves, and somebody should look at it.
    Warn,
    /// It could not be checked: a right is missing, or AWS does not answer. Nobody knows whether it is as it should be.
    Unknown,
    /// Something does not serve, or is about to be lost.
    Fail,
}

impl Verdict {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::LeftOut => "left out",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::Fail => "FAIL",
        }
    }
}

/// What one check says of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check.
    pub check: &'static str,
    /// Of what: a resource's name, an endpoint.
    pub of: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do, where something is to be done.
    pub remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, of: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check, of: of.into(), verdict: Verdict::Ok, detail: detail.into(), remedy: None }
    }

    pub(super) fn warn(
        check: &'static str,
        of: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (of, detail, remedy) = (of.into(), detail.into(), Some(remedy.into()));
        Self { check, of, verdict: Verdict::Warn, detail, remedy }
    }

    pub(super) fn fail(
        check: &'static str,
        of: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(check, of, detail, remedy) }
    }

    /// What could not be found out.
    pub(super) fn unknown(check: &'static str, of: impl Into<String>, problem: &anyhow::Error) -> Self {
        let detail = format!("cannot be checked: {problem:#}");
        let remedy = "take the role of operators.json, docs/runbook.md#roles, or try again";
        Self { verdict: Verdict::Unknown, ..Self::warn(check, of, detail, remedy) }
    }

    pub(super) fn left_out(check: &'static str, of: impl Into<String>) -> Self {
        Self { verdict: Verdict::LeftOut, ..Self::ok(check, of, "the local peer has nothing of the kind") }
    }

    /// A check of a property that should be there.
    pub(super) fn of_property(
        check: &'static str,
        of: &str,
        is_so: bool,
        detail: [&str; 2],
        remedy: &str,
    ) -> Self {
        let [good, bad] = detail;
        if is_so { Self::ok(check, of, good) } else { Self::warn(check, of, bad, remedy) }
    }
}

/// The findings of a check of one thing; what could not be found out is one.
pub(super) fn told(
    check: &'static str,
    of: impl Into<String>,
    found: anyhow::Result<Vec<Finding>>,
) -> Vec<Finding> {
    found.unwrap_or_else(|problem| vec![Finding::unknown(check, of, &problem)])
}
