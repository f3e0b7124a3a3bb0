//! Refused webhooks, kept for some days where their endpoint asks for it, so that an operator can see why they were refused and
//! take them in once the cause is mended.
//!
//! Anybody may send what is refused. So what is kept is bounded: for each endpoint and day by its setting, in this process by
//! one at a time. The bound holds across all instances without a call for each refusal: an instance takes a part of the day's
//! budget at once, and asks no more that day once there is none.

use std::collections::HashMap;

use futures_util::lock::Mutex;
use serde::{Deserialize, Serialize};
use tollgate_core::{
    Authenticity, EndpointId, KeepRejected, ProviderId, Timestamp, WebhookId, id::hex_sha256,
};
use tollgate_providers::{Endpoint, Refusal};
use tracing::warn;

use crate::{
    ingest::{Incoming, Ingest, Judged, Rejection},
    intake::{Content, Encoding, IntakeError, RequestParts, decode, encode},
    ports::{IngestPorts, PayloadSource, PayloadStore, PortError, RejectedBudget},
};

/// Under which they are kept, in the payload bucket. Its lifecycle rule of this prefix deletes them after [`KEPT_SECONDS`].
pub const PREFIX: &str = "rejected/";
/// How long one is kept: seven days. Later it is not taken in, though S3 may not have deleted it yet. What happened up to 23 days
/// before it arrived is known to the ledger until then, which remembers 30 days (docs/SEMANTICS.md §3.9).
pub const KEPT_SECONDS: i64 = 7 * DAY_SECONDS;
/// Version of the object's form.
const FORMAT: &str = "tollgate.rejected/1";
/// The parts of a day's budget: so many calls a day are made for parts, and one more by each instance that finds none left.
const PARTS: u32 = 32;
/// After a failure nothing is kept for so long, in seconds: who is refused must not wait for a service that is away.
const PAUSE_SECONDS: i64 = 60;
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// A refused webhook as it is kept: what verifying again needs, and nothing that is as good as a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    format: String,
    /// The delivery.
    pub webhook_id: WebhookId,
    /// Where it arrived.
    pub endpoint: EndpointId,
    /// Whose rules it was held against.
    pub provider: ProviderId,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Who sent it.
    pub source_ip: String,
    /// [`Rejection::code`].
    pub reason: String,
    /// The reason in words.
    pub error: String,
    /// Headers and query.
    pub request: RequestParts,
    /// SHA-256 of the body.
    pub body_sha256: String,
    encoding: Encoding,
    body: String,
}

/// What is no refused webhook of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeptError {
    /// It is not of the form, or of another version's.
    #[error("not of the form {FORMAT}")]
    Format,
    /// The body is not the one that was kept.
    #[error(transparent)]
    Body(#[from] IntakeError),
}

impl Kept {
    fn of(endpoint: &Endpoint, incoming: &Incoming<'_>, rejection: &Rejection) -> Self {
        let (encoding, body) = encode(incoming.body);
        Self {
            format: FORMAT.to_owned(),
            webhook_id: *incoming.webhook_id,
            endpoint: *endpoint.id(),
            provider: *endpoint.provider(),
            received_at: incoming.received_at,
            source_ip: incoming.source_ip.to_owned(),
            reason: rejection.code().to_owned(),
            error: rejection.to_string(),
            request: RequestParts {
                headers: endpoint.kept_headers(incoming.headers),
                query: endpoint.kept_query(incoming.query),
            },
            body_sha256: hex_sha256(incoming.body),
            encoding,
            body,
        }
    }

    /// Reads an object.
    ///
    /// # Errors
    ///
    /// [`KeptError::Format`].
    pub fn read(bytes: &[u8]) -> Result<Self, KeptError> {
        let kept: Self = serde_json::from_slice(bytes).map_err(|_| KeptError::Format)?;
        if kept.format == FORMAT { Ok(kept) } else { Err(KeptError::Format) }
    }

