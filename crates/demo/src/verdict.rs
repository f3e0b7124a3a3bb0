//! Comparing what was sent with what was found: the demo's judgement, free of any call.

use std::{collections::BTreeSet, fmt};

use tollgate_core::{Queue, RiskTier};
use tollgate_samples::Kind;

use crate::{
    census::{Census, Copies, Wanted, consumers},
    deliver::{Delivered, Ending},
    plan::{Fate, Planned},
};

/// The figures of the last line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Webhooks of the plan; attempts at one count once.
    pub(crate) sent: u64,
    pub(crate) accepted: u64,
    /// Accepted webhooks whose every event the ledger holds as processed.
    pub(crate) processed: u64,
    /// Accepted webhooks whose bytes, read back from the archive, are those that were sent.
    pub(crate) archived: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejected: u64,
    /// Accepted webhooks that are missing at a destination where they belong.
    pub(crate) lost: u64,
    /// Events with more than one transaction record, and effects that a consumer's queue has by more than one event.
    pub(crate) doubled: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, accepted, processed, archived, duplicates, rejected, lost, doubled } = self;
        write!(
            f,
            "demo: sent {sent}, accepted {accepted}, processed {processed}, archived {archived}, \
             duplicates {duplicates}, rejected {rejected}, lost {lost}, effects twice {doubled}"
        )
    }
}

/// What one destination should hold and holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) name: &'static str,
    pub(crate) expected: u64,
    pub(crate) found: u64,
    /// Copies beyond the first: at least once, by design.
    pub(crate) repeats: u64,
    pub(crate) note: String,
}

/// The judgement.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    pub(crate) figures: Figures,
    pub(crate) destinations: Vec<Destination>,
    /// Everything that is not as it must be.
    pub(crate) problems: Vec<String>,
}

impl Verdict {
    /// Whether every webhook is accounted for, none lost and none doubled.
    pub(crate) fn is_good(&self) -> bool {
        let Figures { sent, accepted, duplicates, rejected, lost, doubled, .. } = self.figures;
        self.problems.is_empty() && lost == 0 && doubled == 0 && sent == accepted + duplicates + rejected
    }
}

/// The events that must be found, of the webhooks that were accepted.
pub(crate) fn wanted(planned: &[Planned], delivered: &[Delivered]) -> Wanted {
    let mut wanted = Wanted::default();
    for (effect, event) in
        accepted(planned, delivered).flat_map(|one| one.events.iter().map(move |event| (one.effect, event)))
    {
        let id = event.id.as_str().to_owned();
        if let Some(effect) = effect {
            wanted.effects.entry(effect).or_default().insert(id);
            continue;
        }
        if let Some(queue) = queue(event.kind) {
            wanted.routed.entry(queue).or_default().insert(id.clone());
        }
        match event.tier {
            RiskTier::Medium => wanted.medium.insert(id),
            RiskTier::High => wanted.high.insert(id),
            RiskTier::Low | RiskTier::Unrated => false,
        };
    }
    wanted
}

fn accepted<'a>(planned: &'a [Planned], delivered: &'a [Delivered]) -> impl Iterator<Item = &'a Planned> {
    planned
        .iter()
        .zip(delivered)
        .filter(|(planned, delivered)| delivered.ending == Ending::Accepted && planned.repeats.is_none())
        .map(|(planned, _)| planned)
}

