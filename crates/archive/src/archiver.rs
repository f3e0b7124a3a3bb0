//! The use case: a batch of archive messages becomes one object for each day that its webhooks came on.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use tollgate_batch::{Batch, Kind, Outcome, Reason, Response, Summary, Unreportable, guard};
use tollgate_core::id::hex_sha256;
use tollgate_pipeline::{
    archive::{Line as Written, unpack},
    intake::{ClaimCheck, Content, decode},
    ports::{Archive, PayloadSource, PortError, Stored},
};
use tracing::{error, warn};

use crate::{
    entry::{Entry, dated},
    object::{encode, key, partition},
};

/// How many bytes of bodies one object holds at most, but for a single body that is larger: 32 MiB. A batch that
/// carries its bodies itself stays far below it (Lambda's limit is 6 MB); one full of claim checks makes several
/// objects, so that the function's memory is bounded whatever the batch points at.
pub const MAX_OBJECT_BODY_BYTES: usize = 32 * 1024 * 1024;

/// How many claim-checked bodies are fetched at a time.
const FETCHES: usize = 16;

/// One message of the archive queue.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The id by which SQS is told of a failure.
    pub id: &'a str,
    /// Its lines.
    pub body: &'a str,
}

/// An object that is in the archive now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Where.
    pub key: String,
    /// How many webhooks it holds.
    pub rows: usize,
    /// Its size.
    pub bytes: usize,
    /// Whether it was written now or had been before.
    pub stored: Stored,
}

/// The result of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// The messages that the queue must keep. The archive has no quarantine of its own: a message that cannot be
    /// read comes back until the queue's redrive policy dead-letters it.
    pub response: Response,
    /// How many messages ended in which way.
    pub summary: Summary,
    /// The objects.
    pub objects: Vec<Object>,
}

/// Writes archive batches.
#[derive(Debug)]
pub struct Archiver<A, P> {
    archive: A,
    payloads: P,
}

impl<A: Archive, P: PayloadSource> Archiver<A, P> {
    /// Into `archive`, with claim-checked bodies out of `payloads`.
    pub fn new(archive: A, payloads: P) -> Self {
        Self { archive, payloads }
    }

    /// Writes one batch. A message is done once every row of it is in an object; until then it is reported, and a
    /// row that was written before its message failed is written again with it. A line that cannot be read, perhaps one
    /// of a later version, is written nowhere and its message is reported; the rows beside it are written. `has_time` is
    /// asked before each object.
    ///
    /// # Errors
    ///
    /// [`Unreportable`]: a message without an id failed, so the invocation must.
    pub async fn archive(
        &self,
        messages: &[Message<'_>],
        has_time: impl Fn() -> bool,
    ) -> Result<Archived, Unreportable> {
        let mut batch = Batch::new(Kind::Standard, messages.iter().map(|message| (message.id, None)));
        let mut objects = Vec::new();
        while let Some(wave) = batch.next_wave() {
            let mut work = Work::read(wave.into_iter().filter_map(|at| Some((at, *messages.get(at)?))));
            for part in std::mem::take(&mut work.parts) {
                if !has_time() {
                    warn!("no time left, the rest of the batch is reported");
                    break;
                }
                objects.extend(self.write(part, &mut work).await);
            }
            for (at, outcome) in work.outcomes() {
                if let Some(reason) = outcome.reason() {
                    let id = messages.get(at).map(|message| message.id).unwrap_or_default();
                    warn!(message_id = id, reason, "archive message failed");
                }
                // Only records of this wave are settled.
                let settled = batch.settle(at, outcome);
                debug_assert!(settled.is_ok());
            }
        }
        Ok(Archived { response: batch.response()?, summary: batch.summary(), objects })
    }

    /// Writes one object, and records in `work` the result of each message in it.
    async fn write(&self, part: Vec<Line>, work: &mut Work) -> Option<Object> {
        let mut lines: Vec<Line> = part.into_iter().filter(|line| !work.is_given_up(line)).collect();
        self.fetch(&mut lines, work).await;
        lines.retain(|line| !work.is_given_up(line));
        let earliest = dated(&lines.first()?.written);
        let key = key(earliest, lines.iter().map(|line| line.digest.as_str()));

        let owners: Vec<Vec<usize>> = lines.iter_mut().map(|line| std::mem::take(&mut line.owners)).collect();
        let entries: Vec<Entry> = lines.into_iter().filter_map(Line::into_entry).collect();
        let rows = entries.len();
        let stored = match guard(|| encode(&entries)) {
            Ok(Ok(bytes)) => {
                drop(entries);
                let size = bytes.len();
                self.archive.put_new(&key, bytes).await.map(|stored| (stored, size)).map_err(|problem| {
                    warn!(error = %problem, key, "archive object was not written");
                    match problem {
                        PortError::Retryable { .. } => Outcome::Retry("archive_unavailable"),
                        PortError::Permanent { .. } => Outcome::Poison("archive_refused"),
                    }
                })
            }
            Ok(Err(problem)) => {
                error!(error = %problem, key, "archive object could not be encoded");
                Err(Outcome::Poison("not_encodable"))
            }
            Err(panic) => {
                error!(error = %panic, key, "encoding an archive object panicked");
                Err(panic.into())
            }
        };
        match stored {
            Ok((stored, bytes)) => {
                owners.iter().for_each(|owners| work.written(owners));
                Some(Object { key, rows, bytes, stored })
            }
            Err(outcome) => {
                owners.iter().for_each(|owners| work.failed(owners, outcome));
                None
            }
        }
    }

    /// Fetches what of `lines` is in the payload bucket. A line of which something cannot be had fails its messages and no others.
    async fn fetch(&self, lines: &mut [Line], work: &mut Work) {
        let mut claims: Vec<(usize, usize, ClaimCheck)> = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            for (which, content) in line.contents().enumerate() {
                if let Body::Claimed(claim) = content {
                    claims.push((at, which, claim.clone()));
                }
            }
        }
        let fetches =
            claims.into_iter().map(async |(at, which, claim)| (at, which, self.fetch_one(&claim).await));
        let mut fetches = stream::iter(fetches).buffer_unordered(FETCHES);
        while let Some((at, which, fetched)) = fetches.next().await {
            let Some(line) = lines.get_mut(at) else { continue };
            match fetched {
                Ok(bytes) => {
                    if let Some(content) = line.contents_mut().nth(which) {
                        *content = Body::Inline(bytes);
                    }
                }
                Err(outcome) => work.failed(&line.owners, outcome),
            }
        }
    }

