//! The effects of decoded messages, step by step, each step over all of them.

use std::collections::{HashMap, HashSet};

use tollgate_batch::{Deadline, Outcome};
use tollgate_core::{LedgerKey, PaymentEvent, Timestamp};

use super::{Done, Process, Work, decode::Effect, retry};
use crate::{
    archive::{self, Row, pack},
    intake::{ClaimCheck, Encoding, IntakeMessage},
    ports::{
        ArchiveQueue, Clock, EndpointSource, EventBus, Known, Ledger, LedgerEntry, LedgerState,
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
        self.record(&mut works, &mut standings).await;
        // Up to here a repeat leaves no trace. Beyond it, what was begun is brought to its end.
        if !deadline.has_time(self.now_ms()) {
            done.outcomes.extend(works.iter().map(|work| (work.index, Outcome::Retry("deadline"))));
            return;
        }
        done.published += self.publish(&works, &mut standings).await;
        let settled = self.keep(&works, &standings).await;
        // A message that only repeats events of another one in this stride ends as that one did.
        let mut ended: HashMap<&LedgerKey, Outcome> = HashMap::new();
        for (work, outcome) in works.iter().zip(&settled) {
            for effect in owned(work, &standings) {
                ended.insert(&effect.key, *outcome);
            }
        }
        for (work, outcome) in works.iter().zip(&settled) {
            done.conflicts += work.conflicts;
            let copies = work.events.iter().filter_map(|effect| ended.get(&effect.key));
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
        let mut seen: HashSet<&LedgerKey> = HashSet::new();
        let all = works.iter().flat_map(|work| &work.events).map(|effect| &effect.key);
        let keys: Vec<LedgerKey> = all.filter(|key| seen.insert(key)).cloned().collect();
        let known = self.ledger.known(&keys, self.clock.now()).await;
        let mut found: HashMap<&LedgerKey, Standing> = HashMap::new();
        let mut held: HashSet<&LedgerKey> = HashSet::new();
        let mut claimed_at: HashMap<&LedgerKey, Timestamp> = HashMap::new();
        for (key, known) in keys.iter().zip(known) {
            if matches!(known, Ok(Some(_))) {
                held.insert(key);
            }
            let standing = match known {
                Ok(Some(Known { state: LedgerState::Processed, .. })) => Standing::Known,
                Ok(Some(Known { state: LedgerState::Received, received_at, .. })) => {
                    claimed_at.insert(key, received_at);
                    Standing::Open
                }
                Ok(None) => Standing::Open,
                Err(problem) => Standing::Failed(retry("ledger_unavailable", &problem)),
            };
            found.insert(key, standing);
        }
        // The facts that an event was claimed with stand, or without a claim the first that are seen. Others under its
        // id are an incident and have no effect.
        let mut standings = Standings::default();
        let mut facts: HashMap<LedgerKey, String> = HashMap::new();
        for work in works.iter_mut() {
            let (index, noted) = (work.index, &work.message.notes.conflicts);
            let before = work.events.len();
            work.events.retain(|effect| {
                if noted.contains(&effect.event.id) && held.contains(&effect.key) {
                    return false;
                }
                let standing = found.get(&effect.key).copied().unwrap_or(Standing::Open);
                standings.by_key.entry(effect.key.clone()).or_insert((index, standing));
                let first = facts.entry(effect.key.clone()).or_insert_with(|| effect.fingerprint.clone());
                *first == effect.fingerprint
            });
            work.conflicts += before - work.events.len();
        }
        // Two deliveries of an event without a time must agree on one, or it would be recorded twice.
        for effect in works.iter_mut().flat_map(|work| &mut work.events).filter(|effect| !effect.is_dated) {
            if let Some(at) = claimed_at.get(&effect.key) {
                effect.event.occurred_at = *at;
            }
        }
        standings
    }

    /// Writes the transaction history and marks the events that a later state has overtaken.
    async fn record(&self, works: &mut [Work<'_>], standings: &mut Standings) {
        let mut newest: HashMap<String, Timestamp> = HashMap::new();
        for effect in works.iter().flat_map(|work| owned(work, standings)) {
            let at = effect.event.occurred_at;
            newest.entry(effect.event.transaction_key()).and_modify(|n| *n = at.max(*n)).or_insert(at);
        }
        let keys: Vec<&str> = newest.keys().map(String::as_str).collect();
        let mut known: HashMap<&str, PortResult<Option<Timestamp>>> = HashMap::new();
        known.extend(keys.iter().copied().zip(self.transactions.latest(&keys).await));
        let mut events = Vec::new();
        let mut written: HashMap<String, ()> = HashMap::new();
        for work in works.iter_mut() {
            let index = work.index;
            for effect in &mut work.events {
                if !standings.is_owned(index, &effect.key) {
                    continue;
                }
                let transaction = effect.event.transaction_key();
                let at = effect.event.occurred_at;
                let newest_here = newest.get(&transaction).copied().unwrap_or(at);
                match known.get(transaction.as_str()) {
                    Some(Ok(before)) => {
                        let newest = before.map_or(newest_here, |before| before.max(newest_here));
                        effect.event.superseded = at < newest;
                        let is_latest = at == newest_here
                            && before.is_none_or(|before| at > before)
                            && written.insert(transaction, ()).is_none();
                        events.push((effect.key.clone(), is_latest));
                    }
                    Some(Err(problem)) => standings.fail(&effect.key, "transactions_unavailable", problem),
                    None => {}
                }
            }
        }
        let is_latest: HashMap<LedgerKey, bool> = events.into_iter().collect();
        let recorded: Vec<(&LedgerKey, Recorded<'_>)> = works
            .iter()
            .flat_map(|work| owned(work, standings))
            .map(|effect| {
                let is_latest = is_latest.get(&effect.key).copied().unwrap_or(false);
                (&effect.key, Recorded { event: &effect.event, is_latest })
            })
            .collect();
        let rows: Vec<Recorded<'_>> = recorded.iter().map(|(_, row)| *row).collect();
        let results = self.transactions.record(&rows).await;
        let keys: Vec<LedgerKey> = recorded.iter().map(|(key, _)| (*key).clone()).collect();
        standings.fail_where(&keys, results, "transactions_unavailable", "transaction_refused");
    }

    /// Publishes what was recorded; how many went through.
    async fn publish(&self, works: &[Work<'_>], standings: &mut Standings) -> usize {
        let (keys, events): (Vec<LedgerKey>, Vec<&PaymentEvent<'_>>) = works
            .iter()
            .flat_map(|work| owned(work, standings))
            .map(|effect| (effect.key.clone(), &effect.event))
            .unzip();
        let results = self.bus.publish(&events).await;
        let published = results.iter().filter(|result| result.is_ok()).count();
        standings.fail_where(&keys, results, "bus_unavailable", "bus_refused");
        published
    }

    /// Archives each message whose events are all done, then marks them processed. One outcome for each message.
    async fn keep(&self, works: &[Work<'_>], standings: &Standings) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = works.iter().map(|work| standings.of(work)).collect();
        let mut lines: Vec<(usize, String)> = Vec::new();
        for (position, work) in works.iter().enumerate() {
            let is_done = matches!(outcomes.get(position), Some(Outcome::Ok));
            if !is_done {
                continue;
            }
            match self.line(work).await {
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
                    key: effect.key.clone(),
                    state: LedgerState::Processed,
                    webhook_id: work.message.webhook_id.clone(),
                    fingerprint: effect.fingerprint.clone(),
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

    /// The archive row as a line. A body that leaves the line too long for a message is put aside first.
    async fn line(&self, work: &Work<'_>) -> Result<String, Outcome> {
        let outcome =
            if work.conflicts > 0 { archive::Outcome::Conflict } else { archive::Outcome::Processed };
        let events = || work.events.iter().map(|effect| effect.event.clone()).collect();
        let unwritable = |_| Outcome::Poison("archive_row_unwritable");
        let line = Row::new(work.message, events(), outcome).to_line().map_err(unwritable)?;
        let has_inline_body = work.message.encoding != Encoding::ClaimCheck;
        if line.len() <= crate::intake::MAX_MESSAGE_BYTES || !has_inline_body {
            return Ok(line);
        }
        let pointer = self.put_aside(work.message).await?;
        Row::new(&pointer, events(), outcome).to_line().map_err(unwritable)
    }

    async fn put_aside(&self, message: &IntakeMessage) -> Result<IntakeMessage, Outcome> {
        let bytes = match message.inline_bytes() {
            Ok(crate::intake::Content::Inline(bytes)) => bytes.into_owned(),
            Ok(crate::intake::Content::Claimed(_)) | Err(_) => {
                return Err(Outcome::Poison("body_undecodable"));
            }
        };
        let claim_check = ClaimCheck::of(&message.webhook_id, message.received_at, &bytes);
        let stored = self.payloads.put(&claim_check.key, bytes).await;
        stored.map_err(|problem| retry("payload_not_stored", &problem))?;
        let body =
            serde_json::to_string(&claim_check).map_err(|_| Outcome::Poison("archive_row_unwritable"))?;
        Ok(IntakeMessage { encoding: Encoding::ClaimCheck, body, ..message.clone() })
    }
}

/// Every event of a stride by its key, with the record that does it.
#[derive(Debug, Default)]
struct Standings {
    by_key: HashMap<LedgerKey, (usize, Standing)>,
}

impl Standings {
    /// Whether `key` is still to be done, and by record `index`.
    fn is_owned(&self, index: usize, key: &LedgerKey) -> bool {
        self.by_key.get(key) == Some(&(index, Standing::Open))
    }

    fn fail(&mut self, key: &LedgerKey, reason: &'static str, problem: &PortError) {
        if let Some(entry) = self.by_key.get_mut(key) {
            entry.1 = Standing::Failed(retry(reason, problem));
        }
    }

    fn fail_where(
        &mut self,
        keys: &[LedgerKey],
        results: Vec<PortResult<()>>,
        retryable: &'static str,
        permanent: &'static str,
    ) {
        for (key, result) in keys.iter().zip(results) {
            match result {
                Ok(()) => {}
                Err(problem @ PortError::Retryable { .. }) => self.fail(key, retryable, &problem),
                Err(PortError::Permanent { .. }) => {
                    if let Some(entry) = self.by_key.get_mut(key) {
                        entry.1 = Standing::Failed(Outcome::Poison(permanent));
                    }
                }
            }
        }
    }

    /// A message's own outcome so far.
    fn of(&self, work: &Work<'_>) -> Outcome {
        let mut has_own = false;
        for effect in &work.events {
            match self.by_key.get(&effect.key) {
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
    work.events.iter().filter(|effect| standings.is_owned(work.index, &effect.key))
}

fn set(outcomes: &mut [Outcome], position: usize, outcome: Outcome) {
    if let Some(slot) = outcomes.get_mut(position) {
        *slot = outcome;
    }
}