/// Judges. `names` are the endpoints' names by signer.
pub(crate) fn judge(
    planned: &[Planned],
    delivered: &[Delivered],
    names: &[String],
    census: &Census,
) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.count_endings(planned, delivered, names);
    let mut ledger_events = 0;
    let mut all_events = 0;
    let wanted = wanted(planned, delivered);
    for planned in accepted(planned, delivered) {
        let is_processed = |key: &String| census.ledger.get(key).is_some_and(|state| state == "processed");
        let processed = planned.events.iter().all(|event| is_processed(&event.key));
        all_events += planned.events.len() as u64;
        ledger_events += planned.events.iter().filter(|event| is_processed(&event.key)).count() as u64;
        let recorded = planned.events.iter().all(|event| census.transactions.contains_key(event.id.as_str()));
        let routed = match planned.effect.and_then(|effect| wanted.effects.get(&effect)) {
            Some(ids) => ids.iter().any(|id| census.copies(Queue::Payments, id) > 0),
            None => planned.events.iter().all(|event| is_routed(census, event.kind, event.id.as_str())),
        };
        let endpoint = names.get(planned.signer).cloned().unwrap_or_default();
        let archived = census.archive.contains_key(&(endpoint.clone(), planned.body_sha256.clone()));
        verdict.figures.processed += u64::from(processed);
        verdict.figures.archived += u64::from(archived);
        if !(processed && recorded && routed && archived) {
            verdict.figures.lost += 1;
            let event = planned.events.first().map_or("-", |event| event.id.as_str());
            let missing: Vec<&str> = [
                (processed, "not processed in the ledger"),
                (recorded, "no transaction record"),
                (routed, "not in its queue"),
                (archived, "not in the archive"),
            ]
            .into_iter()
            .filter(|(there, _)| !there)
            .map(|(_, what)| what)
            .collect();
            verdict.problems.push(format!("{endpoint} {event}: accepted, but {}", missing.join(", ")));
        }
    }
    verdict.destinations.push(Destination {
        name: "ledger, processed",
        expected: all_events,
        found: ledger_events,
        repeats: 0,
        note: String::new(),
    });
    verdict.compare(planned, delivered, names, census, &wanted);
    verdict
}

/// The queue of such events; `None` where they are on the bus only.
fn queue(kind: Option<Kind>) -> Option<Queue> {
    Queue::of(kind?.category())
}

fn is_routed(census: &Census, kind: Option<Kind>, id: &str) -> bool {
    queue(kind).is_none_or(|queue| census.copies(queue, id) > 0)
}

impl Verdict {
    fn count_endings(&mut self, planned: &[Planned], delivered: &[Delivered], names: &[String]) {
        for (planned, delivered) in planned.iter().zip(delivered) {
            self.figures.sent += 1;
            match delivered.ending {
                Ending::Accepted => self.figures.accepted += 1,
                Ending::Duplicate => self.figures.duplicates += 1,
                Ending::Rejected(_) => self.figures.rejected += 1,
                Ending::Unanswered => {}
            }
            let agrees = match (planned.fate, delivered.ending) {
                (Fate::Accepted, Ending::Accepted) | (Fate::Duplicate, Ending::Duplicate) => true,
                (Fate::Rejected(due), Ending::Rejected(status)) => due == status,
                _ => false,
            };
            if !agrees {
                let endpoint = names.get(planned.signer).map_or("", String::as_str);
                self.problems.push(format!(
                    "{endpoint} ({:?}): {:?} after {} attempts, where {:?} was due",
                    planned.class, delivered.ending, delivered.attempts, planned.fate
                ));
            }
        }
        if planned.len() != delivered.len() {
            self.problems.push(format!("{} of {} webhooks were delivered", delivered.len(), planned.len()));
        }
    }