    async fn fetch_one(&self, claim: &ClaimCheck) -> Result<Vec<u8>, Outcome> {
        let bytes = self.payloads.get(&claim.key).await.map_err(|problem| {
            warn!(error = %problem, key = claim.key, "claim-checked body was not fetched");
            match problem {
                PortError::Retryable { .. } => Outcome::Retry("payload_unavailable"),
                PortError::Permanent { .. } => Outcome::Poison("payload_refused"),
            }
        })?;
        claim.check(&bytes).map_err(|_| Outcome::Poison(ALTERED))?;
        Ok(bytes)
    }
}

const ALTERED: Reason = "body_altered";

/// One line on its way into an object.
#[derive(Debug)]
struct Line {
    written: Written<'static>,
    body: Body,
    /// What was fetched for its event.
    object: Option<Body>,
    /// SHA-256 of the line's text.
    digest: String,
    /// The messages that hold it: usually one; more where the processor sent it again.
    owners: Vec<usize>,
}

#[derive(Debug)]
enum Body {
    Inline(Vec<u8>),
    Claimed(ClaimCheck),
}

impl Line {
    fn new(mut written: Written<'static>, text: &str, owner: usize) -> Result<Self, Reason> {
        let (encoding, body) = match &mut written {
            Written::Webhook(row) => (row.encoding, std::mem::take(&mut row.body)),
            Written::Unread(message) => (message.encoding, std::mem::take(&mut message.body)),
        };
        let content = decode(encoding, &body).map_err(|_| "body_not_in_its_encoding")?;
        let is_its_body = match (&written, &content) {
            (Written::Webhook(row), Content::Inline(bytes)) => row.receipt.is_of(bytes),
            (Written::Webhook(row), Content::ClaimCheck(claim)) => claim.sha256 == row.receipt.body_sha256,
            // Of a message that could not be read nothing says which bytes are its own.
            (Written::Unread(_), _) => true,
        };
        let body = match content {
            _ if !is_its_body => return Err(ALTERED),
            Content::Inline(bytes) => Body::Inline(bytes.into_owned()),
            Content::ClaimCheck(claim) => Body::Claimed(claim),
        };
        let object = match &mut written {
            Written::Webhook(row) => row.object.take().map(Body::Claimed),
            Written::Unread(_) => None,
        };
        Ok(Self { written, body, object, digest: hex_sha256(text.as_bytes()), owners: vec![owner] })
    }

