//! What an attack is, and how it may end.

use std::pin::Pin;

use crate::ground::Ground;

/// How an attack ended: `Ok` says what happened to it.
pub(crate) type Verdict = Result<String, Failure>;

/// Why an attack is no success of the platform.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It got through: what it reached.
    Through(String),
    /// Its harmless twin failed as well, so nothing is shown.
    Blunt(String),
}

/// Runs an attack on a ground of its own.
pub(crate) type Run = fn(Ground) -> Pin<Box<dyn Future<Output = Verdict>>>;

/// One attack.
pub(crate) struct Attack {
    /// What it goes at.
    pub(crate) area: &'static str,
    /// What is tried.
    pub(crate) tried: &'static str,
    pub(crate) run: Run,
}

/// Fails as a breach unless it held.
pub(crate) fn held(holds: bool, breach: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Through(breach())) }
}

/// Fails as blunt unless the harmless twin went well.
pub(crate) fn twin(went_well: bool, problem: impl FnOnce() -> String) -> Result<(), Failure> {
    if went_well { Ok(()) } else { Err(Failure::Blunt(problem())) }
}
