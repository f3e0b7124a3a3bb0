//! Why one webhook was refused, in words, for the operator's tool.

use serde::Serialize;
use tollgate_core::Authenticity;

use super::interface::{Request, Scheme, Steps};
use crate::{key::ring::KeyRing, refusal::Refusal};

/// The most bytes of the signed content that are shown.
const SHOWN: usize = 2000;

/// One check and how it came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Whether it passed; absent when it was not reached.
    pub passed: Option<bool>,
    /// What was found.
    pub detail: String,
}

/// The result of each check of one webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What the signature proves, when it is good.
    pub authenticity: Option<Authenticity>,
    /// The key that verified.
    pub key_id: Option<String>,
    /// The reason when it is not: [`Refusal::code`].
    pub code: Option<&'static str>,
    /// The reason in words.
    pub reason: Option<String>,
    /// Each check in its order.
    pub checks: Vec<Check>,
    /// The content that should have been signed, at most 2,000 bytes of it; bytes that are not UTF-8 are replaced,
    /// and a secret within it stands as `{secret}`.
    pub signed_content: Option<String>,
    /// The form that the scheme wants, where the webhook's is another.
    pub wanted: Option<String>,
    /// What most likely happened.
    pub likely_cause: Option<String>,
}

pub(crate) fn explain(scheme: &dyn Scheme, request: Request<'_>, keys: &KeyRing) -> Explanation {
    let verdict = scheme.verify(request, keys);
    let Steps { checks, signature, content, mismatch } = scheme.steps(request, keys);
    let mut out = Explanation {
        authenticity: verdict.as_ref().ok().map(|proof| proof.authenticity),
        key_id: verdict.as_ref().ok().map(|proof| proof.key_id.to_owned()),
        code: verdict.as_ref().err().map(Refusal::code),
        reason: verdict.as_ref().err().map(ToString::to_string),
        checks: Vec::new(),
        signed_content: content.map(shown),
        wanted: verdict.as_ref().err().filter(|refusal| is_of_form(refusal)).map(|_| scheme.form()),
        likely_cause: verdict.as_ref().err().and_then(plain_cause),
    };
    let mut all_passed = true;
    for (name, outcome) in checks {
        all_passed &= out.record(name, outcome);
    }
    let signature = signature.or_else(|| all_passed.then(|| verdict.map(|proof| proof.key_id.to_owned())));
    if let Some(signature) = signature {
        if signature == Err(Refusal::Mismatch) {
            out.likely_cause = Some(mismatch.into_owned());
        }
        out.record("signature matches", signature.map(|key_id| format!("key {key_id:?} verifies")));
    }
    out
}

impl Explanation {
    /// Refuses what the scheme accepts.
    pub(crate) fn refuse(&mut self, name: &'static str, refusal: Refusal) {
        self.authenticity = None;
        self.code = Some(refusal.code());
        self.reason = Some(refusal.to_string());
        self.likely_cause = plain_cause(&refusal);
        self.record(name, Err(refusal));
    }

    fn record(&mut self, name: &'static str, outcome: Result<String, Refusal>) -> bool {
        let passed = outcome.is_ok();
        let detail = outcome.unwrap_or_else(|refusal| refusal.to_string());
        self.checks.push(Check { name, passed: Some(passed), detail });
        passed
    }
}

/// Whether the webhook is not written as its scheme wants it.
fn is_of_form(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::HeaderMissing
            | Refusal::Missing(_)
            | Refusal::Duplicate(_)
            | Refusal::DuplicateTimestamp
            | Refusal::Malformed(_)
            | Refusal::TooManyCandidates
    )
}

fn plain_cause(refusal: &Refusal) -> Option<String> {
    Some(match refusal {
        Refusal::TooOld { .. } => {
            "a replay, a delivery that waited in between, or our clock runs ahead".to_owned()
        }
        Refusal::TooNew { .. } => "the sender's clock runs ahead, or ours behind".to_owned(),
        Refusal::HeaderMissing => "not the provider, or a proxy that drops headers".to_owned(),
        Refusal::UnknownKeyId => {
            "a key that was rolled at the provider and is not active here yet".to_owned()
        }
        Refusal::WrongToken => "another endpoint's token, or one since changed".to_owned(),
        Refusal::BodyAltered => "the body was changed on the way, or decoded and written anew".to_owned(),
        Refusal::MaterialAddress => {
            "not the provider, its other environment, or a proxy that writes headers anew".to_owned()
        }
        Refusal::MaterialUntrusted(_) => {
            "a certificate or key that the provider has retired, of its other environment, or not its own"
                .to_owned()
        }
        Refusal::MaterialMissing => "the provider's certificate or key could not be fetched".to_owned(),
        _ => return None,
    })
}

fn shown(mut bytes: Vec<u8>) -> String {
    let more = bytes.len().saturating_sub(SHOWN);
    bytes.truncate(SHOWN);
    let text = String::from_utf8_lossy(&bytes);
    if more > 0 { format!("{text}… and {more} bytes more") } else { text.into_owned() }
}
