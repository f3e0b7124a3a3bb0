//! The steps of a delivery, and where there is a gap its likely cause. It decides of what was found and asks nothing.

use tollgate_aws::names::Names;
use tollgate_core::{Authenticity, Delivery, EventId, LedgerKey, PaymentEvent, Queue, Timestamp, WebhookId};
use tollgate_pipeline::{
    intake::Seal,
    ports::{Known, LEDGER_RETENTION_SECONDS, LedgerState},
};

use super::{
    advice::{reason_cause, refused},
    arrival::Arrival,
    letters::Letter,
    model::{ClaimOf, DecisionOf, Part, Progress, ReceiptOf, Step},
    routes,
};
use crate::{archived::Found, queues::Depth};

/// Within this time a message that was tried comes back and is tried for the last time: three receives, six minutes apart
/// (docs/runbook.md, Stuck FIFO group).
const TRIED_SECONDS: i64 = 20 * 60;
/// Within this time a row is written: the archive's batches wait for up to five minutes, and one that failed is tried again
/// after half an hour (docs/runbook.md, Old messages).
const WRITTEN_SECONDS: i64 = 40 * 60;
/// The archive's objects expire after 365 days (docs/archive.md).
const ARCHIVED_SECONDS: i64 = 365 * 24 * 60 * 60;

/// What was found of a delivery.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) now: Timestamp,
    pub(super) names: &'a Names,
    pub(super) webhook_id: WebhookId,
    pub(super) arrival: Option<&'a Arrival>,
    pub(super) receipt: Option<&'a ReceiptOf>,
    /// Which intake its endpoint has, as it is configured now.
    pub(super) delivery: Option<Delivery>,
    pub(super) rows: &'a [&'a Found],
    /// Whether the archive was asked.
    pub(super) is_archive_read: bool,
    pub(super) letters: &'a [Letter],
    /// Messages that an operator allows, though they are too old.
    pub(super) allowed: &'a [Seal],
    pub(super) events: &'a [EventSeen],
    pub(super) depths: &'a [Depth],
}

/// What was found of an event.
#[derive(Debug, Clone)]
pub(super) struct EventSeen {
    pub(super) key: LedgerKey,
    pub(super) event: Option<PaymentEvent<'static>>,
    pub(super) claim: ClaimOf,
    /// Whether its payment's history has it; `None` where the payment is not known.
    pub(super) is_recorded: Option<bool>,
    pub(super) decision: Option<DecisionOf>,
    /// The delivery told it with other payment facts than it was claimed with.
    pub(super) is_contradicted: bool,
}

impl EventSeen {
    pub(super) fn id(&self) -> EventId {
        self.event.as_ref().map_or_else(|| self.key.event_id(), |event| event.id)
    }
}

/// A claim as it is shown. `at`: when a delivery of the event arrived.
pub(crate) fn claim_of(
    known: Option<&Known>,
    at: Timestamp,
    is_remembered: impl Fn(Timestamp) -> bool,
) -> ClaimOf {
    match known {
        Some(known) => {
            let (since, webhook_id) = (known.received_at, known.webhook_id);
            match known.state {
                LedgerState::Processed => ClaimOf::Processed { since, webhook_id },
                LedgerState::Received => ClaimOf::Received { since, webhook_id, is_too_old: known.is_aside },
            }
        }
        None if is_remembered(at) => ClaimOf::Missing,
        None => ClaimOf::Forgotten,
    }
}

/// Whether the ledger's memory reaches back to the time.
pub(crate) fn is_remembered(at: Timestamp, now: Timestamp) -> bool {
    now.as_second() - at.as_second() < LEDGER_RETENTION_SECONDS
}