    fn compare(
        &mut self,
        planned: &[Planned],
        delivered: &[Delivered],
        names: &[String],
        census: &Census,
        wanted: &Wanted,
    ) {
        let events: BTreeSet<String> = accepted(planned, delivered)
            .flat_map(|planned| planned.events.iter().map(|event| event.id.as_str().to_owned()))
            .collect();
        self.figures.doubled = events
            .iter()
            .filter(|id| census.transactions.get(*id).is_some_and(|records| *records > 1))
            .count() as u64;
        for id in events.iter().filter(|id| census.transactions.get(*id).is_some_and(|records| *records > 1))
        {
            self.problems.push(format!("{id}: recorded more than once"));
        }
        self.effects(wanted, census);

        let flagged = census.flagged.len();
        let flagged =
            if flagged == 0 { String::new() } else { format!("and {flagged} flagged by the workflow") };
        self.add("transactions", &events, &census.transactions, String::new());
        let (no_events, no_copies) = (BTreeSet::new(), Copies::new());
        for queue in consumers() {
            let expected = wanted.routed.get(&queue).unwrap_or(&no_events);
            let found = census.routed.get(&queue).unwrap_or(&no_copies);
            let note = if queue == Queue::Payments { flagged.clone() } else { String::new() };
            self.add(queue.stem(), expected, found, note);
            if queue == Queue::Payments {
                self.told_effects(wanted, census);
            }
        }
        self.add("alerts, medium value", &wanted.medium, &census.medium_alerts, String::new());
        self.add("alerts, high value", &wanted.high, &census.high_notices, String::new());
        let failed = census.failed_runs;
        let note = if failed == 0 { String::new() } else { format!("{failed} of them failed") };
        self.add("workflow runs", &wanted.high, &census.runs, note);
        self.archive_row(planned, delivered, names, census);
        for (name, expected, found) in [
            ("alerts, medium value", &wanted.medium, &census.medium_alerts),
            ("alerts, high value", &wanted.high, &census.high_notices),
            ("workflow runs", &wanted.high, &census.runs),
        ] {
            for id in expected.iter().filter(|id| !found.contains_key(*id)) {
                self.problems.push(format!("{id}: missing among {name}"));
            }
        }
        if census.altered_rows > 0 {
            self.problems.push(format!("{} archive rows differ from their receipts", census.altered_rows));
        }
        self.intruders(planned, delivered, census);
    }

    /// A consumer gets each effect by one event, whatever the events themselves say of it.
    fn effects(&mut self, wanted: &Wanted, census: &Census) {
        let at_consumer = |ids: &BTreeSet<String>| -> BTreeSet<String> {
            ids.iter().filter(|id| census.copies(Queue::Payments, id) > 0).cloned().collect()
        };
        let by_plan = wanted.effects.values().map(at_consumer);
        let doubled: BTreeSet<BTreeSet<String>> =
            by_plan.chain(census.effects.values().cloned()).filter(|ids| ids.len() > 1).collect();
        self.figures.doubled += doubled.len() as u64;
        for ids in doubled {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            self.problems.push(format!("{}: one effect, at a consumer more than once", ids.join(", ")));
        }
    }

    fn told_effects(&mut self, wanted: &Wanted, census: &Census) {
        let events = wanted.effects.values().flatten();
        let copies =
            |ids: &BTreeSet<String>| -> u64 { ids.iter().map(|id| census.copies(Queue::Payments, id)).sum() };
        let found: Vec<u64> = wanted.effects.values().map(copies).filter(|copies| *copies > 0).collect();
        self.destinations.push(Destination {
            name: "payments-queue, told by several",
            expected: wanted.effects.len() as u64,
            found: found.len() as u64,
            repeats: found.iter().map(|copies| copies - 1).sum(),
            note: format!("payments, told by {} events", events.count()),
        });
    }

    fn add(&mut self, name: &'static str, expected: &BTreeSet<String>, copies: &Copies, note: String) {
        let found: Vec<u64> = expected.iter().filter_map(|id| copies.get(id).copied()).collect();
        self.destinations.push(Destination {
            name,
            expected: expected.len() as u64,
            found: found.len() as u64,
            repeats: found.iter().map(|copies| copies.saturating_sub(1)).sum(),
            note,
        });
    }

    fn archive_row(
        &mut self,
        planned: &[Planned],
        delivered: &[Delivered],
        names: &[String],
        census: &Census,
    ) {
        let rows: Vec<u64> = accepted(planned, delivered)
            .filter_map(|planned| {
                let endpoint = names.get(planned.signer)?.clone();
                census.archive.get(&(endpoint, planned.body_sha256.clone())).copied()
            })
            .collect();
        self.destinations.push(Destination {
            name: "archive, byte for byte",
            expected: accepted(planned, delivered).count() as u64,
            found: rows.len() as u64,
            repeats: rows.iter().map(|rows| rows.saturating_sub(1)).sum(),
            note: format!(
                "{} objects; {} bodies by claim check",
                census.archive_objects, census.payload_objects
            ),
        });
    }