    /// The exact bytes.
    ///
    /// # Errors
    ///
    /// [`KeptError::Body`].
    pub fn body(&self) -> Result<Vec<u8>, KeptError> {
        match decode(self.encoding, &self.body)? {
            Content::Inline(body) if hex_sha256(&body) == self.body_sha256 => Ok(body.into_owned()),
            Content::Inline(_) => Err(IntakeError::Altered.into()),
            Content::ClaimCheck(_) => Err(IntakeError::Body.into()),
        }
    }

    /// Its object's name.
    pub fn name(&self) -> Name {
        Name { endpoint: self.endpoint, webhook_id: self.webhook_id, reason: self.reason.clone() }
    }
}

/// The name of the object: endpoint, day, webhook and reason, so that a listing tells them all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Where it arrived.
    pub endpoint: EndpointId,
    /// The delivery, which says when.
    pub webhook_id: WebhookId,
    /// [`Rejection::code`].
    pub reason: String,
}

impl Name {
    /// Its key in the payload bucket.
    pub fn key(&self) -> String {
        let Self { endpoint, webhook_id, reason } = self;
        format!("{PREFIX}{endpoint}/{}/{webhook_id}.{reason}", webhook_id.arrived_at().strftime("%Y-%m-%d"))
    }

    /// Reads [`key`](Self::key) back; `None` of any other.
    pub fn parse(key: &str) -> Option<Self> {
        let (endpoint, rest) = key.strip_prefix(PREFIX)?.split_once('/')?;
        let (_, rest) = rest.split_once('/')?;
        let (webhook_id, reason) = rest.split_once('.')?;
        let is_code = |c: char| c.is_ascii_lowercase() || c == '_';
        if reason.is_empty() || !reason.chars().all(is_code) {
            return None;
        }
        let name = Self {
            endpoint: EndpointId::new(endpoint).ok()?,
            webhook_id: WebhookId::parse(webhook_id)?,
            reason: reason.to_owned(),
        };
        (name.key() == key).then_some(name)
    }
}

/// An operator's request to the validator about one that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    task: TaskName,
    /// Its key in the payload bucket.
    pub key: String,
    /// Whether it is taken in; else only judged.
    pub takes_in: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TaskName {
    TakeInRejected,
}

/// The most bytes that such a payload has.
const LONGEST_TASK: usize = 512;

impl Task {
    /// The request about `name`.
    pub fn of(name: &Name, takes_in: bool) -> Self {
        Self { task: TaskName::TakeInRejected, key: name.key(), takes_in }
    }

    /// Reads an invocation's payload. That of a front door is none, whatever its caller sent: it has other fields.
    pub fn read(payload: &[u8]) -> Option<Self> {
        if payload.len() > LONGEST_TASK { None } else { serde_json::from_slice(payload).ok() }
    }
}

/// What the validator says of one that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Verdict {
    /// It would be taken in now, as `event_ids`.
    Genuine {
        /// The provider's ids of its events.
        event_ids: Vec<String>,
        /// What its signature proves.
        authenticity: Authenticity,
    },
    /// It is taken in.
    Taken {
        /// The provider's id of the (first) event.
        event_id: String,
        /// How many events it holds.
        events: usize,
        /// Whether every one of them was known before.
        duplicate: bool,
        /// Events that were known with other payment facts.
        conflicts: usize,
        /// What its signature proves.
        authenticity: Authenticity,
    },
    /// It is refused still.
    Refused {
        /// [`Rejection::code`].
        reason: String,
        /// The reason in words.
        error: String,
    },
    /// Something was not to be had: say it again.
    Unavailable {
        /// What it was.
        error: String,
    },
    /// It is not there any more, was not kept by us, or for more than [`KEPT_SECONDS`].
    Gone {
        /// Which of them.
        error: String,
    },
}