impl Seen<'_> {
    /// Its way, from the gateway to the archive.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = vec![self.arrival(), self.signature()];
        if let Some(arrival) = self.arrival.filter(|arrival| arrival.is_rejected()) {
            let detail = "nothing was promised, claimed or kept".to_owned();
            let step = step(Part::Claim, None, Progress::LeftOut, detail);
            steps.push(Step { at: Some(arrival.timestamp), ..step });
            return steps;
        }
        steps.extend(self.events.iter().map(|event| self.claim(event)));
        if self.events.is_empty() {
            steps.push(self.no_event());
        }
        steps.extend(self.queue());
        for event in self.events.iter().filter(|event| !event.is_contradicted) {
            steps.push(self.transaction(event));
            steps.push(self.bus(event));
            steps.extend(self.targets(event));
            steps.extend(self.fraud(event));
        }
        steps.extend(self.archive());
        steps
    }

    fn age(&self) -> i64 {
        self.now.as_second() - self.webhook_id.arrived_at().as_second()
    }

    fn arrival(&self) -> Step {
        let at = self.webhook_id.arrived_at();
        let from = self.receipt.map(|receipt| format!(", from {}", receipt.source_ip)).unwrap_or_default();
        let (progress, detail, cause) = match self.arrival {
            Some(arrival) if arrival.is_rejected() => {
                let error = arrival.error.as_deref().unwrap_or_default();
                let detail = format!(
                    "refused at {} with {}: {} ({error})",
                    arrival.endpoint, arrival.status, arrival.reason
                );
                (Progress::Stopped, detail, Some(refused(arrival)))
            }
            Some(arrival) => {
                let detail =
                    format!("{} at {}, answered {}{from}", arrival.outcome, arrival.endpoint, arrival.status);
                (Progress::Done, detail, None)
            }
            None if self.is_known() => (Progress::Done, format!("arrived{from}"), None),
            None => {
                let detail = "nothing but its id is known".to_owned();
                let cause = format!(
                    "it was refused, it is not archived yet, or there was none: the validator's log has its id, \
                     `aws logs tail /aws/lambda/webhook-validator-{} --filter-pattern '\"{}\"'`",
                    self.names.suffix(),
                    self.webhook_id
                );
                (Progress::Missing, detail, Some(cause))
            }
        };
        Step { at: Some(at), cause, ..step(Part::Arrival, None, progress, detail) }
    }

    /// Whether something was kept of it.
    fn is_known(&self) -> bool {
        self.receipt.is_some() || !self.rows.is_empty() || !self.events.is_empty() || self.letter().is_some()
    }

    fn signature(&self) -> Step {
        let Some(receipt) = self.receipt else {
            let (progress, detail) = match self.arrival {
                Some(arrival) if arrival.is_rejected() => (
                    Progress::Unknown,
                    "see `tollgate rejected show`, where its endpoint keeps what it refuses; `tollgate verify` explains a captured request",
                ),
                Some(_) => (
                    Progress::Implied,
                    "it holds, since the webhook was taken; the receipt is not archived yet",
                ),
                None => (Progress::Unknown, "no receipt was found"),
            };
            return step(Part::Signature, None, progress, detail.to_owned());
        };
        let mut checks = Vec::new();
        if receipt.authenticity == Authenticity::Retrieved {
            checks.push("retrieved from the provider's API: nobody sent it".to_owned());
        } else {
            checks.push(format!("{} by the key {}", receipt.authenticity.as_str(), receipt.key_id));
            checks.push(match receipt.signed_at {
                Some(signed_at) => {
                    let seconds = receipt.verified_at.as_second() - signed_at.as_second();
                    format!("signed at {signed_at}, {seconds} s before the check")
                }
                None => "its scheme signs no time".to_owned(),
            });
        }
        checks.extend(receipt.taken_in_at.map(|at| format!("refused when it arrived, and taken in at {at}")));
        checks.push(match receipt.is_of_archived_body {
            Some(true) => "the archived body has the digest that was checked".to_owned(),
            Some(false) => "the archived body has ANOTHER digest than was checked".to_owned(),
            None => "the body was not read".to_owned(),
        });
        let is_altered = receipt.is_of_archived_body == Some(false);
        let progress = if is_altered { Progress::Stopped } else { Progress::Done };
        let cause =
            is_altered.then(|| "somebody changed the object: see who wrote it (CloudTrail)".to_owned());
        let step = step(Part::Signature, None, progress, checks.join("; "));
        Step { at: Some(receipt.verified_at), cause, ..step }
    }

    fn claim(&self, event: &EventSeen) -> Step {
        let named = event.key.as_str().split_once('#').map_or("", |(_, id)| id);
        let of = |progress, at, detail: String, cause: Option<String>| Step {
            at,
            cause,
            ..step(Part::Claim, Some(event.id()), progress, format!("{named}: {detail}"))
        };
        if event.is_contradicted {
            let since = match event.claim {
                ClaimOf::Processed { since, .. } | ClaimOf::Received { since, .. } => Some(since),
                _ => None,
            };
            let detail = "known with other payment facts: a conflict".to_owned();
            let cause = "`tollgate conflicts show` has both: find out which facts are true (docs/runbook.md, Conflicts). Those that it was claimed with stand, and this delivery never has an effect";
            return of(Progress::Stopped, since, detail, Some(cause.to_owned()));
        }
        match &event.claim {
            ClaimOf::Processed { since, webhook_id } => {
                let by = match webhook_id {
                    Some(id) if *id == self.webhook_id => "processed, by this delivery".to_owned(),
                    Some(id) => format!("processed, by {id}"),
                    None => "processed".to_owned(),
                };
                of(Progress::Done, Some(*since), by, None)
            }
            ClaimOf::Received { since, webhook_id, is_too_old } => {
                let by = match webhook_id {
                    Some(id) if *id == self.webhook_id => "claimed by this delivery".to_owned(),
                    Some(id) => format!("claimed by {id}"),
                    None => "claimed".to_owned(),
                };
                let aside = if *is_too_old { ", and set aside as too old" } else { "" };
                of(Progress::Done, Some(*since), format!("{by}, not processed{aside}"), None)
            }
            ClaimOf::Forgotten => {
                of(Progress::Unknown, None, "the ledger forgets a claim after 30 days".to_owned(), None)
            }
            ClaimOf::Missing => {
                let cause = match self.reason() {
                    Some("unclaimed") => {
                        "nobody accepted this message (docs/runbook.md, Dead letters intake: unclaimed)".to_owned()
                    }
                    _ => "the ledger's table was restored to a time before, or another version read another event id; \
                          the provider's next try claims it again"
                        .to_owned(),
                };
                of(Progress::Missing, None, "no claim".to_owned(), Some(cause))
            }
        }
    }

    fn no_event(&self) -> Step {
        let detail = "which events it holds is not known".to_owned();
        step(Part::Claim, None, Progress::Unknown, detail)
    }

    fn letter(&self) -> Option<&Letter> {
        let is_own = |letter: &&Letter| {
            letter.intake.as_ref().is_some_and(|intake| intake.webhook_id == self.webhook_id)
        };
        self.letters.iter().find(is_own)
    }

    /// Why it was set aside, as the archive has it.
    fn reason(&self) -> Option<&str> {
        let of_row = self.rows.iter().find_map(|found| found.row.reason.as_deref());
        self.letter().and_then(|letter| letter.reason.as_deref()).or(of_row)
    }

    /// Whether an event of it waits for its effects.
    fn is_open(&self) -> bool {
        self.events.iter().any(|event| matches!(event.claim, ClaimOf::Received { .. }))
    }

    /// Whether it took effect, as its rows say.
    fn is_processed(&self) -> bool {
        self.rows
            .iter()
            .any(|found| matches!(found.row.outcome.as_str(), "processed" | "conflict" | "duplicate"))
    }

    fn queue(&self) -> Option<Step> {
        let queue = match self.delivery {
            Some(Delivery::Ordered) => Queue::IntakeOrdered,
            _ => Queue::Intake,
        };
        let name = self.names.queue(queue);
        if let Some(letter) = self.letter() {
            let reason = letter.reason.as_deref();
            let detail = format!(
                "set aside as {}; in {} until {}",
                reason.unwrap_or("nothing: SQS moved it after 20 receives"),
                letter.queue,
                letter.kept_until
            );
            let is_allowed = letter.intake.as_ref().is_some_and(|one| self.allowed.contains(&one.seal));
            let cause = match is_allowed {
                true => "an operator allows it: redrive it (docs/runbook.md, Dead letters intake)".to_owned(),
                false => reason_cause(reason.unwrap_or("none")),
            };
            let step = step(Part::Queue, None, Progress::Stopped, detail);
            return Some(Step { at: Some(letter.sent_at), cause: Some(cause), ..step });
        }
        if self.is_processed() {
            let detail = format!("received from {name}");
            return Some(step(Part::Queue, None, Progress::Implied, detail));
        }
        if let Some(reason) = self.reason() {
            let detail =
                format!("set aside as {reason}; it is no longer among the dead letters that were looked at");
            let is_open = self.is_open() || self.events.is_empty();
            let (progress, cause) = if is_open {
                (
                    Progress::Stopped,
                    "it was redriven and waits again, was deleted, or its 14 days are over; the archive has its bytes",
                )
            } else {
                (Progress::Done, "its events were processed meanwhile")
            };
            let step = step(Part::Queue, None, progress, detail);
            return Some(Step { cause: Some(cause.to_owned()), ..step });
        }
        if self.events.is_empty() && self.arrival.is_none() {
            return None;
        }
        if !self.events.is_empty() && !self.is_open() {
            let detail = format!("received from {name}, or its events were processed with another delivery");
            return Some(step(Part::Queue, None, Progress::Implied, detail));
        }
        let depth = self.depths.iter().find(|depth| depth.name == name);
        let (waiting, at_work) =
            depth.map_or((0, 0), |depth| (depth.visible + depth.delayed, depth.in_flight));
        let detail = format!(
            "{name} has {waiting} waiting and {at_work} at work; whether it is among them is not looked at"
        );
        if self.age() < TRIED_SECONDS {
            return Some(step(Part::Queue, None, Progress::Waiting, detail));
        }
        let cause = if waiting + at_work == 0 {
            "claimed, and no message is left: the validator ended between claim and queue, or the dead letter was deleted. The provider's next try makes it good: have it send again"
        } else {
            "it waits behind others, or comes back after failures: see the processor's log (docs/runbook.md, Old messages)"
        };
        let step = step(Part::Queue, None, Progress::Missing, detail);
        Some(Step { cause: Some(cause.to_owned()), ..step })
    }

    fn transaction(&self, event: &EventSeen) -> Step {
        let is_processed = matches!(event.claim, ClaimOf::Processed { .. });
        let id = Some(event.id());
        let of = event.event.as_ref().map_or_else(String::new, |event| event.transaction_key());
        match event.is_recorded {
            Some(true) => step(Part::Transaction, id, Progress::Done, format!("in the history of {of}")),
            Some(false) if is_processed => {
                let detail = format!("not in the history of {of}");
                let cause = "the table was restored to a time before, or the event is recorded under another id of its payment: the archive has it, and a replay writes it again";
                Step {
                    cause: Some(cause.to_owned()),
                    ..step(Part::Transaction, id, Progress::Missing, detail)
                }
            }
            Some(false) => step(Part::Transaction, id, Progress::Waiting, "not recorded".to_owned()),
            None if is_processed => {
                let detail =
                    "recorded, since it is processed; its payment is not known before it is archived";
                step(Part::Transaction, id, Progress::Implied, detail.to_owned())
            }
            None => step(Part::Transaction, id, Progress::Unknown, "its payment is not known".to_owned()),
        }
    }

    fn bus(&self, event: &EventSeen) -> Step {
        let (progress, detail) = match event.claim {
            ClaimOf::Processed { .. } => {
                (Progress::Implied, "published: an event is marked as processed last")
            }
            ClaimOf::Received { .. } if event.is_recorded == Some(true) => {
                (Progress::Waiting, "recorded; perhaps published, it is not marked as processed")
            }
            ClaimOf::Received { .. } => (Progress::Waiting, "not published"),
            ClaimOf::Forgotten if event.is_recorded == Some(true) => {
                (Progress::Implied, "published, as it seems: it is recorded, and the ledger has forgotten it")
            }
            ClaimOf::Forgotten | ClaimOf::Missing => (Progress::Unknown, "the ledger does not say it"),
        };
        step(Part::Bus, Some(event.id()), progress, detail.to_owned())
    }

    fn targets(&self, event: &EventSeen) -> Vec<Step> {
        let Some(payment) = &event.event else { return Vec::new() };
        let is_published = match event.claim {
            ClaimOf::Processed { .. } => true,
            ClaimOf::Forgotten => event.is_recorded == Some(true),
            ClaimOf::Received { .. } | ClaimOf::Missing => false,
        };
        let decision = event.decision.as_ref();
        let mut steps = routes::targets(self.names, payment, is_published, decision, self.letters);
        steps.extend(routes::undelivered(payment, self.letters));
        steps
    }

    fn fraud(&self, event: &EventSeen) -> Option<Step> {
        let payment = event.event.as_ref()?;
        let id = Some(event.id());
        if let Some(decision) = &event.decision {
            let detail =
                format!("{}, score {}: {}", decision.verdict, decision.score, decision.reasons.join(", "));
            return Some(Step { at: Some(decision.at), ..step(Part::Fraud, id, Progress::Done, detail) });
        }
        let is_due = payment.risk_tier == tollgate_core::RiskTier::High && payment.restates.is_none();
        if !is_due || !matches!(event.claim, ClaimOf::Processed { .. }) {
            return None;
        }
        let detail = "no decision".to_owned();
        if self.age() < TRIED_SECONDS {
            return Some(step(Part::Fraud, id, Progress::Waiting, detail));
        }
        let dead = self.depths.iter().find(|depth| depth.name == self.names.workflow_dead_letters());
        let cause = match dead.map_or(0, |depth| depth.visible) {
            0 => "the workflow timed out, or was never started: its log says which (docs/runbook.md, Workflow failures)".to_owned(),
            count => format!("the workflow failed: {count} wait in {} (docs/runbook.md, Dead letters workflow)", self.names.workflow_dead_letters()),
        };
        Some(Step { cause: Some(cause), ..step(Part::Fraud, id, Progress::Missing, detail) })
    }

    fn archive(&self) -> Vec<Step> {
        if !self.is_archive_read {
            return vec![step(Part::Archive, None, Progress::Unknown, "the archive was not read".to_owned())];
        }
        let of = |found: &&Found| {
            let row = &found.row;
            let reason = row.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let only = row.only_transaction.as_ref().map(|id| format!(", of {id}")).unwrap_or_default();
            let part = if row.part == 0 { String::new() } else { format!(", part {}", row.part) };
            let detail = format!("{}{reason}{only}{part}, in {}", row.outcome, found.key);
            Step { at: found.written_at, ..step(Part::Archive, None, Progress::Done, detail) }
        };
        if !self.rows.is_empty() {
            return self.rows.iter().map(of).collect();
        }
        let (queue, dead) = (self.names.queue(Queue::Archive), self.names.dead_letters(Queue::Archive));
        if let Some(letter) = self.letters.iter().find(|letter| letter.webhooks.contains(&self.webhook_id)) {
            let detail = format!("its row is in {} until {}", letter.queue, letter.kept_until);
            let cause = "the archival function could not write it (docs/runbook.md, Dead letters archive)";
            let step = step(Part::Archive, None, Progress::Stopped, detail);
            return vec![Step { at: Some(letter.sent_at), cause: Some(cause.to_owned()), ..step }];
        }
        let waiting = |name: &str| {
            let depth = self.depths.iter().find(|depth| depth.name == name);
            depth.map_or(0, |depth| depth.visible + depth.in_flight)
        };
        let detail = format!("no row; {} wait in {queue}, {} in {dead}", waiting(&queue), waiting(&dead));
        let is_open = self.is_open();
        if self.age() < WRITTEN_SECONDS || is_open {
            return vec![step(Part::Archive, None, Progress::Waiting, detail)];
        }
        let cause = if self.age() > ARCHIVED_SECONDS {
            "the archive's objects expire after 365 days"
        } else if !self.is_known() {
            "it was refused, or there was none"
        } else {
            "the archival function is behind or cannot write (docs/runbook.md, Dead letters archive), or its object is not among those that were looked through: `tollgate search`"
        };
        vec![Step { cause: Some(cause.to_owned()), ..step(Part::Archive, None, Progress::Missing, detail) }]
    }
}