    /// What it takes of an object of the archive, fetched or not.
    fn contents(&self) -> impl Iterator<Item = &Body> {
        std::iter::once(&self.body).chain(&self.object)
    }

    fn contents_mut(&mut self) -> impl Iterator<Item = &mut Body> {
        std::iter::once(&mut self.body).chain(&mut self.object)
    }

    fn size(&self) -> usize {
        self.contents().map(Body::size).sum()
    }

    fn into_entry(self) -> Option<Entry> {
        let object = match self.object {
            Some(object) => Some(object.into_bytes()?),
            None => None,
        };
        Some(Entry { line: self.written, body: self.body.into_bytes()?, object })
    }
}

impl Body {
    fn size(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Claimed(claim) => claim.bytes,
        }
    }

    fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Inline(bytes) => Some(bytes),
            Self::Claimed(_) => None,
        }
    }
}

/// A wave of messages: the objects to write, and what is known of each message.
#[derive(Debug, Default)]
struct Work {
    parts: Vec<Vec<Line>>,
    messages: BTreeMap<usize, Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Lines that are not in an object yet.
    left: usize,
    failure: Option<Outcome>,
    /// Why a line of it could not be read. The rest is written all the same.
    unreadable: Option<Reason>,
}

impl Work {
    fn read<'a>(messages: impl Iterator<Item = (usize, Message<'a>)>) -> Self {
        let mut work = Self::default();
        let mut lines = Vec::new();
        for (at, message) in messages {
            let progress = work.messages.entry(at).or_default();
            for (text, line) in unpack(message.body) {
                let line = line.map_err(|_| "not_rows").and_then(|line| Line::new(line, text, at));
                match line {
                    Ok(line) => {
                        progress.left += 1;
                        lines.push(line);
                    }
                    Err(reason) => progress.unreadable = progress.unreadable.or(Some(reason)),
                }
            }
        }
        work.parts = split(lines);
        work
    }

    fn written(&mut self, owners: &[usize]) {
        for owner in owners {
            if let Some(progress) = self.messages.get_mut(owner) {
                progress.left = progress.left.saturating_sub(1);
            }
        }
    }

    fn failed(&mut self, owners: &[usize], outcome: Outcome) {
        for owner in owners {
            if let Some(progress) = self.messages.get_mut(owner) {
                progress.failure.get_or_insert(outcome);
            }
        }
    }

    /// Whether every message that holds the line will come again anyway.
    fn is_given_up(&self, line: &Line) -> bool {
        let failed = |owner| self.messages.get(owner).is_some_and(|progress| progress.failure.is_some());
        line.owners.iter().all(failed)
    }

    /// The messages that are done or failed; the rest had no time.
    fn outcomes(&self) -> impl Iterator<Item = (usize, Outcome)> {
        self.messages.iter().filter_map(|(at, progress)| match progress.failure {
            Some(failure) => Some((*at, failure)),
            None => {
                let read = progress.unreadable.map_or(Outcome::Ok, Outcome::Poison);
                (progress.left == 0).then_some((*at, read))
            }
        })
    }
}

/// Sorts lines by day and arrival, makes one of those that are the same, and cuts them into objects. The order
/// of the messages in the batch makes no difference.
fn split(mut lines: Vec<Line>) -> Vec<Vec<Line>> {
    lines.sort_by(|a, b| {
        let by = |line: &Line| match &line.written {
            Written::Webhook(row) => (row.received_at, Some(row.webhook_id)),
            Written::Unread(message) => (message.set_aside_at, None),
        };
        by(a).cmp(&by(b)).then_with(|| a.digest.cmp(&b.digest))
    });
    let mut parts: Vec<Vec<Line>> = Vec::new();
    let mut size = 0_usize;
    let mut day = String::new();
    for line in lines {
        let last = parts.last_mut().and_then(|part| part.last_mut());
        if let Some(same) = last.filter(|last| last.digest == line.digest) {
            // The same line twice in one message counts twice as well when it is written.
            same.owners.extend(line.owners);
            continue;
        }
        let its_day = partition(dated(&line.written));
        let is_full = size.saturating_add(line.size()) > MAX_OBJECT_BODY_BYTES;
        if parts.is_empty() || is_full || its_day != day {
            parts.push(Vec::new());
            size = 0;
        }
        size = size.saturating_add(line.size());
        day = its_day;
        if let Some(part) = parts.last_mut() {
            part.push(line);
        }
    }
    parts
}