/// Judges what is kept by the endpoint and its keys as they are at `now`, and the time by that of its arrival; takes it in
/// where the task says so, as if it had been accepted then.
pub async fn judge<P: IngestPorts>(
    ingest: &Ingest<P>,
    store: &impl PayloadSource,
    task: &Task,
    now: Timestamp,
) -> Verdict {
    let gone = |error: &str| Verdict::Gone { error: error.to_owned() };
    let unavailable = |problem: PortError| Verdict::Unavailable { error: problem.to_string() };
    let Some(name) = Name::parse(&task.key) else { return gone("not the name of one that is kept") };
    if now.as_second() - name.webhook_id.arrived_at().as_second() > KEPT_SECONDS {
        return gone("kept for more than seven days: nobody can tell whether it was done meanwhile");
    }
    let object = match store.get(&task.key).await {
        Ok(object) => object,
        Err(PortError::Permanent { .. }) => return gone("it is not there"),
        Err(problem) => return unavailable(problem),
    };
    let kept = match Kept::read(&object) {
        // Its id and its time were made when it arrived, one after the other.
        Ok(kept)
            if kept.name() == name
                && seconds_apart(kept.received_at, name.webhook_id.arrived_at()) < PAUSE_SECONDS =>
        {
            kept
        }
        _ => return gone("the object is not the one that its name says"),
    };
    let Ok(body) = kept.body() else { return gone("its body is not the one that was kept") };
    let endpoint = match ingest.directory.endpoint_now(&kept.endpoint).await {
        Ok(Some(endpoint)) => endpoint,
        Ok(None) => return gone("its endpoint is there no more"),
        Err(problem) => return unavailable(problem),
    };
    let incoming = Incoming {
        webhook_id: &kept.webhook_id,
        received_at: kept.received_at,
        endpoint: None,
        headers: &kept.request.headers,
        query: &kept.request.query,
        body: &body,
        source_ip: &kept.source_ip,
        trace: None,
    };
    match ingest.take_late(&endpoint, incoming, task.takes_in.then_some(now)).await {
        Ok(Judged::Genuine { event_ids, authenticity }) => Verdict::Genuine { event_ids, authenticity },
        Ok(Judged::Taken(taken)) => Verdict::Taken {
            event_id: taken.event_id,
            events: taken.events,
            duplicate: taken.duplicate,
            conflicts: taken.conflicts,
            authenticity: taken.authenticity,
        },
        Err(Rejection::Unavailable(problem)) => unavailable(problem),
        Err(rejection) => {
            Verdict::Refused { reason: rejection.code().to_owned(), error: rejection.to_string() }
        }
    }
}

fn seconds_apart(one: Timestamp, other: Timestamp) -> i64 {
    (one.as_second() - other.as_second()).abs()
}

/// Whether the refused webhook might be its provider's, and verify once something is mended: it carries a signature, or is
/// signed and cannot be read.
fn might_be_genuine(rejection: &Rejection) -> bool {
    match rejection {
        Rejection::Signature(refusal) => *refusal != Refusal::HeaderMissing,
        Rejection::Content(_) => true,
        Rejection::UnknownEndpoint
        | Rejection::NoProvider
        | Rejection::Archived(_)
        | Rejection::TooLarge { .. }
        | Rejection::NotRetrievable
        | Rejection::OtherEvent
        | Rejection::Unavailable(_) => false,
    }
}

/// Keeps what is refused.
#[derive(Debug)]
pub struct Keeper<B, S> {
    budget: B,
    store: S,
    /// Held while one is kept.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    shares: HashMap<EndpointId, Share>,
    paused_until: Option<Timestamp>,
}

/// What an instance may still keep of the part that it took.
#[derive(Debug)]
struct Share {
    day: i64,
    limits: KeepRejected,
    count: u32,
    bytes: u64,
    /// The day's budget has no more parts.
    is_last: bool,
}

impl<B: RejectedBudget, S: PayloadStore> Keeper<B, S> {
    /// Keeps in `store` what `budget` allows.
    pub fn new(budget: B, store: S) -> Self {
        Self { budget, store, state: Mutex::default() }
    }