fn step(part: Part, event_id: Option<EventId>, progress: Progress, detail: String) -> Step {
    Step { part, event_id, at: None, progress, detail, cause: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was found, as a table of the cases changes it.
    struct Case {
        minutes: i64,
        claim: ClaimOf,
        is_recorded: Option<bool>,
        waiting: u64,
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_767_000_000 + 60 * minute).unwrap()
    }

    fn processed() -> ClaimOf {
        ClaimOf::Processed { since: at(0), webhook_id: None }
    }

    fn received() -> ClaimOf {
        ClaimOf::Received { since: at(0), webhook_id: None, is_too_old: false }
    }

    /// The way of a webhook that arrived so long ago.
    fn steps(case: &Case) -> Vec<Step> {
        let names = Names::new("dev").unwrap();
        let endpoint = tollgate_core::EndpointId::new("acme").unwrap();
        let event = EventSeen {
            key: LedgerKey::new(&endpoint, "ev_1"),
            event: None,
            claim: case.claim.clone(),
            is_recorded: case.is_recorded,
            decision: None,
            is_contradicted: false,
        };
        let depth = |name: String| Depth {
            name,
            dead_letters: false,
            visible: case.waiting,
            in_flight: 0,
            delayed: 0,
        };
        Seen {
            now: at(case.minutes),
            names: &names,
            webhook_id: WebhookId::new(at(0), 1),
            arrival: None,
            receipt: None,
            delivery: None,
            rows: &[],
            is_archive_read: true,
            letters: &[],
            allowed: &[],
            events: &[event],
            depths: &[depth(names.queue(Queue::Intake)), depth(names.queue(Queue::Archive))],
        }
        .steps()
    }

    #[test]
    fn what_is_missing_is_a_gap_only_when_its_time_is_over() {
        use Progress::*;
        let case = |minutes, claim, is_recorded, waiting| Case { minutes, claim, is_recorded, waiting };
        for (what, case, part, progress, cause) in [
            ("just claimed", case(1, received(), None, 3), "queue", Waiting, ""),
            (
                "lost between claim and queue",
                case(60, received(), None, 0),
                "queue",
                Missing,
                "have it send again",
            ),
            ("behind others", case(60, received(), None, 3), "queue", Missing, "Old messages"),
            ("not archived yet", case(1, processed(), None, 0), "archive", Waiting, ""),
            (
                "never archived",
                case(60, processed(), Some(true), 0),
                "archive",
                Missing,
                "Dead letters archive",
            ),
            ("not processed, so not archived", case(1, received(), None, 3), "archive", Waiting, ""),
            (
                "expired",
                case(400 * 24 * 60, ClaimOf::Forgotten, Some(true), 0),
                "archive",
                Missing,
                "365 days",
            ),
            ("a restored table", case(60, processed(), Some(false), 0), "transaction", Missing, "restored"),
            ("recorded", case(1, processed(), Some(true), 0), "transaction", Done, ""),
            ("not recorded yet", case(1, received(), Some(false), 0), "transaction", Waiting, ""),
            ("published, as its claim says", case(1, processed(), Some(true), 0), "bus", Implied, ""),
            ("perhaps published", case(1, received(), Some(true), 0), "bus", Waiting, ""),
            ("forgotten", case(40 * 24 * 60, ClaimOf::Forgotten, Some(true), 0), "claim", Unknown, ""),
            ("no claim", case(1, ClaimOf::Missing, None, 0), "claim", Missing, "claims it again"),
        ] {
            let steps = steps(&case);
            let step = steps.iter().find(|step| step.part.as_str() == part).unwrap();
            assert_eq!(step.progress, progress, "{what}: {step:?}");
            let said = step.cause.as_deref().unwrap_or_default();
            assert!(said.contains(cause) && said.is_empty() == cause.is_empty(), "{what}: {step:?}");
        }
    }
}
