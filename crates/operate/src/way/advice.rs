//! What to do about a refusal or a dead letter, in short: docs/runbook.md has all of it.

use tollgate_core::Queue;

use super::arrival::Arrival;
use crate::dlq::letter::UNREAD;

/// Of a refusal, what to do.
pub(super) fn refused(arrival: &Arrival) -> String {
    match arrival.status {
        401 => "the key at the provider and here differ, a proxy changes the body, or it is a forgery (docs/runbook.md, Signature failures)",
        404 | 405 => "no endpoint of that name: `tollgate endpoints list`, and the URL at the provider",
        400 | 413 | 422 => "the sender's content: it is told what is wrong in the answer",
        503 => "a dependency was down: the provider sends it again (docs/runbook.md, API 5xx)",
        _ => "see the validator's log",
    }
    .to_owned()
}

/// Reasons for a quarantine with what to do, in short: docs/runbook.md has all of them.
const REASONS: [(&str, &str); 7] = [
    (
        "conflicting_facts",
        "it tells a known event with other payment facts: find out which are true, then `tollgate conflicts keep` or `take`; a redrive sets it aside again",
    ),
    (
        "too_old_to_tell",
        "it happened, or was signed, more than 23 days before it arrived: look whether it was done before, then `tollgate allow` and redrive, or delete it",
    ),
    ("unknown_endpoint", "its endpoint was removed: put it back, then redrive"),
    ("unclaimed", "nobody accepted it, or the ledger has forgotten that: find out who sent it"),
    ("altered", "it is not what was accepted: treat it as forged"),
    ("payload_missing", "the object of its claim check is gone: restore it, then redrive"),
    (
        "none",
        "the processor ended with it time and again, or had no concurrency left: mend that, then redrive",
    ),
];

/// What to do about a dead letter of a queue (its name without the environment's suffix), in short: docs/runbook.md has all of it.
pub fn advice(queue: &str, reason: &str) -> String {
    let of_intake = [Queue::Intake, Queue::IntakeOrdered].map(|queue| format!("{}-dlq", queue.stem()));
    if of_intake.iter().any(|one| one == queue) {
        return reason_cause(if reason == UNREAD { "none" } else { reason });
    }
    match queue {
        "archive-queue-dlq" => {
            "the archival function could not write it: mend that, then redrive (docs/runbook.md, Dead letters archive)"
        }
        "eventbridge-dlq" => {
            "the bus could not hand it to its target: see whether that is there and takes it, then redrive (docs/runbook.md, Dead letters EventBridge)"
        }
        "transaction-workflow-dlq" => {
            "the fraud workflow failed on it: see its run, mend that, then redrive (docs/runbook.md, Dead letters workflow)"
        }
        "asynchronous-invocations-dlq" => {
            "a function failed at an event that AWS handed to it (docs/runbook.md, Dead letters functions)"
        }
        _ => {
            "its consumer received it time and again and never deleted it: mend the consumer, then redrive (docs/runbook.md, Dead letters consumers)"
        }
    }
    .to_owned()
}

/// What to do about a dead letter of an intake.
pub(super) fn reason_cause(reason: &str) -> String {
    let own = REASONS.iter().find(|(known, _)| *known == reason).map(|(_, advice)| *advice);
    let what = own.unwrap_or(match reason.ends_with("_unavailable") {
        true => "that was down or forbidden at three receives: mend it, then redrive",
        false => "see its row in the runbook",
    });
    format!("{what} (docs/runbook.md, Dead letters intake)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_with_advice_of_its_own_is_one_of_the_runbook() {
        let page = include_str!("../../../../docs/runbook.md");
        for (reason, advice) in REASONS.iter().filter(|(reason, _)| *reason != "none") {
            assert!(page.contains(&format!("`{reason}`")), "{reason} is no reason any more");
            assert!(reason_cause(reason).starts_with(advice));
        }
    }
}
