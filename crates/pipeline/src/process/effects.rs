//! The effects of decoded messages, step by step, each step over all of them.

use std::{borrow::Cow, collections::HashMap};

use tollgate_batch::{Deadline, Outcome};
use tollgate_core::{EventId, Fingerprint, LedgerKey, PaymentEvent, Timestamp};
use tracing::warn;

use super::{
    Done, Process, SHARES,
    decode::{Decoded, Effect, Standing, Work},
    retry,
};
use crate::{
    archive::{self, Packing, write_line},
    intake::{ClaimCheck, Content, Encoding, QueuedMessage},
    ports::{
        ArchiveQueue, Clock, Document, EndpointSource, EventBus, Known, Ledger, LedgerEntry, LedgerState,
        PayloadSource, PayloadStore, PortError, PortResult, Quarantine, Recorded, Transactions,
    },
};

/// Which archive message holds a webhook's row, `None` where the row is too long for any; or how the webhook ends
/// without one.
type Placed = Result<Option<usize>, Outcome>;

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
    pub(super) async fn effects(&self, mut decoded: Decoded<'_>, deadline: Deadline, done: &mut Done) {
        self.look_up(&mut decoded).await;
        self.record(&mut decoded).await;
        // Up to here a repeat leaves no trace. Beyond it, what was begun is brought to its end.
        if !deadline.has_time(self.now_ms()) {
            done.outcomes.extend(decoded.works.iter().map(|work| (work.index, Outcome::Retry("deadline"))));
            return;
        }
        done.published += self.publish(&mut decoded).await;
        let outcomes = self.archive(&decoded).await;
        let outcomes = self.mark_processed(&decoded, outcomes).await;
        decoded.settle(&outcomes, done);
    }

    /// Finds out which events are still to be done, and by which message.
    async fn look_up(&self, decoded: &mut Decoded<'_>) {
        let mut number_of: HashMap<EventId, usize> = HashMap::with_capacity(decoded.effects.len());
        let mut keys: Vec<LedgerKey> = Vec::with_capacity(decoded.effects.len());
        let mut numbers: Vec<usize> = Vec::with_capacity(decoded.effects.len());
        for Effect { event, .. } in &decoded.effects {
            let number = *number_of.entry(event.id).or_insert(keys.len());
            if number == keys.len() {
                keys.push(event.ledger_key());
            }
            numbers.push(number);
        }
        let known = self.ledger.known(&keys, self.clock.now()).await;
        // The facts that an event was claimed with stand, or without a claim the first that are seen. Others under its
        // id are an incident and have no effect.
        let mut standing: Vec<Option<(usize, Fingerprint)>> = vec![None; keys.len()];
        for work in &mut decoded.works {
            let noted = &work.message.notes.conflicts;
            let places = work.events.clone();
            let effects = decoded.effects.get_mut(places.clone()).unwrap_or_default();
            let numbers = numbers.get(places.clone()).unwrap_or_default();
            for ((place, effect), &number) in places.zip(effects).zip(numbers) {
                let claim = match known.get(number) {
                    Some(Ok(claim)) => claim,
                    // Without the ledger's word nothing is decided, least of all whose facts stand.
                    unknown => {
                        effect.first = Some(place);
                        effect.standing = Standing::Failed(unavailable("ledger_unavailable", unknown));
                        continue;
                    }
                };
                if claim.is_some() && noted.contains(&effect.event.id) {
                    work.conflicts += 1;
                } else if let Some(standing) = standing.get_mut(number) {
                    let (first, facts) = *standing.get_or_insert((place, effect.fingerprint));
                    if facts == effect.fingerprint {
                        effect.first = Some(first);
                        effect.stand(claim.as_ref());
                    } else {
                        work.conflicts += 1;
                    }
                }
            }
        }
    }

    /// Writes the transaction history, marks the events that a later state has overtaken, and gives the events' final
    /// JSON.
    async fn record(&self, decoded: &mut Decoded<'_>) {
        let keys: Vec<String> = decoded.own().map(|effect| effect.event.transaction_key()).collect();
        let mut number_of: HashMap<&str, usize> = HashMap::with_capacity(keys.len());
        let mut transactions: Vec<&str> = Vec::with_capacity(keys.len());
        // The latest event of each transaction in this batch.
        let mut newest: Vec<Timestamp> = Vec::with_capacity(keys.len());
        let mut numbers: Vec<usize> = Vec::with_capacity(keys.len());
        for (effect, key) in decoded.own().zip(&keys) {
            let at = effect.event.occurred_at;
            let number = *number_of.entry(key).or_insert(newest.len());
            numbers.push(number);
            if let Some(newest) = newest.get_mut(number) {
                *newest = at.max(*newest);
            } else {
                transactions.push(key);
                newest.push(at);
            }
        }
        let before = self.transactions.latest(&transactions).await;
        let mut histories: Vec<_> =
            before.into_iter().zip(newest).map(|(before, newest)| (before, newest, false)).collect();
        for (effect, number) in decoded.own_mut().zip(numbers) {
            let at = effect.event.occurred_at;
            match histories.get_mut(number) {
                Some((Ok(before), newest, has_latest)) => {
                    effect.event.superseded = at < before.map_or(*newest, |before| before.max(*newest));
                    let is_newest = at == *newest && before.is_none_or(|before| at > before);
                    effect.is_latest = is_newest && !*has_latest;
                    *has_latest |= is_newest;
                }
                Some((Err(problem), ..)) => {
                    effect.standing = Standing::Failed(retry("transactions_unavailable", problem));
                }
                None => {
                    let unanswered = unavailable::<()>("transactions_unavailable", None);
                    effect.standing = Standing::Failed(unanswered);
                }
            }
        }
        let events: Vec<&PaymentEvent<'_>> = decoded.own().map(|effect| &effect.event).collect();
        let texts =
            self.shares(&events, SHARES, |share| share.iter().map(serde_json::to_string).collect::<Vec<_>>());
        for (effect, text) in decoded.own_mut().zip(texts.into_iter().flatten()) {
            match text {
                Ok(text) => effect.json = text,
                Err(_) => effect.standing = Standing::Failed(Outcome::Poison("event_unwritable")),
            }
        }
        let rows: Vec<Recorded<'_>> = decoded
            .own()
            .map(|effect| Recorded { document: effect.document(), is_latest: effect.is_latest })
            .collect();
        let results = self.transactions.record(&rows).await;
        decoded.fail_where(results, "transactions_unavailable", "transaction_refused");
    }

    /// Publishes what was recorded; how many went through.
    async fn publish(&self, decoded: &mut Decoded<'_>) -> usize {
        let documents: Vec<Document<'_>> = decoded.own().map(Effect::document).collect();
        let results = self.bus.publish(&documents).await;
        let published = results.iter().filter(|result| result.is_ok()).count();
        decoded.fail_where(results, "bus_unavailable", "bus_refused");
        published
    }

    /// Archives each message whose events are all done. One outcome for each message.
    async fn archive(&self, decoded: &Decoded<'_>) -> Vec<Outcome> {
        // One share a thread: each begins a message of its own.
        let shares = self.shares(&decoded.works, 1, |works| {
            let mut packing = Packing::default();
            let place = |work| match decoded.outcome(work) {
                Outcome::Ok => decoded.place(work, work.message, &mut packing),
                outcome => Err(outcome),
            };
            let placed: Vec<Placed> = works.iter().map(place).collect();
            (packing, placed)
        });
        let mut packing = Packing::default();
        let mut placed: Vec<Placed> = Vec::with_capacity(decoded.works.len());
        for (share, places) in shares {
            let moved = packing.append(share);
            placed.extend(places.into_iter().map(|place| place.map(|message| Some(message? + moved))));
        }
        for (place, work) in placed.iter_mut().zip(&decoded.works) {
            // A body that leaves its row too long for a message is put aside.
            if matches!(place, Ok(None)) && work.message.encoding != Encoding::ClaimCheck {
                *place = match self.put_aside(work.message).await {
                    Ok(claim_check) => {
                        let message = QueuedMessage {
                            encoding: Encoding::ClaimCheck,
                            body: &claim_check,
                            escaped_body: None,
                            ..work.message.clone()
                        };
                        decoded.place(work, &message, &mut packing)
                    }
                    Err(outcome) => Err(outcome),
                };
            }
        }
        let sent = self.archive.send(packing.into_messages()).await;
        let outcome = |place: Placed| match place {
            Ok(Some(message)) => match sent.get(message) {
                Some(Ok(())) => Outcome::Ok,
                unsent => unavailable("archive_unavailable", unsent),
            },
            Ok(None) => Outcome::Poison("archive_row_too_large"),
            Err(outcome) => outcome,
        };
        placed.into_iter().map(outcome).collect()
    }

    async fn put_aside(&self, message: &QueuedMessage<'_>) -> Result<String, Outcome> {
        let Ok(Content::Inline(bytes)) = message.content() else {
            return Err(Outcome::Poison("body_undecodable"));
        };
        let claim_check = ClaimCheck::of(&message.webhook_id, message.received_at, &bytes);
        let stored = self.payloads.put(&claim_check.key, bytes.to_vec()).await;
        stored.map_err(|problem| retry("payload_not_stored", &problem))?;
        serde_json::to_string(&claim_check).map_err(|_| Outcome::Poison("archive_row_unwritable"))
    }

    /// Marks the events of the messages that went well as processed; how the messages end.
    async fn mark_processed(&self, decoded: &Decoded<'_>, mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
        let mut entries = Vec::with_capacity(decoded.effects.len());
        let mut position_of = Vec::with_capacity(decoded.effects.len());
        for (position, (work, outcome)) in decoded.works.iter().zip(&outcomes).enumerate() {
            if !matches!(outcome, Outcome::Ok) {
                continue;
            }
            for (_, effect) in decoded.events(work).filter(|(at, effect)| effect.is_own(*at)) {
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
        for (entry, position) in position_of.into_iter().enumerate() {
            match (outcomes.get_mut(position), results.get(entry)) {
                (None, _) | (_, Some(Ok(()))) => {}
                (Some(outcome), unmarked) => *outcome = unavailable("ledger_unavailable", unmarked),
            }
        }
        outcomes
    }
}

/// What a dependency did not do, or did not answer for.
fn unavailable<T>(reason: &'static str, answer: Option<&PortResult<T>>) -> Outcome {
    match answer {
        Some(Err(problem)) => retry(reason, problem),
        _ => retry(reason, &PortError::retryable("port", "no answer")),
    }
}

impl<'a> Decoded<'a> {
    /// A message's events, with their places among all.
    fn events(&self, work: &Work<'_>) -> impl Iterator<Item = (usize, &Effect<'a>)> {
        work.events.clone().zip(self.effects.get(work.events.clone()).unwrap_or_default())
    }

    /// What is to be done.
    fn own(&self) -> impl Iterator<Item = &Effect<'a>> {
        self.effects.iter().enumerate().filter(|(at, effect)| effect.is_own(*at)).map(|(_, effect)| effect)
    }

    fn own_mut(&mut self) -> impl Iterator<Item = &mut Effect<'a>> {
        let effects = self.effects.iter_mut().enumerate();
        effects.filter(|(at, effect)| effect.is_own(*at)).map(|(_, effect)| effect)
    }

    /// Takes the results of what was to be done.
    fn fail_where(&mut self, results: Vec<PortResult<()>>, retryable: &'static str, permanent: &'static str) {
        let mut results = results.into_iter();
        for effect in self.own_mut() {
            match results.next() {
                Some(Ok(())) => {}
                Some(Err(problem @ PortError::Permanent { .. })) => {
                    let webhook_id = &effect.event.webhook_id;
                    warn!(error = %problem, %webhook_id, reason = permanent, "event refused");
                    effect.standing = Standing::Failed(Outcome::Poison(permanent));
                }
                failed => effect.standing = Standing::Failed(unavailable(retryable, failed.as_ref())),
            }
        }
    }

    /// A message's own outcome so far.
    fn outcome(&self, work: &Work<'_>) -> Outcome {
        let mut has_own = false;
        for (at, effect) in self.events(work) {
            match effect.first.and_then(|first| self.effects.get(first)).map(|first| first.standing) {
                Some(Standing::Failed(outcome)) => return outcome,
                Some(Standing::Open) => has_own |= effect.is_own(at),
                Some(Standing::Known) | None => {}
            }
        }
        if has_own { Outcome::Ok } else { Outcome::Duplicate }
    }

    /// Writes the row of a message, sent as `message`, with all its events: those that another message of the batch
    /// does, or that were done before, too.
    fn place(&self, work: &Work<'_>, message: &QueuedMessage<'_>, packing: &mut Packing) -> Placed {
        let outcome =
            if work.conflicts > 0 { archive::Outcome::Conflict } else { archive::Outcome::Processed };
        let events = self.events(work).filter(|(_, effect)| effect.first.is_some());
        let texts = events.map(|(at, effect)| match effect.is_own(at) {
            true => Ok(Cow::Borrowed(effect.json.as_str())),
            false => serde_json::to_string(&effect.event).map(Cow::Owned),
        });
        let place = texts.collect::<Result<Vec<_>, _>>().and_then(|texts| {
            packing.add(|line| write_line(line, message, texts.iter().map(AsRef::as_ref), outcome))
        });
        place.map_err(|_| Outcome::Poison("archive_row_unwritable"))
    }

    /// Ends each message. One that only repeats events of another in this batch ends as that one did.
    fn settle(&self, outcomes: &[Outcome], done: &mut Done) {
        let mut ended: Vec<Option<Outcome>> = vec![None; self.effects.len()];
        for (work, outcome) in self.works.iter().zip(outcomes) {
            ended.get_mut(work.events.clone()).unwrap_or_default().fill(Some(*outcome));
        }
        for (work, outcome) in self.works.iter().zip(outcomes) {
            done.conflicts += work.conflicts;
            let firsts = self.events(work).filter_map(|(_, effect)| effect.first);
            let mut copied = firsts.filter_map(|first| {
                let is_own = self.effects.get(first).is_some_and(|effect| effect.is_own(first));
                ended.get(first).copied().flatten().filter(|outcome| is_own && outcome.is_failure())
            });
            let outcome = match (outcome, copied.next()) {
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
}

impl Effect<'_> {
    /// Whether it is still to be done, and is not another message's to do. `at` is its place among all.
    fn is_own(&self, at: usize) -> bool {
        self.first == Some(at) && self.standing == Standing::Open
    }

    fn document(&self) -> Document<'_> {
        Document { event: &self.event, json: &self.json }
    }

    /// Takes what the ledger says of it.
    fn stand(&mut self, claim: Option<&Known>) {
        match claim {
            Some(Known { state: LedgerState::Processed, .. }) => self.standing = Standing::Known,
            // Two deliveries of an event without a time must agree on one, or it would be recorded twice.
            Some(Known { state: LedgerState::Received, received_at, .. }) if !self.is_dated => {
                self.event.occurred_at = *received_at;
            }
            _ => {}
        }
    }
}