    /// Keeps the webhook, whose answer is decided, where its endpoint asks for it and the day's budget allows it; whether it
    /// did. While another one is being kept, and for a minute after a failure, it keeps none. Dropping it counts as a failure.
    pub async fn keep(&self, endpoint: &Endpoint, incoming: &Incoming<'_>, rejection: &Rejection) -> bool {
        let Some(limits) = endpoint.config().keep_rejected.filter(|_| might_be_genuine(rejection)) else {
            return false;
        };
        let bytes = incoming.body.len() as u64;
        let now = incoming.received_at;
        // One that is longer than a part would need several.
        let Some(part) = part_of(limits).filter(|part| bytes <= part.bytes) else { return false };
        let Some(mut state) = self.state.try_lock() else { return false };
        if state.paused_until.is_some_and(|until| now < until) {
            return false;
        }
        let before = state.paused_until;
        state.paused_until = Timestamp::from_second(now.as_second() + PAUSE_SECONDS).ok();
        let day = now.as_second().div_euclid(DAY_SECONDS);
        state.shares.retain(|_, share| share.day == day);
        let share = state.shares.entry(*endpoint.id());
        let none = || Share { day, limits, count: 0, bytes: 0, is_last: false };
        let share = share.or_insert_with(none);
        if share.limits != limits {
            *share = none();
        }
        if share.count == 0 || share.bytes < bytes {
            let taken = match share.is_last {
                true => Ok(false),
                false => self.budget.take_part(endpoint.id(), parts_of(limits), now).await,
            };
            match taken {
                Ok(true) => (share.count, share.bytes) = (part.count, part.bytes),
                Ok(false) => {
                    share.is_last = true;
                    state.paused_until = before;
                    return false;
                }
                Err(problem) => {
                    warn!(error = %problem, "no budget for keeping what is refused");
                    return false;
                }
            }
        }
        // Spent before it is stored: a failure may be that of the answer.
        share.count -= 1;
        share.bytes -= bytes;
        let kept = Kept::of(endpoint, incoming, rejection);
        let Ok(object) = serde_json::to_vec(&kept) else { return false };
        match self.store.put(&kept.name().key(), object).await {
            Ok(()) => {
                state.paused_until = before;
                true
            }
            Err(problem) => {
                warn!(error = %problem, "what was refused could not be kept");
                false
            }
        }
    }
}

/// Into how many parts a day's budget is divided.
fn parts_of(limits: KeepRejected) -> u32 {
    limits.count.clamp(1, PARTS)
}

/// One of them; `None` where it is nothing.
fn part_of(limits: KeepRejected) -> Option<KeepRejected> {
    let parts = parts_of(limits);
    let part = KeepRejected { count: limits.count / parts, bytes: limits.bytes / u64::from(parts) };
    (part.count > 0 && part.bytes > 0).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_is_kept_and_no_other_text_is_one() {
        let arrived_at: Timestamp = "2026-01-31T23:59:59.999Z".parse().unwrap();
        let name = Name {
            endpoint: EndpointId::new("stripe-eu").unwrap(),
            webhook_id: WebhookId::new(arrived_at, 7),
            reason: "signature_mismatch".to_owned(),
        };
        let key = name.key();
        assert!(key.starts_with("rejected/stripe-eu/2026-01-31/wh_"), "{key}");
        assert_eq!(Name::parse(&key), Some(name));
        for bad in [
            key.replace("rejected/", "materials/"),
            key.replace("2026-01-31", "2026-02-01"),
            key.replace(".signature_mismatch", ""),
            key.replace("signature_mismatch", "../up"),
            key.replace("stripe-eu", "Stripe"),
            format!("{key}/more"),
        ] {
            assert_eq!(Name::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn the_parts_of_a_day_are_never_more_than_the_day() {
        for count in [1, 2, 31, 32, 33, 100, 10_000] {
            for bytes in [1, 31, 100_000, 1_073_741_824] {
                let limits = KeepRejected { count, bytes };
                let parts = parts_of(limits);
                match part_of(limits) {
                    Some(part) => {
                        assert!(part.count * parts <= count && part.bytes * u64::from(parts) <= bytes);
                        assert!(2 * part.count * parts > count, "half a day's budget is lost: {count}");
                    }
                    None => assert!(bytes < u64::from(parts), "{limits:?}"),
                }
            }
        }
    }
}
