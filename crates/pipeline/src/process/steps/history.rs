//! The transaction history.

use std::{borrow::Cow, collections::HashMap, mem};

use tollgate_batch::{Deadline, Outcome};
use tollgate_core::{Authenticity, PaymentEvent, event::Position};

use crate::{
    ports::{Latest, Link, PortError, PortResult, ProcessPorts, Recorded, Transactions},
    process::{
        Process,
        answers::Answers,
        parallel::SHARES,
        steps::names::{HOPS, Names, keys_of},
        stride::{Arena, EventIx, Events, Ix, Part, Progress, Stride},
    },
};

/// A transaction of the stride.
struct Transaction {
    /// How far it is by its events in this stride, if one of them says so.
    newest: Option<Position>,
    /// One of its events in this stride is marked as the latest state.
    has_latest: bool,
}

impl<P: ProcessPorts> Process<P> {
    /// Writes the history. Gives events the transaction that their ids are names of, marks those that a later state
    /// supersedes, and gives events their final JSON.
    pub(in crate::process) async fn write_history(&self, stride: &mut Stride<'_>, deadline: Deadline) {
        let named =
            stride.copies().into_iter().flat_map(|(_, copy)| keys_of(copy).collect::<Vec<_>>()).collect();
        let names = self.read_names(&mut stride.events, named).await;
        let names = self.link(&mut stride.events, names).await;
        self.recall(stride, &names, deadline).await;
        let events = &mut stride.events;
        order(events, &names);
        self.write_json(events);
        let pending = events.pending();
        let unknown = Latest::default();
        let recorded = |&event| {
            let event = &events[event];
            let known = || names.latest(&event.payment.transaction_key()).unwrap_or(&unknown);
            Recorded {
                document: event.document(),
                is_dated: event.is_dated,
                ahead_of: event.is_latest.then(known),
            }
        };
        let records: Vec<Recorded<'_>> = pending.iter().map(recorded).collect();
        let answers = self.transactions.record(&records).await;
        for (event, answer) in Answers::checked(pending, answers) {
            if let Err(problem) = answer {
                events[event].fail(&problem, UNAVAILABLE, REFUSED);
            }
        }
        // A copy says what its event says.
        for part in &mut stride.parts {
            if let Part::Repeats(event, payment) = part {
                let event = &stride.events[*event].payment;
                payment.transaction_id.clone_from(&event.transaction_id);
                payment.transaction_aliases.clone_from(&event.transaction_aliases);
                payment.superseded = event.superseded;
            }
        }
    }

    /// Reads what is known of the transactions that the events name, and others, and of those that these are names of.
    async fn read_names(&self, events: &mut Events<'_>, others: Vec<String>) -> Names {
        let pending = events.pending();
        let mut names = Names::default();
        let mut wanted = others;
        wanted.reserve(pending.len());
        wanted.extend(pending.iter().flat_map(|&event| keys_of(&events[event].payment)));
        let mut is_sound = true;
        for _ in 0..=HOPS {
            wanted.sort_unstable();
            wanted.dedup();
            let asked: Vec<&str> = wanted.iter().map(String::as_str).collect();
            let answers = self.transactions.latest(&asked).await;
            let mut next = Vec::new();
            for (key, answer) in Answers::checked(mem::take(&mut wanted), answers) {
                is_sound &= answer.is_ok();
                if let Ok(Latest { alias_of, authenticated_alias_of, .. }) = &answer {
                    next.extend(alias_of.iter().chain(authenticated_alias_of).cloned());
                }
                names.known.insert(key, answer);
            }
            next.retain(|key| !names.known.contains_key(key));
            wanted = next;
            if wanted.is_empty() {
                break;
            }
        }
        if is_sound {
            return names;
        }
        for event in pending {
            let by = events[event].payment.authenticity.class();
            let failed = |key: String| {
                let chain: Vec<&str> = names.chain(&key, by).collect();
                chain.into_iter().find_map(|key| names.known.get(key)?.as_ref().err().cloned())
            };
            let problem = keys_of(&events[event].payment).find_map(failed);
            if let Some(problem) = problem {
                events[event].fail(&problem, UNAVAILABLE, REFUSED);
            }
        }
        names
    }