    /// What was refused must have left no trace.
    fn intruders(&mut self, planned: &[Planned], delivered: &[Delivered], census: &Census) {
        for (planned, delivered) in planned.iter().zip(delivered) {
            if !matches!(delivered.ending, Ending::Rejected(_)) {
                continue;
            }
            for event in &planned.events {
                let id = event.id.as_str();
                let found = census.ledger.contains_key(&event.key)
                    || census.transactions.contains_key(id)
                    || consumers().any(|queue| census.copies(queue, id) > 0);
                if found {
                    self.problems
                        .push(format!("{id} ({:?}): refused, and yet it had effects", planned.class));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{signers, small};

    fn names() -> Vec<String> {
        signers().iter().map(|signer| signer.endpoint.id().to_string()).collect()
    }

    fn as_planned(planned: &[Planned]) -> Vec<Delivered> {
        planned
            .iter()
            .map(|planned| {
                let ending = match planned.fate {
                    Fate::Accepted => Ending::Accepted,
                    Fate::Duplicate => Ending::Duplicate,
                    Fate::Rejected(status) => Ending::Rejected(status),
                };
                Delivered { ending, attempts: 1, answer: None }
            })
            .collect()
    }

    /// A census where all is as it must be.
    fn complete(planned: &[Planned]) -> Census {
        let mut census = Census::default();
        let mut told = BTreeSet::new();
        for one in planned.iter().filter(|one| one.fate == Fate::Accepted) {
            for event in &one.events {
                let is_first = one.effect.is_none_or(|effect| told.insert(effect));
                let id = event.id.as_str().to_owned();
                census.ledger.insert(event.key.clone(), "processed".to_owned());
                census.transactions.insert(id.clone(), 1);
                if let Some(queue) = queue(event.kind).filter(|_| is_first) {
                    let effect = one.effect.map_or(id.clone(), |effect| effect.to_string());
                    census.effects.entry(effect).or_default().insert(id.clone());
                    census.routed.entry(queue).or_default().insert(id.clone(), 1);
                }
                match event.tier {
                    RiskTier::Medium => census.medium_alerts.insert(id, 1),
                    RiskTier::High => {
                        census.high_notices.insert(id.clone(), 1);
                        census.runs.insert(id, 1)
                    }
                    _ => None,
                };
            }
            census.archive.insert((names()[one.signer].clone(), one.body_sha256.clone()), 1);
        }
        census
    }

    fn check(change: impl FnOnce(&mut Vec<Delivered>, &mut Census)) -> (Verdict, Vec<Planned>) {
        let planned = small(300);
        let (mut delivered, mut census) = (as_planned(&planned), complete(&planned));
        change(&mut delivered, &mut census);
        (judge(&planned, &delivered, &names(), &census), planned)
    }

    #[test]
    fn a_complete_road_is_good() {
        let (verdict, _) = check(|_, _| {});
        assert!(verdict.is_good(), "{:?}", verdict.problems);
        let Figures { sent, accepted, processed, archived, duplicates, rejected, lost, doubled } =
            verdict.figures;
        assert_eq!((sent, lost, doubled), (300, 0, 0));
        assert_eq!((accepted, accepted), (processed, archived));
        assert_eq!(sent, accepted + duplicates + rejected);
        let line = verdict.figures.to_string();
        assert!(
            line.starts_with("demo: sent 300, accepted ") && line.ends_with("lost 0, effects twice 0"),
            "{line}"
        );
    }

    #[test]
    fn whatever_is_missing_is_lost() {
        type Remove = fn(&mut Census) -> bool;
        let removals: [Remove; 3] = [
            |census| census.ledger.pop_first().is_some(),
            |census| census.transactions.pop_first().is_some(),
            |census| census.archive.pop_first().is_some(),
        ];
        for (number, remove) in removals.into_iter().enumerate() {
            let (verdict, _) = check(|_, census| assert!(remove(census)));
            assert_eq!(verdict.figures.lost, 1, "removal {number}");
            assert!(!verdict.is_good());
        }
        let queues = complete(&small(300)).routed;
        assert_eq!(queues.len(), Kind::ALL.len());
        for queue in queues.into_keys() {
            let (verdict, _) = check(|_, census| {
                census.routed.get_mut(&queue).unwrap().pop_first().unwrap();
            });
            assert_eq!(verdict.figures.lost, 1, "{queue:?}");
            assert!(!verdict.is_good());
        }
        let (verdict, _) = check(|_, census| {
            for state in census.ledger.values_mut() {
                *state = "received".to_owned();
            }
        });
        assert_eq!((verdict.figures.processed, verdict.figures.lost), (0, verdict.figures.accepted));
    }

    #[test]
    fn a_second_record_is_an_effect_twice() {
        let (verdict, _) = check(|_, census| *census.transactions.values_mut().next().unwrap() = 2);
        assert_eq!((verdict.figures.doubled, verdict.figures.lost), (1, 0));
        assert!(!verdict.is_good());
        // A second message or row is at least once, and is shown, not condemned.
        let (verdict, _) = check(|_, census| {
            *census.routed.get_mut(&Queue::Payments).unwrap().values_mut().next().unwrap() = 2;
            *census.archive.values_mut().next().unwrap() = 2;
        });
        assert!(verdict.is_good());
        assert_eq!(verdict.destinations.iter().map(|one| one.repeats).sum::<u64>(), 2);
    }

    #[test]
    fn two_events_of_one_effect_at_a_consumer_are_an_effect_twice() {
        // By the plan, whatever the events say.
        let (verdict, planned) = check(|_, census| {
            let planned = small(300);
            let told = planned.iter().filter(|one| one.effect == Some(0) && one.repeats.is_none());
            let second = told.last().unwrap().events[0].id.to_string();
            census.routed.entry(Queue::Payments).or_default().insert(second, 1);
        });
        assert_eq!(planned.iter().filter(|one| one.effect == Some(0) && one.repeats.is_none()).count(), 3);
        assert_eq!((verdict.figures.doubled, verdict.figures.lost), (1, 0));
        // By their effect's id.
        let (verdict, _) = check(|_, census| {
            let effect = census.effects.values_mut().next().unwrap();
            effect.insert("evt_another".to_owned());
        });
        assert_eq!(verdict.figures.doubled, 1);
        assert!(!verdict.is_good());
        // No event of an effect is one lost, for each webhook that tells it.
        let (verdict, _) = check(|_, census| {
            let told: Vec<String> = small(300)
                .iter()
                .filter(|one| one.effect == Some(0))
                .map(|one| one.events[0].id.to_string())
                .collect();
            census.routed.get_mut(&Queue::Payments).unwrap().retain(|id, _| !told.contains(id));
        });
        assert_eq!((verdict.figures.doubled, verdict.figures.lost), (0, 3));
    }

    #[test]
    fn every_other_disagreement_is_told() {
        let alter: [fn(&mut Vec<Delivered>, &mut Census); 6] = [
            |delivered, _| delivered[0].ending = Ending::Unanswered,
            |delivered, _| delivered.truncate(299),
            |_, census| census.altered_rows = 1,
            |_, census| assert!(census.medium_alerts.pop_first().is_some()),
            |_, census| assert!(census.runs.pop_first().is_some()),
            |delivered, _| {
                let rejected = delivered.iter_mut().find(|one| matches!(one.ending, Ending::Rejected(_)));
                rejected.unwrap().ending = Ending::Accepted;
            },
        ];
        for (number, alter) in alter.into_iter().enumerate() {
            let (verdict, _) = check(alter);
            assert!(!verdict.is_good(), "alteration {number}");
        }
        let planned = small(300);
        let (delivered, mut census) = (as_planned(&planned), complete(&planned));
        let forged = planned.iter().find(|one| matches!(one.fate, Fate::Rejected(401))).unwrap();
        census.ledger.insert(forged.events[0].key.clone(), "received".to_owned());
        assert!(!judge(&planned, &delivered, &names(), &census).is_good());
    }
}
