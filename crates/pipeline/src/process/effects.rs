//! The effects of decoded messages, step by step, each step over all of them.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use tollgate_batch::{Deadline, Outcome};
use tollgate_core::{EventId, Fingerprint, LedgerKey, Timestamp};

use super::{Done, Process, Work, decode::Effect, retry};
use crate::{
    archive::{self, line, pack},
    intake::{Arrived, ClaimCheck, Content, Encoding, MAX_MESSAGE_BYTES},
    ports::{
        ArchiveQueue, Clock, Document, EndpointSource, EventBus, Known, Ledger, LedgerEntry, LedgerState,
        PayloadSource, PayloadStore, PortError, PortResult, Quarantine, Recorded, Transactions,
    },
};

/// Where an event stands. Copies of one event within a stride share one standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// To be done by the first message that holds it.
    Open,
    /// Its effects were done before.
    Known,
    /// Not now.
    Failed(Outcome),
}

impl<D, C, L, T, B, A, P, Q> Process<D, C, L, T, B, A, P, Q>
where
    D: EndpointSource,
    C: Clock,
    L: Ledger,
    T: Transactions,
    B: EventBus,
    A: ArchiveQueue,
    P: PayloadSource + PayloadStore,
    Q: Quarantine,
{
    pub(super) async fn effects(&self, mut works: Vec<Work<'_>>, deadline: Deadline, done: &mut Done) {
        let mut standings = self.standings(&mut works).await;
        let json = self.record(&mut works, &mut standings).await;
        // Up to here a repeat leaves no trace. Beyond it, what was begun is brought to its end.
        if !deadline.has_time(self.now_ms()) {
            done.outcomes.extend(works.iter().map(|work| (work.index, Outcome::Retry("deadline"))));
            return;
        }
        done.published += self.publish(&works, &json, &mut standings).await;
        let settled = self.keep(&works, &json, &standings).await;
        // A message that only repeats events of another one in this stride ends as that one did.
        let mut ended: HashMap<EventId, Outcome> = HashMap::new();
        for (work, outcome) in works.iter().zip(&settled) {
            for effect in owned(work, &standings) {
                ended.insert(effect.event.id, *outcome);
            }
        }
        for (work, outcome) in works.iter().zip(&settled) {
            done.conflicts += work.conflicts;
            let copies = work.events.iter().filter_map(|effect| ended.get(&effect.event.id));
            let failed = copies.copied().find(|outcome| outcome.is_failure());
            let outcome = match (outcome, failed) {
                (Outcome::Ok | Outcome::Duplicate, Some(failure)) => failure,
                // The contradiction is a matter for people: it goes where they look.
                (Outcome::Ok | Outcome::Duplicate, None) if work.conflicts > 0 => {
                    Outcome::Poison("conflicting_facts")
                }
                (outcome, _) => *outcome,
            };
            done.outcomes.push((work.index, outcome));
        }
    }

    /// Which events the ledger knows as processed.
    async fn standings(&self, works: &mut [Work<'_>]) -> Standings {
        let mut seen: HashSet<EventId> = HashSet::new();
        let all = works.iter().flat_map(|work| &work.events).map(|effect| &effect.event);
        let (ids, keys): (Vec<EventId>, Vec<LedgerKey>) =
            all.filter(|event| seen.insert(event.id)).map(|event| (event.id, event.ledger_key())).unzip();
        let known = self.ledger.known(&keys, self.clock.now()).await;
        let mut standings = Standings::default();
        let mut claimed_at: HashMap<EventId, Timestamp> = HashMap::new();
        for (id, known) in ids.iter().zip(known) {
            if matches!(known, Ok(Some(_))) {
                standings.held.insert(*id);
            }
            let standing = match known {
                Ok(Some(Known { state: LedgerState::Processed, .. })) => Standing::Known,
                Ok(Some(Known { state: LedgerState::Received, received_at, .. })) => {
                    claimed_at.insert(*id, received_at);
                    Standing::Open
                }
                Ok(None) => Standing::Open,
                Err(problem) => Standing::Failed(retry("ledger_unavailable", &problem)),
            };
            standings.found.insert(*id, standing);
        }
        // The facts that an event was claimed with stand, or without a claim the first that are seen. Others under its
        // id are an incident and have no effect.
        let mut facts: HashMap<EventId, Fingerprint> = HashMap::with_capacity(ids.len());
        for work in works.iter_mut() {
            let (index, noted) = (work.index, &work.message.notes.conflicts);
            let before = work.events.len();
            work.events.retain(|effect| {
                let id = effect.event.id;
                if noted.contains(&id) && standings.held.contains(&id) {
                    return false;
                }
                let standing = standings.found.get(&id).copied().unwrap_or(Standing::Open);
                standings.by_id.entry(id).or_insert((index, standing));
                *facts.entry(id).or_insert(effect.fingerprint) == effect.fingerprint
            });
            work.conflicts += before - work.events.len();
        }
        // Two deliveries of an event without a time must agree on one, or it would be recorded twice.
        for effect in works.iter_mut().flat_map(|work| &mut work.events).filter(|effect| !effect.is_dated) {
            if let Some(at) = claimed_at.get(&effect.event.id) {
                effect.event.occurred_at = *at;
            }
        }
        standings
    }

    /// Writes the transaction history, marks the events that a later state has overtaken, and gives the events' final
    /// JSON.
    async fn record(&self, works: &mut [Work<'_>], standings: &mut Standings) -> Written {
        let mut newest: HashMap<String, Timestamp> = HashMap::new();
        for effect in works.iter().flat_map(|work| owned(work, standings)) {
            let at = effect.event.occurred_at;
            newest.entry(effect.event.transaction_key()).and_modify(|n| *n = at.max(*n)).or_insert(at);
        }
        let keys: Vec<&str> = newest.keys().map(String::as_str).collect();
        let mut known: HashMap<&str, PortResult<Option<Timestamp>>> = HashMap::with_capacity(keys.len());
        known.extend(keys.iter().copied().zip(self.transactions.latest(&keys).await));
        let mut latest: HashSet<EventId> = HashSet::with_capacity(keys.len());
        let mut moved: HashSet<String> = HashSet::with_capacity(keys.len());
        for work in works.iter_mut() {
            let index = work.index;
            for effect in &mut work.events {
                let id = effect.event.id;
                if !standings.is_owned(index, id) {
                    continue;
                }
                let transaction = effect.event.transaction_key();
                let at = effect.event.occurred_at;
                let newest_here = newest.get(&transaction).copied().unwrap_or(at);
                match known.get(transaction.as_str()) {
                    Some(Ok(before)) => {
                        let newest = before.map_or(newest_here, |before| before.max(newest_here));
                        effect.event.superseded = at < newest;
                        let is_latest = at == newest_here && before.is_none_or(|before| at > before);
                        if is_latest && moved.insert(transaction) {
                            latest.insert(id);
                        }
                    }
                    Some(Err(problem)) => standings.fail(id, "transactions_unavailable", problem),
                    None => {}
                }
            }
        }
        let events: Vec<&Effect<'_>> = works.iter().flat_map(|work| owned(work, standings)).collect();
        let texts = self.each(&events, |effect| serde_json::to_string(&effect.event));
        let ids: Vec<EventId> = events.iter().map(|effect| effect.event.id).collect();
        let mut json = Written::with_capacity(ids.len());
        for (id, text) in ids.into_iter().zip(texts) {
            match text {
                Ok(text) => _ = json.insert(id, text),
                Err(_) => standings.poison(id, "event_unwritable"),
            }
        }
        let (ids, rows): (Vec<EventId>, Vec<Recorded<'_>>) = documents(works, &json, standings)
            .map(|document| {
                let id = document.event.id;
                (id, Recorded { document, is_latest: latest.contains(&id) })
            })
            .unzip();
        let results = self.transactions.record(&rows).await;
        standings.fail_where(&ids, results, "transactions_unavailable", "transaction_refused");
        json
    }

    /// Publishes what was recorded; how many went through.
    async fn publish(&self, works: &[Work<'_>], json: &Written, standings: &mut Standings) -> usize {
        let documents: Vec<Document<'_>> = documents(works, json, standings).collect();
        let ids: Vec<EventId> = documents.iter().map(|document| document.event.id).collect();
        let results = self.bus.publish(&documents).await;
        let published = results.iter().filter(|result| result.is_ok()).count();
        standings.fail_where(&ids, results, "bus_unavailable", "bus_refused");
        published
    }

    /// Archives each message whose events are all done, then marks them processed. One outcome for each message.
    async fn keep(&self, works: &[Work<'_>], json: &Written, standings: &Standings) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = works.iter().map(|work| standings.of(work)).collect();
        let mut lines: Vec<(usize, String)> = Vec::with_capacity(works.len());
        let written = self.each(works, |work| {
            matches!(standings.of(work), Outcome::Ok)
                .then(|| archive_line(work.message, work, json, standings))
        });
        for ((position, work), written) in works.iter().enumerate().zip(written) {
            let Some(written) = written else { continue };
            match self.short_enough(work, json, standings, written).await {
                Ok(line) => lines.push((position, line)),
                Err(outcome) => set(&mut outcomes, position, outcome),
            }
        }
        let packed = pack(lines.iter().map(|(_, line)| line.as_str()));
        let sent = self.archive.send(&packed.messages).await;
        for ((position, _), message) in lines.iter().zip(&packed.message_of) {
            match message.and_then(|message| sent.get(message)) {
                Some(Ok(())) => {}
                Some(Err(problem)) => set(&mut outcomes, *position, retry("archive_unavailable", problem)),
                None => set(&mut outcomes, *position, Outcome::Poison("archive_row_too_large")),
            }
        }
        self.mark_processed(works, standings, &mut outcomes).await;
        outcomes
    }

    async fn mark_processed(&self, works: &[Work<'_>], standings: &Standings, outcomes: &mut [Outcome]) {
        let mut entries = Vec::new();
        let mut position_of = Vec::new();
        for (position, work) in works.iter().enumerate() {
            if !matches!(outcomes.get(position), Some(Outcome::Ok)) {
                continue;
            }
            for effect in owned(work, standings) {
                entries.push(LedgerEntry {
                    key: effect.event.ledger_key(),
                    state: LedgerState::Processed,
                    webhook_id: work.message.webhook_id,
                    fingerprint: effect.fingerprint.to_string(),
                    received_at: work.message.received_at,
                });
                position_of.push(position);
            }
        }
        let results = self.ledger.put(&entries).await;
        for (position, result) in position_of.into_iter().zip(results) {
            if let Err(problem) = result {
                set(outcomes, position, retry("ledger_unavailable", &problem));
            }
        }
    }

    /// The line of a message. A body that leaves it too long for a message is put aside first.
    async fn short_enough(
        &self,
        work: &Work<'_>,
        json: &Written,
        standings: &Standings,
        written: Result<String, Outcome>,
    ) -> Result<String, Outcome> {
        let line = written?;
        let has_inline_body = work.message.encoding != Encoding::ClaimCheck;
        if line.len() <= MAX_MESSAGE_BYTES || !has_inline_body {
            return Ok(line);
        }
        let claim_check = self.put_aside(work.message).await?;
        let message = Arrived { encoding: Encoding::ClaimCheck, body: &claim_check, ..work.message.clone() };
        archive_line(&message, work, json, standings)
    }

    async fn put_aside(&self, message: &Arrived<'_>) -> Result<String, Outcome> {
        let Ok(Content::Inline(bytes)) = message.inline_bytes() else {
            return Err(Outcome::Poison("body_undecodable"));
        };
        let claim_check = ClaimCheck::of(&message.webhook_id, message.received_at, &bytes);
        let stored = self.payloads.put(&claim_check.key, bytes.into_owned()).await;
        stored.map_err(|problem| retry("payload_not_stored", &problem))?;
        serde_json::to_string(&claim_check).map_err(|_| Outcome::Poison("archive_row_unwritable"))
    }
}

/// The JSON of each event that is done, by its id.
type Written = HashMap<EventId, String>;

/// The line of a message with all its events: those that another message of the batch does, or that were done before,
/// too.
fn archive_line(
    message: &Arrived<'_>,
    work: &Work<'_>,
    json: &Written,
    standings: &Standings,
) -> Result<String, Outcome> {
    let outcome = if work.conflicts > 0 { archive::Outcome::Conflict } else { archive::Outcome::Processed };
    let unwritable = |_| Outcome::Poison("archive_row_unwritable");
    let events: Result<Vec<Cow<'_, str>>, _> = work
        .events
        .iter()
        .map(|effect| match json.get(&effect.event.id) {
            Some(json) if standings.is_owned(work.index, effect.event.id) => Ok(Cow::Borrowed(json.as_str())),
            _ => serde_json::to_string(&effect.event).map(Cow::Owned),
        })
        .collect();
    line(message, events.map_err(unwritable)?.iter().map(AsRef::as_ref), outcome).map_err(unwritable)
}

/// Every event of a stride by its id, with the record that does it.
#[derive(Debug, Default)]
struct Standings {
    by_id: HashMap<EventId, (usize, Standing)>,
    /// What the ledger said of each.
    found: HashMap<EventId, Standing>,
    /// Those that the ledger has an entry of.
    held: HashSet<EventId>,
}

impl Standings {
    /// Whether the event is still to be done, and by record `index`.
    fn is_owned(&self, index: usize, id: EventId) -> bool {
        self.by_id.get(&id) == Some(&(index, Standing::Open))
    }

    fn end(&mut self, id: EventId, outcome: Outcome) {
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.1 = Standing::Failed(outcome);
        }
    }

    fn fail(&mut self, id: EventId, reason: &'static str, problem: &PortError) {
        self.end(id, retry(reason, problem));
    }

    fn poison(&mut self, id: EventId, reason: &'static str) {
        self.end(id, Outcome::Poison(reason));
    }

    fn fail_where(
        &mut self,
        ids: &[EventId],
        results: Vec<PortResult<()>>,
        retryable: &'static str,
        permanent: &'static str,
    ) {
        for (id, result) in ids.iter().zip(results) {
            match result {
                Ok(()) => {}
                Err(problem @ PortError::Retryable { .. }) => self.fail(*id, retryable, &problem),
                Err(PortError::Permanent { .. }) => self.poison(*id, permanent),
            }
        }
    }

    /// A message's own outcome so far.
    fn of(&self, work: &Work<'_>) -> Outcome {
        let mut has_own = false;
        for effect in &work.events {
            match self.by_id.get(&effect.event.id) {
                Some((_, Standing::Failed(outcome))) => return *outcome,
                Some((index, Standing::Open)) => has_own |= *index == work.index,
                Some((_, Standing::Known)) | None => {}
            }
        }
        if has_own { Outcome::Ok } else { Outcome::Duplicate }
    }
}

/// The events that this message is to do.
fn owned<'w, 'a>(work: &'w Work<'a>, standings: &'w Standings) -> impl Iterator<Item = &'w Effect<'a>> {
    work.events.iter().filter(|effect| standings.is_owned(work.index, effect.event.id))
}

/// What is to be done of all works, with its JSON.
fn documents<'w>(
    works: &'w [Work<'_>],
    json: &'w Written,
    standings: &'w Standings,
) -> impl Iterator<Item = Document<'w>> {
    let effects = works.iter().flat_map(|work| owned(work, standings));
    effects.filter_map(|effect| Some(Document { event: &effect.event, json: json.get(&effect.event.id)? }))
}

fn set(outcomes: &mut [Outcome], position: usize, outcome: Outcome) {
    if let Some(slot) = outcomes.get_mut(position) {
        *slot = outcome;
    }
}
