//! What went wrong with one webhook, in words: for the operator's tool, not for the way of a webhook.

use std::borrow::Cow;

use serde::Serialize;
use tollgate_core::Authenticity;

use super::{
    Proof, Refusal, Request, Scheme, adyen, braintree,
    declared::{Declared, Reading},
    key::Piece,
    plaid,
};
use crate::{KeyRing, Received};

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

/// How one webhook fared, check by check.
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
    /// What most likely happened.
    pub likely_cause: Option<String>,
}

pub(crate) fn explain(scheme: &Scheme, request: Request<'_>, keys: &KeyRing) -> Explanation {
    let verdict = scheme.verify(request, keys);
    let mut out = Explanation {
        authenticity: verdict.as_ref().ok().map(|proof| proof.authenticity),
        key_id: verdict.as_ref().ok().map(|proof| proof.key_id.to_owned()),
        code: verdict.as_ref().err().map(Refusal::code),
        reason: verdict.as_ref().err().map(ToString::to_string),
        checks: Vec::new(),
        signed_content: None,
        likely_cause: verdict.as_ref().err().and_then(plain_cause),
    };
    match scheme {
        Scheme::Declared(declared) => explain_declared(declared, request, keys, &mut out),
        Scheme::Adyen => {
            out.signed_content = adyen::signed_contents(request.received.body).ok().map(|all| all.join("\n"));
            out.record("signature", verdict.map(|proof| format!("key {:?} verifies", proof.key_id)));
        }
        Scheme::Braintree => explain_steps(braintree::steps(request, keys), verdict, &mut out),
        Scheme::PayPal(paypal) => explain_steps(paypal.steps(request, keys), verdict, &mut out),
        Scheme::Plaid(_) => explain_steps(plaid::steps(request), verdict, &mut out),
    }
    out
}

/// What a coded scheme checks before the signature itself.
pub(crate) struct Steps {
    /// Each check up to the first that failed.
    pub(crate) checks: Vec<(&'static str, Result<String, Refusal>)>,
    /// What should have been signed, as far as it is known.
    pub(crate) content: Option<Vec<u8>>,
    /// What most likely happened when all of them passed and the signature is of something else.
    pub(crate) mismatch: &'static str,
}

fn explain_steps(steps: Steps, verdict: Result<Proof<'_>, Refusal>, out: &mut Explanation) {
    out.signed_content = steps.content.map(|content| shown(&[Piece::Bytes(Cow::Owned(content))]));
    let all_passed = steps.checks.into_iter().all(|(name, outcome)| out.record(name, outcome));
    if !all_passed {
        return;
    }
    if verdict.as_ref().is_err_and(|refusal| *refusal == Refusal::Mismatch) {
        out.likely_cause = Some(steps.mismatch.to_owned());
    }
    out.record("signature matches", verdict.map(|proof| format!("key {:?} verifies", proof.key_id)));
}

impl Explanation {
    fn record(&mut self, name: &'static str, outcome: Result<String, Refusal>) -> bool {
        let passed = outcome.is_ok();
        let detail = outcome.unwrap_or_else(|refusal| refusal.to_string());
        self.checks.push(Check { name, passed: Some(passed), detail });
        passed
    }
}

fn explain_declared(scheme: &Declared, request: Request<'_>, keys: &KeyRing, out: &mut Explanation) {
    let reading = match scheme.read(request.received) {
        Ok(reading) => reading,
        Err(refusal) => {
            out.record("signature is there and well-formed", Err(refusal));
            return;
        }
    };
    let found = reading.candidates.len();
    out.record("signature is there and well-formed", Ok(format!("{found} candidate(s)")));
    if let Some(text) = reading.timestamp.as_deref() {
        let outcome = scheme.check_time(&reading, request).map(|_| format!("{text} is within its window"));
        out.record("timestamp", outcome);
    }
    let pieces = match scheme.content(&reading, request) {
        Ok(pieces) => pieces,
        Err(refusal) => {
            out.record("signed content", Err(refusal));
            return;
        }
    };
    out.signed_content = Some(shown(&pieces));
    let matched = scheme.find_key(&reading, &pieces, keys);
    let failed = matched.as_ref().err().cloned();
    out.record("signature matches", matched.map(|key| format!("key {:?} verifies", key.id)));
    if failed == Some(Refusal::Mismatch) {
        out.likely_cause = Some(match altered(scheme, &reading, request, keys) {
            Some(how) => format!("the key is right, but {how}"),
            None => {
                "another key signed it (another endpoint's, the test mode's, or one since rolled), or the \
                     body was changed in more than its white space"
                    .to_owned()
            }
        });
    }
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
        Refusal::MaterialAddress => "not the provider, or a proxy that writes headers anew".to_owned(),
        Refusal::MaterialUntrusted(_) => {
            "a certificate or key that the provider has retired, of its other environment, or not its own"
                .to_owned()
        }
        Refusal::MaterialMissing => "the provider's certificate or key could not be fetched".to_owned(),
        _ => return None,
    })
}