    /// Learns which names the events say are of one transaction, writes what was not known, and gives each event its
    /// transaction.
    async fn link(&self, events: &mut Events<'_>, mut names: Names) -> Names {
        let mut learned = Vec::new();
        for event in events.pending() {
            let payment = &events[event].payment;
            if payment.transaction_aliases.is_empty() {
                continue;
            }
            let by = payment.authenticity.class();
            let keys: Vec<String> = keys_of(payment).collect();
            let roots: Vec<String> = keys.iter().map(|key| names.root(key, by).to_owned()).collect();
            // A transaction that one of the names is known to be of; else the event's own.
            let known = keys.iter().zip(&roots).find(|(key, root)| key != root).map(|(_, root)| root);
            let Some(root) = known.or_else(|| roots.first()).cloned() else { continue };
            for alias in roots {
                if names.root(&alias, by) != root {
                    learned.push((event, names.learn(alias, root.clone(), by)));
                }
            }
        }
        if !learned.is_empty() {
            let (taught_by, links): (Vec<EventIx<'_>>, Vec<Link>) = learned.into_iter().unzip();
            let answers = self.transactions.link(&links).await;
            for (event, answer) in Answers::checked(taught_by, answers) {
                if let Err(problem) = answer {
                    events[event].fail(&problem, UNAVAILABLE, REFUSED);
                }
            }
        }
        for event in events.pending() {
            let payment = &mut events[event].payment;
            let own = payment.transaction_key();
            let root = names.root(&own, payment.authenticity.class());
            if let Some((_, id)) = root.split_once('#').filter(|_| root != own) {
                rename(payment, id);
            }
        }
        names
    }

    fn write_json(&self, events: &mut Events<'_>) {
        let pending = events.pending();
        let texts = self.shares(&pending, SHARES, |share| {
            share.iter().map(|&event| serde_json::to_string(&events[event].payment)).collect::<Vec<_>>()
        });
        let texts = texts
            .into_iter()
            .flatten()
            .map(|text| text.map_err(|_| PortError::permanent("json", "event cannot be written")));
        for (event, text) in Answers::checked(pending, texts.collect()) {
            match text {
                Ok(text) => events[event].json = text,
                Err(_) => events[event].progress = Progress::Failed(Outcome::Poison("event_unwritable")),
            }
        }
    }
}

/// What a failed call does to its events.
pub(super) const UNAVAILABLE: &str = "transactions_unavailable";
const REFUSED: &str = "transaction_refused";

/// Gives an event its transaction's id, and its own among the aliases.
fn rename(payment: &mut PaymentEvent<'_>, id: &str) {
    let own = mem::replace(&mut payment.transaction_id, Cow::Owned(id.to_owned()));
    payment.transaction_aliases.retain(|alias| *alias != id && *alias != own);
    payment.transaction_aliases.insert(0, own);
}

/// The later of two, the first where neither is behind.
fn later(one: Option<Position>, other: Option<Position>) -> Option<Position> {
    match (one, other) {
        (Some(one), Some(other)) if one.is_behind(&other) => Some(other),
        (one, other) => one.or(other),
    }
}

/// Compares the events with the latest known state of their transactions.
fn order(events: &mut Events<'_>, names: &Names) {
    let pending = events.pending();
    let keys: Vec<String> = pending.iter().map(|&event| events[event].payment.transaction_key()).collect();
    let mut before: HashMap<(&str, Authenticity), Option<Position>> = HashMap::with_capacity(2 * keys.len());
    let mut positions: Vec<(&String, Position)> = Vec::with_capacity(keys.len());
    let position = |known: &PortResult<Latest>| Some(known.as_ref().ok()?.state?.position);
    positions.extend(names.known.iter().filter_map(|(key, known)| Some((key, position(known)?))));
    // A map has no order of its own, and where a time is missing the order counts.
    positions.sort_unstable_by_key(|(key, _)| *key);
    for (key, position) in positions {
        for by in [Authenticity::Verified, Authenticity::Authenticated] {
            let known = before.entry((names.root(key, by), by)).or_default();
            *known = later(*known, Some(position));
        }
    }
    let mut transaction_of: HashMap<&str, Ix<Transaction>> = HashMap::with_capacity(keys.len());
    let mut transactions = Arena::with_capacity(keys.len());
    let mut of_event = Vec::with_capacity(keys.len());
    for (&event, key) in pending.iter().zip(&keys) {
        let transaction = *transaction_of
            .entry(key)
            .or_insert_with(|| transactions.push(Transaction { newest: None, has_latest: false }));
        // What only changes something leaves its transaction where it is.
        if !events[event].payment.kind.is_update() {
            let newest = &mut transactions[transaction].newest;
            *newest = later(*newest, Some(events[event].position()));
        }
        let before =
            before.get(&(key.as_str(), events[event].payment.authenticity.class())).copied().flatten();
        of_event.push((event, transaction, before));
    }
    for (event, transaction, before) in of_event {
        let Transaction { newest, has_latest } = &mut transactions[transaction];
        let event = &mut events[event];
        let position = event.position();
        let is_behind = |other: &Option<Position>| other.is_some_and(|other| position.is_behind(&other));
        event.payment.superseded = is_behind(&before) || is_behind(newest);
        let is_ahead = before.is_none_or(|before| before.is_behind(&position));
        let is_newest = *newest == Some(position) && is_ahead && !event.payment.kind.is_update();
        event.is_latest = is_newest && !*has_latest;
        *has_latest |= is_newest;
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::{
        EndpointId, EventType, Facts, ProviderId, RiskTier, Timestamp, WebhookId, event::Arrival,
    };

    use super::*;

    #[test]
    fn an_event_names_each_id_of_its_transaction_once() {
        let arrival = Arrival {
            webhook_id: &WebhookId::new(Timestamp::UNIX_EPOCH, 1),
            endpoint: &EndpointId::new("acme").unwrap(),
            provider: &ProviderId::new("generic").unwrap(),
            authenticity: Authenticity::Verified,
            received_at: Timestamp::UNIX_EPOCH,
        };
        for (aliases, expected) in [
            (&[][..], &["own"][..]),
            (&["other"], &["own", "other"]),
            (&["of", "other"], &["own", "other"]),
            (&["own", "other"], &["own", "other"]),
        ] {
            let facts = Facts {
                transaction_id: Some("own".into()),
                aliases: aliases.iter().map(|alias| Cow::Borrowed(*alias)).collect(),
                ..Facts::new("e", "paid", EventType::PaymentSucceeded)
            };
            let mut payment = PaymentEvent::new(facts, arrival, RiskTier::Unrated);
            rename(&mut payment, "of");
            assert_eq!(payment.transaction_id, "of");
            assert_eq!(payment.transaction_aliases, expected, "{aliases:?}");
        }
    }
}