/// Takes one change of a body back; `None` where it cannot have happened.
type Undo = fn(&[u8]) -> Option<Vec<u8>>;

/// Which common change of the body, undone, makes the signature good.
fn altered(
    scheme: &Declared,
    reading: &Reading<'_>,
    request: Request<'_>,
    keys: &KeyRing,
) -> Option<&'static str> {
    let body = request.received.body;
    let attempts: [(&'static str, Undo); 8] = [
        ("a newline was added at the end of the body", |body| {
            body.strip_suffix(b"\r\n").or(body.strip_suffix(b"\n")).map(<[u8]>::to_vec)
        }),
        ("a newline was removed from the end of the body", |body| Some([body, b"\n"].concat())),
        ("a CR and newline were removed from the end of the body", |body| Some([body, b"\r\n"].concat())),
        ("line ends were changed to CRLF", |body| {
            let text = std::str::from_utf8(body).ok()?;
            text.contains("\r\n").then(|| text.replace("\r\n", "\n").into_bytes())
        }),
        ("line ends were changed from CRLF", |body| {
            let text = std::str::from_utf8(body).ok()?;
            (text.contains('\n') && !text.contains('\r')).then(|| text.replace('\n', "\r\n").into_bytes())
        }),
        ("a byte order mark was added", |body| body.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec)),
        ("the body was parsed and written anew", |body| white_space(body, "", "")),
        ("the body was parsed and written anew", |body| white_space(body, " ", " ")),
    ];
    attempts.into_iter().find_map(|(how, undo)| {
        let body = undo(body)?;
        let received = Received { body: &body, ..request.received };
        let request = Request { received, ..request };
        let pieces = scheme.content(reading, request).ok()?;
        scheme.find_key(reading, &pieces, keys).ok().map(|_| how)
    })
}

/// The JSON text with other white space around its colons and commas: the tokens stay as they are written.
fn white_space(body: &[u8], after_colon: &str, after_comma: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            out.push(c);
            continue;
        }
        match c {
            ' ' | '\n' | '\r' | '\t' => {}
            ':' => out.extend([":", after_colon]),
            ',' => out.extend([",", after_comma]),
            _ => {
                quoted = c == '"';
                out.push(c);
            }
        }
    }
    (out.as_bytes() != body).then(|| out.into_bytes())
}

fn shown(pieces: &[Piece<'_>]) -> String {
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend_from_slice(match piece {
            Piece::Bytes(piece) => piece,
            Piece::Secret => b"{secret}",
        });
    }
    let more = bytes.len().saturating_sub(SHOWN);
    bytes.truncate(SHOWN);
    let text: Cow<'_, str> = String::from_utf8_lossy(&bytes);
    if more > 0 { format!("{text}… and {more} bytes more") } else { text.into_owned() }
}
